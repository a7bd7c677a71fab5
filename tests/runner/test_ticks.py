"""Which ticks a reader takes: none from ahead of time, none that is late, and never none at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import HISTORY_SOURCE, MarketTick
from shared.ticks import MAX_AHEAD, TickGate, believable, is_late

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def tick(
    at: datetime, produced_at: datetime | None = None, source: str = "market_feed"
) -> MarketTick:
    return MarketTick(
        timestamp=at, produced_at=produced_at or at, source=source, tick_id="t",
        symbol="BTCUSDT", mark_price=Decimal(60000),
    )  # fmt: skip


class Reader:
    """A reader whose clock is off by `off`: one tick a second, each by its own time."""

    def __init__(self, off: timedelta = timedelta(0)) -> None:
        self.off = off
        self.gate = TickGate()
        self.true = NOW

    def hears(self, ahead: timedelta = timedelta(0), source: str = "market_feed") -> bool:
        """Whether a tick is taken that is ahead of true time by so much; a second passes."""
        self.true += SECOND
        one = tick(self.true + ahead, source=source)
        return self.gate.refusal(one, self.true + self.off, self.true - NOW) is None


@pytest.mark.parametrize("ahead_s", [5.1, 60, 3600, 82_800, 86_400 * 9])
@pytest.mark.parametrize("field", ["timestamp", "produced_at"])
def test_a_tick_from_ahead_of_time_is_refused(ahead_s: float, field: str) -> None:
    ahead = NOW + timedelta(seconds=ahead_s)
    wrong = tick(ahead, NOW) if field == "timestamp" else tick(NOW, ahead)

    assert TickGate().refusal(wrong, NOW, timedelta(0)) is not None


@given(st.floats(-86_400 * 400, 5))
def test_a_tick_within_the_limit_is_taken_however_old(ahead_s: float) -> None:
    assert TickGate().refusal(tick(NOW + timedelta(seconds=ahead_s)), NOW, timedelta(0)) is None


@given(st.timedeltas(timedelta(0), timedelta(days=1) - SECOND))
def test_no_clock_that_is_behind_makes_deaf_for_longer_than_a_minute(off: timedelta) -> None:
    reader = Reader(-off)
    heard = [reader.hears() for _ in range(60)]

    assert all(heard[20:])
    assert heard[0] == (off <= MAX_AHEAD)


@given(st.timedeltas(6 * SECOND, timedelta(days=1)))
def test_a_clock_that_is_set_right_is_strict_again(off: timedelta) -> None:
    reader = Reader(-min(off, timedelta(days=1) - SECOND))
    for _ in range(30):
        reader.hears()
    reader.off = timedelta(0)

    assert reader.hears()
    assert not reader.hears(ahead=6 * SECOND)


@given(st.lists(st.timedeltas(6 * SECOND, timedelta(days=2)), min_size=1, max_size=60))
def test_no_number_of_wrong_ticks_among_right_ones_is_taken(wrong: list[timedelta]) -> None:
    reader = Reader()
    for ahead in wrong:
        assert reader.hears()
        assert not reader.hears(ahead)


def test_ticks_that_disagree_do_not_show_a_clock_to_be_behind() -> None:
    reader = Reader()

    assert not any(reader.hears(timedelta(hours=1 + 5 * (n % 2))) for n in range(100))


def test_history_in_time_does_not_show_that_the_clock_is_right() -> None:
    reader = Reader(timedelta(hours=-1))
    for _ in range(30):
        reader.hears()
        reader.hears(timedelta(hours=-2), source=HISTORY_SOURCE)

    assert reader.hears()


@given(st.timedeltas(-timedelta(days=9), MAX_AHEAD), st.timedeltas(timedelta(0), timedelta(days=9)))
def test_a_tick_that_is_older_than_the_last_is_late(last: timedelta, older: timedelta) -> None:
    assert is_late(tick(NOW + last - older), NOW + last, NOW)


@given(st.integers(6, 86_400 * 400).map(lambda ahead_s: timedelta(seconds=ahead_s)))
def test_a_last_time_from_ahead_makes_no_tick_late(ahead: timedelta) -> None:
    assert not is_late(tick(NOW), NOW + ahead, NOW)
    assert is_late(tick(NOW, source=HISTORY_SOURCE), NOW + ahead, NOW)
    assert is_late(tick(NOW + ahead), NOW + ahead, NOW), "the same tick again confirms nothing"


@given(st.lists(st.timedeltas(-timedelta(days=9), timedelta(days=9))))
def test_no_time_from_ahead_is_believed(times: list[timedelta]) -> None:
    at = believable(NOW, *(NOW + time for time in times))

    assert at <= NOW + MAX_AHEAD
    assert at == NOW or at - NOW in times
