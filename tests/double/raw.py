"""A client of the bare protocol, so that a test can also ask what no library would."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode, urlsplit

from websockets.sync.client import ClientConnection, connect

from services.apply_layer.double import Double, DoubleConfig

D = Decimal
BTC, SOL = "BTCUSDT", "SOLUSDT"
ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
WITHIN_S = 5.0


def steady_clock() -> Callable[[], float]:
    """A clock that begins a minute, and an hour, whenever a test is started: neither ends in it."""
    began, started = time.time() // 3600 * 3600 + 1, time.monotonic()
    return lambda: began + time.monotonic() - started


def config(**changes: Any) -> DoubleConfig:
    """BTC at 65000 and SOL at 150, no slippage, a wallet of 100000, a clock of its own."""
    fields: dict[str, Any] = {
        "clock": steady_clock(),
        "symbols": {BTC: D(65000), SOL: D(150)},
        "wallet": D(100_000),
        "slippage_bps": D(0),
    }
    return DoubleConfig(**(fields | changes))


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> int:
        """The venue's code; 0 where all is well."""
        told = self.json
        return int(told.get("code", 0)) if isinstance(told, dict) and self.status != 200 else 0


class Raw:
    """One client with a key."""

    def __init__(self, venue: Double, timeout_s: float = WITHIN_S) -> None:
        self.venue = venue
        self.key: str | None = venue.config.api_key
        self.secret = venue.config.api_secret
        self.timeout_s = timeout_s

    def plain(
        self, method: str, path: str, query: str = "", body: str = "", *, key: bool = False
    ) -> Answer:
        """A call as it is. Raises OSError or HTTPException where there is no answer."""
        where = urlsplit(self.venue.rest_url).netloc
        connection = http.client.HTTPConnection(where, timeout=self.timeout_s)
        headers = {"X-MBX-APIKEY": self.key} if key and self.key is not None else {}
        try:
            connection.request(method, f"{path}?{query}" if query else path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
            told = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, told, text)
        finally:
            connection.close()

    def get(self, path: str, **params: Any) -> Answer:
        """A public call."""
        return self.plain("GET", path, urlencode(params))

    def signed(self, method: str, path: str, **params: Any) -> Answer:
        """A signed call; POST sends its parameters in the body, as clients do."""
        params = {"timestamp": int(self.venue.config.clock() * 1000), **params}
        text = urlencode({k: v for k, v in params.items() if v is not None})
        text += "&signature=" + self.sign(text)
        query, body = ("", text) if method in ("POST", "PUT") else (text, "")
        return self.plain(method, path, query, body, key=True)

    def sign(self, text: str) -> str:
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    # -- orders -------------------------------------------------------------------------------

    def market(self, side: str = "BUY", qty: str = "0.1", **params: Any) -> Answer:
        fields = {"symbol": BTC, "side": side, "type": "MARKET", "quantity": qty}
        return self.signed("POST", ORDER, **(fields | {"newOrderRespType": "RESULT"} | params))

    def stop(self, trigger: str = "64000", **params: Any) -> Answer:
        """A reduce-only stop for 0.1, by the mark."""
        fields: dict[str, Any] = {
            "symbol": BTC, "side": "SELL", "algoType": "CONDITIONAL", "type": "STOP_MARKET",
            "triggerPrice": trigger, "quantity": "0.1", "reduceOnly": "true",
            "workingType": "MARK_PRICE",
        }  # fmt: skip
        return self.signed("POST", ALGO, **(fields | params))

    def close_stop(self, trigger: str = "64000", **params: Any) -> Answer:
        """A stop that closes the whole position."""
        fields = {"quantity": None, "reduceOnly": None, "closePosition": "true"}
        return self.stop(trigger, **(fields | params))

    def algo(self, client_id: str) -> dict[str, Any]:
        told: dict[str, Any] = self.signed("GET", ALGO, clientAlgoId=client_id).json
        return told

    def listen_key(self) -> str:
        return str(self.plain("POST", "/fapi/v1/listenKey", key=True).json["listenKey"])


@contextmanager
def listening(venue: Double, path: str) -> Iterator[ClientConnection]:
    """A raw WebSocket to a path of the double."""
    with connect(venue.ws_url + path, close_timeout=1) as socket:
        yield socket


def heard(socket: ClientConnection, within_s: float = WITHIN_S) -> Any:
    """The next message; TimeoutError when none comes."""
    return json.loads(socket.recv(timeout=within_s))


def until(socket: ClientConnection, *wanted: str) -> list[Any]:
    """Messages up to and with one event of each wanted kind."""
    got: list[Any] = []
    missing = set(wanted)
    while missing:
        got.append(heard(socket))
        missing.discard(got[-1]["e"])
    return got


def lines(venue: Double, kind: str, **wanted: object) -> list[dict[str, Any]]:
    """Lines of the ledger."""
    return [
        line for line in venue.ledger
        if line["kind"] == kind and all(line[name] == value for name, value in wanted.items())
    ]  # fmt: skip
