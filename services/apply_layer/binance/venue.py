"""The real venue behind the runner's `Outside`: requests become calls, calls become facts.

The ledger of the venue is the only source of trades. They are read by number, in their order,
from the last one applied on; the user stream only says when it is worth a look.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

from services.apply_layer.binance.account import Account
from services.apply_layer.binance.answers import Meaning
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.stream import UserStream
from services.apply_layer.binance.wire import OrderFacts, order_facts, plain
from services.apply_layer.doubt import Beat
from services.apply_layer.exchange import (
    AskOrder,
    CancelOrder,
    LookAgain,
    OrderAbsent,
    OrderAccepted,
    OrderEnded,
    OrderInDoubt,
    OrderRejected,
    OrderType,
    PlaceOrder,
    Trades,
    VenueHealth,
)
from services.apply_layer.protection import Looked
from shared.contracts import Message
from shared.log import logger
from shared.runner import NotYet

_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)
_ID_NOT_TAKEN, _NOT_PREPARED = -4015, -1000
#: Codes of the conditional book's state that end an order without a trade.
_ENDED_WITHOUT_TRADE = ("CANCELED", "EXPIRED", "REJECTED")
_SPELLING = {"CANCELED": "cancelled"}
_LOCKED_OUT_S, _OVERLOADED_S = 600.0, 5.0
#: How often the account is looked at while nothing rings.
_BLIND_S = 5.0


class BinanceVenue:
    """One account on Binance USD-M. Intervals are seconds, `drift_ms` what clocks may differ by."""

    def __init__(
        self,
        client: Client,
        account: Account,
        stream: UserStream,
        *,
        reconcile_every_s: float = 30.0,
        drift_ms: int = 500,
        margin_type: str = "ISOLATED",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._account = account
        self._stream = stream
        self._reconcile_every_s = reconcile_every_s
        self._drift_ms = drift_ms
        self._margin_type = margin_type
        self._monotonic = monotonic
        self._seen = False
        self._lost = True
        self._look_at = 0.0
        self._barred: dict[str, tuple[str, float]] = {}
        self._told: dict[str, str] | None = None
        self._leverage: dict[str, int] = {}

    # -- the runner's side --------------------------------------------------------------------

    def restore(self, documents: Mapping[str, bytes]) -> None:
        """Learn from the daemon's own state which trades were applied and what it holds."""
        self._account.restore(documents)

    def documents(self) -> dict[str, bytes]:
        """How far funding was told."""
        return self._account.documents()

    def observe(self, message: Message) -> Iterable[object]:  # noqa: ARG002 - the venue has its own
        """Prices of the ring are no news to the venue."""
        return ()

    def urgent(self) -> bool:
        """Whether the venue rang, or was cut off and nobody was told."""
        cut = self._stream.missed and "user_stream_down" not in (self._told or {})
        return self._seen and (cut or self._stream.rang())

    def close(self) -> None:
        """Let go of the user stream."""
        self._stream.stop()

    @property
    def barred(self) -> bool:
        """Whether no entry may be made now, as far as was told; so it is until a look told else."""
        return self._told is None or bool(self._told)

    def perform(self, request: object) -> Iterator[object]:
        """Place, cancel, ask or look."""
        match request:
            case PlaceOrder():
                return self._place(request)
            case CancelOrder():
                return self._cancel(request)
            case AskOrder():
                return self._ask(request)
            case LookAgain():
                return self._look(request.symbols)
        raise TypeError(f"a venue cannot do {request!r}")

    def cycle(self) -> Iterator[object]:
        """What rang, or everything when it is time; and why no entry may be made.

        Raises:
            NotYet: the account was not seen since the start.
        """
        self._stream.check()
        if not self._seen:
            self._begin()
        self._stream.keep_alive()
        rung = self._stream.take()
        cut = self._stream.missed and self._stream.up
        if self._lost or cut or self._monotonic() >= self._look_at:
            yield from self._reconcile()
        elif rung:
            yield from self._look(rung)
        yield from self._health()
        if not self._lost:
            yield Beat()

    # -- looking ------------------------------------------------------------------------------

    def _begin(self) -> None:
        try:
            self._client.measure_clock()
            self._account.refuse_hedge_mode()
            self._account.learn_rules()
        except (VenueError, NoAnswer) as error:
            self._note_error(error)
            raise NotYet(str(error)) from None
        self._stream.start()

    def _reconcile(self) -> Iterator[object]:
        """Look at everything; after a start or an outage the look begins anew."""
        up = self._stream.up
        try:
            self._client.measure_clock()
            self._account.refresh_rules()
        except (VenueError, NoAnswer) as error:
            yield from self._out_of_sight(error)
            return
        yield from self._look(None)
        if not self._lost:
            every_s = self._reconcile_every_s
            self._look_at = self._monotonic() + (every_s if up else min(every_s, _BLIND_S))
            if up:
                self._stream.caught_up()

    def _look(self, symbols: frozenset[str] | None) -> Iterator[object]:
        """Positions first, then both books, then trades: what changed meanwhile shows as older."""
        try:
            view = self._account.view(symbols, self._client.now())
        except (VenueError, NoAnswer) as error:
            yield from self._out_of_sight(error)
            return
        starting, self._lost, self._seen = self._lost, False, True
        self._account.told(view)
        yield from view.facts
        yield Looked(view.snapshot, starting)

    def _out_of_sight(self, error: VenueError | NoAnswer) -> Iterator[object]:
        self._note_error(error)
        if not self._seen:
            raise NotYet(str(error))
        if not self._lost:
            logger().error("venue_out_of_sight", reason=str(error))
        self._lost = True
        yield from self._health()

    # -- one order ----------------------------------------------------------------------------

    def _place(self, order: PlaceOrder) -> Iterator[object]:
        name = order.client_order_id
        if not _CLIENT_ID.fullmatch(name):
            yield self._refused(order, _ID_NOT_TAKEN, "the venue does not take this client id")
            return
        try:
            if not order.reduce_only:
                self._prepare(order)
            if order.type is OrderType.MARKET:
                told = self._client.call(
                    "fapiPrivatePostOrder", self._market(order), weight=1, orders=1,
                    protects=order.reduce_only,
                )  # fmt: skip
            else:
                told = self._client.call(
                    "fapiPrivatePostAlgoOrder", self._conditional(order), weight=1, orders=1
                )
        except NoAnswer as error:
            self._stream.ring(order.symbol)
            now = self._client.now()
            yield OrderInDoubt(name, order.symbol, str(error), now, unlikely=error.unlikely)
            return
        except VenueError as error:
            yield from self._on_refusal(order, error)
            return
        if order.type is not OrderType.MARKET:
            yield self._accepted(order.symbol, name, str(told["algoId"]))
            return
        facts = order_facts(told)
        yield self._accepted(order.symbol, name, facts.order_id)
        yield from self._came_to(order.symbol, name, facts)

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

    def _already(self, name: str, symbol: str, **params: object) -> None:
        try:
            self._client.call(name, {"symbol": symbol, **params}, protects=False)
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
        self._note_error(error)
        name, symbol = order.client_order_id, order.symbol
        if error.meaning is Meaning.EXISTS:
            conditional = order.type is not OrderType.MARKET
            found = list(self._ask(AskOrder(name, symbol, conditional, order.at)))
            if any(isinstance(fact, OrderAbsent) for fact in found) or not found:
                yield OrderInDoubt(name, symbol, str(error), self._client.now())
            else:
                yield from found
            return
        self._leverage.pop(symbol, None)
        yield self._refused(order, error.code, error.text)

    def _refused(self, order: PlaceOrder, code: int, reason: str) -> OrderRejected:
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
                self._account.told_trades(symbol, trades)
                yield Trades(trades)
            if order.over and self._account.all_told(symbol, order):
                word = order.status.lower()
                yield OrderEnded(
                    name, symbol, _SPELLING.get(order.status, word), self._client.now()
                )
                return
        except (VenueError, NoAnswer) as error:
            self._note_error(error)
        self._stream.ring(symbol)

    def _cancel(self, request: CancelOrder) -> Iterator[object]:
        name, symbol = request.client_order_id, request.symbol
        try:
            if request.conditional:
                self._client.call("fapiPrivateDeleteAlgoOrder", {"clientAlgoId": name})
            else:
                params = {"symbol": symbol, "origClientOrderId": name}
                self._client.call("fapiPrivateDeleteOrder", params)
        except NoAnswer:
            self._stream.ring(symbol)
        except VenueError as error:
            self._note_error(error)
            if error.meaning is Meaning.NO_SUCH_ORDER:
                # It may have triggered: only the venue knows.
                yield from self._ask(AskOrder(name, symbol, request.conditional, request.at))
            else:
                self._stream.ring(symbol)
        else:
            yield OrderEnded(name, symbol, "cancelled", self._client.now())

    def _ask(self, request: AskOrder) -> Iterator[object]:
        """What became of an order; nothing where the venue does not say."""
        try:
            if request.conditional:
                yield from self._ask_conditional(request)
            else:
                yield from self._ask_plain(request)
        except VenueError as error:
            self._note_error(error)
            if error.meaning is Meaning.NO_SUCH_ORDER:
                yield from self._search(request)
        except NoAnswer as error:
            self._note_error(error)

    def _ask_plain(self, request: AskOrder) -> Iterator[object]:
        params = {"symbol": request.symbol, "origClientOrderId": request.client_order_id}
        order = order_facts(self._client.call("fapiPrivateGetOrder", params))
        yield self._accepted(request.symbol, request.client_order_id, order.order_id)
        yield from self._came_to(request.symbol, request.client_order_id, order)

    def _ask_conditional(self, request: AskOrder) -> Iterator[object]:
        name, symbol = request.client_order_id, request.symbol
        told = self._client.call("fapiPrivateGetAlgoOrder", {"clientAlgoId": name})
        state, actual = told["algoStatus"], str(told.get("actualOrderId") or "")
        if state == "NEW":
            yield self._accepted(symbol, name, str(told["algoId"]))
        elif state in _ENDED_WITHOUT_TRADE:
            yield self._ended(name, symbol, state)
        elif actual:
            yield from self._came_to(symbol, name, self._account.order(symbol, actual, name))

    def _search(self, request: AskOrder) -> Iterator[object]:
        """The query knows nothing of it: look into both books and the trades as well."""
        name, symbol = request.client_order_id, request.symbol
        try:
            standing = {o.client_order_id: o for o in self._account.open_orders((symbol,))}
            trades = self._account.new_trades(symbol)
        except (VenueError, NoAnswer) as error:
            self._note_error(error)
            return
        if name in standing:
            yield self._accepted(symbol, name, standing[name].order_id)
            return
        if trades:
            self._account.told_trades(symbol, trades)
            yield Trades(trades)
        if all(trade.client_order_id != name for trade in trades):
            yield OrderAbsent(name, symbol, self._client.now())

    # -- why no entry may be made -------------------------------------------------------------

    def _note_error(self, error: VenueError | NoAnswer) -> None:
        """Draw the consequences of a refusal that go beyond the one call."""
        logger().warning("venue", reason=str(error))
        if not isinstance(error, VenueError):
            return
        now = self._monotonic()
        match error.meaning:
            case Meaning.CLOCK:
                try:
                    self._client.measure_clock()
                except (VenueError, NoAnswer):
                    self._look_at = now
            case Meaning.FILTERS:
                self._account.forget_rules()
                self._look_at = now
            case Meaning.LOCKED_OUT:
                self._barred["credentials"] = (str(error), now + _LOCKED_OUT_S)
            case Meaning.OVERLOADED:
                self._barred["overloaded"] = (str(error), now + _OVERLOADED_S)
            case Meaning.SLOW_DOWN:
                self._barred["rate_limited"] = (str(error), self._client.budget.paused_until)
            case Meaning.BANNED:
                self._barred["banned"] = (str(error), self._client.budget.banned_until)
            case _:
                return

    def _health(self) -> Iterator[VenueHealth]:
        now = self._monotonic()
        self._barred = {code: bar for code, bar in self._barred.items() if bar[1] > now}
        barriers = {code: text for code, (text, _) in self._barred.items()}
        if self._lost:
            barriers["venue_unreachable"] = "the venue cannot be read"
        if self._stream.missed:
            barriers["user_stream_down"] = "nothing was read since the user stream was cut"
        offset_ms = self._client.clock_offset_ms
        if abs(offset_ms) > self._drift_ms:
            barriers["clock_drift"] = f"the clocks differ by {offset_ms} ms"
        if barriers != self._told:
            self._told = barriers
            yield VenueHealth(barriers, self._client.now())
