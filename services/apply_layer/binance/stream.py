"""The user stream as a doorbell: it tells at which symbols something happened, and no more.

What happened is then read from the venue's own ledger, in its order. So an event that is lost,
doubled, late or out of order can do no harm beyond a look too many, or one that comes with the
next round.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.endpoints import LISTEN_KEY, fitted
from shared.log import logger
from shared.websocket import Socket

_KEEP_ALIVE_S = 30 * 60.0


class UserStream:
    """The connection for one account. `symbols` rung are taken with `take`; all threads may call.

    `missed` is True from the moment that the stream was cut until `caught_up` says that the
    ledger was read since.
    """

    def __init__(self, client: Client, ws_url: str) -> None:
        self._client = client
        self._ws_url = ws_url
        self._lock = threading.Lock()
        self._rung: set[str] = set()
        self._listen_key = ""
        self._kept_at = 0.0
        self._started = False
        self.missed = True
        self._socket = Socket(
            "user_stream",
            self._url,
            self._on_message,
            # Nothing may happen for hours; a dead connection is found by its pings.
            silent_after_s=None,
            on_up=lambda: self._cut("connected"),
            on_down=self._cut,
        )

    @property
    def up(self) -> bool:
        """Whether events arrive now."""
        return bool(self._socket.up)

    def start(self) -> None:
        """Connect, in a thread of its own; once, however often it is asked for."""
        if not self._started:
            self._started = True
            self._socket.start()

    def stop(self) -> None:
        """Disconnect."""
        self._socket.stop()

    def check(self) -> None:
        """Raise what ended the thread, if something did: a bug there must not pass unseen."""
        if self._socket.failed is not None:
            raise self._socket.failed

    def ring(self, symbol: str) -> None:
        """Something happened, or may have, at a symbol."""
        with self._lock:
            self._rung.add(symbol)

    def rang(self, but: frozenset[str] = frozenset()) -> bool:
        """Whether somebody waits for a look, other than at these symbols."""
        with self._lock:
            return bool(self._rung - but)

    def take(self, but: frozenset[str] = frozenset()) -> frozenset[str]:
        """The symbols that rang since they were last taken; these stay until later."""
        with self._lock:
            rung, self._rung = frozenset(self._rung - but), self._rung & but
        return rung

    def caught_up(self) -> None:
        """The ledger was read after the connection stood."""
        self.missed = not self._socket.up

    def keep_alive(self) -> None:
        """Prolong the listen key when it is time; one that is gone is made anew."""
        if not self._listen_key or time.monotonic() < self._kept_at + _KEEP_ALIVE_S:
            return
        self._kept_at = time.monotonic()
        try:
            self._client.call("fapiPrivatePutListenKey")
        except (VenueError, NoAnswer) as error:
            logger().warning("listen_key_not_kept", reason=str(error))
            self._renew()

    def _renew(self) -> None:
        self._listen_key = ""
        self._socket.reconnect()

    def _url(self) -> str:
        try:
            # The same key comes back while it lives; asking prolongs it.
            told: Any = self._client.call("fapiPrivatePostListenKey")
            key = fitted(LISTEN_KEY, told).listen_key
        except (VenueError, NoAnswer) as error:
            raise OSError(f"no listen key: {error}") from None
        self._listen_key, self._kept_at = key, time.monotonic()
        return f"{self._ws_url}/private/ws/{self._listen_key}"

    def _cut(self, reason: str) -> None:
        self.missed = True
        logger().info("user_stream", state=reason)

    def _on_message(self, text: str) -> None:
        event = json.loads(text)
        reader = _SYMBOLS.get(event.get("e"))
        if reader is not None:
            for symbol in reader(event):
                self.ring(symbol)
        elif event.get("e") == "listenKeyExpired":
            logger().warning("listen_key_expired")
            self._renew()


_SYMBOLS: dict[str, Callable[[Any], list[str]]] = {
    "ORDER_TRADE_UPDATE": lambda event: [event["o"]["s"]],
    "ALGO_UPDATE": lambda event: [event["o"]["s"]],
    "ACCOUNT_UPDATE": lambda event: [position["s"] for position in event["a"].get("P", ())],
}
