"""The newest of each page, for all browsers that look: one frame a page, however many look.

A browser that is slow misses frames and holds nobody up; nothing is kept for it. Frames are put up
by threads and taken down in the server's loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: Browsers that may look at once; a person has a few.
VIEWERS_MAX = 64
#: Symbols whose story may be looked at, at once; each is read again and again.
SYMBOLS_MAX = 8


class Full(Exception):
    """As many look already as may; says which limit it is."""


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

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # After a restart the numbers begin anew; those of before must not be taken for ours.
        self.born = f"{time.time_ns():x}"
        self.closed = False
        #: Set when somebody looks at a symbol whose story has not been read yet.
        self.wanted = threading.Event()
        self._loop = loop
        self._frames: dict[str, Frame] = {}
        self._number = 0
        self._news = asyncio.Event()
        self._viewers = 0
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
    def viewer(self, symbol: str | None) -> Iterator[None]:
        """Count somebody in who looks, and at what.

        Raises:
            Full: no more may look.
        """
        if self._viewers >= VIEWERS_MAX:
            raise Full(f"{VIEWERS_MAX} pages are open already")
        if symbol and symbol not in self._symbols and len(self._symbols) >= SYMBOLS_MAX:
            raise Full(f"pages of {SYMBOLS_MAX} symbols are open already")
        self._viewers += 1
        if symbol:
            self._symbols[symbol] += 1
            self.wanted.set()
        try:
            yield
        finally:
            self._viewers -= 1
            if symbol:
                self._symbols[symbol] -= 1
                if not self._symbols[symbol]:
                    del self._symbols[symbol]
                    self._frames.pop(symbol, None)

    def symbols(self) -> tuple[str, ...]:
        """The symbols that are looked at; from any thread."""
        return tuple(self._symbols)
