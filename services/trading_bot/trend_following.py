"""The strategy that comes with the suite: go with the move of the last 24 hours. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from services.trading_bot.strategies import MarketView, Signal
from shared.sides import Side


@dataclass(frozen=True, slots=True)
class TrendFollowing:
    """BUY above +1 % over 24 h, SELL below -1 %, neither from one to the other.

    confidence = min(0.50 + |change|, 0.80), with the change as a fraction: 3 % gives 0.53.
    """

    name: ClassVar[str] = "trend_following"

    threshold: Decimal = Decimal("0.01")
    base_confidence: Decimal = Decimal("0.50")
    max_confidence: Decimal = Decimal("0.80")

    def signal(self, view: MarketView) -> Signal | None:
        """The side of the move, or None while it is small or 24 h are not known."""
        change = view.change_24h
        if change is None or abs(change) <= self.threshold:
            return None
        return Signal(
            side=Side.BUY if change > 0 else Side.SELL,
            confidence=min(self.base_confidence + abs(change), self.max_confidence),
            reason=f"{change * 100:+.2f} % in 24 h",
        )
