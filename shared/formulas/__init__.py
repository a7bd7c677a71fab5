"""Every number the suite decides with: exit levels, R, the ladder, the lock, the kill score.

Pure functions and values: no clock, no input or output, no environment, no logging.
Prices, quantities, fractions and R are Decimal; scores and market statistics are float.
"""

from __future__ import annotations

from shared.formulas.confirmed import Marks, confirmed, marks_after
from shared.formulas.conflicts import unreachable_rungs
from shared.formulas.exits import (
    DEFAULT_EXIT_POLICY,
    ExitLevels,
    ExitPolicy,
    NoSafeStop,
    Regime,
    exit_levels,
    harvest_scheme,
    leverage_sensitivity_factor,
    round_toward,
    safe_stop_fraction,
)
from shared.formulas.indicators import AverageTrueRange, Bar
from shared.formulas.kill import KILL_THRESHOLD, KillParts, kill_parts, kill_score
from shared.formulas.ladder import (
    DEFAULT_LADDER,
    Harvest,
    Ladder,
    PlannedRung,
    Rung,
    harvest,
    leverage_scaled,
    planned_ladder,
    reached,
    target_qty,
    unmerged_ladder,
)
from shared.formulas.liquidation import liquidation_price, stop_before_liquidation
from shared.formulas.market import (
    WINDOW_CLOSES,
    MarketState,
    RegimePolicy,
    RegimeWatch,
    VolatilityPolicy,
    observe_close,
    observe_regime,
)
from shared.formulas.own_exits import UnsafeExit, unsafe_exit
from shared.formulas.profit_lock import is_tighter, locked_stop, ratcheted_stop
from shared.formulas.risk import blended_risk_per_unit, price_at_r, r_multiple, risk_per_unit
from shared.formulas.steps import ceil_to_step, floor_to_step, round_half_up_to_step

__all__ = [
    "DEFAULT_EXIT_POLICY",
    "DEFAULT_LADDER",
    "KILL_THRESHOLD",
    "WINDOW_CLOSES",
    "AverageTrueRange",
    "Bar",
    "ExitLevels",
    "ExitPolicy",
    "Harvest",
    "KillParts",
    "Ladder",
    "MarketState",
    "Marks",
    "NoSafeStop",
    "PlannedRung",
    "Regime",
    "RegimePolicy",
    "RegimeWatch",
    "Rung",
    "UnsafeExit",
    "VolatilityPolicy",
    "blended_risk_per_unit",
    "ceil_to_step",
    "confirmed",
    "exit_levels",
    "floor_to_step",
    "harvest",
    "harvest_scheme",
    "is_tighter",
    "kill_parts",
    "kill_score",
    "leverage_scaled",
    "leverage_sensitivity_factor",
    "liquidation_price",
    "locked_stop",
    "marks_after",
    "observe_close",
    "observe_regime",
    "planned_ladder",
    "price_at_r",
    "r_multiple",
    "ratcheted_stop",
    "reached",
    "risk_per_unit",
    "round_half_up_to_step",
    "round_toward",
    "safe_stop_fraction",
    "stop_before_liquidation",
    "target_qty",
    "unmerged_ladder",
    "unreachable_rungs",
    "unsafe_exit",
]
