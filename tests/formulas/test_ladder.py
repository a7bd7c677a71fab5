"""The ladder takes each share once, however the price gets there."""

from __future__ import annotations

from decimal import Decimal
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formulas import (
    DEFAULT_LADDER,
    Harvest,
    PlannedRung,
    Rung,
    harvest,
    leverage_scaled,
    planned_ladder,
    reached,
    target_qty,
    unmerged_ladder,
)

Plan = tuple[PlannedRung, ...]

ZERO = Decimal(0)
LOT = Decimal("0.01")
RUNG_25, RUNG_50, RUNG_75 = DEFAULT_LADDER


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, Decimal]:
    """A plan with any pattern of merged rungs, and its initial quantity."""
    lot_step = draw(st.sampled_from([Decimal("0.001"), LOT, Decimal(1), Decimal("0.25")]))
    initial_qty = draw(st.integers(1, 400)) * lot_step
    plan = planned_ladder(
        DEFAULT_LADDER,
        initial_qty=initial_qty,
        lot_step=lot_step,
        min_qty=draw(st.integers(0, 120)) * lot_step,
        min_notional=draw(st.integers(0, 200)) * lot_step,
        price_at=lambda rung: rung.r_level,
    )
    return plan, initial_qty


r_values = st.decimals("-3", "12", places=2, allow_nan=False)


def walk(plan: Plan, initial_qty: Decimal, path: list[Decimal]) -> list[Harvest]:
    """Evaluate at every R of the path; what is closed is harvested and no longer remains."""
    results: list[Harvest] = []
    harvested_qty = ZERO
    for r in path:
        result = harvest(
            plan, r=r, harvested_qty=harvested_qty, remaining_qty=initial_qty - harvested_qty
        )
        harvested_qty += result.close_qty
        results.append(result)
    return results


def harvested_qty(results: list[Harvest]) -> Decimal:
    return sum((result.close_qty for result in results), ZERO)


def reference_plan() -> Plan:
    return unmerged_ladder(DEFAULT_LADDER, initial_qty=Decimal("1.83"), lot_step=LOT)


def test_a_rung_is_taken_once() -> None:
    results = walk(reference_plan(), Decimal("1.83"), [Decimal(2), Decimal(2), Decimal("3.9")])
    assert [result.close_qty for result in results] == [Decimal("0.46"), ZERO, ZERO]
    assert [result.action for result in results] == [RUNG_25, None, None]


def test_the_reference_position_closes_three_quarters_at_once() -> None:
    assert harvest(
        reference_plan(), r=Decimal("37.94"), harvested_qty=ZERO, remaining_qty=Decimal("1.83")
    ) == Harvest(RUNG_75, RUNG_75, Decimal("1.37"))


def test_targets_are_rounded_half_up() -> None:
    targets = [planned.target_qty for planned in reference_plan()]
    assert targets == [Decimal("0.46"), Decimal("0.92"), Decimal("1.37")]
    assert target_qty(Decimal("0.5"), Decimal(1), Decimal(1)) == 1


@given(plans(), r_values)
def test_evaluating_twice_harvests_nothing_more(case: tuple[Plan, Decimal], r: Decimal) -> None:
    first, second = walk(*case, [r, r])
    assert second == Harvest(first.rung, None, ZERO)


@given(plans(), st.lists(r_values, max_size=8), r_values)
def test_climbing_ends_where_jumping_does(
    case: tuple[Plan, Decimal], path: list[Decimal], last: Decimal
) -> None:
    climbed = walk(*case, [*path, last])
    jumped = walk(*case, [max([*path, last])])
    assert harvested_qty(climbed) == harvested_qty(jumped)


@given(plans(), st.lists(r_values, min_size=1, max_size=8))
def test_no_more_is_closed_than_there_is(case: tuple[Plan, Decimal], path: list[Decimal]) -> None:
    results = walk(*case, path)
    assert all(result.close_qty >= 0 for result in results)
    assert harvested_qty(results) <= case[1]
    assert all((result.action is None) == (result.close_qty == 0) for result in results)


@given(plans())
def test_what_is_closed_on_the_way_up_is_never_too_small(case: tuple[Plan, Decimal]) -> None:
    plan, initial_qty = case
    kept = [planned.target_qty for planned in plan if not planned.merged]
    climbed = walk(plan, initial_qty, [rung.r_level for rung in DEFAULT_LADDER])
    closed = [result.close_qty for result in climbed if result.close_qty]
    assert list(accumulate(closed)) == kept


def test_a_rung_below_the_minimum_is_merged_into_the_next() -> None:
    plan = planned_ladder(
        DEFAULT_LADDER,
        initial_qty=Decimal(4),
        lot_step=Decimal(1),
        min_qty=Decimal(2),
        min_notional=ZERO,
        price_at=lambda _rung: Decimal(1),
    )
    assert [planned.merged for planned in plan] == [True, False, True]

    at_2r, at_4r, at_6r = walk(plan, Decimal(4), [Decimal(2), Decimal(4), Decimal(6)])
    assert at_2r == Harvest(RUNG_25, None, ZERO)
    assert at_4r == Harvest(RUNG_50, RUNG_50, Decimal(2))
    assert at_6r == Harvest(RUNG_75, None, ZERO)


def test_a_jump_over_a_merged_rung_takes_the_one_below() -> None:
    plan = (
        PlannedRung(RUNG_25, Decimal(1)),
        PlannedRung(RUNG_50, Decimal(2)),
        PlannedRung(RUNG_75, Decimal(3), merged=True),
    )
    result = harvest(plan, r=Decimal(9), harvested_qty=ZERO, remaining_qty=Decimal(4))
    assert result == Harvest(RUNG_75, RUNG_50, Decimal(2))


def test_the_notional_is_taken_at_the_price_of_the_rung() -> None:
    plan = planned_ladder(
        DEFAULT_LADDER,
        initial_qty=Decimal(4),
        lot_step=Decimal(1),
        min_qty=ZERO,
        min_notional=Decimal(4),
        price_at=lambda rung: rung.r_level,
    )
    assert [planned.merged for planned in plan] == [True, False, False]


def test_increments_exactly_at_the_minimum_are_kept() -> None:
    plan = planned_ladder(
        DEFAULT_LADDER,
        initial_qty=Decimal(4),
        lot_step=Decimal(1),
        min_qty=Decimal(1),
        min_notional=Decimal(5),
        price_at=lambda _rung: Decimal(5),
    )
    assert not any(planned.merged for planned in plan)


def test_a_manual_reduce_lowers_what_remains_not_the_target() -> None:
    result = harvest(
        reference_plan(), r=Decimal(6), harvested_qty=ZERO, remaining_qty=Decimal("0.30")
    )
    assert result.close_qty == Decimal("0.30")


@pytest.mark.parametrize(
    ("r", "rung"),
    [("1.99", None), ("2", RUNG_25), ("3.99", RUNG_25), ("4", RUNG_50), ("60", RUNG_75)],
)
def test_a_rung_is_reached_at_its_level(r: str, rung: Rung | None) -> None:
    assert reached(DEFAULT_LADDER, Decimal(r)) == rung


def test_leverage_scaling_divides_the_levels_and_keeps_the_shares() -> None:
    scaled = leverage_scaled(DEFAULT_LADDER, 4)
    assert [rung.r_level for rung in scaled] == [1, 2, 3]
    assert [rung.share for rung in scaled] == [rung.share for rung in DEFAULT_LADDER]
    assert leverage_scaled(DEFAULT_LADDER, 0) == DEFAULT_LADDER


@pytest.mark.parametrize(
    "ladder", [(RUNG_50, RUNG_25), (RUNG_25, RUNG_25), (Rung("ALL", Decimal(1), Decimal("1.1")),)]
)
def test_a_ladder_that_does_not_rise_is_an_error(ladder: tuple[Rung, ...]) -> None:
    with pytest.raises(ValueError, match="share"):
        unmerged_ladder(ladder, initial_qty=Decimal(1), lot_step=LOT)
