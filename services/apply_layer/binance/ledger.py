"""The venue's trades, by symbol and in their order, from the last one handed out on.

A trade does not say which client id its order had, nor whether the order is over: the orders
behind a batch of trades are asked for one by one where they are few, and page by page where they
are many.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from services.apply_layer.binance.answers import Meaning
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.endpoints import (
    ALL_ALGOS,
    ALL_ORDERS,
    ORDER,
    USER_TRADES,
    Endpoint,
    read,
    read_rows,
)
from services.apply_layer.binance.quarantine import SymbolUnread
from services.apply_layer.binance.rows import Row, TradeRow
from services.apply_layer.binance.wire import Fee, OrderFacts, fill_of, order_facts
from services.apply_layer.exchange import FORCED_PREFIXES, OrderFilled, OrderType, Trades
from services.apply_layer.history import OURS

R = TypeVar("R", bound=Row)

PAGE = 1000
#: So many orders are asked for one by one; a page of them weighs 5.
_ONE_BY_ONE = 4
#: An order may be told later than its trade, but not later than this.
_ORDER_LATE = timedelta(seconds=10)
_ORDERS_KEPT = 5000
#: Reads of trades at a time.
_AT_ONCE = 10

#: The trades of a symbol, or why they could not be read.
TradesRead = tuple[OrderFilled, ...] | VenueError | NoAnswer


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The newest trade handed out; without a number all trades up to `at` are the past."""

    number: int
    at: datetime

    def is_before(self, trade: TradeRow) -> bool:
        """Whether a trade is news."""
        return trade.id > self.number if self.number else trade.time > self.at


class Ledger:
    """One account's trades. `spent` counts the weight of what was read.

    Threads may read, each a symbol of its own; bookmarks move only in the runner's.
    """

    def __init__(self, client: Client, fee_of: Callable[[TradeRow], Fee]) -> None:
        self._client = client
        self._fee_of = fee_of
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="trades")
        self._orders: dict[str, OrderFacts] = {}
        self.bookmarks: dict[str, Bookmark] = {}
        self.spent = 0

    def new_trades(self, symbol: str, purpose: Purpose) -> tuple[OrderFilled, ...]:
        """The trades after the last one handed out, oldest first.

        Raises:
            VenueError, NoAnswer: and SymbolUnread where only this symbol could not be read.
        """
        after = self.bookmarks[symbol]
        rows = {row.id: row for row in self._newest(symbol, after, purpose)}
        fresh = [rows[key] for key in sorted(rows) if after.is_before(rows[key])]
        return self.fills(symbol, fresh, purpose)

    def several(self, symbols: Collection[str], purpose: Purpose) -> dict[str, TradesRead]:
        """The new trades of some symbols, side by side, or why they could not be read."""

        def read_one(symbol: str) -> TradesRead:
            try:
                return self.new_trades(symbol, purpose)
            except (VenueError, NoAnswer) as error:
                return error

        return dict(zip(symbols, self._pool.map(read_one, symbols), strict=True))

    def _newest(self, symbol: str, after: Bookmark, purpose: Purpose) -> list[TradeRow]:
        if after.number:
            return self.onward(symbol, after.number + 1, purpose)
        page = self.page(symbol, purpose)
        past = [row.id for row in page if not after.is_before(row)]
        if past:
            # From now on by number, which no clock can confuse.
            self.bookmarks[symbol] = replace(after, number=max(past))
        elif len(page) == PAGE:
            since = int(after.at.timestamp() * 1000) + 1
            page = self.page(symbol, purpose, startTime=since)
            if len(page) == PAGE:
                page += self.onward(symbol, max(row.id for row in page) + 1, purpose)
        return page

    def onward(self, symbol: str, number: int, purpose: Purpose) -> list[TradeRow]:
        """All trades from a number on."""
        rows: list[TradeRow] = []
        while True:
            page = self.page(symbol, purpose, fromId=number)
            fresh = [row for row in page if row.id >= number]
            rows += fresh
            if len(page) < PAGE or not fresh:
                return rows
            number = max(row.id for row in fresh) + 1

    def page(self, symbol: str, purpose: Purpose, **asked: int) -> list[TradeRow]:
        """One page of a symbol's trades, oldest first; the latest ones where nothing is asked."""
        return self._rows(USER_TRADES, symbol, purpose, limit=PAGE, **asked)

    def _rows(self, endpoint: Endpoint[R], symbol: str, purpose: Purpose, **asked: int) -> list[R]:
        params = {"symbol": symbol, **asked}
        self.spent += endpoint.weighs(params)
        told = read_rows(self._client, endpoint, params, purpose=purpose)
        for reason in told.unreadable.values():
            raise SymbolUnread(symbol, "unreadable", reason)
        return list(told.rows)

    def hand_out(self, trades: Trades) -> Trades | None:
        """Of some trades of a symbol those that are news; from now on they are the past."""
        symbol = trades.fills[0].symbol
        told = self.bookmarks[symbol].number if symbol in self.bookmarks else 0
        fresh = tuple(fill for fill in trades.fills if fill.trade_number > told)
        if not fresh:
            return None
        self.bookmarks[symbol] = bookmark_after(fresh)
        return Trades(fresh)

    def all_told(
        self, symbol: str, order: OrderFacts, trades: Sequence[OrderFilled], purpose: Purpose
    ) -> bool:
        """Whether every trade of an order was handed out, or is among these, which will be."""
        its = (fill.qty for fill in trades if fill.order_id == order.order_id)
        if sum(its, Decimal(0)) == order.executed_qty:
            return True
        rows = self.page(symbol, purpose, orderId=int(order.order_id))
        newest = bookmark_after(trades) if trades else self.bookmarks[symbol]
        qty = sum((row.qty for row in rows if not newest.is_before(row)), Decimal(0))
        return qty == order.executed_qty

    # -- the orders behind them ---------------------------------------------------------------

    def fills(
        self, symbol: str, rows: Sequence[TradeRow], purpose: Purpose
    ) -> tuple[OrderFilled, ...]:
        """Trades with the orders that they belong to."""
        wanted = {row.order_id for row in rows}
        wanted = {key for key in wanted if not self._is_over(key)}
        if wanted:
            self._learn_orders(symbol, wanted, purpose)
        self._forget_the_oldest(wanted)
        return tuple(fill_of(row, self._order_of(row), self._fee_of(row)) for row in rows)

    def _learn_orders(self, symbol: str, wanted: Collection[str], purpose: Purpose) -> None:
        if len(wanted) <= _ONE_BY_ONE:
            found = [self._ask(symbol, order_id, purpose) for order_id in sorted(wanted, key=int)]
            orders = [order for order in found if order is not None]
        else:
            orders = self._pages(symbol, wanted, purpose)
        strangers = {order.order_id for order in orders if _may_be_renamed(order)}
        names = self._names_behind(symbol, purpose) if strangers else {}
        for order in orders:
            name = names.get(order.order_id) or self._name_known(order)
            self.remember(replace(order, client_order_id=name))

    def _is_over(self, order_id: str) -> bool:
        known = self._orders.get(order_id)
        return known is not None and known.over

    def remember(self, order: OrderFacts) -> None:
        """Keep what an answer told of an order, so that it need not be asked for."""
        with self._lock:
            self._orders[order.order_id] = order

    def _name_known(self, order: OrderFacts) -> str:
        """The name that an order has already been told under, or its own."""
        known = self._orders.get(order.order_id)
        return known.client_order_id if known is not None else order.client_order_id

    def _ask(self, symbol: str, order_id: str, purpose: Purpose) -> OrderFacts | None:
        self.spent += ORDER.weight
        try:
            asked = {"symbol": symbol, "orderId": order_id}
            return order_facts(read(self._client, ORDER, asked, purpose=purpose))
        except VenueError as error:
            if error.meaning is not Meaning.NO_SUCH_ORDER:
                raise
            return None

    def _pages(self, symbol: str, wanted: Collection[str], purpose: Purpose) -> list[OrderFacts]:
        number, last = min(map(int, wanted)), max(map(int, wanted))
        orders: list[OrderFacts] = []
        while number <= last:
            page = self._rows(ALL_ORDERS, symbol, purpose, orderId=number, limit=PAGE)
            orders += [order_facts(row) for row in page if row.order_id in wanted]
            if len(page) < PAGE:
                break
            number = max(number, *(int(row.order_id) for row in page)) + 1
        return orders

    def _names_behind(self, symbol: str, purpose: Purpose) -> dict[str, str]:
        """By the number of what a conditional order became, that order's own name."""
        page = self._rows(ALL_ALGOS, symbol, purpose, limit=PAGE)
        return {row.actual_order_id: row.client_algo_id for row in page if row.actual_order_id}

    def _order_of(self, row: TradeRow) -> OrderFacts:
        known = self._orders.get(row.order_id)
        if known is not None:
            return known
        age = self._client.now() - row.time
        if age + timedelta(milliseconds=self._client.clock_offset_ms) < _ORDER_LATE:
            raise SymbolUnread(
                row.symbol, "order_not_told", "the venue tells a trade, and not yet of its order"
            )
        # The venue forgets orders, and trades not so soon. It is nobody's we know.
        return OrderFacts(row.order_id, "", OrderType.MARKET, False, "FILLED", row.qty)  # noqa: FBT003

    def order(self, symbol: str, order_id: str, purpose: Purpose, name: str) -> OrderFacts | None:
        """What a conditional order became, under that one's client id."""
        known = self._orders.get(order_id)
        if known is not None and known.over:
            return known
        order = self._ask(symbol, order_id, purpose)
        if order is not None:
            order = replace(order, client_order_id=name)
            self.remember(order)
        return order

    def _forget_the_oldest(self, but: Collection[str]) -> None:
        with self._lock:
            for key in list(self._orders)[: max(0, len(self._orders) - _ORDERS_KEPT)]:
                if key not in but:
                    del self._orders[key]


def _may_be_renamed(order: OrderFacts) -> bool:
    name = order.client_order_id
    return OURS.fullmatch(name) is None and not name.startswith(FORCED_PREFIXES)


def bookmark_after(trades: Sequence[OrderFilled]) -> Bookmark:
    """The bookmark at the newest of some trades, of which there is at least one."""
    return Bookmark(trades[-1].trade_number, trades[-1].at)
