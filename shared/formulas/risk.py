"""R, the profit of a position in units of the risk it was opened with.

Pure; reads and writes nothing. The risk per unit is fixed when the position opens; quantity,
a moved stop and a partial close do not enter R.
"""

from __future__ import annotations

from decimal import Decimal

from shared.sides import PositionSide

DEFAULT_COST_BPS = Decimal(10)
DEFAULT_RISK_FRACTION = Decimal("0.02")

_BPS = Decimal(10_000)


def risk_per_unit(
    entry_price: Decimal,
    initial_stop: Decimal | None,
    *,
    default_fraction: Decimal = DEFAULT_RISK_FRACTION,
) -> Decimal:
    """|entry - initial_stop|, or 0.02 * entry for an adopted position that has no stop.

    In quote currency per unit of quantity. Raises ValueError for an entry price that is not
    positive, or a stop at the entry, which leaves nothing to measure R in.
    """
    if entry_price <= 0:
        raise ValueError(f"entry_price must be positive, not {entry_price}")
    if initial_stop is None:
        return default_fraction * entry_price
    if initial_stop == entry_price:
        raise ValueError("the initial stop is at the entry: there is no risk to measure R in")
    return abs(entry_price - initial_stop)


def blended_risk_per_unit(
    *,
    held_qty: Decimal,
    held_risk_per_unit: Decimal,
    added_qty: Decimal,
    added_risk_per_unit: Decimal,
) -> Decimal:
    """The risk per unit of a position that is added to: the mean of both, weighted by quantity.

    Raises ValueError unless both quantities and both risks are positive.
    """
    if min(held_qty, held_risk_per_unit, added_qty, added_risk_per_unit) <= 0:
        raise ValueError("quantities and risks must be positive")
    total_risk = held_qty * held_risk_per_unit + added_qty * added_risk_per_unit
    return total_risk / (held_qty + added_qty)


def r_multiple(
    *,
    side: PositionSide,
    entry_price: Decimal,
    mark_price: Decimal,
    risk_per_unit: Decimal,
    cost_bps: Decimal = DEFAULT_COST_BPS,
) -> Decimal:
    """R_net = (s*(mark - entry) - cost_bps/10000 * entry) / risk_per_unit; s is +1 long, -1 short.

    `cost_bps` is the cost of the round trip in hundredths of a percent of the entry price.
    Raises ValueError for a risk that is not positive.
    """
    _check_risk(risk_per_unit)
    gain = side.sign * (mark_price - entry_price)
    return (gain - cost_bps / _BPS * entry_price) / risk_per_unit


def price_at_r(
    *,
    side: PositionSide,
    entry_price: Decimal,
    r: Decimal,
    risk_per_unit: Decimal,
    cost_bps: Decimal = DEFAULT_COST_BPS,
) -> Decimal:
    """The mark price at which R_net is `r`: entry + s*(r * risk_per_unit + cost_bps/10000 * entry).

    Zero or negative where a short position can never reach that R.
    Raises ValueError for a risk that is not positive.
    """
    _check_risk(risk_per_unit)
    return entry_price + side.sign * (r * risk_per_unit + cost_bps / _BPS * entry_price)


def _check_risk(value: Decimal) -> None:
    if value <= 0:
        raise ValueError(f"risk_per_unit must be positive, not {value}")
