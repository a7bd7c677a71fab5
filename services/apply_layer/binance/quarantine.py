"""Symbols that cannot be read, named or traded: each is set apart alone, and tried again.

Pure but for what it remembers; times are seconds of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.apply_layer.binance.client import NoAnswer
from services.apply_layer.exchange import Quarantine

_FIRST_S, _LONGEST_S = 0.5, 30.0


class SymbolUnread(NoAnswer):
    """One symbol could not be read; nothing is said of the others."""

    def __init__(self, symbol: str, code: str, reason: str) -> None:
        super().__init__(f"{symbol}: {reason}")
        self.symbol = symbol
        self.why = Quarantine(code, reason)


@dataclass(frozen=True, slots=True)
class _Kept:
    why: Quarantine
    again_at: float
    wait_s: float


class Quarantines:
    """By symbol. What is `unread` is in no view; what is only `barred` takes no entry."""

    def __init__(self) -> None:
        self._unread: dict[str, _Kept] = {}
        self._barred: dict[str, Quarantine] = {}

    @property
    def unread(self) -> frozenset[str]:
        """The symbols about which nothing is known now."""
        return frozenset(self._unread)

    @property
    def standing(self) -> dict[str, Quarantine]:
        """Every symbol in quarantine, with the reason."""
        return {**self._barred, **{symbol: kept.why for symbol, kept in self._unread.items()}}

    def waiting(self, now: float) -> frozenset[str]:
        """The unread symbols whose next try is not due yet."""
        return frozenset(s for s, kept in self._unread.items() if kept.again_at > now)

    def due(self, now: float) -> frozenset[str]:
        """The unread symbols to be tried again now."""
        return self.unread - self.waiting(now)

    def set_apart(self, symbol: str, why: Quarantine, now: float) -> None:
        """A symbol could not be read; the next try comes later than the last one did."""
        before = self._unread.get(symbol)
        wait_s = _FIRST_S if before is None else min(2 * before.wait_s, _LONGEST_S)
        self._unread[symbol] = _Kept(why, now + wait_s, wait_s)

    def release(self, symbols: Iterable[str]) -> None:
        """These can be read again, or are of no concern any more."""
        for symbol in symbols:
            self._unread.pop(symbol, None)

    def bar(self, barred: Mapping[str, Quarantine]) -> None:
        """These, and no others, are read and protected but take no entry."""
        self._barred = dict(barred)
