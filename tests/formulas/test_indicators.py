"""Bars and Wilder's average true range."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from shared.formulas import AverageTrueRange, Bar

OPEN_TIME = datetime(2025, 6, 1, tzinfo=UTC)


def after(bars: list[tuple[int, int, int]], period: int = 14) -> AverageTrueRange:
    atr = AverageTrueRange(period)
    for high, low, close in bars:
        atr = atr.update(Decimal(high), Decimal(low), Decimal(close))
    return atr


def test_the_average_is_known_from_the_fourteenth_bar() -> None:
    bars = [(102, 98, 100)] * 14
    assert after(bars[:13]).value is None
    assert after(bars).value == 4


def test_it_starts_as_the_mean_and_then_moves_by_wilders_rule() -> None:
    first = [(104, 100, 102), (108, 100, 104)]
    assert after(first, period=2).value == 6
    assert after([*first, (110, 100, 105)], period=2).value == 8


def test_a_gap_counts_from_the_previous_close() -> None:
    assert after([(101, 99, 100), (111, 109, 110)], period=1).value == 11
    assert after([(101, 99, 100), (91, 89, 90)], period=1).value == 11


def test_a_close_outside_its_bar_is_an_error() -> None:
    with pytest.raises(ValueError, match="close"):
        after([(101, 99, 102)])


def test_a_bar_refuses_a_naive_time() -> None:
    one = Decimal(1)
    with pytest.raises(ValueError, match="time zone"):
        Bar(OPEN_TIME.replace(tzinfo=None), one, one, one, one)


@pytest.mark.parametrize("prices", [(5, 4, 3, 4), (1, 4, 3, 4), (3, 4, 3, 5), (0, 4, 0, 4)])
def test_a_bar_refuses_prices_no_market_prints(prices: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="prices"):
        Bar(OPEN_TIME, *map(Decimal, prices))
