"""Prices on a tick grid and quantities on a lot grid. Pure; reads and writes nothing."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal


def floor_to_step(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `value`; both in the same unit, value >= 0.

    Raises ValueError for a step that is not positive or a negative value.
    """
    _check(value, step)
    return value // step * step


def ceil_to_step(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` that is not below `value`; both in the same unit, value >= 0.

    Raises ValueError for a step that is not positive or a negative value.
    """
    below = floor_to_step(value, step)
    return below if below == value else below + step


def round_half_up_to_step(value: Decimal, step: Decimal) -> Decimal:
    """round_half_up(value / step) * step; both in the same unit, value >= 0.

    Raises ValueError for a step that is not positive or a negative value.
    """
    _check(value, step)
    return (value / step).to_integral_value(ROUND_HALF_UP) * step


def _check(value: Decimal, step: Decimal) -> None:
    if step <= 0:
        raise ValueError(f"step must be positive, not {step}")
    if value < 0:
        raise ValueError(f"value must not be negative, not {value}")
