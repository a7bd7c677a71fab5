"""What Binance writes, read as events: marks and ended minutes of the stream, candles of REST.

Reads text and rows, returns values; nothing is half read. Prices are text all the way: one that
came as a JSON number has been through a float somewhere, and is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from pydantic_core import PydanticCustomError

from services.market_feed.events import Mark, MinuteEnded, Refused
from services.market_feed.klines import Candle
from shared.contracts.values import parse_funding_rate, parse_price

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_MS = 60_000
#: Until the year 2286; beyond, a number is no time in milliseconds.
_MS_BOUND = 10**13


class Malformed(Exception):
    """Something that the venue wrote and that cannot be trusted; says what."""


def streams(symbols: Iterable[str]) -> str:
    """The path and query of the combined stream of the symbols, below the venue's address."""
    kinds = ("markPrice@1s", "kline_1m")
    names = [f"{quote(symbol.lower())}@{kind}" for symbol in symbols for kind in kinds]
    return f"/market/stream?streams={'/'.join(names)}"


def read_event(text: str) -> Mark | MinuteEnded | Refused | None:
    """One message of the combined stream; None for what does not concern a feed."""
    try:
        message = json.loads(text)
    except ValueError as error:
        return Refused("", f"not JSON: {error}")
    event = message.get("data", message) if isinstance(message, dict) else None
    if not isinstance(event, dict):
        return Refused("", f"not an event: {text[:100]}")
    symbol = event.get("s")
    try:
        match event.get("e"):
            case "markPriceUpdate":
                rate = event.get("r")
                return Mark(
                    symbol=_text(event, "s"),
                    at=moment(event.get("E")),
                    price=_price("p", event.get("p")),
                    funding_rate=None if rate in (None, "") else _rate(rate),
                )
            case "kline":
                bar = event.get("k")
                if not isinstance(bar, dict) or not isinstance(bar.get("x"), bool):
                    raise Malformed("k: is not a candle")
                if not bar["x"] or bar.get("i") != "1m":
                    return None
                return MinuteEnded(_text(event, "s"), moment(bar.get("t")))
    except Malformed as error:
        return Refused(symbol if isinstance(symbol, str) else "", str(error))
    return None


def read_candles(symbol: str, rows: Any) -> list[Candle]:
    """The one-minute candles of an answer, the oldest first.

    Raises:
        Malformed: the answer is none, or a candle is not what a candle must be.
    """
    if not isinstance(rows, list):
        raise Malformed(f"not a list of candles: {str(rows)[:100]}")
    candles = [_candle(symbol, row) for row in rows]
    for one, next_ in pairwise(candles):
        if next_.open_time <= one.open_time:
            raise Malformed(f"{next_.open_time.isoformat()}: is not later than the candle before")
    return candles


def moment(value: Any) -> datetime:
    """A time in whole milliseconds since 1970.

    Raises:
        Malformed: it is none.
    """
    if type(value) is not int or not 0 < value < _MS_BOUND:
        raise Malformed(f"{str(value)[:40]!r} is no time in milliseconds")
    return _EPOCH + timedelta(milliseconds=value)


def _candle(symbol: str, row: Any) -> Candle:
    if not isinstance(row, list) or len(row) < 7:
        raise Malformed(f"not a candle: {str(row)[:100]}")
    opens, closes = moment(row[0]), moment(row[6])
    if row[0] % _MINUTE_MS or row[6] - row[0] != _MINUTE_MS - 1:
        raise Malformed(f"{row[0]} to {row[6]} is no minute")
    open_, high, low, close = map(_price, ("open", "high", "low", "close"), row[1:5])
    if high < max(open_, close) or low > min(open_, close):
        raise Malformed(f"{opens.isoformat()}: high {high} and low {low} do not hold the rest")
    return Candle(symbol, opens, closes, open_, high, low, close, Decimal(0))


def _price(name: str, value: Any) -> Decimal:
    return _number(name, value, parse_price)


def _rate(value: Any) -> Decimal:
    return _number("r", value, parse_funding_rate)


def _number(name: str, value: Any, parse: Any) -> Decimal:
    if not isinstance(value, str):
        raise Malformed(f"{name}: {str(value)[:40]!r} is no text")
    try:
        number: Decimal = parse(value)
    except PydanticCustomError as error:
        raise Malformed(f"{name}: {value[:40]!r} {error.message()}") from None
    return number


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str):
        raise Malformed(f"{name}: {str(value)[:40]!r} is no text")
    return value
