"""What the venue holds for the account, read for the decider: rules, positions, books, trades.

Every read may fail, and then nothing is changed: the cursor of trades moves only over what is
handed out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.wire import (
    OrderFacts,
    fill_of,
    moment,
    number,
    open_conditional,
    open_plain,
    order_facts,
    position_of,
    rules_of,
)
from services.apply_layer.exchange import (
    FORCED_PREFIXES,
    FundingPaid,
    OpenOrder,
    OrderFilled,
    SymbolRules,
    Trades,
    VenuePosition,
    VenueSnapshot,
)
from services.apply_layer.history import OURS, past_of
from shared.log import logger
from shared.settings import SettingsError

_PAGE = 1000
#: The books of so many symbols are asked for one by one; a call for all of them has this weight.
_ASKED_ONE_BY_ONE, _WEIGHT_OF_ALL = 12, 40
#: The venue answers for 90 days.
_WEEK, _WEEKS_KEPT = timedelta(days=7), 11
_FUNDING_EVERY = timedelta(minutes=10)
_FUNDING_NAME = "venue/funding_until"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEDGE_MODE = (
    "the account is in hedge mode; the suite holds one position a symbol. Close all positions and "
    "switch it in the exchange's app: Preferences, Position Mode, One-way Mode"
)


@dataclass(frozen=True, slots=True)
class View:
    """What a look brought: trades and funding first, then how things stand.

    `cursors` has the number and time of the newest trade of each symbol that is told with it.
    """

    facts: tuple[object, ...]
    snapshot: VenueSnapshot
    cursors: Mapping[str, tuple[int, datetime]]
    funding_until: datetime | None = None


class Account:
    """One account. `symbols` are those that may be traded; what is held besides is adopted."""

    def __init__(self, client: Client, symbols: Iterable[str]) -> None:
        self._client = client
        self._symbols = tuple(symbols)
        self._rules: dict[str, SymbolRules] = {}
        self._listed: dict[str, Any] = {}
        self._brackets: dict[str, Any] = {}
        self._rules_told = False
        self._cursors: dict[str, tuple[int, datetime]] = {}
        self._leverages: dict[str, int] = {}
        self._watched: dict[str, object] = {}
        self._owned: set[str] = set()
        self._orders: dict[str, OrderFacts] = {}
        self._funding_until: datetime | None = None
        self._funding_kept = True
        self._funding_at = _EPOCH

    def restore(self, documents: Mapping[str, bytes]) -> None:
        """Take the cursors from the decider's own state: what it has applied, and no more."""
        for name, document in documents.items():
            table, _, symbol = name.partition("/")
            if table == "trades":
                last = json.loads(document)
                at = datetime.fromisoformat(last["at"])
                self._cursors[symbol] = (int(last["number"]), at)
            elif table == "positions":
                self._owned.add(symbol)
            elif name == _FUNDING_NAME:
                self._funding_until = moment(document.decode())

    def documents(self) -> dict[str, bytes]:
        """How far funding was told, if that is news."""
        if self._funding_kept or self._funding_until is None:
            return {}
        self._funding_kept = True
        return {_FUNDING_NAME: str(int(self._funding_until.timestamp() * 1000)).encode()}

    # -- rules --------------------------------------------------------------------------------

    @property
    def rules(self) -> Mapping[str, SymbolRules]:
        """The filters as they were last read, by symbol."""
        return self._rules

    def refuse_hedge_mode(self) -> None:
        """Raise SettingsError where a symbol may hold two positions."""
        told = self._client.call("fapiPrivateGetPositionSideDual", weight=30)
        if told["dualSidePosition"] in (True, "true"):
            raise SettingsError(_HEDGE_MODE)

    def learn_rules(self) -> None:
        """Read the filters and leverage brackets of every symbol that the suite deals with."""
        info = self._client.call("fapiPublicGetExchangeInfo")
        self._client.budget.limited(info["rateLimits"])
        self._listed = {each["symbol"]: each for each in info["symbols"]}
        missing = [symbol for symbol in self._symbols if symbol not in self._listed]
        if missing:
            raise SettingsError(
                f"apply_layer.symbols: the venue does not list {', '.join(missing)}"
            )
        told = self._client.call("fapiPrivateGetLeverageBracket")
        self._brackets = {row["symbol"]: row["brackets"] for row in told}
        self._rules = {}
        for symbol in sorted({*self._symbols, *self._owned}):
            self._learn(symbol)

    def _learn(self, symbol: str) -> None:
        self._rules[symbol] = rules_of(self._listed[symbol], self._brackets[symbol])
        self._rules_told = False

    def forget_rules(self) -> None:
        """The filters were refused: read them anew at the next look."""
        self._rules = {}

    def refresh_rules(self) -> None:
        """Read the filters if they were forgotten."""
        if not self._rules:
            self.learn_rules()

    # -- views --------------------------------------------------------------------------------

    def view(
        self,
        symbols: frozenset[str] | None,
        now: datetime,
        busy: frozenset[str] = frozenset(),
    ) -> View:
        """Positions, then both books, then the trades; all symbols where none are named.

        Those that are `busy` are left out: what they will hold in a moment nobody knows.
        """
        told = self._client.call(
            "fapiPrivateV3GetPositionRisk",
            {"symbol": next(iter(symbols))} if symbols and len(symbols) == 1 else {},
            weight=5,
        )
        held = {row["symbol"]: row for row in told if number(row["positionAmt"])}
        everywhere = {*self._symbols, *self._owned, *held, *self._cursors}
        scope = frozenset(everywhere if symbols is None else symbols & {*self._listed}) - busy
        for symbol in sorted(held.keys() & scope - self._rules.keys()):
            self._learn(symbol)
        orders = self.open_orders(sorted(scope))
        facts: list[object] = []
        positions: list[VenuePosition] = []
        cursors: dict[str, tuple[int, datetime]] = {}
        for symbol in sorted(scope):
            position = position_of(held[symbol], self._leverage(symbol)) if symbol in held else None
            if symbol not in self._cursors:
                position, cursors[symbol] = self._meet(symbol, position)
            else:
                trades = self.new_trades(symbol)
                facts += [Trades(trades)] if trades else []
                position = position and _with_its_past(position, trades)
                cursors[symbol] = cursor_after(trades) or self._cursors[symbol]
            if position is not None:
                positions.append(position)
            else:
                self._leverages.pop(symbol, None)
        paid = self._funding(now) if symbols is None else []
        snapshot = VenueSnapshot(
            at=now,
            wallet=self._wallet() if symbols is None else Decimal(0),
            positions=tuple(positions),
            open_orders=tuple(orders),
            rules=() if self._rules_told else tuple(self._rules.values()),
            symbols=None if symbols is None else scope,
            conclusive=False,
            last_trades=cursors,
            unread=busy,
        )
        until = max((fact.at for fact in paid), default=None)
        return View((*facts, *paid), snapshot, cursors, until)

    def told(self, view: View) -> None:
        """A view is being handed out; from now on it is the past."""
        self._cursors |= view.cursors
        self._rules_told = self._rules_told or bool(view.snapshot.rules)
        if view.funding_until is not None:
            self._funding_until, self._funding_kept = view.funding_until, False

    def hand_out(self, trades: Trades) -> Trades | None:
        """Of some trades of a symbol those that are news; from now on they are the past."""
        symbol = trades.fills[0].symbol
        told = self._cursors.get(symbol, (0, _EPOCH))[0]
        fresh = tuple(fill for fill in trades.fills if fill.trade_number > told)
        newest = cursor_after(fresh)
        if newest is None:
            return None
        self._cursors[symbol] = newest
        return Trades(fresh)

    def remember(self, order: OrderFacts) -> None:
        """Keep what an answer told of an order, so that it need not be asked for."""
        self._orders[order.order_id] = order

    def _leverage(self, symbol: str) -> int:
        """The leverage of a position, asked for once while it is held."""
        if symbol not in self._leverages:
            told = self._client.call("fapiPrivateGetSymbolConfig", {"symbol": symbol}, weight=5)
            self._leverages[symbol] = int(told[0]["leverage"])
        return self._leverages[symbol]

    def _wallet(self) -> Decimal:
        told = self._client.call("fapiPrivateV3GetBalance", weight=5)
        return sum((number(row["balance"]) for row in told if row["asset"] == "USDT"), Decimal(0))

    def open_orders(self, symbols: Iterable[str]) -> list[OpenOrder]:
        """Both books of some symbols; of many it is cheaper to ask for all."""
        wanted = set(symbols)
        rows = self._listed_orders("fapiPrivateGetOpenOrders", wanted)
        plain = [order for row in rows if (order := open_plain(row)) is not None]
        return [*plain, *self._conditional_orders(wanted)]

    def _conditional_orders(self, symbols: Collection[str]) -> list[OpenOrder]:
        rows = self._listed_orders("fapiPrivateGetOpenAlgoOrders", symbols)
        return [order for row in rows if (order := open_conditional(row)) is not None]

    def _listed_orders(self, name: str, symbols: Collection[str]) -> list[Mapping[str, Any]]:
        if len(symbols) > _ASKED_ONE_BY_ONE:
            rows = self._client.call(name, weight=_WEIGHT_OF_ALL)
            return [row for row in rows if row["symbol"] in symbols]
        return [
            row for symbol in sorted(symbols) for row in self._client.call(name, {"symbol": symbol})
        ]

    def changed(self) -> frozenset[str]:
        """The symbols whose position or conditional orders are not as this last saw them.

        Cheap enough for every second: what the user stream has failed to tell shows here.
        """
        rows = self._client.call("fapiPrivateV3GetPositionRisk", weight=5)
        held = {r["symbol"]: (r["positionAmt"], r["updateTime"]) for r in rows}
        held = {symbol: state for symbol, state in held.items() if number(state[0])}
        standing = {symbol: set[str]() for symbol in held}
        for order in self._conditional_orders(held):
            standing[order.symbol].add(order.client_order_id)
        seen: dict[str, object] = {
            symbol: (state, frozenset(standing[symbol])) for symbol, state in held.items()
        }
        before, self._watched = self._watched, seen
        return frozenset(s for s in before | seen if before.get(s) != seen.get(s))

    # -- trades -------------------------------------------------------------------------------

    def new_trades(self, symbol: str) -> tuple[OrderFilled, ...]:
        """The trades after the last one handed out, oldest first."""
        fills: list[OrderFilled] = []
        after = self._cursors.get(symbol, (0, _EPOCH))[0]
        while True:
            asked = {"symbol": symbol, "fromId": after + 1, "limit": _PAGE}
            page = self._client.call("fapiPrivateGetUserTrades", asked, weight=5)
            fresh = {int(trade["id"]): trade for trade in page if int(trade["id"]) > after}
            fills += [self._fill(fresh[key]) for key in sorted(fresh)]
            if len(page) < _PAGE or not fresh:
                return tuple(fills)
            after = max(fresh)

    def _fill(self, trade: Mapping[str, Any]) -> OrderFilled:
        if trade.get("commissionAsset", "USDT") != "USDT":
            logger().warning(
                "fee_in_another_asset", symbol=trade["symbol"], asset=trade["commissionAsset"],
                amount=trade["commission"],
            )  # fmt: skip
        return fill_of(trade, self.order(trade["symbol"], str(trade["orderId"])))

    def order(self, symbol: str, order_id: str, name: str | None = None) -> OrderFacts:
        """An order of the plain book; what a conditional one became has that one's client id."""
        known = self._orders.get(order_id)
        if known is not None and known.over:
            return known
        asked = {"symbol": symbol, "orderId": order_id}
        order = order_facts(self._client.call("fapiPrivateGetOrder", asked))
        told = order.client_order_id
        if name is None and known is not None:
            name = known.client_order_id
        if name is None and not OURS.fullmatch(told) and not told.startswith(FORCED_PREFIXES):
            name = self._name_behind(symbol, order_id)
        if name is not None:
            order = replace(order, client_order_id=name)
        self._orders[order_id] = order
        return order

    def _name_behind(self, symbol: str, order_id: str) -> str | None:
        told = self._client.call("fapiPrivateGetAllAlgoOrders", {"symbol": symbol}, weight=5)
        names = (o["clientAlgoId"] for o in told if str(o.get("actualOrderId")) == order_id)
        return next(names, None)

    def all_told(self, symbol: str, order: OrderFacts, trades: tuple[OrderFilled, ...]) -> bool:
        """Whether every trade of an order was handed out, or is among these, which will be."""
        its = [fill.qty for fill in trades if fill.order_id == order.order_id]
        if sum(its, Decimal(0)) == order.executed_qty:
            return True
        asked = {"symbol": symbol, "orderId": order.order_id}
        rows = self._client.call("fapiPrivateGetUserTrades", asked, weight=5)
        told = self._cursors.get(symbol, (0, _EPOCH))[0]
        newest = max((fill.trade_number for fill in trades), default=told)
        qty = sum((number(t["qty"]) for t in rows if int(t["id"]) <= max(told, newest)), Decimal(0))
        return qty == order.executed_qty

    def _meet(
        self, symbol: str, position: VenuePosition | None
    ) -> tuple[VenuePosition | None, tuple[int, datetime]]:
        """A symbol of which nothing was applied yet: what it holds is explained by its past."""
        page = self._trades_until(symbol, None)
        rows = {int(trade["id"]): trade for trade in page}
        newest = max(rows, default=0)
        cursor = (newest, moment(rows[newest]["time"])) if newest else (0, _EPOCH)
        if position is None:
            return None, cursor
        until = self._client.now()
        for _ in range(_WEEKS_KEPT):
            fills = [self._fill(rows[key]) for key in sorted(rows)]
            past = past_of(position, fills)
            position = replace(position, past=past, opened_at=past.opened_at)
            if past.known:
                break
            # A full page is continued where it broke off, else the week before is read.
            until = fills[0].at if len(page) == _PAGE else until - _WEEK
            page = self._trades_until(symbol, until)
            rows |= {int(trade["id"]): trade for trade in page}
        return position, cursor

    def _trades_until(self, symbol: str, until: datetime | None) -> list[Mapping[str, Any]]:
        """The trades of the week before a moment, or the latest ones."""
        asked: dict[str, object] = {"symbol": symbol, "limit": _PAGE}
        if until is not None:
            asked["startTime"] = int((until - _WEEK).timestamp() * 1000)
            asked["endTime"] = int(until.timestamp() * 1000)
        page: list[Mapping[str, Any]] = self._client.call(
            "fapiPrivateGetUserTrades", asked, weight=5
        )
        return page

    # -- funding ------------------------------------------------------------------------------

    def _funding(self, now: datetime) -> list[FundingPaid]:
        """Funding settled since it was last told; from the first look on."""
        if self._funding_until is None:
            self._funding_until, self._funding_kept = now, False
        if now - self._funding_at < _FUNDING_EVERY:
            return []
        asked = {
            "incomeType": "FUNDING_FEE",
            "startTime": int(self._funding_until.timestamp() * 1000) + 1,
            "limit": _PAGE,
        }
        self._funding_at = now
        try:
            told = self._client.call(
                "fapiPrivateGetIncome", asked, weight=30, purpose=Purpose.HISTORY
            )
        except (VenueError, NoAnswer) as error:
            # It is told with a later round; a view must not fail for want of it.
            logger().warning("funding_not_read", reason=str(error))
            return []
        return [
            FundingPaid(row["symbol"], number(row["income"]), moment(row["time"])) for row in told
        ]


def _with_its_past(position: VenuePosition, trades: tuple[OrderFilled, ...]) -> VenuePosition:
    """A position with what these trades tell of it, if they reach back to its opening.

    With an older state restored, it may be ours without our remembering it.
    """
    past = past_of(position, trades)
    return replace(position, past=past, opened_at=past.opened_at) if past.known else position


def cursor_after(trades: tuple[OrderFilled, ...]) -> tuple[int, datetime] | None:
    """The number and time of the newest of some trades."""
    return (trades[-1].trade_number, trades[-1].at) if trades else None
