"""What apply_layer asks of a venue and what it hears back: plain values, the same for every venue.

Requests are imperatives (`PlaceOrder`), events are facts in the past tense (`OrderFilled`).
Error codes are the numeric codes of Binance USD-M futures, which the paper venue speaks as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from shared.sides import PositionSide, Side


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
class PlaceOrder:
    """A request for one order. `at` is the market time of the decision behind it.

    A conditional order with `close_position` closes whatever is held when it triggers; its `qty`
    is then only what was held when it was asked for.
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


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """A request to withdraw one open order."""

    client_order_id: str
    symbol: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderAccepted:
    """The venue holds the order: it rests, or it waits for its fill."""

    client_order_id: str
    symbol: str
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderFilled:
    """One trade. `qty` is positive; `realized_pnl` is before fees; `done` says nothing is left.

    A forced liquidation carries a `client_order_id` that starts with `autoclose-`.
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

    @property
    def liquidation(self) -> bool:
        """Whether the venue forced this trade."""
        return self.client_order_id.startswith("autoclose-")


@dataclass(frozen=True, slots=True)
class OrderRejected:
    """The venue refused the order; nothing of it was executed."""

    client_order_id: str
    symbol: str
    code: int
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


VenueEvent = OrderAccepted | OrderFilled | OrderRejected | OrderEnded | FundingPaid


@dataclass(frozen=True, slots=True)
class VenuePosition:
    """An open position as the venue states it; `qty` is positive."""

    symbol: str
    side: PositionSide
    qty: Decimal
    entry_price: Decimal
    leverage: int
    mark_price: Decimal
    opened_at: datetime


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
    """All that a venue holds for the account at one moment."""

    at: datetime
    wallet: Decimal
    positions: tuple[VenuePosition, ...]
    open_orders: tuple[OpenOrder, ...]
    rules: tuple[SymbolRules, ...]


class Exchange(Protocol):
    """A venue. Every call returns the facts that it caused, in order."""

    def place(self, order: PlaceOrder) -> Sequence[VenueEvent]:
        """Send one order."""
        ...

    def cancel(self, order: CancelOrder) -> Sequence[VenueEvent]:
        """Withdraw one open order."""
        ...

    def snapshot(self) -> VenueSnapshot:
        """Positions, open orders of every book, wallet and rules."""
        ...
