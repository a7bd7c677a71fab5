"""Candles turned into ticks, and the ticks of all symbols merged into market time.

Reads checked candle files lazily (klines); writes nothing. No clock: time comes from the candles.

A bar tells four prices but not their path, so the path here is an assumption. Each bar becomes
open, low, high, close if it rose or stood still (close >= open), and open, high, low, close if it
fell: the shortest way through the four prices, so that no movement is made up. What that means
for a stop and a target that lie within one bar:

- a position that goes with the bar (long in a rising one) meets its adverse extreme first: the
  stop is tried before the target, and the replay errs on the side of loss;
- a position that goes against the bar (short in a rising one) meets its favourable extreme first:
  the replay errs on the side of profit.

Neither side is always the pessimistic one; the error is at most one bar wide, so shorter bars
shrink it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import chain, groupby
from operator import itemgetter

from services.market_feed.klines import Candle, CandleFiles

_MILLISECOND = timedelta(milliseconds=1)


class TickKind(StrEnum):
    """Which price of its bar a tick is."""

    OPEN = "OPEN"
    HIGH = "HIGH"
    LOW = "LOW"
    CLOSE = "CLOSE"


@dataclass(frozen=True, slots=True)
class Tick:
    """One price at one market time.

    `price` is in the quote currency; `bar_open_time` names the bar that the price is of;
    `funding_rate` is a fraction of the notional for one funding period, None where the source
    has none, as candle files have.
    """

    symbol: str
    at: datetime
    price: Decimal
    kind: TickKind
    bar_open_time: datetime
    funding_rate: Decimal | None = None


def ticks(candle: Candle) -> tuple[Tick, Tick, Tick, Tick]:
    """The four ticks of a bar, in time order.

    They stand at open_time, one and two thirds into the bar (rounded down to a millisecond) and
    close_time, the bar's last millisecond: 0, 20, 40 and 59.999 s of a one-minute bar.
    """
    opens, closes = candle.open_time, candle.close_time
    length_ms = (closes - opens) // _MILLISECOND + 1
    low, high = (candle.low, TickKind.LOW), (candle.high, TickKind.HIGH)
    early, late = (low, high) if candle.close >= candle.open else (high, low)
    early_at = opens + length_ms // 3 * _MILLISECOND
    late_at = opens + 2 * length_ms // 3 * _MILLISECOND
    return (
        Tick(candle.symbol, opens, candle.open, TickKind.OPEN, opens),
        Tick(candle.symbol, early_at, *early, opens),
        Tick(candle.symbol, late_at, *late, opens),
        Tick(candle.symbol, closes, candle.close, TickKind.CLOSE, opens),
    )


def instants(
    files: CandleFiles, resume_after: datetime | None = None
) -> Iterator[tuple[datetime, tuple[Tick, ...]]]:
    """Every market time with the ticks of all symbols at that time, in symbol order.

    With `resume_after`, the ticks at or before it are left out, even in the middle of a bar; what
    follows is exactly what the whole run would have given next. Files that end before it are not
    opened. Raises ValueError for a `resume_after` without a time zone (before anything is
    yielded), and MalformedCandles if a file has changed since it was checked.
    """
    if resume_after is not None and resume_after.utcoffset() is None:
        raise ValueError("resume_after must carry a time zone")
    return _instants(files, resume_after)


def steps(
    files: CandleFiles, most_ticks: int, resume_after: datetime | None = None
) -> Iterator[tuple[datetime, tuple[Tick, ...]]]:
    """The instants, those of one minute together as long as they are at most `most_ticks`.

    Each step is named by its last market time. Resuming and errors are as for `instants`.
    """
    pending: list[Tick] = []
    for at, ticks_now in instants(files, resume_after):
        same_minute = pending and pending[-1].at.replace(second=0, microsecond=0) == at.replace(
            second=0, microsecond=0
        )
        if pending and not (same_minute and len(pending) + len(ticks_now) <= most_ticks):
            yield pending[-1].at, tuple(pending)
            pending = []
        pending.extend(ticks_now)
    if pending:
        yield pending[-1].at, tuple(pending)


def _instants(
    files: CandleFiles, resume_after: datetime | None
) -> Iterator[tuple[datetime, tuple[Tick, ...]]]:
    streams = [_ordered(files, symbol, resume_after) for symbol in files.by_symbol]
    # Entries compare by time, then symbol; a symbol has one tick at a time, so no tick is compared.
    for at, entries in groupby(heapq.merge(*streams), key=itemgetter(0)):
        yield at, tuple(tick for _, _, tick in entries)


def _ordered(
    files: CandleFiles, symbol: str, resume_after: datetime | None
) -> Iterator[tuple[datetime, str, Tick]]:
    candles = chain.from_iterable(file.candles(resume_after) for file in files.by_symbol[symbol])
    for candle in candles:
        for tick in ticks(candle):
            if resume_after is None or tick.at > resume_after:
                yield tick.at, symbol, tick
