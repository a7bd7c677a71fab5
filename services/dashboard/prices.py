"""The prices of every symbol over time, in as few bars as a chart can show.

Pure; reads and writes nothing. Times are market time in seconds since 1970, prices floats: they
are for drawing, and nothing is decided with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

#: Bars that are kept of a symbol; beyond them two become one, twice as wide.
BARS_MAX = 1200
#: Symbols that are kept; beyond them the one that came first goes.
SYMBOLS_MAX = 200


class Bar(NamedTuple):
    """What the price did from `at` on, for as long as a bar is wide."""

    at: int
    low: float
    high: float
    last: float


@dataclass(slots=True)
class Bars:
    """One symbol's bars, oldest first, each `width_s` wide."""

    width_s: int = 1
    bars: list[Bar] = field(default_factory=list)

    def add(self, at: float, price: float) -> None:
        """Take a price over; one that is older than the last bar is left out, as the ring does."""
        start = int(at) // self.width_s * self.width_s
        last = self.bars[-1] if self.bars else None
        if last is None or start > last.at:
            self.bars.append(Bar(start, price, price, price))
            if len(self.bars) > BARS_MAX:
                self._widen()
        elif start == last.at:
            self.bars[-1] = _joined(last, Bar(start, price, price, price))

    def _widen(self) -> None:
        self.width_s *= 2
        wider: list[Bar] = []
        for bar in self.bars:
            start = bar.at // self.width_s * self.width_s
            if wider and wider[-1].at == start:
                wider[-1] = _joined(wider[-1], bar)
            else:
                wider.append(bar._replace(at=start))
        self.bars = wider

    def since(self, at: float) -> list[Bar]:
        """The bars that end after a moment."""
        return [bar for bar in self.bars if bar.at + self.width_s > at]


class Prices:
    """The bars of every symbol."""

    def __init__(self) -> None:
        self._bars: dict[str, Bars] = {}

    def add(self, symbol: str, at: float, price: float) -> None:
        """Take a price over."""
        self._bars.setdefault(symbol, Bars()).add(at, price)
        if len(self._bars) > SYMBOLS_MAX:
            del self._bars[next(iter(self._bars))]

    def of(self, symbol: str) -> Bars:
        """A symbol's bars, none if nothing was told of it."""
        return self._bars.get(symbol, Bars())


def thinned(bars: list[Bar], most: int) -> Iterator[Bar]:
    """At most so many of the bars, evenly, and always the last."""
    step = max(-(-len(bars) // most), 1)
    yield from reversed(bars[::-1][::step])


def _joined(first: Bar, second: Bar) -> Bar:
    return Bar(first.at, min(first.low, second.low), max(first.high, second.high), second.last)
