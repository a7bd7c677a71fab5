"""Whether the stop and the target that an entry's producer brought are sane. Pure.

Prices are in quote currency; fractions are decimals of the entry price (0.02 is 2 %).
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from shared.formulas.exits import ExitPolicy, safe_stop_fraction
from shared.formulas.risk import DEFAULT_COST_BPS
from shared.sides import Side

_COSTS = DEFAULT_COST_BPS / Decimal(10_000)


class UnsafeExit(NamedTuple):
    """Why an exit is refused: its code, and a sentence for people."""

    code: str
    detail: str


def unsafe_exit(
    *,
    side: Side,
    entry_price: Decimal,
    leverage: int,
    tick_size: Decimal,
    stop_loss: Decimal,
    take_profit: Decimal,
    policy: ExitPolicy,
) -> UnsafeExit | None:
    """The first reason against a stop and a target, or None.

    A stop lies on the losing side, at least `stop_min_fraction` and a tick from the entry, and
    before liquidation (`safe_stop_fraction`). A target lies on the winning side, at least the costs
    of the round trip (0.001) and a tick away, and at most `take_profit_max_fraction`.
    """
    risk = side.sign * (entry_price - stop_loss)
    gain = side.sign * (take_profit - entry_price)
    if risk <= 0:
        return UnsafeExit("wrong_side_stop", f"{stop_loss} at a price of {entry_price}")
    if gain <= 0:
        return UnsafeExit("wrong_side_target", f"{take_profit} at a price of {entry_price}")
    nearest_stop = max(policy.stop_min_fraction * entry_price, tick_size)
    if risk < nearest_stop:
        return UnsafeExit("stop_too_near", f"{risk} away, at least {nearest_stop}")
    if risk > safe_stop_fraction(leverage, policy) * entry_price:
        return UnsafeExit("stop_beyond_liquidation", f"{risk} away at leverage {leverage}")
    nearest_target = max(_COSTS * entry_price, tick_size)
    if gain < nearest_target:
        return UnsafeExit("target_too_near", f"{gain} away, at least {nearest_target}")
    farthest = policy.take_profit_max_fraction * entry_price
    if gain > farthest:
        return UnsafeExit("target_too_far", f"{gain} away, at most {farthest}")
    return None
