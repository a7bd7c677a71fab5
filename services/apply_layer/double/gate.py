"""Who may call, and how often: key, signature, timestamp and the weights of the venue.

Pure but for what it counts; the caller brings the time. Windows are whole minutes and whole ten
seconds of the venue's clock, as the venue counts them, unless a test holds them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from services.apply_layer.double.codes import Refused, missing
from services.apply_layer.double.config import DoubleConfig

_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_WEIGHTS = {
    "GET /fapi/v1/allOrders": 5,
    "GET /fapi/v1/allAlgoOrders": 5,
    "GET /fapi/v2/positionRisk": 5,
    "GET /fapi/v3/positionRisk": 5,
    "GET /fapi/v2/account": 5,
    "GET /fapi/v3/account": 5,
    "GET /fapi/v2/balance": 5,
    "GET /fapi/v3/balance": 5,
    "GET /fapi/v1/userTrades": 5,
    "GET /fapi/v1/income": 30,
    "GET /fapi/v1/positionSide/dual": 30,
    "GET /fapi/v1/commissionRate": 20,
    "GET /fapi/v1/symbolConfig": 5,
    "GET /fapi/v1/accountConfig": 5,
    "GET /fapi/v1/feeBurn": 30,
    "GET /fapi/v1/multiAssetsMargin": 30,
    "GET /fapi/v1/ticker/bookTicker": 2,
    # Counted by limits of their own.
    "POST /fapi/v1/order": 0,
    "POST /fapi/v1/algoOrder": 0,
    "GET /fapi/v1/fundingRate": 0,
    "GET /fapi/v1/fundingInfo": 0,
    "GET /sapi/v1/account/apiRestrictions": 0,
    "GET /sapi/v1/capital/config/getall": 0,
    "GET /sapi/v1/margin/allPairs": 0,
    "GET /sapi/v1/margin/isolated/allPairs": 0,
}
_WITHOUT_SYMBOL = {
    "GET /fapi/v1/openOrders": 40,
    "GET /fapi/v1/openAlgoOrders": 40,
    "GET /fapi/v1/premiumIndex": 10,
    "GET /fapi/v1/ticker/24hr": 40,
    "GET /fapi/v1/ticker/price": 2,
    "GET /fapi/v2/ticker/price": 2,
    "GET /fapi/v1/ticker/bookTicker": 5,
}
_CANDLES = ("GET /fapi/v1/klines", "GET /fapi/v1/markPriceKlines", "GET /fapi/v1/continuousKlines")
#: Rows from which on a read of candles weighs more, the most first.
_CANDLE_WEIGHTS = ((1001, 10), (500, 5), (100, 2), (0, 1))
#: Orders are counted by themselves and weigh nothing.
_ORDERS = ("POST /fapi/v1/order", "POST /fapi/v1/algoOrder")
_RECV_WINDOW_MS, _RECV_WINDOW_MAX_MS, _AHEAD_MS = 5000, 60_000, 1000


class Gate:
    """The counts of one address and one account."""

    def __init__(self, config: DoubleConfig) -> None:
        self._config = config
        self._weight, self._orders, self._orders_10s = (0, 0), (0, 0), (0, 0)
        self._quiet_until = 0.0
        self._banned_until = 0.0
        self._ignored = 0
        self._held_at: float | None = None

    # -- how often ----------------------------------------------------------------------------

    def count(self, call: str, asked: Mapping[str, str], now: float) -> None:
        """Count a call, a method and a path, at a time in seconds. Raises Refused: 429 or 418."""
        self._refuse_the_banned(now)
        at = now if self._held_at is None else self._held_at
        self._weight = _add(self._weight, int(at // 60), weight_of(call, asked))
        over = self._weight[1] > self._config.weight_limit
        if call in _ORDERS:
            self._orders = _add(self._orders, int(at // 60), 1)
            self._orders_10s = _add(self._orders_10s, int(at // 10), 1)
        if over:
            self.quiet(60 - at % 60, now)
        if now < self._quiet_until:
            self._ignore(now)
            raise Refused(-1003, retry_after_s=self._quiet_until - now)
        if self._orders_10s[1] > self._config.order_limit_10s and call in _ORDERS:
            raise Refused(-1015, retry_after_s=10 - at % 10)
        if self._orders[1] > self._config.order_limit_1m and call in _ORDERS:
            raise Refused(-1015, retry_after_s=60 - at % 60)

    def _refuse_the_banned(self, now: float) -> None:
        if now < self._banned_until:
            left_s = self._banned_until - now
            raise Refused(
                -1003, "Way too many requests; IP banned.", http=418, retry_after_s=left_s
            )

    def _ignore(self, now: float) -> None:
        self._ignored += 1
        if self._ignored > self._config.ban_after:
            self._ignored = 0
            self.ban(self._config.ban_s, now)
            self._refuse_the_banned(now)

    def quiet(self, seconds: float, now: float) -> None:
        """Answer 429 for a while; who goes on calling is banned."""
        if now >= self._quiet_until:
            self._ignored = 0
        self._quiet_until = max(self._quiet_until, now + seconds)

    def ban(self, seconds: float, now: float) -> None:
        """Answer 418 for a while."""
        self._banned_until = max(self._banned_until, now + seconds)

    def pardon(self) -> None:
        """Forget every count and every ban."""
        self._quiet_until = self._banned_until = 0.0
        self._weight = self._orders = self._orders_10s = (0, 0)

    def hold(self, now: float | None) -> None:
        """Count as if it were always `now`, so that no window ends; None lets time go on."""
        self._held_at = now

    def headers(self, call: str) -> dict[str, str]:
        """The counts as an answer tells them."""
        told = {"X-MBX-USED-WEIGHT-1M": str(self._weight[1])}
        if call in _ORDERS:
            told["X-MBX-ORDER-COUNT-10S"] = str(self._orders_10s[1])
            told["X-MBX-ORDER-COUNT-1M"] = str(self._orders[1])
        return told

    # -- who ----------------------------------------------------------------------------------

    def check_key(self, key: str | None) -> None:
        """Raises Refused for a key that is none, or not ours."""
        if key is None or not _KEY.fullmatch(key):
            raise Refused(-2014)
        if not hmac.compare_digest(key, self._config.api_key):
            raise Refused(-2015)

    def check_signature(self, signed: bytes, asked: Mapping[str, str], now_ms: int) -> bool:
        """Whether it is made of `signed`, the query and the body as they were sent without it.

        One that is made of the decoded text is let through, for proxies that sign again, and is
        told of by False: the venue itself would refuse it. Raises Refused.
        """
        for name in ("timestamp", "signature"):
            if not asked.get(name):
                raise missing(name)
        timestamp = _whole(asked, "timestamp")
        window = _whole(asked, "recvWindow") if asked.get("recvWindow") else _RECV_WINDOW_MS
        if not 0 < window <= _RECV_WINDOW_MAX_MS:
            raise Refused(-1131)
        if timestamp > now_ms + _AHEAD_MS:
            raise Refused(
                -1021, "Timestamp for this request was 1000ms ahead of the server's time."
            )
        if not within_window(asked, now_ms):
            raise Refused(-1021)
        secret = self._config.api_secret.encode()
        told = asked["signature"].lower().encode()
        for text in (signed, unquote_to_bytes(signed)):
            expected = hmac.new(secret, text, hashlib.sha256).hexdigest().encode()
            if hmac.compare_digest(expected, told):
                return text == signed
        raise Refused(-1022)


def within_window(asked: Mapping[str, str], now_ms: int) -> bool:
    """Whether a request may still be executed; one that is not signed always may."""
    if not asked.get("timestamp"):
        return True
    window = int(asked.get("recvWindow") or _RECV_WINDOW_MS)
    return now_ms - int(asked["timestamp"]) <= window


def _whole(asked: Mapping[str, str], name: str) -> int:
    text = asked[name]
    if not (text.isascii() and text.isdigit()):
        raise Refused(-1102, f"Illegal value of parameter '{name}'.")
    return int(text)


def _add(window: tuple[int, int], number: int, weight: int) -> tuple[int, int]:
    return (number, weight + (window[1] if window[0] == number else 0))


def weight_of(call: str, asked: Mapping[str, str]) -> int:
    """What the venue's documents say that a call weighs."""
    if call in _CANDLES:
        limit = asked.get("limit", "500")
        rows = int(limit) if limit.isascii() and limit.isdigit() else 0
        return next(weight for least, weight in _CANDLE_WEIGHTS if rows >= least)
    if call in _WITHOUT_SYMBOL and not asked.get("symbol"):
        return _WITHOUT_SYMBOL[call]
    return _WEIGHTS.get(call, 1)


#: The name under which scripts beside the project know it.
_weight = weight_of
