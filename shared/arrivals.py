"""When messages arrived, and which of them are ahead of time: the runner's side of the clock.

Reads the process's clock; writes the log, one figure, and the time of the last commits, by which a
clock that went back over a restart shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from shared.bus import Entry
from shared.clock import Clock
from shared.contracts import BadMessage, MarketTick, Message
from shared.log import logger
from shared.metrics import RunnerMetrics
from shared.streams import BATCH, TRADE_INTENT
from shared.ticks import MOST_AHEAD, TickGate, is_ahead

#: What stands in a daemon's state for the time of its last commits.
_DOCUMENT = "clock"
_KEPT_EVERY = timedelta(seconds=5)
#: How long after all was read an entry is surely one that came since.
_FRESH = timedelta(seconds=5)


class Arrivals:
    """What one daemon's runner knows of time."""

    def __init__(
        self, daemon: str, clock: Clock, max_tick_ahead: timedelta, metrics: RunnerMetrics
    ) -> None:
        self.now = clock.now
        self._daemon = daemon
        self._clock = clock
        self._gate = TickGate(max_tick_ahead)
        self._metrics = metrics
        #: When the last entries were read, by this clock, and by the later of it and the wall.
        self._at = self._latest = clock.now()
        self._emptied_at: timedelta | None = None
        self._fresh = False
        self._kept_at: timedelta | None = None

    def began(self, documents: Mapping[str, bytes]) -> None:
        """Say it if the clock went back over the restart: what is kept then lies ahead of it."""
        if _DOCUMENT not in documents:
            return
        kept, now = datetime.fromisoformat(documents[_DOCUMENT].decode()), self.now()
        if is_ahead(kept, now):
            logger().error("clock_went_back", by_s=round((kept - now).total_seconds(), 3))

    def came(self, entries: Sequence[Entry]) -> None:
        """Note a read: entries came while they were waited for if all before them was read."""
        self._clock.notice()
        self._at, self._latest = self._clock.now(), self._clock.latest()
        steady, emptied_at = self._clock.steady(), self._emptied_at
        self._fresh = emptied_at is not None and steady - emptied_at <= _FRESH
        counts = Counter(entry.stream.name for entry in entries)
        again = any(entry.deliveries > 1 for entry in entries)
        self._emptied_at = None if again or max(counts.values(), default=0) >= BATCH else steady

    def heard(self, message: Message) -> timedelta:
        """Let a message put the clock right; returns by how much it did.

        Whoever agrees with the wall clock shows it to be right. That both are wrong is shown by the
        daemons alone: strangers write intents. What a daemon says itself tells it nothing.
        """
        by = timedelta(0)
        if message.source == self._daemon:
            return by
        if self._fresh:
            by = self._clock.follow(message.produced_at, self._at)
        if not by and message.stream_name != TRADE_INTENT.name:
            by = self._clock.correct(message.produced_at, self._at, fresh=self._fresh)
        if by:
            self._at, self._latest = self._clock.now(), self._clock.latest()
        return by

    def refuse_ahead(self, message: Message) -> None:
        """Refuse what is ahead of time: a price soon, all else only if it is of another age.

        After a market time of a far future nothing would ever be new again. For other messages the
        limit is wide, because a clock that is an hour off must not cost a fill its reader.

        Raises:
            BadMessage: `ahead_of_time`.
        """
        if isinstance(message, MarketTick):
            self._refuse_tick(message)
            return
        ahead = max(message.produced_at, message.timestamp) - self._latest
        if ahead > MOST_AHEAD:
            raise BadMessage(
                "ahead_of_time", f"timestamp: is {ahead.days} days ahead of the clock here"
            )

    def _refuse_tick(self, tick: MarketTick) -> None:
        before = self._gate.behind
        refused = self._gate.refusal(tick, self._latest, self._clock.steady())
        if self._gate.behind != before:
            by_s = self._gate.behind.total_seconds()
            self._metrics.clock_behind.set(by_s)
            if by_s:
                logger().error("clock_behind", by_s=round(by_s, 3))
        if refused:
            raise BadMessage("ahead_of_time", f"timestamp: {refused}")

    def documents(self) -> dict[str, bytes]:
        """What the time is, to be kept with a commit now and then."""
        steady = self._clock.steady()
        if self._kept_at is not None and steady - self._kept_at < _KEPT_EVERY:
            return {}
        self._kept_at = steady
        return {_DOCUMENT: self.now().isoformat(timespec="milliseconds").encode()}
