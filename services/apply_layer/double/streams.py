"""The WebSocket side: market streams and the user stream, on the venue's paths.

Runs in the server's loop; nothing here is called from another thread. A subscription on a path that
the venue has retired is accepted and stays silent.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from services.apply_layer.double.account import Account
from services.apply_layer.double.codes import Refused
from services.apply_layer.double.events import key_expired_event
from services.apply_layer.double.ledger import plain
from services.apply_layer.double.market import MINUTE_MS, Bar, Bars, next_funding_ms

_ARRAYS = ("!markPrice@arr", "!markPrice@arr@1s")


@dataclass(eq=False, slots=True)
class Listener:
    """One connection, and what it wants to hear; `key` is the listen key of a user stream."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport | None
    streams: set[str] = field(default_factory=set)
    key: str = ""
    combined: bool = False
    silent: bool = False
    #: What is to be sent, and when; events are on their way for a while.
    queue: asyncio.Queue[tuple[float, str | bytes]] = field(default_factory=asyncio.Queue)
    delay_s: float = 0.0

    def cut(self) -> None:
        """End the connection as a broken network does."""
        if self.transport is not None:
            self.transport.abort()

    def hear(self, stream: str, data: object) -> None:
        """Put a message into its queue, in the envelope of a combined stream if it is one."""
        if not self.silent:
            told = {"stream": stream, "data": data} if self.combined else data
            self.put(json.dumps(told))

    def put(self, frame: str | bytes) -> None:
        """Send a frame as it is."""
        self.queue.put_nowait((time.monotonic() + self.delay_s, frame))


class Streams:
    """All connections, and the listen keys with the time in seconds until which they hold.

    `struck(kind, symbol)` says whether a fault strikes an event now.
    """

    def __init__(
        self, account: Account, struck: Callable[[str, str], bool], bars: dict[str, Bars]
    ) -> None:
        self._account = account
        self._struck = struck
        self._bars = bars
        self._listeners: set[Listener] = set()
        self._keys: dict[str, float] = {}
        self._held_back: dict[str, Any] | None = None
        self.latency_s = account.config.latency_s
        self._minute = account.now_ms() // MINUTE_MS

    # -- listen keys --------------------------------------------------------------------------

    def listen_key(self, now: float) -> str:
        """The key that holds, prolonged, or a new one."""
        self.expire(now)
        key = next(iter(self._keys), None) or uuid.uuid4().hex * 2
        self._keys[key] = now + self._account.config.listen_key_s
        return key

    def prolong(self, now: float) -> str:
        """Prolong the key. Raises Refused: there is none."""
        self.expire(now)
        if not self._keys:
            raise Refused(-1125)
        return self.listen_key(now)

    def drop_keys(self, *, tell: bool) -> None:
        """No key holds any more; `tell` says so on the streams."""
        for key in list(self._keys):
            del self._keys[key]
            if tell:
                for listener in [each for each in self._listeners if each.key == key]:
                    listener.hear(key, key_expired_event(key, self._account.now_ms()))

    def expire(self, now: float) -> None:
        """Let go of a key whose time is over, and say so on its streams."""
        if any(until <= now for until in self._keys.values()):
            self.drop_keys(tell=True)

    # -- what is told -------------------------------------------------------------------------

    def tell_user(self, event: dict[str, Any]) -> None:
        """An event of the account, unless a fault has it lost, doubled or late."""
        if self._struck("stream_event_lost", ""):
            return
        if self._held_back is None and self._struck("stream_reordered", ""):
            self._held_back = event
            return
        self._to_users(event)
        if self._struck("stream_doubled", ""):
            self._to_users(event)
        if self._held_back is not None:
            late, self._held_back = self._held_back, None
            self._to_users(late)

    def _to_users(self, event: dict[str, Any]) -> None:
        for listener in self._listeners:
            if listener.key and listener.key in self._keys:
                listener.hear(listener.key, event)

    def say(self, frame: str | bytes, kind: str = "private") -> None:
        """Send a frame as it is to the user streams, or to those of the market."""
        for listener in self._listeners:
            if bool(listener.key) == (kind == "private") and not listener.silent:
                listener.put(frame)

    def slow(self, latency_s: float) -> None:
        """From now on events are on their way for half of this."""
        self.latency_s = latency_s
        for listener in self._listeners:
            listener.delay_s = latency_s / 2

    def tell_mark(self, symbols: Iterable[str]) -> None:
        """The marks of some symbols, and their candles, to those who asked for them."""
        now = self._account.now_ms()
        closed = now // MINUTE_MS > self._minute
        before, self._minute = self._minute * MINUTE_MS, now // MINUTE_MS
        wanted = set().union(*(listener.streams for listener in self._listeners))
        if not wanted:
            return
        chosen = self._account.config.symbols if closed else symbols
        everybody = tuple(s for s in chosen if not self._account.switches.delisted(s))
        marks = [self._mark_event(symbol, now) for symbol in everybody]
        for symbol, mark in zip(everybody, marks, strict=True):
            name = symbol.lower()
            self._to_streams((f"{name}@markPrice", f"{name}@markPrice@1s"), mark)
            stream = f"{name}@kline_1m"
            if stream in wanted:
                bars = self._bars[symbol]
                if closed:
                    over = self._kline_event(symbol, bars.at(before), now, over=True)
                    self._to_streams((stream,), over)
                bar = bars.at(self._minute * MINUTE_MS)
                self._to_streams((stream,), self._kline_event(symbol, bar, now, over=False))
        self._to_streams(_ARRAYS, marks)

    def _to_streams(self, names: Iterable[str], data: object) -> None:
        for listener in self._listeners:
            for name in names:
                if name in listener.streams:
                    listener.hear(name, data)

    def _mark_event(self, symbol: str, now: int) -> dict[str, Any]:
        book = self._account.books.account.book(symbol)
        told = self._account.switches.told_marks.get(symbol)
        mark = plain(self._account.books.mark(symbol) if told is None else told)
        return {
            "e": "markPriceUpdate",
            "E": now,
            "s": symbol,
            "p": mark,
            "i": mark,
            "P": mark,
            "r": plain(book.funding_rate) if book.funding_rate is not None else "0.00000000",
            "T": next_funding_ms(now),
        }

    @staticmethod
    def _kline_event(symbol: str, bar: Bar, now: int, *, over: bool) -> dict[str, Any]:
        return {
            "e": "kline",
            "E": now,
            "s": symbol,
            "k": {
                "t": bar.open_ms,
                "T": bar.open_ms + MINUTE_MS - 1,
                "s": symbol,
                "i": "1m",
                "f": -1,
                "L": -1,
                "o": plain(bar.open),
                "c": plain(bar.close),
                "h": plain(bar.high),
                "l": plain(bar.low),
                "v": "0",
                "n": 0,
                "x": over,
                "q": "0",
                "V": "0",
                "Q": "0",
                "B": "0",
            },
        }

    # -- connections --------------------------------------------------------------------------

    async def serve(self, request: web.BaseRequest) -> web.WebSocketResponse:
        """One connection, from its opening to its end."""
        socket = web.WebSocketResponse(heartbeat=None, autoping=True, compress=False)
        await socket.prepare(request)
        listener = self._listener(socket, request)
        listener.delay_s = self.latency_s / 2
        self.expire(self._account.config.clock())
        self._listeners.add(listener)
        sender = asyncio.ensure_future(self._send(listener))
        try:
            if listener.streams:
                self.tell_mark(self._account.config.symbols)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._on_text(listener, message.data)
        finally:
            self._listeners.discard(listener)
            sender.cancel()
        return socket

    @staticmethod
    def _listener(socket: web.WebSocketResponse, request: web.BaseRequest) -> Listener:
        wire = request.transport
        parts = request.path.strip("/").split("/")
        kind, rest = parts[0], "/".join(parts[2:])
        combined = len(parts) > 1 and parts[1] == "stream"
        names = request.query.get("streams", "") or rest
        if kind == "market":
            return Listener(socket, wire, {n for n in names.split("/") if n}, combined=combined)
        if kind == "private":
            key = request.query.get("listenKey", "") or names
            return Listener(socket, wire, key=key, combined=combined)
        return Listener(socket, wire, silent=True)

    @staticmethod
    async def _send(listener: Listener) -> None:
        while not listener.socket.closed:
            due, frame = await listener.queue.get()
            await asyncio.sleep(max(due - time.monotonic(), 0))
            try:
                if isinstance(frame, bytes):
                    await listener.socket.send_bytes(frame)
                else:
                    await listener.socket.send_str(frame)
            except ConnectionError:
                # Cut; the reader finds out as well.
                return

    def _on_text(self, listener: Listener, text: str) -> None:
        try:
            asked = json.loads(text)
        except ValueError:
            asked = {}
        method, names = asked.get("method"), asked.get("params") or []
        if method == "SUBSCRIBE":
            listener.streams |= set(names)
        elif method == "UNSUBSCRIBE":
            listener.streams -= set(names)
        elif method != "LIST_SUBSCRIPTIONS":
            told = {"error": {"code": 2, "msg": "Invalid request"}, "id": asked.get("id")}
            listener.put(json.dumps(told))
            return
        result = sorted(listener.streams) if method == "LIST_SUBSCRIPTIONS" else None
        if not listener.silent:
            listener.put(json.dumps({"result": result, "id": asked.get("id")}))

    def drop(self, kind: str = "") -> None:
        """Cut connections without a goodbye: `private`, `market`, or all."""
        for listener in list(self._listeners):
            if kind == "private" and not listener.key:
                continue
            if kind == "market" and listener.key:
                continue
            listener.cut()
