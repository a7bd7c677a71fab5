"""Market statistics: incremental sums equal recomputed ones, and a flip needs five closes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from functools import reduce
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.formulas import (
    MarketState,
    RegimeWatch,
    VolatilityPolicy,
    observe_close,
    observe_regime,
)
from shared.sides import PositionSide

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT

# Lengths on both sides of the window, equally likely: a plain list would rarely fill it.
closes_lists = (
    st.integers(1, 140)
    .flatmap(lambda n: st.lists(st.integers(9_990, 10_010), min_size=n, max_size=n))
    .map(lambda cents: [Decimal(cent) / 100 for cent in cents])
)


def market_after(closes: Iterable[Decimal], market: MarketState | None = None) -> MarketState:
    return reduce(observe_close, closes, market or MarketState())


def rising(count: int, start: int = 100) -> list[Decimal]:
    return [Decimal(start + index) for index in range(count)]


def alternating(count: int, around: int = 100) -> list[Decimal]:
    return [Decimal(around + index % 2) for index in range(count)]


def watch_through(
    closes: Iterable[Decimal], side: PositionSide, market: MarketState, watch: RegimeWatch
) -> tuple[MarketState, RegimeWatch, list[bool]]:
    flips: list[bool] = []
    for close in closes:
        market = observe_close(market, close)
        watch = observe_regime(watch, market, side)
        flips.append(watch.flipped)
    return market, watch, flips


@given(closes_lists)
@settings(max_examples=60)
def test_the_incremental_sums_equal_recomputed_ones(closes: list[Decimal]) -> None:
    market = market_after(closes)
    kept = tuple(closes[-60:])
    changes = [after - before for before, after in pairwise(kept)]
    assert market.closes == kept
    assert market.path_length == sum(abs(change) for change in changes)
    assert market.reversals_count == sum(one * two < 0 for one, two in pairwise(changes))


@given(closes_lists)
@settings(max_examples=60)
def test_probabilities_are_within_bounds_and_sum_to_one(closes: list[Decimal]) -> None:
    market = market_after(closes)
    probabilities = (market.p_trend, market.p_mr, market.p_chop)
    assert all(0.0 <= probability <= 1.0 for probability in probabilities)
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-12)


def test_before_sixty_closes_there_is_no_trend_strength() -> None:
    market = market_after(rising(59))
    assert market.ts is None
    assert (market.p_trend, market.p_mr, market.p_chop) == (0.0, 0.0, 1.0)
    assert market_after(rising(60)).ts == 1.0


def test_a_straight_line_is_all_trend_and_signed() -> None:
    up, down = market_after(rising(70)), market_after(reversed(rising(70)))
    assert (up.ts, down.ts) == (1.0, -1.0)
    assert (up.p_trend, up.p_mr, up.p_chop) == (1.0, 0.0, 0.0)


def test_an_alternating_market_is_mean_reverting() -> None:
    market = market_after(alternating(60))
    assert market.ts == pytest.approx(1 / 59)
    assert market.p_mr == pytest.approx(58 / 59)
    assert market.p_chop == pytest.approx(0.0, abs=1e-12)


def test_a_market_that_stands_still_is_chop() -> None:
    market = market_after([Decimal(100)] * 60)
    assert (market.ts, market.p_trend, market.p_mr, market.p_chop) == (0.0, 0.0, 0.0, 1.0)
    assert market.sigma_ratio == 1.0


def test_volatility_starts_as_the_plain_mean() -> None:
    market = market_after([Decimal(100), Decimal(101), Decimal(99)])
    mean = (math.log(101 / 100) ** 2 + math.log(99 / 101) ** 2) / 2
    assert market.sigma == pytest.approx(math.sqrt(mean))
    assert market.sigma_ref == pytest.approx(math.sqrt(mean))


def test_the_short_volatility_decays_at_its_own_rate() -> None:
    policy = VolatilityPolicy(short_decay=0.5, slow_decay=0.9)
    market = MarketState()
    for close in (Decimal(100), Decimal(100), Decimal(100), Decimal(110)):
        market = observe_close(market, close, policy)
    squared = math.log(1.1) ** 2
    assert market.sigma**2 == pytest.approx(squared / 2)
    assert market.sigma_ref**2 == pytest.approx(squared / 3)


def test_a_spike_raises_the_ratio_and_then_fades() -> None:
    calm = market_after(alternating(400))
    spiked = observe_close(calm, Decimal(120))
    later = market_after(alternating(120, around=120), spiked)
    assert calm.sigma_ratio == pytest.approx(1.0, abs=0.01)
    assert spiked.sigma_ratio > 2.0
    assert later.sigma_ratio < 1.0


def test_a_close_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        observe_close(MarketState(), Decimal(0))


def test_a_reference_faster_than_the_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="decays"):
        VolatilityPolicy(short_decay=0.99, slow_decay=0.9)


def test_a_trend_against_the_position_flips_at_the_fifth_close() -> None:
    market = market_after(rising(60))
    flips = watch_through(rising(6, start=160), SHORT, market, RegimeWatch())[2]
    assert flips == [False, False, False, False, True, True]


def test_a_trend_in_favour_never_flips() -> None:
    _, watch, flips = watch_through(rising(200), LONG, MarketState(), RegimeWatch())
    assert watch.favourable_trend_seen
    assert not any(flips)


@given(st.lists(st.integers(1, 200), min_size=59, max_size=63))
@settings(max_examples=60)
def test_nothing_flips_before_sixty_closes(closes: list[int]) -> None:
    for side in PositionSide:
        flips = watch_through(map(Decimal, closes), side, MarketState(), RegimeWatch())[2]
        assert not any(flips)


def test_a_favourable_trend_that_dies_is_a_flip() -> None:
    market, watch, _ = watch_through(rising(60), LONG, MarketState(), RegimeWatch())
    _, watch, flips = watch_through(alternating(200, around=159), LONG, market, watch)
    assert watch.flipped
    first = flips.index(True)
    assert not any(flips[:first])
    assert all(flips[first:])


def test_a_trend_that_only_weakens_is_no_flip() -> None:
    weakened = market_after([*rising(25), *alternating(35, around=123)])
    assert 0.3 < weakened.p_trend < 0.5
    watch = RegimeWatch(favourable_trend_seen=True)
    for _ in range(9):
        watch = observe_regime(watch, weakened, LONG)
    assert not watch.flipped


def test_a_trend_that_was_never_seen_cannot_die() -> None:
    flips = watch_through(alternating(200), LONG, MarketState(), RegimeWatch())[2]
    assert not any(flips)


def test_a_pause_starts_the_count_again() -> None:
    falling = market_after(reversed(rising(60, start=200)))
    calm = market_after(alternating(60))
    watch = RegimeWatch()
    for market in (falling, falling, falling, falling, calm, falling, falling):
        watch = observe_regime(watch, market, LONG)
    assert watch == RegimeWatch(favourable_trend_seen=False, adverse_closes=2, flipped=False)


def test_a_flip_ends_when_its_cause_does() -> None:
    market = market_after(reversed(rising(60, start=200)))
    watch = RegimeWatch()
    for _ in range(5):
        watch = observe_regime(watch, market, LONG)
    assert watch.flipped
    assert not observe_regime(watch, market_after(alternating(60)), LONG).flipped
