"""Requests to the outside world, performed side by side in threads of their own.

Requests of one key go out one after the other, in their order. A free thread takes the lowest rank
first, and some threads are kept for rank 0, so that what protects waits for nothing else. Answers
are handed out in the order in which they came, to the one thread that asks for them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from shared.bus import Entry

T = TypeVar("T")


class Performs(Protocol):
    """What does the requests, in whichever thread it is called."""

    def perform(self, request: object) -> Iterable[object]:
        """Do it, and tell what came of it."""
        ...


@dataclass(slots=True)
class Cause:
    """What brought requests about: a message, or a look. `open` of them are not over."""

    entry: Entry | None = None
    open: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request stands in line: behind those of its `key`, before those of a higher rank."""

    key: str
    rank: int


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A request that is over. `answers` raises what performing it raised."""

    request: object
    cause: T
    future: Future[tuple[object, ...]]

    def answers(self) -> tuple[object, ...]:
        """What performing it brought."""
        return self.future.result()


@dataclass(slots=True)
class _Waiting(Generic[T]):
    request: object
    place: Place
    cause: T


class AtOnce(Generic[T]):
    """At most `most` requests at a time, `kept` of them for rank 0; each is told with its cause."""

    def __init__(self, outside: Performs, *, most: int, kept: int) -> None:
        self._outside = outside
        self._most = most
        self._kept = kept
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="request")
        self._lock = threading.RLock()
        self._waiting: list[_Waiting[T]] = []
        self._running: dict[str, _Waiting[T]] = {}
        self._over: queue.SimpleQueue[Done[T]] = queue.SimpleQueue()
        self._not_told: list[tuple[object, str]] = []

    def __len__(self) -> int:
        """How many requests wait, run, or are over and not handed out."""
        return len(self._not_told)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all those."""
        return frozenset(key for _, key in self._not_told)

    def has(self, request: object) -> bool:
        """Whether this very request is under way already."""
        return any(request == other for other, _ in self._not_told)

    def submit(self, request: object, place: Place, cause: T) -> None:
        """Put a request in line."""
        self._not_told.append((request, place.key))
        with self._lock:
            self._waiting.append(_Waiting(request, place, cause))
            self._begin()

    def done(self, wait_s: float) -> list[Done[T]]:
        """What is over and was not handed out, after at most so many seconds without any."""
        found: list[Done[T]] = []
        try:
            found.append(self._over.get(timeout=wait_s) if wait_s > 0 else self._over.get_nowait())
            while True:
                found.append(self._over.get_nowait())
        except queue.Empty:
            pass
        told = [done.request for done in found]
        self._not_told = [item for item in self._not_told if item[0] not in told]
        return found

    def close(self) -> None:
        """Begin nothing more; what runs goes on to its end, and nobody hears of it."""
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        """Start what may be started; the lock is held."""
        while (chosen := self._next()) is not None:
            self._waiting.remove(chosen)
            self._running[chosen.place.key] = chosen
            future = self._pool.submit(self._answers, chosen.request)
            future.add_done_callback(partial(self._end, chosen))

    def _next(self) -> _Waiting[T] | None:
        others = sum(run.place.rank > 0 for run in self._running.values())
        room = len(self._running) < self._most
        best: _Waiting[T] | None = None
        seen = set(self._running)
        for waiting in self._waiting:
            key, rank = waiting.place.key, waiting.place.rank
            free = room and (rank == 0 or others < self._most - self._kept)
            if free and key not in seen and (best is None or rank < best.place.rank):
                best = waiting
            seen.add(key)
        return best

    def _answers(self, request: object) -> tuple[object, ...]:
        return tuple(self._outside.perform(request))

    def _end(self, run: _Waiting[T], future: Future[tuple[object, ...]]) -> None:
        with self._lock:
            self._running.pop(run.place.key, None)
            self._over.put(Done(run.request, run.cause, future))
            if not future.cancelled():
                self._begin()
