"""The rate budget: weights and order counts as the venue counts them, a part kept for protection.

Pure: the caller brings the time, in seconds of any monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_MINUTE_S = 60.0


class Purpose(StrEnum):
    """What a call is for. Only PROTECT may use the part of the budget that is kept."""

    #: Stops, exits and their cancels, and reads that a missing stop waits for.
    PROTECT = "protect"
    #: Entries, and what prepares them.
    TRADE = "trade"
    #: Looks that nothing calls for.
    WATCH = "watch"
    #: The past: old trades, funding.
    HISTORY = "history"


@dataclass(slots=True)
class Budget:
    """`limit` and `orders_limit` are per minute; `reserve` is the share that only protection uses.

    The venue's own counts arrive with each answer, so calls of others from the same address count.
    """

    limit: int = 2400
    orders_limit: int = 1200
    orders_10s_limit: int = 300
    reserve: float = 0.30
    used: int = 0
    orders: int = 0
    orders_10s: int = 0
    heard_at: float = 0.0
    paused_until: float = 0.0
    banned_until: float = 0.0

    def limited(self, limits: Iterable[Mapping[str, Any]]) -> None:
        """Take over the venue's limits from its exchangeInfo."""
        for row in limits:
            kind = (row["rateLimitType"], row["interval"], int(row["intervalNum"]))
            if kind == ("REQUEST_WEIGHT", "MINUTE", 1):
                self.limit = int(row["limit"])
            elif kind == ("ORDERS", "MINUTE", 1):
                self.orders_limit = int(row["limit"])
            elif kind == ("ORDERS", "SECOND", 10):
                self.orders_10s_limit = int(row["limit"])

    def heard(self, headers: Mapping[str, str], now: float) -> None:
        """Take over the venue's counts from the headers of an answer."""
        counts = {name.upper(): value for name, value in headers.items()}

        def count(name: str, before: int) -> int:
            text = counts.get(name, "")
            return int(text) if text.isascii() and text.isdigit() else before

        self.used = count("X-MBX-USED-WEIGHT-1M", self.used)
        self.orders = count("X-MBX-ORDER-COUNT-1M", self.orders)
        self.orders_10s = count("X-MBX-ORDER-COUNT-10S", self.orders_10s)
        self.heard_at = now

    def slow_down(self, seconds: float, now: float, *, banned: bool) -> None:
        """The venue has said for how long it wants to hear nothing."""
        self.paused_until = max(self.paused_until, now + seconds)
        if banned:
            self.banned_until = max(self.banned_until, now + seconds)

    def refusal(self, now: float, *, weight: int, orders: int, purpose: Purpose) -> str | None:
        """Why a call of this weight may not be made now, or None.

        PROTECT may use the whole budget; nothing at all is called while the venue has asked
        for silence.
        """
        if now < self.paused_until:
            return f"the venue wants silence for {self.paused_until - now:.0f} s more"
        share = 1.0 if purpose is Purpose.PROTECT else 1.0 - self.reserve
        age_s = now - self.heard_at
        used = self.used if age_s < _MINUTE_S else 0
        counted = self.orders if age_s < _MINUTE_S else 0
        lately = self.orders_10s if age_s < _MINUTE_S / 6 else 0
        over = (
            used + weight > self.limit * share
            or counted + orders > self.orders_limit * share
            or lately + orders > self.orders_10s_limit * share
        )
        return "the rest of the budget is kept for stops and exits" if over else None
