"""The venue's rows as the values that the decider knows: filters, positions, orders and trades.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.apply_layer.binance.rows import (
    AlgoRow,
    BracketRow,
    ListedRow,
    PlainRow,
    PositionRow,
    TradeRow,
)
from services.apply_layer.exchange import (
    OpenOrder,
    OrderFilled,
    OrderType,
    SymbolRules,
    VenuePosition,
)
from shared.contracts.values import LEVERAGE_MAX
from shared.sides import PositionSide

ZERO = Decimal(0)
#: What counts for a symbol without a leverage bracket: it takes no entry, and its stop needs none.
_CAUTIOUS = BracketRow.model_validate(
    {"bracket": 1, "initialLeverage": 1, "maintMarginRatio": "0.05"}
)
#: Finer steps and larger numbers than these are no filters that a message can carry.
_FINEST, _LARGEST = Decimal("1e-12"), Decimal(10) ** 9


def plain(value: Decimal) -> str:
    """A number as the venue reads it: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def rules_of(listed: ListedRow, brackets: Sequence[BracketRow]) -> SymbolRules | str:
    """A symbol's filters from its exchangeInfo and its leverage brackets, or what is wrong.

    Every order here is a market order in the end, so the market lot counts where it is coarser.
    """
    filters = {entry.filter_type: entry for entry in listed.filters}
    lot, price = filters.get("LOT_SIZE"), filters.get("PRICE_FILTER")
    if lot is None or price is None:
        return "it has no lot size or no tick size"
    market = filters.get("MARKET_LOT_SIZE", lot)
    notional = filters.get("MIN_NOTIONAL")
    first = min(brackets, key=lambda bracket: bracket.bracket, default=_CAUTIOUS)
    rules = SymbolRules(
        symbol=listed.symbol,
        lot_step=max(lot.step_size, market.step_size).normalize() + ZERO,
        tick_size=price.tick_size.normalize() + ZERO,
        min_qty=max(lot.min_qty, market.min_qty),
        max_qty=min(lot.max_qty, market.max_qty),
        min_notional=notional.notional if notional else ZERO,
        max_leverage=min(max(first.initial_leverage, 1), LEVERAGE_MAX),
        maintenance_margin_rate=first.maint_margin_ratio,
    )
    steps = (rules.lot_step, rules.tick_size)
    if not all(_FINEST <= step < _LARGEST for step in steps) or rules.max_qty <= 0:
        return f"its lot step {steps[0]}, tick {steps[1]} or largest order is no filter"
    if not (rules.min_qty >= 0 and rules.min_notional >= 0):
        return "its least quantity or notional is negative"
    if not 0 <= rules.maintenance_margin_rate < 1:
        return f"its maintenance margin rate is {rules.maintenance_margin_rate}"
    return rules


def position_of(row: PositionRow, leverage: int) -> VenuePosition:
    """An open position."""
    return VenuePosition(
        symbol=row.symbol,
        side=PositionSide.LONG if row.position_amt > 0 else PositionSide.SHORT,
        qty=abs(row.position_amt),
        entry_price=row.entry_price,
        leverage=leverage,
        mark_price=row.mark_price,
        opened_at=row.update_time,
        updated_at=row.update_time,
        liquidation_price=row.liquidation_price if row.liquidation_price > 0 else None,
    )


def open_conditional(row: AlgoRow) -> OpenOrder | None:
    """An order of the conditional book, or None for a kind that the suite does not use.

    One that has triggered and came to nothing is no order any more, whatever list it is on.
    """
    if row.order_type not in OrderType.__members__ or row.algo_status != "NEW":
        return None
    return OpenOrder(
        client_order_id=row.client_algo_id,
        order_id=row.algo_id,
        symbol=row.symbol,
        side=row.side,
        type=OrderType(row.order_type),
        qty=row.quantity,
        reduce_only=row.close_position or row.reduce_only,
        trigger_price=row.trigger_price,
        close_position=row.close_position,
    )


def open_plain(row: PlainRow) -> OpenOrder | None:
    """An order of the plain book, or None for a kind that the suite does not use."""
    kind = row.orig_type or row.type
    if kind not in OrderType.__members__:
        return None
    return OpenOrder(
        client_order_id=row.client_order_id,
        order_id=row.order_id,
        symbol=row.symbol,
        side=row.side,
        type=OrderType(kind),
        qty=row.orig_qty - row.executed_qty,
        reduce_only=row.close_position or row.reduce_only,
        trigger_price=row.stop_price or None,
        close_position=row.close_position,
    )


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What one order of the plain book came to."""

    order_id: str
    client_order_id: str
    type: OrderType
    reduce_only: bool
    status: str
    executed_qty: Decimal

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status not in ("NEW", "PARTIALLY_FILLED")


def order_facts(row: PlainRow) -> OrderFacts:
    """An order from its query, its placement or a list."""
    kind = row.orig_type or row.type
    return OrderFacts(
        order_id=row.order_id,
        client_order_id=row.client_order_id,
        type=OrderType(kind) if kind in OrderType.__members__ else OrderType.MARKET,
        reduce_only=row.reduce_only,
        status=row.status,
        executed_qty=row.executed_qty,
    )


@dataclass(frozen=True, slots=True)
class Fee:
    """What a trade cost: `amount` in the contract's quote, of `qty` of an asset; None: unknown."""

    amount: Decimal
    asset: str
    qty: Decimal


def fill_of(trade: TradeRow, order: OrderFacts, fee: Fee) -> OrderFilled:
    """A trade of userTrades."""
    return OrderFilled(
        client_order_id=order.client_order_id,
        symbol=trade.symbol,
        order_id=order.order_id,
        trade_id=str(trade.id),
        side=trade.side,
        type=order.type,
        qty=trade.qty,
        price=trade.price,
        fee=fee.amount,
        realized_pnl=trade.realized_pnl,
        reduce_only=order.reduce_only,
        done=order.status == "FILLED" and trade.qty == order.executed_qty,
        at=trade.time,
        fee_asset=fee.asset,
        fee_asset_qty=fee.qty,
    )
