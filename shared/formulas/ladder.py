"""The harvest ladder: which share of the initial quantity is taken at which R.

Pure; reads and writes nothing. Shares are cumulative, so what a rung closes follows from what is
already harvested: evaluating again closes nothing, and a jump closes what a climb would have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from shared.formulas.steps import round_half_up_to_step

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rung:
    """At `r_level` (in R), the cumulative `share` of the initial quantity is to be harvested."""

    name: str
    r_level: Decimal
    share: Decimal


Ladder = tuple[Rung, ...]

DEFAULT_LADDER: Ladder = (
    Rung("PARTIAL_25", Decimal(2), Decimal("0.25")),
    Rung("PARTIAL_50", Decimal(4), Decimal("0.50")),
    Rung("PARTIAL_75", Decimal(6), Decimal("0.75")),
)


@dataclass(frozen=True, slots=True)
class PlannedRung:
    """A rung with the cumulative quantity it harvests; a merged one leaves it to the next."""

    rung: Rung
    target_qty: Decimal
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Harvest:
    """What the ladder says at one R.

    `rung` is the highest rung reached, `action` the rung on whose behalf `close_qty` is to be
    closed now. With nothing to close `action` is None and `close_qty` 0.
    """

    rung: Rung | None
    action: Rung | None
    close_qty: Decimal


def leverage_scaled(ladder: Ladder, leverage: Decimal | int) -> Ladder:
    """The ladder with every R level divided by sqrt(max(leverage, 1)); shares stay."""
    divisor = max(Decimal(leverage), Decimal(1)).sqrt()
    return tuple(Rung(rung.name, rung.r_level / divisor, rung.share) for rung in ladder)


def target_qty(share: Decimal, initial_qty: Decimal, lot_step: Decimal) -> Decimal:
    """round_half_up(share * initial_qty / lot_step) * lot_step, in units of quantity.

    Raises ValueError for a negative quantity or a lot step that is not positive.
    """
    return round_half_up_to_step(share * initial_qty, lot_step)


def unmerged_ladder(
    ladder: Ladder, *, initial_qty: Decimal, lot_step: Decimal
) -> tuple[PlannedRung, ...]:
    """The plan for a venue without minimums: every rung with its own target.

    Raises ValueError for a ladder that does not rise or a lot step that is not positive.
    """
    _check_rising(ladder)
    return tuple(
        PlannedRung(rung, target_qty(rung.share, initial_qty, lot_step)) for rung in ladder
    )


def planned_ladder(
    ladder: Ladder,
    *,
    initial_qty: Decimal,
    lot_step: Decimal,
    min_qty: Decimal,
    min_notional: Decimal,
    price_at: Callable[[Rung], Decimal],
) -> tuple[PlannedRung, ...]:
    """The plan of a position, made when it opens: a rung too small for the venue is merged.

    A rung is merged into the next when its increment over the last target kept is zero lots,
    below `min_qty`, or below `min_notional` at the rung's own price (`price_at`). A last rung that
    is merged is left to the full close. Quantities in units, notional in quote currency.

    Raises ValueError for a ladder that does not rise or a lot step that is not positive.
    """
    plan: list[PlannedRung] = []
    kept_qty = _ZERO
    for full in unmerged_ladder(ladder, initial_qty=initial_qty, lot_step=lot_step):
        increment = full.target_qty - kept_qty
        too_small = (
            increment <= 0 or increment < min_qty or increment * price_at(full.rung) < min_notional
        )
        plan.append(PlannedRung(full.rung, full.target_qty, merged=too_small))
        if not too_small:
            kept_qty = full.target_qty
    return tuple(plan)


def reached(ladder: Ladder, r: Decimal) -> Rung | None:
    """The highest rung whose R level is at or below `r`, or None below the first."""
    return next((rung for rung in reversed(ladder) if r >= rung.r_level), None)


def harvest(
    plan: tuple[PlannedRung, ...],
    *,
    r: Decimal,
    harvested_qty: Decimal,
    remaining_qty: Decimal,
) -> Harvest:
    """What to close at `r`: min(target - harvested_qty, remaining_qty), nothing when <= 0.

    The target is that of the highest rung reached that is not merged; a merged rung on its own
    triggers nothing. Quantities are in units of the position and not negative.
    """
    rung = reached(tuple(planned.rung for planned in plan), r)
    due = next((p for p in reversed(plan) if r >= p.rung.r_level and not p.merged), None)
    if due is None:
        return Harvest(rung, None, _ZERO)
    close_qty = min(due.target_qty - harvested_qty, remaining_qty)
    if close_qty <= 0:
        return Harvest(rung, None, _ZERO)
    return Harvest(rung, due.rung, close_qty)


def _check_rising(ladder: Ladder) -> None:
    for lower, upper in pairwise(ladder):
        if upper.r_level <= lower.r_level or upper.share <= lower.share:
            raise ValueError(f"{upper.name} must stand above {lower.name} in level and share")
    if ladder and not (ladder[0].share > 0 and ladder[-1].share <= 1):
        raise ValueError("shares must be in (0, 1]")
