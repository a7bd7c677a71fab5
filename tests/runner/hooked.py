"""A bus that stands before another and calls back at each step, so that a test can strike there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.bus import Backlog, Bus, Commit, Entry
from shared.streams import Stream

#: The steps of a turn, in their order; `idle` is a read that found nothing.
STEPS = ("before_read", "after_read", "idle", "before_commit", "after_commit")


class HookedBus:
    """Calls `hook(step)` at each step, and then does what the bus behind it does."""

    def __init__(self, bus: Bus, hook: Callable[[str], None]) -> None:
        self.behind = bus
        self.hook = hook

    def acquire(self) -> dict[str, bytes]:
        return self.behind.acquire()

    def read(self, *, count: int, block_ms: int) -> list[Entry]:
        self.hook("before_read")
        entries = self.behind.read(count=count, block_ms=min(block_ms, 20))
        self.hook("after_read" if entries else "idle")
        return entries

    def commit(self, commit: Commit) -> None:
        self.hook("before_commit")
        self.behind.commit(commit)
        self.hook("after_commit")

    def mode(self) -> str | None:
        return self.behind.mode()

    def backlog(self) -> list[Backlog]:
        return self.behind.backlog()

    def trim(self, stream: Stream) -> None:
        self.behind.trim(stream)

    def beat(self, sign: Mapping[str, str]) -> None:
        self.behind.beat(sign)

    def close(self) -> None:
        self.behind.close()
