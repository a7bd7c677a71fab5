"""The profit lock proposes stops that only ever tighten."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formulas import DEFAULT_LADDER, Rung, locked_stop, ratcheted_stop
from shared.sides import PositionSide

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
TICK = Decimal("0.01")
prices = st.decimals("50", "150", places=3, allow_nan=False)
ticks = st.none() | st.sampled_from([Decimal("0.001"), TICK, Decimal("0.5")])


@pytest.mark.parametrize(("side", "expected"), [(LONG, "100.20"), (SHORT, "99.80")])
def test_from_one_and_a_half_r_the_stop_locks_a_profit(side: PositionSide, expected: str) -> None:
    def at(r: str) -> Decimal | None:
        return locked_stop(
            side=side,
            entry_price=Decimal(100),
            r=Decimal(r),
            current_stop=Decimal(100) - 2 * side.sign,
            tick_size=TICK,
        )

    assert at("1.49") is None
    assert at("1.5") == at("9") == Decimal(expected)


@given(st.sampled_from(PositionSide), prices, prices, ticks, st.decimals("0", "9", places=1))
def test_a_locked_stop_only_ever_tightens(
    side: PositionSide, entry_price: Decimal, stop: Decimal, tick: Decimal | None, r: Decimal
) -> None:
    moved = locked_stop(side=side, entry_price=entry_price, r=r, current_stop=stop, tick_size=tick)
    if moved is not None:
        assert moved > stop if side is LONG else moved < stop
        again = locked_stop(
            side=side, entry_price=entry_price, r=r, current_stop=moved, tick_size=tick
        )
        assert again is None


@given(st.sampled_from(PositionSide), prices, prices, ticks, st.sampled_from(DEFAULT_LADDER))
def test_a_ratcheted_stop_only_ever_tightens_and_never_fires_at_once(
    side: PositionSide,
    entry_price: Decimal,
    stop: Decimal,
    tick: Decimal | None,
    taken: Rung,
) -> None:
    mark_price = Decimal(100)
    moved = ratcheted_stop(
        side=side,
        entry_price=entry_price,
        risk_per_unit=Decimal(2),
        ladder=DEFAULT_LADDER,
        taken=taken,
        current_stop=stop,
        tick_size=tick,
        mark_price=mark_price,
    )
    if moved is not None:
        assert stop < moved < mark_price if side is LONG else stop > moved > mark_price


@pytest.mark.parametrize(
    ("side", "taken", "expected"),
    [
        (LONG, 0, None),
        (LONG, 1, "104.10"),
        (LONG, 2, "108.10"),
        (SHORT, 1, "95.90"),
        (SHORT, 2, "91.90"),
    ],
)
def test_the_ratchet_follows_one_rung_behind(
    side: PositionSide, taken: int, expected: str | None
) -> None:
    moved = ratcheted_stop(
        side=side,
        entry_price=Decimal(100),
        risk_per_unit=Decimal(2),
        ladder=DEFAULT_LADDER,
        taken=DEFAULT_LADDER[taken],
        current_stop=None,
        tick_size=TICK,
    )
    assert moved == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(("side", "expected"), [(LONG, "100.0"), (SHORT, "100.0")])
def test_a_locked_stop_is_rounded_away_from_the_mark(side: PositionSide, expected: str) -> None:
    moved = locked_stop(
        side=side,
        entry_price=Decimal(100),
        r=Decimal(2),
        current_stop=None,
        tick_size=Decimal("0.5"),
    )
    assert moved == Decimal(expected)


def test_a_stop_that_would_fire_at_once_is_not_proposed() -> None:
    def at_mark(mark_price: str) -> Decimal | None:
        return locked_stop(
            side=LONG,
            entry_price=Decimal(100),
            r=Decimal("1.5"),
            current_stop=Decimal("99.95"),
            tick_size=TICK,
            mark_price=Decimal(mark_price),
        )

    assert at_mark("100.20") is None
    assert at_mark("100.21") == Decimal("100.20")
