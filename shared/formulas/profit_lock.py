"""The profit lock: where the stop goes once a position has earned it. A stop only ever tightens.

Pure; reads and writes nothing. Prices in quote currency.
"""

from __future__ import annotations

from decimal import Decimal

from shared.formulas.ladder import Ladder, Rung
from shared.formulas.risk import DEFAULT_COST_BPS, price_at_r
from shared.formulas.steps import ceil_to_step, floor_to_step
from shared.sides import PositionSide

DEFAULT_LOCK_AT_R = Decimal("1.5")
DEFAULT_LOCK_OFFSET = Decimal("0.002")


def locked_stop(
    *,
    side: PositionSide,
    entry_price: Decimal,
    r: Decimal,
    current_stop: Decimal | None,
    tick_size: Decimal | None,
    at_r: Decimal = DEFAULT_LOCK_AT_R,
    offset: Decimal = DEFAULT_LOCK_OFFSET,
    mark_price: Decimal | None = None,
) -> Decimal | None:
    """From R_net >= 1.5 on, the stop at entry * (1 + s*0.002); s is +1 long, -1 short.

    None when R is too low, when the stop would not tighten, or, if `mark_price` is given, when
    the stop would stand at or beyond it and so fire at once (possible when the risk per unit is
    smaller than the offset). `offset` is a fraction of the entry price.
    Raises ValueError for a tick that is not positive.
    """
    if r < at_r:
        return None
    return _tightened(
        side, entry_price * (1 + side.sign * offset), current_stop, tick_size, mark_price
    )


def ratcheted_stop(
    *,
    side: PositionSide,
    entry_price: Decimal,
    risk_per_unit: Decimal,
    ladder: Ladder,
    taken: Rung,
    current_stop: Decimal | None,
    tick_size: Decimal | None,
    cost_bps: Decimal = DEFAULT_COST_BPS,
    mark_price: Decimal | None = None,
) -> Decimal | None:
    """The stop one rung behind the highest rung taken: after 4R at the price of 2R, and so on.

    The price of a rung is the mark price at which R_net equals its level. None after the first
    rung, when the stop would not tighten, or when `mark_price` is given and already at or past it.
    Raises ValueError when `taken` is not on the ladder, or for a tick or risk not positive.
    """
    position = ladder.index(taken)
    if position == 0:
        return None
    price = price_at_r(
        side=side,
        entry_price=entry_price,
        r=ladder[position - 1].r_level,
        risk_per_unit=risk_per_unit,
        cost_bps=cost_bps,
    )
    return _tightened(side, price, current_stop, tick_size, mark_price)


def is_tighter(side: PositionSide, stop: Decimal, current_stop: Decimal | None) -> bool:
    """Whether `stop` protects more than `current_stop`: higher for a long, lower for a short."""
    return current_stop is None or side.sign * (stop - current_stop) > 0


def _tightened(
    side: PositionSide,
    price: Decimal,
    current_stop: Decimal | None,
    tick_size: Decimal | None,
    mark_price: Decimal | None,
) -> Decimal | None:
    stop = price if tick_size is None else _away_from_mark(side, price, tick_size)
    if mark_price is not None and side.sign * (mark_price - stop) <= 0:
        return None
    return stop if is_tighter(side, stop, current_stop) else None


def _away_from_mark(side: PositionSide, price: Decimal, tick_size: Decimal) -> Decimal:
    # Down for a long, up for a short: rounding never brings the stop nearer to firing.
    if side is PositionSide.LONG:
        return floor_to_step(price, tick_size)
    return ceil_to_step(price, tick_size)
