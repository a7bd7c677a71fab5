"""The time in one process's life: it goes on evenly, however the wall clock is set meanwhile.

It starts at the wall clock and goes on by a clock that no hand sets. That the wall clock was set
is said (`clock_stepped`) and changes nothing, until a message shows that it was set right: then
this clock follows it (`clock_followed`). Where all that is heard, for a while, is ahead or behind
by the same, it is this clock that is wrong, and it is put right (`clock_corrected`).

Reads the system's clocks; writes the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

from shared.log import logger
from shared.ticks import WITNESSED_FOR, WITNESSES

_NOTHING = timedelta(0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: A wall clock that is off by less was not set, and need not be followed.
_STEP = timedelta(milliseconds=500)
#: A message that has just come was produced at most so long ago, by the right clock.
_NEAR = timedelta(seconds=5)
#: Beyond it a message's time says nothing of our clock.
_MOST = timedelta(days=2)
#: Also counts while the machine sleeps, where the system has such a clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _wall() -> datetime:
    return datetime.now(UTC)


def _steady() -> timedelta:
    return timedelta(microseconds=time.clock_gettime_ns(_STEADY) // 1000)


@dataclass(frozen=True, slots=True)
class _Suspicion:
    since: timedelta
    off: timedelta
    witnesses: int = 1


class Clock:
    """One for a process. `now` may be asked from any thread; the rest is the loop's."""

    def __init__(
        self,
        wall: Callable[[], datetime] = _wall,
        steady: Callable[[], timedelta] = _steady,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._base = (wall(), steady())
        self._stepped = _NOTHING
        self._suspicion: _Suspicion | None = None

    @classmethod
    def of(cls, now: Callable[[], datetime]) -> Self:
        """A clock that is read elsewhere and that nobody sets."""
        return cls(now, lambda: now() - _EPOCH)

    def steady(self) -> timedelta:
        """A clock that no hand sets, for what is measured within a life."""
        return self._steady()

    def now(self) -> datetime:
        """The time, in whole milliseconds as messages have it."""
        at, since = self._base
        now = at + (self._steady() - since)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def latest(self) -> datetime:
        """The later of this clock and the wall clock: what is ahead of both is ahead."""
        return max(self.now(), self._wall())

    def notice(self) -> None:
        """Say that the wall clock was set, once for each time."""
        stepped = self._wall() - self.now()
        if abs(stepped - self._stepped) >= _STEP:
            by_s = (stepped - self._stepped).total_seconds()
            self._stepped = stepped
            logger().error("clock_stepped", by_s=round(by_s, 3))

    def follow(self, produced_at: datetime, read_at: datetime) -> timedelta:
        """Follow the wall clock if what has just come shows it to be right; by how much this did.

        `produced_at` is when somebody else says it was made, `read_at` when it came by this clock.
        """
        if not self._stepped:
            return _NOTHING
        off, stepped = produced_at - read_at, self._wall() - self.now()
        if abs(stepped) < _STEP or abs(off - stepped) >= min(abs(off), _NEAR):
            return _NOTHING
        return self._set("clock_followed", stepped)

    def correct(self, produced_at: datetime, read_at: datetime, *, fresh: bool) -> timedelta:
        """Learn from a message whether it is this clock that is wrong; by how much it was set.

        `fresh` says that it came while it was waited for, so that its age is not its wait.
        """
        off = produced_at - read_at
        if abs(off) <= _NEAR:
            self._suspicion = None
            return _NOTHING
        old = off < _NOTHING and not fresh
        if old or abs(off) > _MOST or not self._witnessed(off):
            return _NOTHING
        return self._set("clock_corrected", off)

    def _witnessed(self, off: timedelta) -> bool:
        before, steady = self._suspicion, self._steady()
        if before is None or abs(off - before.off) > _NEAR:
            self._suspicion = _Suspicion(steady, off)
            return False
        self._suspicion = replace(before, witnesses=before.witnesses + 1)
        return before.witnesses + 1 >= WITNESSES and steady - before.since >= WITNESSED_FOR

    def _set(self, how: str, by: timedelta) -> timedelta:
        at, since = self._base
        self._base = (at + by, since)
        self._suspicion = None
        self._stepped = self._wall() - self.now()
        logger().error(how, by_s=round(by.total_seconds(), 3))
        return by


#: The clock of this process.
CLOCK = Clock()
