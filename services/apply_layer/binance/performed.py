"""Which orders had their answer: what a view that is begun now can tell of, by their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Performed:
    """The numbers of the orders that are under way, and the highest one that was begun."""

    def __init__(self) -> None:
        self._highest = 0
        self._under_way: set[int] = set()

    def restore(self, number: int) -> None:
        """Whatever an earlier life sent has its answer, or never gets one."""
        self._highest = number
        self._under_way.clear()

    @contextmanager
    def under_way(self, number: int) -> Iterator[None]:
        """The order of this number is being performed."""
        self._under_way.add(number)
        try:
            yield
        finally:
            self._highest = max(self._highest, number)
            self._under_way.discard(number)

    @property
    def up_to(self) -> int:
        """The highest number such that this order and all before it had their answer."""
        return min(self._under_way, default=self._highest + 1) - 1
