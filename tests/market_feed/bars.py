"""Small candle files, written in every form that the reader takes."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

START = datetime(2025, 6, 1, tzinfo=UTC)
HEADER = (
    "open_time,open,high,low,close,volume,close_time,"
    "quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
CAMEL_HEADER = (
    "openTime,open,high,low,close,volume,closeTime,"
    "quoteVolume,count,takerBuyVolume,takerBuyQuoteVolume,ignore"
)
RISING = ("100.5", "103.25", "99.75", "102", "12.5")
FALLING = ("102", "104", "95.5", "97.1", "3")
FLAT = ("97.1", "98", "96", "97.1", "0")


def line(minute: int, prices: Sequence[str] = RISING, *, minutes: int = 1, per_ms: int = 1) -> str:
    """One bar of `minutes` that opens `minute` minutes after START; `per_ms` 1000 for us."""
    opens = (round(START.timestamp() * 1_000) + minute * 60_000) * per_ms
    closes = opens + minutes * 60_000 * per_ms - 1
    return f"{opens},{','.join(prices)},{closes},1000.5,7,6.25,500.1,0"


def lines(count: int, *, first: int = 0, minutes: int = 1, per_ms: int = 1) -> list[str]:
    """Bars one after another: rising, falling, flat, rising ..."""
    kinds = (RISING, FALLING, FLAT)
    return [
        line(first + i * minutes, kinds[i % 3], minutes=minutes, per_ms=per_ms)
        for i in range(count)
    ]


def write(path: Path, text_lines: Sequence[str], *, end: str = "\n") -> Path:
    """Write a file, packed as the end of its name says."""
    data = "".join(text + end for text in text_lines).encode()
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(data))
    elif path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.name.replace(".zip", ".csv"), data)
    else:
        path.write_bytes(data)
    return path


def at(minute: int, seconds: float = 0) -> datetime:
    """A market time, from START."""
    return START + timedelta(minutes=minute, milliseconds=round(seconds * 1_000))
