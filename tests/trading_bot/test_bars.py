"""What a strategy is shown: bars, changes and statistics, through gaps as well."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise

import pytest

from services.trading_bot.decider import Policy
from services.trading_bot.strategies import MarketView
from shared.formulas import Bar, MarketState, Regime, observe_close

from .feed import (
    BTC,
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    START,
    Bot,
    EveryMinute,
    Price,
    Watching,
    flat,
    random_walk,
    tick,
    ticks,
)

D = Decimal
SMALLEST = D("1E-12")


def views_of(path: Iterable[Price]) -> list[MarketView]:
    strategy = Watching()
    Bot(Policy(strategy)).play(ticks(path))
    return strategy.views


def bars_of(path: Iterable[Price]) -> list[Bar]:
    """The hourly bars of a path without gaps, the straightforward way; the last one is forming."""
    by_hour: dict[datetime, list[Decimal]] = {}
    for at, price in path:
        by_hour.setdefault(at.replace(minute=0, second=0, microsecond=0), []).append(price)
    bars = [Bar(at, p[0], max(p), min(p), p[-1]) for at, p in sorted(by_hour.items())]
    return bars[:-1]


def atr_of(bars: list[Bar]) -> Decimal | None:
    """Wilder's ATR(14), the straightforward way."""
    if len(bars) < 14:
        return None
    ranges = [bars[0].high - bars[0].low]
    for earlier, bar in pairwise(bars):
        gaps = (abs(bar.high - earlier.close), abs(bar.low - earlier.close))
        ranges.append(max(bar.high - bar.low, *gaps))
    average = sum(ranges[:14]) / D(14)
    for true_range in ranges[14:]:
        average = (average * 13 + true_range) / 14
    return average


def test_the_atr_of_an_entry_is_that_of_the_finished_hours() -> None:
    path = list(random_walk(30 * HOUR, 20 * SECOND))
    intents = Bot(Policy(EveryMinute())).play(ticks(path))
    assert len(intents) == 30 * 60 - 1
    expected = {hour: atr_of(bars_of(path)[:hour]) for hour in range(30)}
    for intent in intents:
        atr = expected[(intent.timestamp - START) // HOUR]
        assert (intent.atr_value is None) == (atr is None) == (intent.timestamp < START + 14 * HOUR)
        if intent.atr_value is not None and atr is not None:
            assert abs(intent.atr_value - atr) <= SMALLEST
    assert len({intent.atr_value for intent in intents}) == 30 - 14 + 1


def test_a_strategy_sees_the_hourly_bars_of_the_last_24_h() -> None:
    path = list(random_walk(30 * HOUR, 20 * SECOND))
    bars = bars_of(path)
    for view in views_of(path):
        finished = (view.at - START) // HOUR
        assert list(view.hours) == bars[:finished][-24:]


def test_a_strategy_sees_the_five_minute_closes_of_the_last_24_h() -> None:
    path = list(random_walk(30 * HOUR, MINUTE))
    prices = [price for _, price in path]
    for view in views_of(path):
        minute = (view.at - START) // MINUTE
        assert list(view.closes) == prices[4:minute:5][-289:]


def test_the_change_is_that_of_24_h() -> None:
    path = [(at, D(1000 + index)) for index, (at, _) in enumerate(flat(30 * HOUR))]
    for view in views_of(path):
        minute = (view.at - START) // MINUTE
        # The newest five-minute close that is at least 24 h old closed with the minute before.
        day_ago = (minute - 24 * 60) // 5 * 5 - 1
        change = view.price / (1000 + day_ago) - 1 if day_ago >= 0 else None
        assert view.change_24h == change


def test_volatility_and_regime_are_those_of_the_minute_closes() -> None:
    path = list(random_walk(8 * HOUR, 20 * SECOND))
    market = MarketState()
    for view in views_of(path):
        market = observe_close(market, path[(view.at - START) // (20 * SECOND) - 1][1])
        assert abs(view.volatility_factor - D(market.sigma_ratio)) <= D("0.00005")
        assert (view.regime is Regime.UNKNOWN) == (market.ts is None)


@pytest.mark.parametrize(
    ("changes", "regime"),
    [
        ([1] * 59, Regime.BULL),
        ([2] + [1] * 43 + [-1] * 15, Regime.BULL),  # a trend strength of 30 / 60
        ([1] * 44 + [-1] * 15, Regime.NORMAL),  # of 29 / 59
        ([2] + [1] * 37 + [-1] * 21, Regime.NORMAL),  # of 18 / 60
        ([1] * 38 + [-1] * 21, Regime.RANGE),  # of 17 / 59
        ([0] * 59, Regime.RANGE),
        ([-1] * 38 + [1] * 21, Regime.RANGE),
        ([-2] + [-1] * 37 + [1] * 21, Regime.NORMAL),
        ([-2] + [-1] * 43 + [1] * 15, Regime.BEAR),
    ],
)
def test_the_regime_follows_the_trend_strength(changes: list[int], regime: Regime) -> None:
    prices = accumulate(changes, initial=1000)
    path = [(START + index * MINUTE, D(price)) for index, price in enumerate(prices)]
    *before, last = views_of([*path, (START + HOUR, D(1000))])
    assert {view.regime for view in before} == {Regime.UNKNOWN}
    assert last.regime is regime


def test_volatility_counts_as_usual_before_there_are_returns() -> None:
    assert [view.volatility_factor for view in views_of(flat(3 * MINUTE))] == [D(1), D(1)]


def test_a_burst_of_volatility_shows() -> None:
    calm = [(at, D(1000 + index % 2)) for index, (at, _) in enumerate(flat(DAY))]
    *_, view = views_of([*calm, (START + DAY, D(1100)), (START + DAY + MINUTE, D(1000))])
    assert D(3) < view.volatility_factor <= D(5)
    assert view.volatility_factor.as_tuple().exponent == -4


def test_a_gap_of_minutes_closes_just_the_one_before_it() -> None:
    strategy = Watching()
    bot = Bot(Policy(strategy))
    for minute in (0, 1, 8, 9):
        bot.play([tick(START + minute * MINUTE, 100 + minute)])
    assert bot.state.minutes[BTC].closes == (D(100), D(101), D(108))
    assert [view.at - START for view in strategy.views] == [MINUTE, 8 * MINUTE, 9 * MINUTE]


@pytest.mark.parametrize(
    ("silence", "known"),
    [
        (3 * HOUR, True),
        (23 * HOUR, True),
        (DAY, True),
        (DAY + 30 * MINUTE, True),
        (DAY + 31 * MINUTE, False),
        (30 * HOUR, False),
        (10 * DAY, False),
    ],
)
def test_a_change_is_known_only_if_the_price_of_24_h_ago_is(
    silence: timedelta, known: bool
) -> None:
    end = START + 25 * HOUR
    view = views_of([*flat(25 * HOUR), (end + silence, D(150))])[-1]
    assert view.change_24h == (D("0.5") if known else None)
    assert all(bar.open_time >= view.at - 25 * HOUR for bar in view.hours)


def test_after_a_long_silence_the_change_is_known_when_24_h_have_passed_again() -> None:
    back = START + 60 * HOUR
    views = views_of([*flat(25 * HOUR), *flat(DAY + 10 * MINUTE, 150, back)])
    known = [view for view in views if view.at >= back and view.change_24h is not None]
    assert known[0].at == back + DAY + 5 * MINUTE
    assert {view.change_24h for view in known} == {D(0)}
    old_closes = [view.closes.count(D(100)) for view in views if view.at > back + 5 * MINUTE]
    assert max(old_closes) == 1  # the last one before the silence stays until 24 h later


@pytest.mark.parametrize(
    ("first", "last", "whole"),
    [(0, 59, True), (5, 54, True), (6, 59, False), (0, 53, False), (20, 30, False)],
)
def test_an_hour_that_was_not_seen_whole_is_no_bar(first: int, last: int, whole: bool) -> None:
    seen = flat((last - first + 1) * MINUTE, start=START + first * MINUTE)
    (*_, view) = views_of([*seen, (START + HOUR, D(100))])
    assert [bar.open_time for bar in view.hours] == ([START] if whole else [])


def test_a_hole_of_hours_is_no_true_range() -> None:
    quiet = [(at, D(100 + index % 2)) for index, (at, _) in enumerate(flat(15 * HOUR))]
    moved = [(at + 18 * HOUR, price + 50) for at, price in quiet[:61]]
    view = views_of([*quiet, *moved])[-1]
    assert [bar.open_time for bar in view.hours[-2:]] == [START + 14 * HOUR, START + 18 * HOUR]
    assert view.atr_1h == D(1)


def test_after_24_h_without_a_bar_the_atr_begins_anew() -> None:
    quiet = [(at, D(100 + index % 2)) for index, (at, _) in enumerate(flat(15 * HOUR))]
    back = START + 40 * HOUR
    views = views_of([*quiet, *((back + (at - START), price) for at, price in quiet)])
    assert {view.atr_1h for view in views if view.at < back + 14 * HOUR} == {None, D(1)}
    assert {view.atr_1h for view in views if back <= view.at < back + 14 * HOUR} == {None}
    assert views[-1].atr_1h == D(1)


@pytest.mark.parametrize(("silence", "regime"), [(60, Regime.RANGE), (61, Regime.UNKNOWN)])
def test_after_an_hour_of_silence_the_statistics_begin_anew(silence: int, regime: Regime) -> None:
    last = START + 119 * MINUTE
    view = views_of([*flat(120 * MINUTE), (last + silence * MINUTE, D(100))])[-1]
    assert view.regime is regime
