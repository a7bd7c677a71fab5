"""Which prices a reader takes: none from ahead of time, and none that comes late.

Pure. In a stream the later entry is the newer one. Market time only tells a tick that came twice,
or that fills a gap behind the others, from one that is news; it is never a reason to be deaf.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.contracts import HISTORY_SOURCE, MarketTick

#: A time further ahead of the clock here than this is not believed, wherever it stands.
MAX_AHEAD = timedelta(seconds=5)
#: Beyond it no clock is behind: the time is wrong.
MOST_AHEAD = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: How many ticks, over how long, must agree that it is the clock here that is behind.
WITNESSES = 10
WITNESSED_FOR = timedelta(seconds=15)
#: A tick with a time older than this says nothing of whether the clock here is behind.
_CURRENT = timedelta(seconds=60)


def is_ahead(at: datetime, now: datetime) -> bool:
    """Whether a time lies so far ahead of the clock here that it is not believed."""
    return at - now > MAX_AHEAD


def is_late(tick: MarketTick, last_at: datetime | None, now: datetime) -> bool:
    """Whether a tick is no news after the last one of its symbol, which was of `last_at`.

    A `last_at` that is ahead of the clock here was never right, so that it makes no tick late.
    """
    if last_at is None or tick.timestamp > last_at:
        return False
    doubled = tick.timestamp == last_at
    return doubled or tick.source == HISTORY_SOURCE or not is_ahead(last_at, now)


def believable(now: datetime, *times: datetime) -> datetime:
    """The latest of the times that are not ahead of the clock here; the clock's if there is none.

    A market time that a message states bounds what is waited for; from ahead it would bound it to
    a day.
    """
    return max((at for at in times if not is_ahead(at, now)), default=now)


@dataclass(frozen=True, slots=True)
class _Suspicion:
    """Ticks in a row that are all ahead by about the same."""

    since: timedelta
    ahead: timedelta
    witnesses: int = 1


class TickGate:
    """Refuses ticks from ahead of time, unless it is the clock here that is behind.

    One tick from ahead is wrong. When all are, by the same, for a while, the clock here is.
    `behind` is by how much it was found to be.
    """

    def __init__(self, max_ahead: timedelta = MAX_AHEAD) -> None:
        self._max_ahead = max_ahead
        self._suspicion: _Suspicion | None = None
        self.behind = timedelta(0)

    def refusal(self, tick: MarketTick, now: datetime, steady: timedelta) -> str | None:
        """Why a tick is not taken, or None. `steady` is a clock that no hand sets."""
        ahead = max(tick.timestamp, tick.produced_at) - now
        if ahead <= self._max_ahead:
            if ahead >= -_CURRENT and tick.source != HISTORY_SOURCE:
                self._suspicion, self.behind = None, timedelta(0)
            return None
        if ahead <= MOST_AHEAD and (self._explains(ahead) or self._witnessed(ahead, steady)):
            return None
        return f"its time is {ahead.total_seconds():.1f} s ahead of the clock here"

    def refusal_of(self, tick: MarketTick, taken_at: datetime) -> str | None:
        """Why a tick is not taken, judged by when the server took it, for who reads by a cursor."""
        return self.refusal(tick, taken_at, taken_at - _EPOCH)

    def _explains(self, ahead: timedelta) -> bool:
        return bool(self.behind) and ahead <= self.behind + self._max_ahead

    def _witnessed(self, ahead: timedelta, steady: timedelta) -> bool:
        before = self._suspicion
        if before is None or abs(ahead - before.ahead) > self._max_ahead:
            self._suspicion = _Suspicion(steady, ahead)
            return False
        self._suspicion = _Suspicion(before.since, before.ahead, before.witnesses + 1)
        if before.witnesses + 1 < WITNESSES or steady - before.since < WITNESSED_FOR:
            return False
        self.behind = before.ahead
        return True
