"""A process has a clock that goes on evenly, follows the wall when that is right, and heals."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import Clock
from tests.jumps import JUMPS_S

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND, NOTHING = timedelta(seconds=1), timedelta(0)


@dataclass
class Machine:
    """True time, and a wall clock that is set by hand."""

    off: timedelta = NOTHING
    passed: timedelta = NOTHING
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(self.wall, lambda: self.passed)

    def wall(self) -> datetime:
        return START + self.passed + self.off

    @property
    def true(self) -> datetime:
        return START + self.passed

    @property
    def error(self) -> timedelta:
        """How far the clock is from true time."""
        return self.clock.now() - self.true

    def hears(self, off: timedelta = NOTHING, *, fresh: bool = True, times: int = 1) -> None:
        """A second passes and a message comes by a clock that is off by so much; so many times."""
        for _ in range(times):
            self.passed += SECOND
            self.clock.notice()
            made_at, read_at = self.true + off, self.clock.now()
            if not (fresh and self.clock.follow(made_at, read_at)):
                self.clock.correct(made_at, read_at, fresh=fresh)


def jumps(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


@given(st.lists(st.tuples(st.timedeltas(NOTHING, timedelta(days=1)), JUMPS_S)))
def test_it_goes_on_evenly_however_the_wall_clock_is_set(
    steps: list[tuple[timedelta, int]],
) -> None:
    machine = Machine()
    for passed, by_s in steps:
        before = machine.clock.now()
        machine.passed += passed
        machine.off += jumps(by_s)
        machine.clock.notice()

        assert machine.clock.now() >= before
        assert abs(machine.error) < SECOND


@given(JUMPS_S)
def test_messages_of_those_who_go_on_evenly_keep_it_there(by_s: int) -> None:
    machine = Machine()
    machine.off = jumps(by_s)
    machine.hears(times=100)

    assert abs(machine.error) < SECOND


@given(JUMPS_S)
def test_a_wall_clock_that_is_set_right_is_followed_at_the_first_message(wrong_s: int) -> None:
    machine = Machine(off=jumps(wrong_s))
    machine.passed += SECOND
    machine.off = NOTHING
    machine.hears()

    assert abs(machine.error) < SECOND


@given(JUMPS_S, st.timedeltas(timedelta(seconds=30), timedelta(days=1)))
def test_what_has_waited_shows_no_clock_to_be_right(by_s: int, age: timedelta) -> None:
    machine = Machine()
    machine.off = jumps(by_s)
    machine.hears(-age, fresh=False, times=100)

    assert abs(machine.error) < SECOND


@given(JUMPS_S.filter(lambda by_s: abs(by_s) > 5))
def test_a_process_that_starts_by_a_wrong_clock_is_right_within_a_minute(wrong_s: int) -> None:
    machine = Machine(off=jumps(wrong_s))
    machine.hears(times=60)

    assert abs(machine.error) <= SECOND


@given(st.integers(5, 86_400))
def test_one_voice_from_ahead_among_many_puts_nothing_wrong(ahead_s: int) -> None:
    machine = Machine()
    for _ in range(60):
        machine.hears()
        machine.hears(jumps(ahead_s))

    assert abs(machine.error) < SECOND


def test_a_backlog_that_is_caught_up_with_puts_nothing_wrong() -> None:
    machine = Machine()
    for age_s in range(600, 0, -10):
        machine.hears(jumps(-age_s))

    assert abs(machine.error) < SECOND


def test_a_time_of_another_age_says_nothing() -> None:
    machine = Machine()
    machine.hears(timedelta(days=365 * 7000), times=60)

    assert abs(machine.error) < SECOND


@pytest.mark.parametrize("by_s", [-3600, 2])
def test_a_step_is_said_once(by_s: int) -> None:
    with structlog.testing.capture_logs() as lines:
        machine = Machine()
        machine.off = jumps(by_s)
        for _ in range(10):
            machine.passed += SECOND
            machine.clock.notice()

    assert [(line["event"], line["by_s"]) for line in lines] == [("clock_stepped", by_s)]


def test_a_clock_that_is_put_right_says_so_once() -> None:
    with structlog.testing.capture_logs() as lines:
        Machine(off=jumps(-3600)).hears(times=60)

    assert [line["event"] for line in lines] == ["clock_corrected"]


def test_the_real_clock_goes_with_the_wall_clock() -> None:
    clock = Clock()

    assert abs(clock.now() - datetime.now(UTC)) < SECOND
    assert clock.latest() >= clock.now()
