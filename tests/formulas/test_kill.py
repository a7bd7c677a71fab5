"""The kill score: only a regime flip can kill."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formulas import KILL_THRESHOLD, kill_parts, kill_score

numbers = st.floats(allow_nan=False)


@given(numbers, numbers, numbers)
def test_nothing_kills_without_a_flip(sigma_ratio: float, ts_aligned: float, age_s: float) -> None:
    score = kill_score(
        regime_flip=False, sigma_ratio=sigma_ratio, ts_aligned=ts_aligned, age_s=age_s
    )
    assert 0.119 < score < 0.39 < KILL_THRESHOLD


@given(numbers, numbers, numbers)
def test_a_flip_kills_whatever_else_is_well(
    sigma_ratio: float, ts_aligned: float, age_s: float
) -> None:
    score = kill_score(
        regime_flip=True, sigma_ratio=sigma_ratio, ts_aligned=ts_aligned, age_s=age_s
    )
    assert score >= KILL_THRESHOLD


@given(st.booleans(), numbers, numbers, numbers)
def test_the_parts_make_the_score(
    flip: bool, sigma_ratio: float, ts_aligned: float, age_s: float
) -> None:
    parts = kill_parts(
        regime_flip=flip, sigma_ratio=sigma_ratio, ts_aligned=ts_aligned, age_s=age_s
    )
    total = parts.bias + parts.regime_flip + parts.sigma_spike + parts.ts_drop + parts.age
    assert parts.score == pytest.approx(1 / (1 + math.exp(-total)), abs=1e-12)


def test_each_term_has_its_weight_and_its_bound() -> None:
    parts = kill_parts(regime_flip=1, sigma_ratio=1.5, ts_aligned=0.1, age_s=43_200)
    assert parts.regime_flip == 2.5
    assert parts.sigma_spike == pytest.approx(0.25)
    assert parts.ts_drop == pytest.approx(0.1)
    assert parts.age == pytest.approx(0.15)

    worst = kill_parts(regime_flip=0, sigma_ratio=99, ts_aligned=-1, age_s=1e9)
    assert (worst.sigma_spike, worst.ts_drop, worst.age) == (1.0, 0.25, 0.3)


@pytest.mark.parametrize("flip", [-1, 2])
def test_a_flip_is_zero_or_one(flip: int) -> None:
    with pytest.raises(ValueError, match="regime_flip"):
        kill_score(regime_flip=flip, sigma_ratio=1, ts_aligned=0, age_s=0)


def test_a_number_that_is_not_one_has_no_score() -> None:
    with pytest.raises(ValueError, match="NaN"):
        kill_score(regime_flip=0, sigma_ratio=math.nan, ts_aligned=0, age_s=0)
