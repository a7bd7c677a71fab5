"""Indicators over bars, as incremental states. Pure; reads and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle: prices in quote currency, and the aware time at which it opened.

    Raises ValueError for a naive time, or prices that are not positive or outside low..high.
    """

    open_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal

    def __post_init__(self) -> None:
        """Refuse a bar that no market can print."""
        if self.open_time.utcoffset() is None:
            raise ValueError("open_time must carry its time zone")
        inside = min(self.open, self.close) >= self.low and max(self.open, self.close) <= self.high
        if not (self.low > 0 and inside):
            raise ValueError("prices must be positive and within low and high")


@dataclass(frozen=True, slots=True)
class AverageTrueRange:
    """Wilder's average true range; each bar gives a new state.

    True range = max(high, previous close) - min(low, previous close); high - low at the first bar.
    The first value is the mean of `period` true ranges, each later one
    (value * (period - 1) + true range) / period. In quote currency.

    Raises ValueError for a period below 1.
    """

    period: int = 14
    bars_count: int = 0
    previous_close: Decimal | None = None
    # The mean of the true ranges so far until `period` bars are known, Wilder's average from then.
    average: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        """Refuse a period that holds no bar."""
        if self.period < 1:
            raise ValueError(f"period must be at least 1, not {self.period}")

    @property
    def value(self) -> Decimal | None:
        """The average true range, or None until `period` bars are known."""
        return self.average if self.bars_count >= self.period else None

    def update(self, high: Decimal, low: Decimal, close: Decimal) -> AverageTrueRange:
        """The state after one more bar (prices in quote currency).

        Raises ValueError when the close is outside low..high.
        """
        if not low <= close <= high:
            raise ValueError(f"close {close} must be within low {low} and high {high}")
        previous = close if self.previous_close is None else self.previous_close
        true_range = max(high, previous) - min(low, previous)
        bars_count = self.bars_count + 1
        weight = min(bars_count, self.period)
        average = (self.average * (weight - 1) + true_range) / weight
        return AverageTrueRange(self.period, bars_count, close, average)
