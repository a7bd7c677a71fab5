"""The demo's markets: candle files and settings, written to a folder, no network needed."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

SYMBOL = "RIVERUSDT"
START = datetime(2025, 6, 1, tzinfo=UTC)
ENTRY_PRICE = 12.32
TOP_PRICE = 21.68

#: The account of the rescue: what the replaced system held at 38 R and never sold.
RESCUE_SETTINGS = f"""
[[apply_layer.paper.position]]
symbol = "{SYMBOL}"
side = "LONG"
qty = "1.83"
entry_price = "12.32"
mark_price = "21.68"
stop_loss = "12.0736"
leverage = 10
opened_at = 2025-05-31T20:00:00Z
"""

_TICK = 0.0001
_DAY_MINUTES = 1440
_CLIMB_MINUTES = 360
_FALL_MINUTES = 300


def rescue_prices() -> Iterator[float]:
    """Closes of ten minutes in which the price stands at 21.68."""
    for _ in range(10):
        yield TOP_PRICE


def ring_prices() -> Iterator[float]:
    """A quiet day at 12.32, a climb to 21.68, and most of the way back."""
    for minute in range(_DAY_MINUTES + 20):
        yield ENTRY_PRICE * (1 + 0.004 * math.sin(2 * math.pi * minute / 120))
    growth = math.log(TOP_PRICE / ENTRY_PRICE)
    for minute in range(1, _CLIMB_MINUTES + 1):
        yield ENTRY_PRICE * math.exp(growth * minute / _CLIMB_MINUTES)
    for minute in range(1, _FALL_MINUTES + 1):
        yield TOP_PRICE * math.exp(-0.95 * growth * minute / _FALL_MINUTES)


def write_candles(folder: Path, closes: Iterable[float]) -> tuple[Path, int]:
    """Write one-minute candles in Binance's public layout; returns the file and its bar count."""
    path = folder / f"{SYMBOL}-1m-demo.csv"
    start_ms = int(START.timestamp() * 1000)
    opens: float | None = None
    bars = 0
    with path.open("w", newline="", encoding="ascii") as file:
        rows = csv.writer(file)
        for close in closes:
            first = opens if opens is not None else close
            low, high = min(first, close), max(first, close)
            times = (start_ms + bars * 60_000, start_ms + bars * 60_000 + 59_999)
            prices = (f"{_on_tick(price):.4f}" for price in (first, high, low, close))
            rows.writerow((times[0], *prices, "1000", times[1], "0", "0", "0", "0", "0"))
            opens = close
            bars += 1
    return path, bars


def _on_tick(price: float) -> float:
    return round(price / _TICK) * _TICK
