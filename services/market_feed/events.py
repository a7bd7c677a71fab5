"""What a live venue tells market_feed, and what market_feed asks and says of it. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.market_feed.klines import Candle


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark price of the stream, in quote units, with the funding rate if there is one."""

    symbol: str
    at: datetime
    price: Decimal
    funding_rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class MinuteEnded:
    """The venue closed the one-minute candle that opened at `opened_at`."""

    symbol: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class FillGap:
    """A request: the candles that closed between two market times, as Filled or NotFilled."""

    symbol: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Filled:
    """Candles of a gap in time order; `done` with the last of them."""

    gap: FillGap
    candles: tuple[Candle, ...]
    done: bool


@dataclass(frozen=True, slots=True)
class NotFilled:
    """The candles of a gap could not be had."""

    gap: FillGap
    reason: str


@dataclass(frozen=True, slots=True)
class SecondPrice:
    """What the second venue says of a symbol, in quote units."""

    symbol: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Refused:
    """A message of the venue that is not used, and why."""

    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class GapClosed:
    """What became of a gap: minutes that were filled, and minutes that are lost."""

    gap: FillGap
    filled: int
    lost: int
    reason: str
