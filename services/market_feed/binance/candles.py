"""The candles of a gap, asked of Binance: mark prices by the minute, as the ticks are mark prices.

Reads REST through ccxt, a few hundred candles a call, and is meant for a thread of its own. What
it answers comes in parts, so that no commit grows too large. A venue that says "too many" is left
alone for as long as it says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import ccxt
from ccxt.base.errors import BaseError, DDoSProtection, RateLimitExceeded

from services.market_feed.binance.wire import Malformed, read_candles
from services.market_feed.events import Filled, FillGap, NotFilled
from services.market_feed.klines import Candle
from shared.streams import BATCH

#: A call of fewer than 500 candles weighs 2 of the 2400 that the venue allows in a minute.
_CALL_CANDLES = 499
#: A candle becomes four ticks.
_PART_CANDLES = BATCH // 4
#: How long to wait before each attempt after the first; a price of now waits meanwhile.
_AGAIN_AFTER_S = (0.5, 1.5)
_RETRY_AFTER_S = 60.0
_MINUTE, _SECOND = timedelta(minutes=1), timedelta(seconds=1)

Answer = Sequence[Filled | NotFilled]


def client(network: str, rest_url: str | None, timeout_s: float) -> ccxt.binanceusdm:
    """ccxt's client for public data of a network, or of a double at `rest_url`."""
    exchange = ccxt.binanceusdm(
        {"timeout": int(timeout_s * 1000), "options": {"maxRetriesOnFailure": 0}}
    )
    if rest_url is not None:
        api = {**exchange.urls["api"], "fapiPublic": f"{rest_url.rstrip('/')}/fapi/v1"}
        exchange.urls["api"] = api
    elif network == "testnet":
        exchange.enable_demo_trading(True)  # noqa: FBT003 - ccxt's own signature
    return exchange


class Candles:
    """Answers one gap at a time; `stop` ends its waits."""

    def __init__(self, exchange: ccxt.binanceusdm, stop: threading.Event) -> None:
        self._exchange = exchange
        self._stop = stop
        self._quiet_until = 0.0

    def answer(self, gap: FillGap) -> Answer:
        """The candles that closed in the gap, or why there are none."""
        reason = ""
        for wait_s in (0.0, *_AGAIN_AFTER_S):
            if self._stop.wait(wait_s):
                return [NotFilled(gap, "stopped")]
            quiet_s = self._quiet_until - time.monotonic()
            if quiet_s > 0:
                return [NotFilled(gap, f"the venue wants no calls for {quiet_s:.0f} s")]
            try:
                return _parts(gap, self._all(gap))
            except (DDoSProtection, RateLimitExceeded):
                self._quiet_until = time.monotonic() + self._retry_after_s()
            except (BaseError, Malformed) as error:
                reason = f"{type(error).__name__}: {str(error)[:200]}"
        return [NotFilled(gap, reason)]

    def _all(self, gap: FillGap) -> list[Candle]:
        found: list[Candle] = []
        begin = gap.since.replace(second=0, microsecond=0)
        while begin < gap.until:
            rows = self._exchange.fapiPublicGetMarkPriceKlines(
                {
                    "symbol": gap.symbol,
                    "interval": "1m",
                    "startTime": _ms(begin),
                    "endTime": _ms(gap.until) - 1,
                    "limit": _CALL_CANDLES,
                }
            )
            candles = read_candles(gap.symbol, rows)
            if not candles:
                break
            if candles[0].open_time < begin:
                raise Malformed(f"{candles[0].open_time.isoformat()}: was not asked for")
            found += candles
            begin = candles[-1].open_time + _MINUTE
        # The last one may be of the minute that is under way.
        return [candle for candle in found if candle.close_time < gap.until]

    def _retry_after_s(self) -> float:
        headers = self._exchange.last_response_headers or {}
        told = {str(name).lower(): str(value) for name, value in headers.items()}
        text = told.get("retry-after", "")
        return float(text) if text.isascii() and text.isdigit() else _RETRY_AFTER_S


def _parts(gap: FillGap, candles: Sequence[Candle]) -> Answer:
    cuts = range(0, max(len(candles), 1), _PART_CANDLES)
    return [
        Filled(gap, tuple(candles[cut : cut + _PART_CANDLES]), done=cut == cuts[-1]) for cut in cuts
    ]


def _ms(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
