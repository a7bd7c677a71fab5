"""The double of the venue: an HTTP and WebSocket server on this machine, in a thread of its own.

Serves one account of `DoubleConfig` on the loopback alone; its API may be called from any thread,
and what a call brings about has happened when it returns.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Coroutine, Iterable
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from services.apply_layer.double.account import Account
from services.apply_layer.double.config import DoubleConfig
from services.apply_layer.double.control import Control
from services.apply_layer.double.desk import Desk
from services.apply_layer.double.events import account_event
from services.apply_layer.double.fault_kinds import Fault
from services.apply_layer.double.faults import Faults
from services.apply_layer.double.garbage import garbage_frame
from services.apply_layer.double.hands import Hands
from services.apply_layer.double.ledger import Ledger
from services.apply_layer.double.market import Bars
from services.apply_layer.double.streams import Streams

_START_S, _STOP_S = 10.0, 10.0
_PARTS = ("fapiPublic", "fapiPrivate")


def ccxt_urls(rest_url: str) -> dict[str, str]:
    """What to put over `urls['api']` of a ccxt client of Binance, so that it speaks to a double."""
    told = {
        f"{part}{version}": f"{rest_url}/fapi/{version.lower() or 'v1'}"
        for part in _PARTS
        for version in ("", "V2", "V3")
    }
    sapi = {f"sapi{v}": f"{rest_url}/sapi/{v.lower() or 'v1'}" for v in ("", "V2", "V3", "V4")}
    return told | sapi | {"fapiData": f"{rest_url}/futures/data"}


class Double(Hands):
    """A running double; made by `start`, ended by `stop` or the end of the `with` block."""

    def __init__(self, config: DoubleConfig, ledger: Path | None, port: int, host: str) -> None:
        if not ip_address(host).is_loopback:
            raise ValueError(f"the double listens on this machine alone, not on {host}")
        self.config = config
        self.port = port
        self._host = host
        self._ledger = Ledger(ledger)
        self._ready = threading.Event()
        self._error: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._server: asyncio.Server | None = None
        self.faults = Faults(config.seed, self._at_once)
        self.account = Account(config, self._ledger, self._tell_user, self._struck)
        now = self.account.now_ms()
        self._bars = {s: Bars(price, now) for s, price in config.symbols.items()}
        self._chance = random.Random(f"{config.seed} frames")
        self._streams = Streams(self.account, self._struck, self._bars)
        self._thread = threading.Thread(target=self._run, name="double", daemon=True)

    @classmethod
    def start(
        cls,
        config: DoubleConfig,
        *,
        ledger: Path | None = None,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> Self:
        """Serve, on a free port if none is named.

        Raises:
            ValueError: the host is not this machine.
            OSError: the port is taken, or the ledger cannot be written.
        """
        made = cls(config, ledger, port, host)
        made._thread.start()
        made._ready.wait(_START_S)
        if made._error is not None:
            raise made._error
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Cut every connection and end the thread; nothing is executed after that."""
        if self._thread.is_alive() and self._stopping is not None:
            self._soon(self._stopping.set)
            self._thread.join(_STOP_S)
        self._ledger.close()

    @property
    def rest_url(self) -> str:
        """Where REST is served, without a path."""
        return f"http://{self._where}"

    @property
    def ws_url(self) -> str:
        """Where streams are served, without a path."""
        return f"ws://{self._where}"

    @property
    def _where(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"

    # -- the server's thread ------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._desk = Desk(self.account, self.faults, self._streams, self._bars, self._stopping)
        self._control = Control(self)
        self._http = web.Server(self._serve, access_log=None)
        try:
            await self._listen()
        except OSError as error:
            self._error = error
            self._ready.set()
            return
        self._ready.set()
        ticking = asyncio.ensure_future(self._tick())
        await self._stopping.wait()
        ticking.cancel()
        self._hang_up()
        self._streams.drop()
        for connection in self._http.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._http.shutdown(0.5)

    async def _listen(self) -> None:
        assert self._loop is not None
        self._server = await self._loop.create_server(
            self._http, self._host, self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _hang_up(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/double/"):
            return await self._control.answer(request)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            if self._desk.down and request.transport is not None:
                request.transport.abort()
                return web.Response()
            return await self._streams.serve(request)
        return await self._desk.answer(request)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.config.mark_every_s)
            now = self.account.now_ms()
            for symbol, bars in self._bars.items():
                bars.add(self.account.books.mark(symbol), now)
            self._streams.expire(self.config.clock())
            if not self._desk.down:
                self._streams.tell_mark(self.config.symbols)

    def _soon(self, call: Any, *args: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)

    def _tell_user(self, event: dict[str, Any]) -> None:
        self._soon(lambda: self._streams.tell_user(event))

    # -- faults -------------------------------------------------------------------------------

    def _struck(self, kind: str, symbol: str) -> bool:
        struck = self.faults.take(kind, symbol)
        if struck:
            self._ledger.write("fault", fault=kind, path="", method="")
        return struck

    def set_fault_rate(self, rate: float, kinds: Iterable[str] | None = None) -> None:
        """From now on strike this share of the signed calls; None: every kind that is drawn."""
        self.faults.set_rate(rate, kinds)

    def _at_once(self, fault: Fault) -> None:
        self._ledger.write("fault", fault=fault.kind, path="", method="")
        match fault.kind:
            case "stream_dropped":
                self._soon(lambda: self._streams.drop(fault.get("stream", "")))
            case "listen_key_expired":
                self._soon(lambda: self._streams.drop_keys(tell=True))
            case "clock_skew":
                self.account.offset_ms = int(fault.get("offset_ms", 1500))
            case "hedge_mode":
                self.account.hedge_mode = bool(fault.get("on", True))
            case "liquidation" | "adl":
                self._force(fault)
            case "venue_down":
                self.down(fault.get("how", "503"))
            case "venue_up":
                self.up()
            case "garbage_frames":
                self._spoil(fault)
            case _:
                self.switch(fault.kind, fault.params)

    def _force(self, fault: Fault) -> None:
        forced = "adl_autoclose"
        if fault.kind == "liquidation":
            forced = f"autoclose-{self.account.now_ms()}"
        symbol, share = fault.get("symbol", None), Decimal(str(fault.get("share", 1)))
        for name in self.config.symbols if symbol is None else (symbol,):
            if self.account.force_close(name, forced, share):
                return

    def _spoil(self, fault: Fault) -> None:
        """Send frames that make no sense, each from a true event; or the one that is given."""
        stream, text = fault.get("stream", "private"), fault.get("text", None)
        event = account_event(self.account.books, self.config.symbols, self.account.now_ms())
        for _ in range(int(fault.get("count", 1))):
            frame = garbage_frame(event, self._chance) if text is None else text
            self._soon(self._streams.say, frame, stream)

    def hold_windows(self) -> None:
        """Count every call from now on within the minute of now; `free_windows` ends that."""
        self._desk.gate.hold(self.account.now_ms() / 1000)

    def free_windows(self) -> None:
        """Let the minutes of the rate limit go on."""
        self._desk.gate.hold(None)

    def set_latency(self, seconds: float) -> None:
        """How long answers take from now on, there and back, and half of it each event."""
        self._desk.latency_s = seconds
        self._soon(self._streams.slow, seconds)

    def down(self, how: str = "503") -> None:
        """The venue is away: every call is answered 503, cut (`close`), or `refuse`d a connection.

        Streams are cut, and none can be opened.
        """
        self._ledger.write("down")
        self._desk.down = how
        self._in_loop(self._go_away(refuse=how == "refuse"))

    def up(self) -> None:
        """The venue is back."""
        self._in_loop(self._come_back())

    async def _go_away(self, *, refuse: bool) -> None:
        self._streams.drop()
        if refuse:
            self._hang_up()

    async def _come_back(self) -> None:
        if self._server is None:
            await self._listen()
        self._desk.down = ""
        self._ledger.write("up")

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it done in the server's loop, and wait for that unless this is the loop itself."""
        assert self._loop is not None
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        if threading.current_thread() is not self._thread:
            future.result(_START_S)

    def _marked(self, symbol: str, price: Decimal) -> None:
        def tell() -> None:
            self._bars[symbol].add(price, self.account.now_ms())
            if not self._desk.down:
                self._streams.tell_mark([symbol])

        self._soon(tell)

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """Every line so far."""
        return list(self._ledger.lines)

    def pardon(self) -> None:
        """Forget the counts of calls, and every ban."""
        self._desk.gate.pardon()
