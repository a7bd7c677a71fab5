"""The paper venue's arithmetic: fills, margin, liquidation and funding. Pure leaves, no decisions.

Every amount that reaches the wallet is rounded to 1e-8 quote units once, where it arises; sums
are then exact. An average entry price is kept to 1e-12, finer than any tick, so that rounding it
does not show in the money.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from services.apply_layer.exchange import OrderFilled, OrderType
from services.apply_layer.paper_account import ZERO, PaperBook, PaperOrder, PaperPosition
from services.apply_layer.paper_rules import LeverageBracket
from shared.formulas import liquidation_price
from shared.sides import Side
from shared.symbols import slug

MONEY_STEP = Decimal("1E-8")
AVERAGE_STEP = Decimal("1E-12")
BPS = Decimal(10_000)
FUNDING_PERIOD = timedelta(hours=8)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def money(amount: Decimal) -> Decimal:
    """An amount in whole 1e-8 quote units; half to even. Adding zero turns -0 into 0."""
    return amount.quantize(MONEY_STEP) + ZERO


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether `value` is a whole number of steps."""
    # The first test keeps `%` inside the precision of Decimal, where it is exact.
    return value.adjusted() - step.adjusted() < 24 and value % step == 0


def to_tick_against_taker(price: Decimal, side: Side, tick_size: Decimal) -> Decimal:
    """A price on the tick, up for a buyer and down for a seller; never below one tick."""
    rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
    ticks = (price / tick_size).to_integral_value(rounding)
    return max(ticks * tick_size, tick_size)


def taker_price(mark: Decimal, side: Side, slippage_bps: Decimal, tick_size: Decimal) -> Decimal:
    """What a market order pays at this mark: the slippage always costs."""
    return to_tick_against_taker(mark * (1 + side.sign * slippage_bps / BPS), side, tick_size)


def is_triggered(order_type: OrderType, side: Side, trigger: Decimal, mark: Decimal) -> bool:
    """Whether a conditional order fires: a stop at or beyond its trigger, a target the mirror."""
    direction = side.sign if order_type is OrderType.STOP_MARKET else -side.sign
    return (mark - trigger) * direction >= 0


def bracket_of(brackets: tuple[LeverageBracket, ...], notional: Decimal) -> LeverageBracket:
    """The bracket that a position of this notional falls in; the last one has no upper end."""
    return next((b for b in brackets if notional <= b.notional_cap), brackets[-1])


def notional_cap(brackets: tuple[LeverageBracket, ...], leverage: int) -> Decimal:
    """The largest notional of a position at this leverage; 0 where no bracket allows it."""
    return max((b.notional_cap for b in brackets if leverage <= b.max_leverage), default=ZERO)


def liquidation_of(position: PaperPosition, brackets: tuple[LeverageBracket, ...]) -> Decimal:
    """The liquidation price of a position, with the rate of the bracket of its entry notional."""
    rate = bracket_of(brackets, position.entry_notional).maintenance_margin_rate
    return liquidation_price(position.entry_price, position.side, position.leverage, rate)


def is_liquidated(position: PaperPosition, liquidation: Decimal, mark: Decimal) -> bool:
    """Whether the mark is at or beyond the liquidation price."""
    return (mark - liquidation) * position.side.sign <= 0


def closable_qty(position: PaperPosition | None, side: Side) -> Decimal:
    """How much of the position an order of this side can close; 0 when it would add to it."""
    if position is None or position.side.exit is not side:
        return ZERO
    return abs(position.qty)


def opens(position: PaperPosition | None, side: Side, qty: Decimal) -> bool:
    """Whether a fill leaves new exposure: an opening, an addition or a flip."""
    return qty > closable_qty(position, side)


def position_after(
    position: PaperPosition | None, signed_qty: Decimal, price: Decimal, leverage: int, at: datetime
) -> tuple[PaperPosition | None, Decimal]:
    """The position after a trade, and the profit that the trade realised (before fees).

    An addition averages the entry price and takes over the leverage; a reduction keeps both; what
    goes beyond the position opens the other side at the trade's price.
    """
    opened = PaperPosition(signed_qty, price, leverage, at)
    if position is None:
        return opened, ZERO
    left = position.qty + signed_qty
    if position.qty * signed_qty > 0:
        cost = position.qty * position.entry_price + signed_qty * price
        average = (cost / left).quantize(AVERAGE_STEP)
        return replace(position, qty=left, entry_price=average, leverage=leverage), ZERO
    closed = min(abs(signed_qty), abs(position.qty))
    realized = money((price - position.entry_price) * closed * position.side.sign)
    if left == 0:
        return None, realized
    if left * position.qty > 0:
        return replace(position, qty=left), realized
    return replace(opened, qty=left), realized


def fill(
    book: PaperBook,
    order: PaperOrder,
    qty: Decimal,
    *,
    price: Decimal,
    fee_rate: Decimal,
    at: datetime,
) -> tuple[PaperBook, OrderFilled]:
    """One trade of `qty` of the order at `price`: the book after it, and the fact.

    The order leaves the book when nothing of it is left, or when it is reduce-only and the
    position is closed. The wallet changes by the fact's `realized_pnl - fee`.
    """
    position, realized = position_after(
        book.position, qty * order.side.sign, price, order.leverage, at
    )
    fee = money(qty * price * fee_rate)
    done = qty == order.qty or (order.reduce_only and position is None)
    number = book.trade_count + 1
    left = replace(order, qty=order.qty - qty)
    orders = tuple(
        left if held.client_order_id == order.client_order_id else held
        for held in book.orders
        if not (done and held.client_order_id == order.client_order_id)
    )
    filled = OrderFilled(
        client_order_id=order.client_order_id,
        symbol=book.symbol,
        order_id=order.order_id,
        trade_id=f"{slug(book.symbol)}-t{number}",
        side=order.side,
        type=order.type,
        qty=qty,
        price=price,
        fee=fee,
        realized_pnl=realized,
        reduce_only=order.reduce_only,
        done=done,
        at=at,
    )
    after = replace(
        book,
        position=position,
        orders=orders,
        trade_count=number,
        realized_pnl=book.realized_pnl + realized,
        fees=book.fees + fee,
    )
    return after, filled


def funding_boundaries(after: datetime, until: datetime) -> Iterator[datetime]:
    """Every 00:00, 08:00 and 16:00 UTC in (after, until]."""
    first = (after - EPOCH) // FUNDING_PERIOD + 1
    last = (until - EPOCH) // FUNDING_PERIOD
    return (EPOCH + number * FUNDING_PERIOD for number in range(first, last + 1))


def funding_amount(position: PaperPosition, mark: Decimal, rate: Decimal) -> Decimal:
    """What one settlement brings the holder; at a positive rate a LONG pays, so it is negative."""
    return money(-position.qty * mark * rate)
