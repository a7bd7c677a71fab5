"""The newest of each page, for all browsers that look: one frame a page, however many look.

A browser that is slow misses frames and holds nobody up; nothing is kept for it. Frames are put up
by threads and taken down in the server's loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: Browsers that may look at once; a person has a few.
VIEWERS_MAX = 64
#: Symbols whose story may be looked at, at once; each is read again and again.
SYMBOLS_MAX = 8


#: Whoever has come may stay so long before another one can take the place, in seconds.
STAYS_S = 2.0


class Full(Exception):
    """As many look already as may; says which limit it is."""


@dataclass(frozen=True, eq=False, slots=True)
class _Viewer:
    """Somebody who looks, since when on the monotonic clock, and how to hang up on them."""

    symbol: str | None
    since: float
    leave: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Frame:
    """A page as it was at `made_at`, on this machine's monotonic clock; `json` is all of it."""

    number: int
    event: str
    json: str
    made_at: float

    def text(self, born: str) -> bytes:
        """The frame as a server-sent event. How old it is stands beside it: old is not news."""
        age_s = time.monotonic() - self.made_at
        return (
            f"id: {born}.{self.number}\nevent: {self.event}\n"
            f'data: {{"age_s":{age_s:.3f},"page":{self.json}}}\n\n'
        ).encode()


class Board:
    """Frames by name: `overview`, `down`, and one `symbol` for each that is looked at."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        # After a restart the numbers begin anew; those of before must not be taken for ours.
        self.born = f"{time.time_ns():x}"
        self.closed = False
        #: Set when somebody looks at a symbol whose story has not been read yet.
        self.wanted = threading.Event()
        self._loop = loop
        self._frames: dict[str, Frame] = {}
        self._number = 0
        self._news = asyncio.Event()
        #: In the order in which they came.
        self._viewers: list[_Viewer] = []
        self._symbols: Counter[str] = Counter()

    def put(self, name: str, event: str, json: str) -> None:
        """Put a frame up, from a thread. Returns when the loop has it: one that hangs shows."""
        made_at = time.monotonic()
        asyncio.run_coroutine_threadsafe(self._put(name, event, json, made_at), self._loop).result()

    async def _put(self, name: str, event: str, json: str, made_at: float) -> None:
        if event == "symbol" and name not in self._symbols:
            return  # Whoever looked at it has left meanwhile.
        if event == "overview":
            self._frames.pop("down", None)
        self._number += 1
        self._frames[name] = Frame(self._number, event, json, made_at)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def close(self) -> None:
        """Send everybody home."""
        self.closed = True
        self._wake()

    def seen(self, last_event_id: str) -> int:
        """The number of the last frame that a browser says it has, 0 if it is not one of ours."""
        born, _, number = last_event_id.partition(".")
        ours = born == self.born and number.isascii() and number.isdecimal()
        return int(number) if ours else 0

    async def newer(self, seen: int, names: tuple[str, ...]) -> list[Frame]:
        """The frames of `names` after `seen`, oldest first; waits for one, or the end."""
        while not self.closed:
            frames = [self._frames[name] for name in names if name in self._frames]
            fresh = sorted((f for f in frames if f.number > seen), key=lambda f: f.number)
            if fresh:
                return fresh
            await self._news.wait()
        return []

    def age_s(self, name: str) -> float | None:
        """How old a frame is, None if there is none."""
        frame = self._frames.get(name)
        return None if frame is None else time.monotonic() - frame.made_at

    @contextmanager
    def viewer(self, symbol: str | None, leave: Callable[[], None]) -> Iterator[None]:
        """Count somebody in who looks, and at what; `leave` hangs up on whoever must make room.

        Raises:
            Full: no more may look, and those who do have only just come.
        """
        if len(self._viewers) >= VIEWERS_MAX:
            self._displace(self._viewers[:1], f"{VIEWERS_MAX} pages are open already")
        if symbol and symbol not in self._symbols and len(self._symbols) >= SYMBOLS_MAX:
            longest = self._viewers_of_longest_shown()
            self._displace(longest, f"pages of {SYMBOLS_MAX} symbols are open already")
        own = _Viewer(symbol, self._now(), leave)
        self._viewers.append(own)
        if symbol:
            self._symbols[symbol] += 1
            self.wanted.set()
        try:
            yield
        finally:
            self._count_out(own)

    def _viewers_of_longest_shown(self) -> list[_Viewer]:
        """All who look at the symbol that nobody has come to for the longest time."""
        newest = {v.symbol: v for v in self._viewers if v.symbol}
        symbol = min(newest.values(), key=lambda viewer: viewer.since).symbol
        return [viewer for viewer in self._viewers if viewer.symbol == symbol]

    def _displace(self, viewers: list[_Viewer], limit: str) -> None:
        """Send those home who have looked the longest: whether anybody reads, nobody can tell.

        A browser comes back by itself within a second; a client that hangs does not.
        """
        now = self._now()
        if any(now - viewer.since < STAYS_S for viewer in viewers):
            raise Full(limit)
        for viewer in viewers:
            self._count_out(viewer)
            viewer.leave()

    def _count_out(self, viewer: _Viewer) -> None:
        """Free a place, once."""
        if viewer not in self._viewers:
            return
        self._viewers.remove(viewer)
        if viewer.symbol:
            self._symbols[viewer.symbol] -= 1
            if not self._symbols[viewer.symbol]:
                del self._symbols[viewer.symbol]
                self._frames.pop(viewer.symbol, None)

    def symbols(self) -> tuple[str, ...]:
        """The symbols that are looked at; from any thread."""
        return tuple(self._symbols)
