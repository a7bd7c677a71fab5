"""Signed reads of both order books, open and over, in the venue's shapes.

Every function is given the books to read, which may be those of a moment ago, and the parameters
of the call. Raises Refused as the venue refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.apply_layer.double.account import Account
from services.apply_layer.double.books import DAY_MS, AlgoRecord, Books, OrderRecord
from services.apply_layer.double.codes import Refused, missing
from services.apply_layer.double.ledger import plain

Asked = Mapping[str, str]
_PAGE, _PAGE_MAX = 500, 1000
#: How long the venue knows an order, and one that came to nothing.
ORDERS_KEPT_MS, _IDLE_KEPT_MS = 90 * DAY_MS, 3 * DAY_MS


@dataclass(frozen=True, slots=True)
class Look:
    """What a read looks at."""

    account: Account
    books: Books
    asked: Asked

    @property
    def symbol(self) -> str:
        """The symbol that was asked for. Raises Refused: missing, or not listed."""
        if not self.asked.get("symbol"):
            raise missing("symbol")
        return self._listed(self.asked["symbol"])

    @property
    def maybe_symbol(self) -> str | None:
        """The symbol if one was asked for."""
        return self._listed(self.asked["symbol"]) if self.asked.get("symbol") else None

    @property
    def symbols(self) -> list[str]:
        """The symbol that was asked for, or all."""
        one = self.maybe_symbol
        if one:
            return [one]
        return [s for s in self.account.config.symbols if not self.account.switches.delisted(s)]

    def symbols_in(self, piece: str) -> list[str]:
        """Those symbols of which a piece tells."""
        return [s for s in self.symbols if not self.account.switches.lacks(s, piece)]

    def mark(self, symbol: str) -> Decimal:
        """The mark price as it is told."""
        told = self.account.switches.told_marks.get(symbol)
        return self.books.mark(symbol) if told is None else told

    def denied(self, what: str, algo: AlgoRecord) -> bool:
        """Whether the venue denies a conditional order that stands."""
        now = self.account.now_ms() / 1000
        return algo.open and self.account.switches.denies(what, algo.symbol, now)

    def kept(self, order: OrderRecord) -> bool:
        """Whether the venue still knows an order: 90 days, 3 if it ended without a trade."""
        age_ms = self.account.now_ms() - order.at_ms
        idle = not order.open and not order.executed
        return order.open or age_ms <= (_IDLE_KEPT_MS if idle else ORDERS_KEPT_MS)

    def _listed(self, symbol: str) -> str:
        if symbol not in self.account.config.symbols or self.account.switches.delisted(symbol):
            raise Refused(-1121)
        return symbol

    def whole(self, name: str, default: int | None = None) -> int | None:
        """A whole number. Raises Refused when it is none."""
        text = self.asked.get(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit()):
            raise Refused(-1102, f"Illegal value of parameter '{name}'.")
        return int(text)

    def limit(self) -> int:
        """How many rows were asked for."""
        return min(self.whole("limit", _PAGE) or _PAGE, _PAGE_MAX)


# -- the plain book -------------------------------------------------------------------------------


def order_json(order: OrderRecord) -> dict[str, Any]:
    """An order of the plain book."""
    return {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": "0",
        "avgPrice": plain(order.average),
        "origQty": plain(order.qty),
        "executedQty": plain(order.executed),
        "cumQty": plain(order.executed),
        "cumQuote": plain(order.quote),
        "timeInForce": "GTC",
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side.value,
        "positionSide": "BOTH",
        "stopPrice": plain(order.trigger),
        "workingType": order.working_type,
        "priceProtect": False,
        "origType": order.original_type or order.type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": order.at_ms,
        "updateTime": order.update_ms,
    }


def find_order(look: Look) -> OrderRecord | None:
    """The order that was asked for: by its number, or the latest of a client id."""
    symbol, number = look.symbol, look.whole("orderId")
    name = look.asked.get("origClientOrderId")
    if number is not None:
        found = look.books.orders.get(number)
        return found if found and found.symbol == symbol else None
    if not name:
        raise Refused(-1102, "Either 'orderId' or 'origClientOrderId' must be sent.")
    return next((o for o in look.books.orders_named(name) if o.symbol == symbol), None)


def order(look: Look) -> Any:
    """GET order: also one that is over."""
    found = find_order(look)
    if found is None or not look.kept(found):
        raise Refused(-2013)
    return order_json(found)


def open_order(look: Look) -> Any:
    """GET openOrder."""
    found = find_order(look)
    if found is None or not found.open:
        raise Refused(-2013)
    return order_json(found)


def open_orders(look: Look) -> Any:
    """GET openOrders."""
    return [order_json(o) for o in look.books.open_orders(look.maybe_symbol)]


def all_orders(look: Look) -> Any:
    """GET allOrders, oldest first."""
    symbol, first = look.symbol, look.whole("orderId", 0) or 0
    start, end = look.whole("startTime", 0) or 0, look.whole("endTime")
    rows = [
        order_json(o)
        for o in look.books.orders.values()
        if o.symbol == symbol
        and o.order_id >= first
        and _within(o.at_ms, start, end)
        and look.kept(o)
    ]
    return rows[: look.limit()] if first else rows[-look.limit() :]


def _within(at_ms: int, start: int, end: int | None) -> bool:
    return start <= at_ms and (end is None or at_ms <= end)


# -- the conditional book -------------------------------------------------------------------------


def algo_json(algo: AlgoRecord) -> dict[str, Any]:
    """An order of the conditional book."""
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.type,
        "symbol": algo.symbol,
        "side": algo.side.value,
        "positionSide": "BOTH",
        "timeInForce": "GTC",
        "quantity": plain(algo.qty),
        "algoStatus": algo.status,
        "actualOrderId": str(algo.order_id or ""),
        "actualPrice": plain(algo.average),
        "actualQty": plain(algo.executed),
        "triggerPrice": plain(algo.trigger),
        "price": "0.00",
        "icebergQuantity": None,
        "tpTriggerPrice": "0.000",
        "tpPrice": "0.000",
        "slTriggerPrice": "0.000",
        "slPrice": "0.000",
        "tpOrderType": "",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": algo.working_type,
        "priceMatch": "NONE",
        "closePosition": algo.close_position,
        "priceProtect": False,
        "reduceOnly": algo.reduce_only,
        "createTime": algo.at_ms,
        "updateTime": algo.update_ms,
        "triggerTime": algo.triggered_ms,
        "goodTillDate": 0,
    }


def find_algo(look: Look) -> AlgoRecord | None:
    """The conditional order that was asked for: by its number, or the latest of a client id."""
    number, name = look.whole("algoId"), look.asked.get("clientAlgoId")
    if number is not None:
        return look.books.algos.get(number)
    if not name:
        raise Refused(-1102, "Either 'algoId' or 'clientAlgoId' must be sent.")
    return next(look.books.algos_named(name), None)


def algo_order(look: Look) -> Any:
    """GET algoOrder: also one that is over."""
    found = find_algo(look)
    if found is None or look.denied("query", found):
        raise Refused(-2013)
    return algo_json(found)


def open_algo_orders(look: Look) -> Any:
    """GET openAlgoOrders."""
    standing = look.books.open_algos(look.maybe_symbol)
    return [algo_json(a) for a in standing if not look.denied("list", a)]


def all_algo_orders(look: Look) -> Any:
    """GET allAlgoOrders, oldest first."""
    symbol, first = look.symbol, look.whole("algoId", 0) or 0
    start, end = look.whole("startTime", 0) or 0, look.whole("endTime")
    rows = [
        algo_json(a)
        for a in look.books.algos.values()
        if a.symbol == symbol
        and a.algo_id >= first
        and _within(a.at_ms, start, end)
        and not look.denied("list", a)
    ]
    return rows[: look.limit()] if first else rows[-look.limit() :]
