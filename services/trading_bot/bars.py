"""Ticks become minutes, five-minute closes and hourly bars. Pure; reads and writes nothing.

Nothing here waits for a clock: a minute closes when the first tick of a later minute arrives.
Minutes are counted from 1970 UTC, so that which hour or which five minutes one belongs to is a
division.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from shared.contracts import HISTORY_SOURCE, MarketTick
from shared.formulas import (
    WINDOW_CLOSES,
    AverageTrueRange,
    Bar,
    MarketState,
    Marks,
    confirmed,
    marks_after,
    observe_close,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)

HOUR_MINUTES = 60
DAY_MINUTES = 24 * HOUR_MINUTES
STEP_MINUTES = 5
#: How much older than 24 h a price may be and still be the price of 24 h ago. The feed's slowest
#: candles, of one hour, give a tick every 20 minutes.
TOLERANCE_MINUTES = 30
#: How much of an hour may lack ticks at its begin and at its end; with more it is no hourly bar.
EDGE_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Forming:
    """The last tick of a symbol, and the hour that it belongs to as far as it has come.

    `minute` is the tick's; `price` is the confirmed one, from `marks`. `hour_from` is the minute of
    the hour's first tick. `divergence` is the last one that a tick told, and `diverged_at` that
    tick's time.
    """

    at: datetime
    minute: int
    price: Decimal
    funding_rate: Decimal | None
    hour_from: int
    hour_open: Decimal
    hour_high: Decimal
    hour_low: Decimal
    divergence: Decimal | None = None
    diverged_at: datetime | None = None
    marks: Marks | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Five-minute closes, the oldest first: 288 of the last 24 h and the one before them.

    `minutes` are the ends of the minutes that the prices closed. Five minutes without a tick have
    no close.
    """

    minutes: tuple[int, ...] = ()
    closes: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class Hours:
    """The finished hourly bars of the last 24 h, the oldest first, and the ATR that they feed."""

    atr: AverageTrueRange = field(default_factory=AverageTrueRange)
    bars: tuple[Bar, ...] = ()


NO_MINUTES, NO_HISTORY, NO_HOURS = MarketState(), History(), Hours()


def minute_of(at: datetime) -> int:
    """The minute that a time is in, counted from 1970 UTC."""
    return (at - EPOCH) // _MINUTE


def with_tick(forming: Forming | None, tick: MarketTick, minute: int) -> Forming:
    """What is forming after one more tick; a funding rate holds until another is told.

    Bars are built from confirmed prices. Those of candles are taken as they are, a replay's and
    those that fill a gap: their high and low are those of the hour.
    """
    marks = None if forming is None else forming.marks or (forming.price,) * 3
    marks = marks_after(
        marks, tick.mark_price, recorded=tick.recorded or tick.source == HISTORY_SOURCE
    )
    price, rate = confirmed(marks), tick.funding_rate
    divergence = tick.exchange_divergence
    diverged_at = None if divergence is None else tick.timestamp
    if forming is not None:
        if rate is None:
            rate = forming.funding_rate
        if divergence is None:
            divergence, diverged_at = forming.divergence, forming.diverged_at
    if forming is None or minute // HOUR_MINUTES != forming.minute // HOUR_MINUTES:
        hour = (minute, price, price, price)
        return Forming(tick.timestamp, minute, price, rate, *hour, divergence, diverged_at, marks)
    return Forming(
        tick.timestamp,
        minute,
        price,
        rate,
        forming.hour_from,
        forming.hour_open,
        max(price, forming.hour_high),
        min(price, forming.hour_low),
        divergence,
        diverged_at,
        marks,
    )


def back_at(forming: Forming, at: datetime) -> Forming:
    """What is forming, when it was of a time that has not come: nothing of its hour is kept."""
    price, minute = forming.price, minute_of(at)
    return Forming(
        at, minute, price, forming.funding_rate, minute, price, price, price, marks=forming.marks
    )


def closes_until(history: History, minute: int) -> History:
    """The closes without those of a time that has not come."""
    kept = bisect_right(history.minutes, minute)
    return History(history.minutes[:kept], history.closes[:kept])


def bars_until(hours: Hours, at: datetime) -> Hours:
    """The hourly bars without those of a time that has not come."""
    return replace(hours, bars=tuple(bar for bar in hours.bars if bar.open_time <= at))


def recent_divergence(forming: Forming) -> Decimal:
    """The last divergence, if it was told at most a minute before the last tick; otherwise 0."""
    if forming.divergence is None or forming.diverged_at is None:
        return Decimal(0)
    return forming.divergence if forming.at - forming.diverged_at <= _MINUTE else Decimal(0)


def close_minute(market: MarketState, closing: Forming, minute: int) -> MarketState:
    """The statistics after the closing minute, when the next tick is of `minute`.

    A silence longer than their window leaves them with nothing that is about now: they begin anew.
    """
    if minute - closing.minute > WINDOW_CLOSES:
        return NO_MINUTES
    return observe_close(market, closing.price)


def close_step(history: History, closing: Forming, minute: int) -> History:
    """The closes after one more, when the next tick is of `minute`.

    Of those that are 24 h old and older only the newest is kept: the price of 24 h ago.
    """
    minutes = (*history.minutes, closing.minute + 1)
    closes = (*history.closes, closing.price)
    begin = minute // STEP_MINUTES * STEP_MINUTES
    kept = max(bisect_right(minutes, begin - DAY_MINUTES) - 1, 0)
    return History(minutes[kept:], closes[kept:])


def close_hour(hours: Hours, closing: Forming, minute: int) -> Hours:
    """The hourly bars after the closing hour, when the next tick is of `minute`.

    An hour with ticks missing at its begin or end is left out, as its range is too small. The true
    range of a bar after a hole is that of the bar alone, as the move through the hole took longer
    than an hour; after 24 h without a bar the ATR begins anew.
    """
    atr, bars = hours.atr, hours.bars
    begin = closing.minute // HOUR_MINUTES * HOUR_MINUTES
    last = begin + HOUR_MINUTES - 1
    if closing.hour_from - begin <= EDGE_MINUTES and last - closing.minute <= EDGE_MINUTES:
        high, low, close = closing.hour_high, closing.hour_low, closing.price
        bar = Bar(EPOCH + begin * _MINUTE, closing.hour_open, high, low, close)
        if not bars or bars[-1].open_time + _HOUR != bar.open_time:
            atr = replace(atr, previous_close=None)
        atr, bars = atr.update(high, low, close), (*bars, bar)
    day_ago = EPOCH + (minute // HOUR_MINUTES * HOUR_MINUTES - DAY_MINUTES) * _MINUTE
    bars = tuple(bar for bar in bars if bar.open_time >= day_ago)
    return Hours(atr if bars else AverageTrueRange(), bars)


def change_24h(history: History, price: Decimal, minute: int) -> Decimal | None:
    """price / (price 24 h before `minute`) - 1, as a fraction.

    The price of 24 h ago is the newest close that is at least so old. None if there is none, or if
    it is more than half an hour older still: the change since then would not be one of 24 h.
    """
    index = bisect_right(history.minutes, minute - DAY_MINUTES) - 1
    if index < 0 or minute - DAY_MINUTES - history.minutes[index] > TOLERANCE_MINUTES:
        return None
    return price / history.closes[index] - 1
