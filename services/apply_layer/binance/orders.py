"""One order at the venue: placed, withdrawn or asked for; its answers as facts.

No call is repeated. An answer that does not say what happened leaves the order in doubt. Called in
threads of their own, one for each request: nothing is changed here that others see, and what goes
beyond the one order is told by the errors among the facts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal

from services.apply_layer.binance.account import Account
from services.apply_layer.binance.answers import Meaning
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.endpoints import (
    ALGO_ORDER,
    ORDER,
    PLACED_ALGO,
    PREMIUM_INDEX,
    fitted,
    read,
)
from services.apply_layer.binance.wire import OrderFacts, order_facts, plain
from services.apply_layer.exchange import (
    AskOrder,
    CancelOrder,
    OrderAbsent,
    OrderAccepted,
    OrderEnded,
    OrderInDoubt,
    OrderRejected,
    OrderType,
    PlaceOrder,
    Trades,
)

_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)
_ID_NOT_TAKEN, _NOT_PREPARED = -4015, -1000
#: States of a conditional order that end it without a trade.
_ENDED_WITHOUT_TRADE = ("CANCELED", "EXPIRED", "REJECTED")
_SPELLING = {"CANCELED": "cancelled"}


class Orders:
    """Orders of one account. `ring` asks for a look at a symbol.

    Among the facts are the errors that the venue answered with, for whoever draws conclusions.
    """

    def __init__(
        self,
        client: Client,
        account: Account,
        *,
        ring: Callable[[str], None],
        margin_type: str = "ISOLATED",
    ) -> None:
        self._client = client
        self._account = account
        self._ring = ring
        self._margin_type = margin_type
        self._leverage: dict[str, int] = {}

    def place(self, order: PlaceOrder) -> Iterator[object]:
        name = order.client_order_id
        if not _CLIENT_ID.fullmatch(name):
            yield self._refused(order, _ID_NOT_TAKEN, "the venue does not take this client id")
            return
        try:
            if not order.reduce_only:
                self._prepare(order)
                refusal = self._guard(order)
                if refusal is not None:
                    yield self._refused(order, *refusal)
                    return
            if order.type is OrderType.MARKET:
                told = self._client.call(
                    "fapiPrivatePostOrder", self._market(order), weight=1, orders=1,
                    purpose=Purpose.PROTECT if order.reduce_only else Purpose.TRADE,
                )  # fmt: skip
                facts = order_facts(fitted(ORDER, told))
            else:
                told = self._client.call(
                    "fapiPrivatePostAlgoOrder", self._conditional(order), weight=1, orders=1
                )
                yield self._accepted(order.symbol, name, fitted(PLACED_ALGO, told).algo_id)
                return
        except NoAnswer as error:
            self._ring(order.symbol)
            now = self._client.now()
            yield error
            yield OrderInDoubt(name, order.symbol, str(error), now, unlikely=error.unlikely)
            return
        except VenueError as error:
            yield from self._on_refusal(order, error)
            return
        if facts.over:
            self._account.ledger.remember(facts)
        yield self._accepted(order.symbol, name, facts.order_id)
        yield from self._came_to(order.symbol, name, facts)

    def _guard(self, order: PlaceOrder) -> tuple[str, str] | None:
        """Why an entry must not be sent, by the venue's mark price of this moment."""
        if order.guard is None:
            return None
        try:
            asked = {"symbol": order.symbol}
            told = read(self._client, PREMIUM_INDEX, asked, purpose=Purpose.TRADE)
        except NoAnswer as error:
            return "no_mark", f"the venue's mark price could not be read: {error}"
        return order.guard.refusal(order.qty, told.mark_price)

    def _prepare(self, order: PlaceOrder) -> None:
        """Margin type and leverage of an entry, before anything is sent; no answer is a refusal."""
        symbol = order.symbol
        if self._leverage.get(symbol) == order.leverage:
            return
        try:
            self._already("fapiPrivatePostMarginType", symbol, marginType=self._margin_type)
            self._already("fapiPrivatePostLeverage", symbol, leverage=order.leverage)
        except NoAnswer as error:
            raise VenueError(0, _NOT_PREPARED, f"leverage could not be set: {error}") from None
        self._leverage[symbol] = order.leverage
        self._account.modes.prepared(symbol, self._margin_type, order.leverage)

    def _already(self, name: str, symbol: str, **params: object) -> None:
        try:
            self._client.call(name, {"symbol": symbol, **params}, purpose=Purpose.TRADE)
        except VenueError as error:
            if error.meaning is not Meaning.ALREADY:
                raise

    def _market(self, order: PlaceOrder) -> dict[str, object]:
        params = self._signed(order) | {
            "type": "MARKET",
            "quantity": plain(order.qty),
            "newClientOrderId": order.client_order_id,
            "newOrderRespType": "RESULT",
        }
        return params | ({"reduceOnly": "true"} if order.reduce_only else {})

    def _conditional(self, order: PlaceOrder) -> dict[str, object]:
        params = self._signed(order) | {
            "algoType": "CONDITIONAL",
            "type": order.type.value,
            "triggerPrice": plain(order.trigger_price or Decimal(0)),
            "workingType": "MARK_PRICE",
            "clientAlgoId": order.client_order_id,
        }
        if order.close_position:
            return params | {"closePosition": "true"}
        return params | {"quantity": plain(order.qty), "reduceOnly": "true"}

    def _signed(self, order: PlaceOrder) -> dict[str, object]:
        """Signed for the moment of the journal: once the window is over, nobody can send it."""
        sent_at = order.sent_at or self._client.now()
        return {
            "symbol": order.symbol,
            "side": order.side.value,
            "timestamp": self._client.timestamp_of(sent_at),
        }

    def _on_refusal(self, order: PlaceOrder, error: VenueError) -> Iterator[object]:
        yield error
        name, symbol = order.client_order_id, order.symbol
        if error.meaning is Meaning.EXISTS:
            conditional = order.type is not OrderType.MARKET
            found = list(self.ask(AskOrder(name, symbol, conditional, order.at)))
            told = [fact for fact in found if not isinstance(fact, VenueError | NoAnswer)]
            if any(isinstance(fact, OrderAbsent) for fact in told) or not told:
                yield OrderInDoubt(name, symbol, str(error), self._client.now())
            else:
                yield from found
            return
        self._leverage.pop(symbol, None)
        yield self._refused(order, error.code, error.text)

    def _refused(self, order: PlaceOrder, code: int | str, reason: str) -> OrderRejected:
        now = self._client.now()
        return OrderRejected(order.client_order_id, order.symbol, code, reason, now)

    def _accepted(self, symbol: str, name: str, order_id: str) -> OrderAccepted:
        return OrderAccepted(name, symbol, order_id, self._client.now())

    def _ended(self, name: str, symbol: str, status: str) -> OrderEnded:
        word = _SPELLING.get(status, status.lower())
        return OrderEnded(name, symbol, word, self._client.now())

    def _came_to(self, symbol: str, name: str, order: OrderFacts) -> Iterator[object]:
        """The trades of an order of the plain book, and its end once all of them are told."""
        try:
            trades = self._account.new_trades(symbol)
            if trades:
                yield Trades(trades)
            if order.over and self._account.ledger.all_told(symbol, order, trades, Purpose.PROTECT):
                word = order.status.lower()
                yield OrderEnded(
                    name, symbol, _SPELLING.get(order.status, word), self._client.now()
                )
                return
        except (VenueError, NoAnswer) as error:
            yield error
        self._ring(symbol)

    def cancel(self, request: CancelOrder) -> Iterator[object]:
        name, symbol = request.client_order_id, request.symbol
        try:
            if request.conditional:
                self._client.call("fapiPrivateDeleteAlgoOrder", {"clientAlgoId": name})
            else:
                params = {"symbol": symbol, "origClientOrderId": name}
                self._client.call("fapiPrivateDeleteOrder", params)
        except NoAnswer as error:
            yield error
            self._ring(symbol)
        except VenueError as error:
            yield error
            if error.meaning is Meaning.NO_SUCH_ORDER:
                # It may have triggered: only the venue knows.
                yield from self.ask(AskOrder(name, symbol, request.conditional, request.at))
            else:
                self._ring(symbol)
        else:
            yield OrderEnded(name, symbol, "cancelled", self._client.now())

    def ask(self, request: AskOrder) -> Iterator[object]:
        """What became of an order; nothing where the venue does not say."""
        try:
            if request.conditional:
                yield from self._ask_conditional(request)
            else:
                yield from self._ask_plain(request)
        except VenueError as error:
            yield error
            if error.meaning is Meaning.NO_SUCH_ORDER:
                yield from self._search(request)
        except NoAnswer as error:
            yield error

    def _ask_plain(self, request: AskOrder) -> Iterator[object]:
        params = {"symbol": request.symbol, "origClientOrderId": request.client_order_id}
        order = order_facts(read(self._client, ORDER, params, purpose=Purpose.PROTECT))
        yield self._accepted(request.symbol, request.client_order_id, order.order_id)
        yield from self._came_to(request.symbol, request.client_order_id, order)

    def _ask_conditional(self, request: AskOrder) -> Iterator[object]:
        name, symbol = request.client_order_id, request.symbol
        asked = {"clientAlgoId": name}
        told = read(self._client, ALGO_ORDER, asked, purpose=Purpose.PROTECT)
        state, actual = told.algo_status, told.actual_order_id
        if state == "NEW":
            yield self._accepted(symbol, name, told.algo_id)
        elif state in _ENDED_WITHOUT_TRADE:
            yield self._ended(name, symbol, state)
        elif actual:
            order = self._account.ledger.order(symbol, actual, Purpose.PROTECT, name)
            if order is not None:
                yield from self._came_to(symbol, name, order)

    def _search(self, request: AskOrder) -> Iterator[object]:
        """The query knows nothing of it: look into both books and the trades as well."""
        name, symbol = request.client_order_id, request.symbol
        try:
            standing = {o.client_order_id: o for o in self._account.open_orders(symbol)}
            trades = self._account.new_trades(symbol)
        except (VenueError, NoAnswer) as error:
            yield error
            return
        if name in standing:
            yield self._accepted(symbol, name, standing[name].order_id)
            return
        if trades:
            yield Trades(trades)
        if all(trade.client_order_id != name for trade in trades):
            yield OrderAbsent(name, symbol, self._client.now(), request.asked_at)
