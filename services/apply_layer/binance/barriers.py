"""Why no entry may be made now: what the venue's refusals mean beyond the one call."""

from __future__ import annotations

from services.apply_layer.binance.answers import Meaning
from services.apply_layer.binance.budget import Budget
from services.apply_layer.binance.client import VenueError

_LOCKED_OUT_S, _OVERLOADED_S = 600.0, 5.0


class Barriers:
    """By code, each with its reason and until when it stands, in seconds of a monotonic clock."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._standing: dict[str, tuple[str, float]] = {}

    def note(self, error: VenueError, now: float) -> None:
        """Raise the barrier that a refusal asks for, if it asks for one."""
        barrier = {
            Meaning.LOCKED_OUT: ("credentials", now + _LOCKED_OUT_S),
            Meaning.OVERLOADED: ("overloaded", now + _OVERLOADED_S),
            Meaning.SLOW_DOWN: ("rate_limited", self._budget.paused_until),
            Meaning.BANNED: ("banned", self._budget.banned_until),
        }.get(error.meaning)
        if barrier is not None:
            code, until = barrier
            self._standing[code] = (str(error), until)

    def standing(self, now: float) -> dict[str, str]:
        """The reasons that hold now, by code."""
        self._standing = {code: bar for code, bar in self._standing.items() if bar[1] > now}
        return {code: text for code, (text, _) in self._standing.items()}
