"""The user stream as a doorbell: it tells at which symbols something happened, and no more.

What happened is then read from the venue's own ledger, in its order. So an event that is lost,
doubled, late or out of order can do no harm beyond a look too many, or one that comes with the
next round. What cannot be read may have told of anything: it makes the next watch due at once.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.endpoints import LISTEN_KEY, fitted
from shared.log import logger
from shared.streams import STARTING
from shared.symbols import is_symbol
from shared.websocket import Socket

_KEEP_ALIVE_S = 30 * 60.0
#: How long a first connection may take before its want is said.
_FIRST_S = 10.0
#: How often unreadable events are acted on and told of.
_UNREADABLE_S, _TOLD_S = 1.0, 60.0
#: How much of an unreadable event is shown.
_SHOWN = 200


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
        self._started_at: float | None = None
        self._was_up = False
        self._unreadable = 0
        self._unclear_at = self._told_at = 0.0
        self.missed = True
        self._socket = Socket(
            "user_stream",
            self._url,
            self._on_message,
            # Nothing may happen for hours; a dead connection is found by its pings.
            silent_after_s=None,
            on_up=self._connected,
            on_down=self._cut,
        )

    @property
    def up(self) -> bool:
        """Whether events arrive now."""
        return bool(self._socket.up)

    def start(self) -> None:
        """Connect, in a thread of its own; once, however often it is asked for."""
        if self._started_at is None:
            self._started_at = time.monotonic()
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

    @property
    def barrier(self) -> str:
        """The code for `missed`: the first connection is no loss while it has not taken long."""
        since = self._started_at
        first = not self._was_up and (since is None or time.monotonic() < since + _FIRST_S)
        return STARTING if first else "user_stream_down"

    def is_unclear(self) -> bool:
        """Whether something came that could not be read; said once a second at most."""
        with self._lock:
            now = time.monotonic()
            if not self._unreadable or now < self._unclear_at:
                return False
            self._unclear_at = now + _UNREADABLE_S
            self._unreadable = 0
            return True

    def caught_up(self) -> None:
        """The ledger was read after the connection stood."""
        self.missed = not self._socket.up
        self._was_up = self._was_up or not self.missed

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

    def _connected(self) -> None:
        self.missed = True
        logger().info("user_stream", state="connected")

    def _cut(self, reason: str) -> None:
        self.missed = True
        logger().info("user_stream", state=reason)

    def _on_message(self, text: str) -> None:
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            event = None
        kind = event.get("e") if isinstance(event, dict) else None
        symbols = _symbols_in(event) if isinstance(event, dict) else None
        if kind == "listenKeyExpired":
            logger().warning("listen_key_expired")
            self._renew()
        elif symbols is None:
            self._not_read(text)
        for symbol in symbols or ():
            self.ring(symbol)

    def _not_read(self, text: str) -> None:
        with self._lock:
            self._unreadable += 1
            now = time.monotonic()
            if now < self._told_at:
                return
            self._told_at = now + _TOLD_S
        logger().warning("user_stream_unreadable", shown=ascii(text[:_SHOWN]))


#: Where an event names its symbols; what is none of ours to act on names none.
_PLACES = {"ORDER_TRADE_UPDATE": "o", "ALGO_UPDATE": "o", "ACCOUNT_CONFIG_UPDATE": "ac"}
_NOT_OURS = frozenset({"TRADE_LITE", "MARGIN_CALL", "STRATEGY_UPDATE", "GRID_UPDATE"})


def _symbols_in(event: dict[str, Any]) -> list[str] | None:
    """The symbols that an event tells of, or None where it cannot be read."""
    kind = event.get("e")
    if not isinstance(kind, str):
        return None
    if kind in _NOT_OURS or (kind == "ACCOUNT_CONFIG_UPDATE" and "ai" in event):
        return []
    if kind == "ACCOUNT_UPDATE":
        inside = event.get("a")
        rows = inside.get("P", []) if isinstance(inside, dict) else None
    else:
        rows = [event.get(_PLACES.get(kind, ""))]
    if not isinstance(rows, list):
        return None
    named = [row.get("s") if isinstance(row, dict) else None for row in rows]
    symbols = [symbol for symbol in named if isinstance(symbol, str) and is_symbol(symbol)]
    return symbols if len(symbols) == len(rows) else None
