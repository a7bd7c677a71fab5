"""Reads in a thread of their own, so that what is heard meanwhile is decided meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from shared.outside import Waits

#: How long to wait for a read before what else has come is heard.
_WAITS_S = 0.01

T = TypeVar("T")


class Aside:
    """One thread that reads, one read at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="look")
        self.busy = False

    def read(self, read: Callable[[], T]) -> Generator[object, None, T]:
        """Yield `Waits` until it is read, and return that; what it raises is raised here."""
        self.busy = True
        try:
            future = self._pool.submit(read)
            while wait((future,), _WAITS_S).not_done:
                yield Waits()
            return future.result()
        finally:
            self.busy = False

    def close(self) -> None:
        """Begin no more."""
        self._pool.shutdown(wait=False)
