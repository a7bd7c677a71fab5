"""R is fixed by the entry and the initial stop, and by nothing else."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formulas import (
    DEFAULT_LADDER,
    blended_risk_per_unit,
    harvest,
    locked_stop,
    price_at_r,
    r_multiple,
    risk_per_unit,
    unmerged_ladder,
)
from shared.sides import PositionSide

prices = st.decimals("0.01", "100000", places=4, allow_nan=False)
risks = st.decimals("0.0001", "1000", places=4, allow_nan=False)
sides = st.sampled_from(PositionSide)


def test_the_reference_position_stands_at_38_r() -> None:
    r = r_multiple(
        side=PositionSide.LONG,
        entry_price=Decimal("12.32"),
        mark_price=Decimal("21.68"),
        risk_per_unit=risk_per_unit(Decimal("12.32"), Decimal("12.0736")),
    )
    assert round(r, 2) == Decimal("37.94")


@given(sides, st.decimals("0.5", "40", places=2))
def test_r_stays_when_the_stop_moves_and_part_is_closed(
    side: PositionSide, wanted_r: Decimal
) -> None:
    entry_price, initial_stop = Decimal(100), Decimal(100) - 2 * side.sign
    risk = risk_per_unit(entry_price, initial_stop)
    mark_price = price_at_r(side=side, entry_price=entry_price, r=wanted_r, risk_per_unit=risk)

    def current_r() -> Decimal:
        return r_multiple(
            side=side, entry_price=entry_price, mark_price=mark_price, risk_per_unit=risk
        )

    before = current_r()
    moved = locked_stop(
        side=side, entry_price=entry_price, r=before, current_stop=initial_stop, tick_size=None
    )
    plan = unmerged_ladder(DEFAULT_LADDER, initial_qty=Decimal(4), lot_step=Decimal(1))
    harvest(plan, r=before, harvested_qty=Decimal(0), remaining_qty=Decimal(4))

    assert (moved is not None) == (before >= Decimal("1.5"))
    assert current_r() == before


@given(sides, prices, risks, st.decimals("-5", "50", places=3))
def test_the_price_at_r_has_that_r(
    side: PositionSide, entry_price: Decimal, risk: Decimal, r: Decimal
) -> None:
    mark_price = price_at_r(side=side, entry_price=entry_price, r=r, risk_per_unit=risk)
    back = r_multiple(side=side, entry_price=entry_price, mark_price=mark_price, risk_per_unit=risk)
    assert abs(back - r) < Decimal("1e-12")


@given(prices, prices)
def test_long_and_short_mirror_each_other_but_for_the_cost(
    entry_price: Decimal, mark_price: Decimal
) -> None:
    long, short = (
        r_multiple(
            side=side,
            entry_price=entry_price,
            mark_price=mark_price,
            risk_per_unit=Decimal(1),
            cost_bps=Decimal(0),
        )
        for side in PositionSide
    )
    assert long == -short


def test_a_position_without_a_stop_risks_two_percent() -> None:
    assert risk_per_unit(Decimal(50), None) == Decimal(1)


def test_a_stop_at_the_entry_is_an_error() -> None:
    with pytest.raises(ValueError, match="no risk"):
        risk_per_unit(Decimal(50), Decimal(50))


def test_adding_weights_the_risk_by_quantity() -> None:
    blended = blended_risk_per_unit(
        held_qty=Decimal(3),
        held_risk_per_unit=Decimal(2),
        added_qty=Decimal(1),
        added_risk_per_unit=Decimal(6),
    )
    assert blended == Decimal(3)


@given(risks, risks, risks, risks)
def test_a_blended_risk_lies_between_both(
    held_qty: Decimal, held_risk: Decimal, added_qty: Decimal, added_risk: Decimal
) -> None:
    blended = blended_risk_per_unit(
        held_qty=held_qty,
        held_risk_per_unit=held_risk,
        added_qty=added_qty,
        added_risk_per_unit=added_risk,
    )
    slack = Decimal("1e-20")
    assert min(held_risk, added_risk) - slack <= blended <= max(held_risk, added_risk) + slack


def test_r_without_risk_is_an_error() -> None:
    with pytest.raises(ValueError, match="risk_per_unit"):
        r_multiple(
            side=PositionSide.LONG,
            entry_price=Decimal(1),
            mark_price=Decimal(1),
            risk_per_unit=Decimal(0),
        )
