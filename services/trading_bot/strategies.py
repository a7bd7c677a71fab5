"""The plug-in interface: what a strategy is shown, and what it may answer.

Pure; reads and writes nothing. A strategy is any object with a `name` and a pure `signal`. It is
installed by naming its class in the entry-point group `quantum.strategies` and chosen by that
entry's name (plugins). It decides direction and confidence; size, leverage, stop and targets are
not its business.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol, runtime_checkable

from shared.formulas import Bar, Regime
from shared.sides import Side


@dataclass(frozen=True, slots=True)
class MarketView:
    """One symbol at one market time, shown each time that a minute has closed.

    `price` is the mark price at `at`, in quote units, and newer than every bar. `change_24h` is
    price / (price 24 h ago) - 1, None until 24 h are known. `atr_1h` is the ATR(14) of hourly bars
    in quote units, None until 14 of them are known. `volatility_factor` is short over usual
    volatility, in [0, 5], 1 in normal markets. `funding_rate` is the fraction that longs pay to
    shorts for one funding interval, 0 where the feed does not know it.

    `hours` are the finished hourly bars of the last 24 h and `closes` its five-minute closes, both
    the oldest first. What the feed did not deliver is missing from them and not made up.
    """

    symbol: str
    at: datetime
    price: Decimal
    change_24h: Decimal | None
    atr_1h: Decimal | None
    volatility_factor: Decimal
    funding_rate: Decimal
    regime: Regime
    hours: tuple[Bar, ...]
    closes: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class Signal:
    """A wish to be on one side. `confidence` is in [0, 1]; `reason` is a sentence for people.

    Raises ValueError for a confidence that is none.
    """

    side: Side
    confidence: Decimal
    reason: str

    def __post_init__(self) -> None:
        """Refuse a confidence that the intent could not carry."""
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence must be in [0, 1], not {self.confidence}")


@runtime_checkable
class Strategy(Protocol):
    """A pure rule: the same view gives the same answer, whatever was asked before."""

    @property
    def name(self) -> str:
        """What the intents call it: their `model`, and part of their id."""
        ...

    def signal(self, view: MarketView) -> Signal | None:
        """The side to be on now, or None for neither.

        The answer is a condition and not an order: as long as it stays the same, nothing more
        comes of it.
        """
        ...
