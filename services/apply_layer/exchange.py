"""What apply_layer asks of a venue and what it hears back: plain values, the same for every venue.

A venue is whatever stands behind the runner's `Outside` and turns these requests into these facts:
`outside.PaperVenue` and `binance.venue.BinanceVenue`.

Requests are imperatives (`PlaceOrder`), events are facts in the past tense (`OrderFilled`).
Error codes are the numeric codes of Binance USD-M futures, which the paper venue speaks as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from shared.sides import PositionSide, Side


class Forced(StrEnum):
    """Why the venue closed something of its own accord; the result has it as its status."""

    LIQUIDATED = "LIQUIDATED"
    DELEVERAGED = "DELEVERAGED"
    SETTLED = "SETTLED"


#: The client ids of what the venue forces begin with one of these.
_FORCED_BY_PREFIX = {
    "autoclose-": Forced.LIQUIDATED,
    "adl_autoclose": Forced.DELEVERAGED,
    "settlement_autoclose-": Forced.SETTLED,
}
FORCED_PREFIXES = tuple(_FORCED_BY_PREFIX)


class OrderType(StrEnum):
    """The order types that the suite uses; conditional ones trigger on mark price."""

    MARKET = "MARKET"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """A venue's filters for one symbol; quantities in base units, notionals in quote units."""

    symbol: str
    lot_step: Decimal
    tick_size: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal
    max_leverage: int
    maintenance_margin_rate: Decimal
    #: The minimum notional of a reduce-only order; 0 where the venue exempts them.
    reduce_only_min_notional: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class EntryGuard:
    """What an entry must satisfy at the moment of sending, by the venue's own mark price.

    The mark may differ from `reference_price` by the fraction `max_price_deviation`, and the
    quantity may be worth `max_notional` at most. A venue refuses with `price_deviates`, with
    `order_cap`, or with `no_mark` where it has no mark.
    """

    reference_price: Decimal
    max_price_deviation: Decimal
    max_notional: Decimal

    def refusal(self, qty: Decimal, mark: Decimal | None) -> tuple[str, str] | None:
        """The code and the reason why an entry of `qty` must not be sent at this mark."""
        if mark is None or not mark.is_finite() or mark <= 0:
            return "no_mark", "the venue states no mark price"
        away = abs(mark - self.reference_price)
        if away > self.max_price_deviation * self.reference_price:
            return "price_deviates", f"planned at {self.reference_price}, the mark is {mark}"
        notional = qty * mark
        if notional > self.max_notional:
            return "order_cap", f"worth {notional} at the mark, allowed are {self.max_notional}"
        return None


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """A request for one order. `at` is the market time of the decision behind it.

    `number` orders the sendings: each has the next one, given by the journal. `sent_at` is its wall
    clock as the journal has it: a venue that checks timestamps takes the order for a moment after
    that and never later, whoever sends it and however late. A conditional order with
    `close_position` closes whatever is held when it triggers; its `qty` is then only what was held
    when it was asked for. An entry has a `guard`, what only reduces has none.
    """

    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    qty: Decimal
    reduce_only: bool
    at: datetime
    trigger_price: Decimal | None = None
    leverage: int = 1
    close_position: bool = False
    sent_at: datetime | None = None
    number: int = 0
    guard: EntryGuard | None = None


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """A request to withdraw one open order, by default one of the conditional book."""

    client_order_id: str
    symbol: str
    at: datetime
    conditional: bool = True


@dataclass(frozen=True, slots=True)
class AskOrder:
    """A question: what became of this order? `asked_at` is when, by the decider's own clock."""

    client_order_id: str
    symbol: str
    conditional: bool
    at: datetime
    asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LookAgain:
    """A request to look at some symbols now: their trades, positions and both books."""

    symbols: frozenset[str]


@dataclass(frozen=True, slots=True)
class OrderAccepted:
    """The venue holds the order: it rests, or it waits for its fill."""

    client_order_id: str
    symbol: str
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderFilled:
    """One trade. `qty` is positive; `realized_pnl` is before fees.

    `done` says that nothing is left of the order; a venue that does not say so with the trade
    leaves it False. What the venue forced has a `client_order_id` of its own kind. `fee` is in the
    contract's quote; `fee_asset_qty` of `fee_asset` is what was taken, where the venue says so. A
    fee in an asset that has no price is 0 in `fee`, and is told by those two alone.
    """

    client_order_id: str
    symbol: str
    order_id: str
    trade_id: str
    side: Side
    type: OrderType
    qty: Decimal
    price: Decimal
    fee: Decimal
    realized_pnl: Decimal
    reduce_only: bool
    done: bool
    at: datetime
    fee_asset: str | None = None
    fee_asset_qty: Decimal | None = None

    @property
    def forced(self) -> Forced | None:
        """Why the venue forced this trade, or None for an order of somebody's."""
        name = self.client_order_id
        return next((f for p, f in _FORCED_BY_PREFIX.items() if name.startswith(p)), None)

    @property
    def trade_number(self) -> int:
        """The number that orders the trades of a symbol; a later trade has a higher one."""
        return int(self.trade_id[len(self.trade_id.rstrip("0123456789")) :])


@dataclass(frozen=True, slots=True)
class Trades:
    """Several trades of one symbol, oldest first, as a venue lists them."""

    fills: tuple[OrderFilled, ...]


@dataclass(frozen=True, slots=True)
class OrderRejected:
    """The order was refused; nothing of it was executed.

    `code` is the venue's number, or a word of the suite's own where a guard refused.
    """

    client_order_id: str
    symbol: str
    code: int | str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderEnded:
    """An order that rested is gone without a (further) fill: cancelled or expired."""

    client_order_id: str
    symbol: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FundingPaid:
    """Funding settled on an open position; positive `amount` was received."""

    symbol: str
    amount: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderInDoubt:
    """No answer says whether the order was executed; `unlikely` if the venue hints it was not."""

    client_order_id: str
    symbol: str
    reason: str
    at: datetime
    unlikely: bool = False


@dataclass(frozen=True, slots=True)
class OrderAbsent:
    """The venue was asked: no book, no history and no trade knows the order.

    `asked_at` is that of the question; an answer to a question without one proves nothing.
    """

    client_order_id: str
    symbol: str
    at: datetime
    asked_at: datetime | None


@dataclass(frozen=True, slots=True)
class VenueHealth:
    """Why no entry may be made now, by code; empty when one may."""

    barriers: Mapping[str, str]
    at: datetime


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why one symbol can not be read, named or traded, and what to do about it."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """All symbols that the venue's side has in quarantine now; the others are in none."""

    symbols: Mapping[str, Quarantine]
    at: datetime


@dataclass(frozen=True, slots=True)
class MarksSeen:
    """The mark prices of held symbols, as the venue stated them when positions were read."""

    prices: Mapping[str, Decimal]
    at: datetime


VenueEvent = OrderAccepted | OrderFilled | OrderRejected | OrderEnded | FundingPaid


@dataclass(frozen=True, slots=True)
class Past:
    """What the trades of an open position tell; quantities in base units, money in quote units.

    `known` is False where the venue's history does not reach back to the opening: how much was
    harvested cannot be told then, and the rest of the fields speak of what is left.
    """

    initial_qty: Decimal
    opened_at: datetime
    harvested_qty: Decimal = Decimal(0)
    realized_pnl: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    known: bool = True


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """An open position as the venue states it; `qty` is positive.

    `updated_at` is when a trade last changed it and `liquidation_price` where it is liquidated, if
    the venue says so. `past` is what its trades tell of it, where they were asked for.
    """

    symbol: str
    side: PositionSide
    qty: Decimal
    entry_price: Decimal
    leverage: int
    mark_price: Decimal
    opened_at: datetime
    updated_at: datetime | None = None
    past: Past | None = None
    liquidation_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PastKnown:
    """The past of a position that was adopted before its trades were read.

    `qty` is what was held when they were read, all of them up to then included.
    """

    symbol: str
    side: PositionSide
    qty: Decimal
    past: Past
    at: datetime


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that the venue still holds."""

    client_order_id: str
    order_id: str
    symbol: str
    side: Side
    type: OrderType
    qty: Decimal
    reduce_only: bool
    trigger_price: Decimal | None = None
    close_position: bool = False


@dataclass(frozen=True, slots=True)
class VenueSnapshot:
    """What a venue holds for the account at one moment.

    `symbols` bounds it where only some were looked at. `conclusive` is False of a venue whose
    answers may be late: what it does not show may be there all the same. `after_order` is the
    highest number such that this order and all before it had their answer when the view was begun:
    about a later order it says nothing. `last_trades` has the number and time of the newest trade
    that this view includes, by symbol. About symbols that are `unread` it says nothing at all.
    """

    at: datetime
    wallet: Decimal
    positions: tuple[VenuePosition, ...]
    open_orders: tuple[OpenOrder, ...]
    rules: tuple[SymbolRules, ...]
    symbols: frozenset[str] | None = None
    conclusive: bool = True
    last_trades: Mapping[str, tuple[int, datetime]] = field(default_factory=dict)
    after_order: int = 0
    unread: frozenset[str] = frozenset()

    def covers(self, symbol: str) -> bool:
        """Whether this view says anything about a symbol."""
        if symbol in self.unread:
            return False
        return self.symbols is None or symbol in self.symbols
