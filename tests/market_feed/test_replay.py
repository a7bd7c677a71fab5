"""Bars become ticks, ticks of all symbols become instants, and a restart goes on where it was."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.market_feed.klines import Candle, CandleFiles, load
from services.market_feed.replay import Tick, TickKind, instants, ticks

from .bars import FALLING, FLAT, RISING, START, at, line, lines, write


def candle_of(prices: tuple[str, ...], minutes: int = 1) -> Candle:
    numbers = [Decimal(text) for text in prices]
    return Candle("BTCUSDT", START, at(minutes) - timedelta(milliseconds=1), *numbers)


@pytest.mark.parametrize(
    ("prices", "kinds", "expected"),
    [
        (RISING, "OPEN LOW HIGH CLOSE", ["100.5", "99.75", "103.25", "102"]),
        (FALLING, "OPEN HIGH LOW CLOSE", ["102", "104", "95.5", "97.1"]),
        (FLAT, "OPEN LOW HIGH CLOSE", ["97.1", "96", "98", "97.1"]),
    ],
    ids=["rising", "falling", "flat"],
)
def test_a_bar_is_four_ticks_in_the_order_of_the_shortest_way(
    prices: tuple[str, ...], kinds: str, expected: list[str]
) -> None:
    four = ticks(candle_of(prices))
    assert [tick.kind.value for tick in four] == kinds.split()
    assert [tick.price for tick in four] == [Decimal(text) for text in expected]


@pytest.mark.parametrize(
    ("minutes", "seconds"),
    [(1, [0, 20, 40, 59.999]), (5, [0, 100, 200, 299.999]), (60, [0, 1200, 2400, 3599.999])],
)
def test_the_ticks_stand_at_the_thirds_of_the_bar_and_at_its_last_millisecond(
    minutes: int, seconds: list[float]
) -> None:
    assert [tick.at for tick in ticks(candle_of(RISING, minutes))] == [at(0, s) for s in seconds]


def test_a_third_that_is_no_whole_millisecond_is_rounded_down() -> None:
    bar = Candle("BTCUSDT", START, at(0, 0.999), *[Decimal(text) for text in RISING])
    assert [tick.at for tick in ticks(bar)] == [at(0, s) for s in (0, 0.333, 0.666, 0.999)]


def test_a_tick_names_its_bar_and_knows_no_funding_rate() -> None:
    assert ticks(candle_of(RISING))[3] == Tick(
        "BTCUSDT", at(0, 59.999), Decimal(102), TickKind.CLOSE, START, funding_rate=None
    )


PRICE = st.decimals("0.0001", "200000", places=4)


@given(st.lists(PRICE, min_size=4, max_size=4), st.sampled_from([1, 2, 3, 5, 15, 30, 60]))
def test_the_ticks_of_any_bar_tell_its_four_prices_within_it(
    prices: list[Decimal], minutes: int
) -> None:
    one, other = prices[0], prices[1]
    close_time = at(minutes) - timedelta(milliseconds=1)
    bar = Candle("BTCUSDT", START, close_time, one, max(prices), min(prices), other, Decimal(1))
    four = ticks(bar)
    told = [tick.price for tick in four]
    assert (told[0], told[-1]) == (bar.open, bar.close)
    assert (max(told), min(told)) == (bar.high, bar.low)
    assert (four[0].at, four[-1].at) == (bar.open_time, bar.close_time)
    assert all(earlier.at < later.at for earlier, later in pairwise(four))
    assert {tick.kind for tick in four} == set(TickKind)
    way = sum(abs(later - earlier) for earlier, later in pairwise(told))
    swapped = [told[0], told[2], told[1], told[3]]
    assert way <= sum(abs(later - earlier) for earlier, later in pairwise(swapped))


@pytest.fixture
def files(tmp_path: Path) -> CandleFiles:
    """Three symbols with holes, a late start, two files of one symbol, and a longer interval."""
    return load(
        [
            write(tmp_path / "SOLUSDT-1m.csv", [line(0), line(1), line(4)]),
            write(tmp_path / "BTCUSDT-1m-2025-07.csv.gz", lines(3, first=3)),
            write(tmp_path / "BTCUSDT-1m-2025-06.zip", lines(3, per_ms=1_000)),
            write(tmp_path / "ETHUSDT-3m.csv", lines(2, minutes=3)),
        ]
    )


def test_symbols_that_share_a_time_come_together_in_the_order_of_their_names(
    files: CandleFiles,
) -> None:
    run = list(instants(files))
    first, second, third = run[0], run[1], run[2]
    assert (first[0], [tick.symbol for tick in first[1]]) == (
        START,
        ["BTCUSDT", "ETHUSDT", "SOLUSDT"],
    )
    assert (second[0], [tick.symbol for tick in second[1]]) == (at(0, 20), ["BTCUSDT", "SOLUSDT"])
    assert (third[0], [tick.symbol for tick in third[1]]) == (at(0, 40), ["BTCUSDT", "SOLUSDT"])


def test_instants_are_in_time_order_and_hold_every_tick_once(files: CandleFiles) -> None:
    run = list(instants(files))
    assert all(earlier < later for (earlier, _), (later, _) in pairwise(run))
    assert all(tick.at == time for time, together in run for tick in together)
    for symbol, chained in files.by_symbol.items():
        told = [tick for _, together in run for tick in together if tick.symbol == symbol]
        assert told == [tick for file in chained for bar in file.candles() for tick in ticks(bar)]


def test_a_symbol_with_a_hole_is_silent_and_the_others_go_on(files: CandleFiles) -> None:
    during = [
        tick.symbol
        for time, together in instants(files)
        if at(2) <= time < at(4)
        for tick in together
    ]
    assert set(during) == {"BTCUSDT", "ETHUSDT"}


def test_two_runs_are_the_same(files: CandleFiles) -> None:
    assert list(instants(files)) == list(instants(files))


def test_a_restart_after_any_time_gives_the_rest_of_the_whole_run(files: CandleFiles) -> None:
    run = list(instants(files))
    one_ms = timedelta(milliseconds=1)
    times = {time + step for time, _ in run for step in (-one_ms, timedelta(0), one_ms)}
    for time in sorted(times):
        assert list(instants(files, time)) == [instant for instant in run if instant[0] > time]


def test_a_restart_after_the_end_has_nothing_to_give(files: CandleFiles) -> None:
    assert list(instants(files, at(10))) == []


def test_a_time_without_a_zone_is_refused_at_once(files: CandleFiles) -> None:
    with pytest.raises(ValueError, match="time zone"):
        instants(files, datetime(2025, 6, 1))  # noqa: DTZ001 - the naive time is the point


def test_the_bars_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    first = write(tmp_path / "BTCUSDT-1m-a.csv", lines(3))
    second = write(tmp_path / "BTCUSDT-1m-b.csv", lines(3, first=3))
    run = instants(load([first, second]))
    next(run)
    second.unlink()
    assert sum(1 for _ in zip(range(10), run, strict=False)) == 10
