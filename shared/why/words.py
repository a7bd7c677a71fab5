"""How `quantum why` says moments, spans and figures.

Pure; reads and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from shared.formulas import floor_to_step

Verdict = Literal["ok", "wait", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands in the way, or that shows that nothing does.

    `code` is what scripts and tests go by. `ok` is as it should be, `wait` settles by itself,
    `warn` is worth a thought, a `fail` must be mended.
    """

    code: str
    verdict: Verdict
    text: str


def clock(at: datetime, now: datetime) -> str:
    """A moment (UTC): the time of day, with its date if that was not today."""
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%d %b %H:%M:%S}"


def span(seconds: float) -> str:
    """A length of time in its two largest units."""
    left = max(int(seconds), 0)
    words: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount or (unit == "s" and not words):
            words.append(f"{amount} {unit}")
    return " ".join(words[:2])


def safe(text: str) -> str:
    """What strangers wrote, without what a terminal would take for a command."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def plain(value: Decimal) -> str:
    """A figure without trailing zeros and without an exponent."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def on_tick(price: Decimal, tick_size: Decimal | None) -> str:
    """A price as finely as the venue has it."""
    if tick_size is not None:
        price = floor_to_step(price, tick_size)
    return plain(round(price, 12))


def fee_in(fill: Any) -> str:
    """What a trade cost in an asset that is not the contract's quote; empty for its own."""
    if fill.fee_asset is None:
        return ""
    return f", fee {plain(fill.fee_asset_qty or Decimal(0))} {fill.fee_asset}"
