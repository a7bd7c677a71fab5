"""A venue as small as a feed's test needs: a stream that says what it is told to, and candles."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.sync.server import ServerConnection

from tests.websocket.station import WITHIN_S, Station, station, until_gone

MINUTE = timedelta(minutes=1)


def two_hours_ago() -> datetime:
    """A full minute of the past, so that no test depends on the second that it runs in."""
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def candle_row(at: datetime, *prices: str) -> list[Any]:
    """A candle of one minute as the venue's REST writes it."""
    opens = ms(at)
    return [opens, *prices, "0", opens + 59_999, "0", 60, "0", "0", "0"]


@dataclass
class SmallVenue:
    """`candles` is what REST has; `answers` are used up before that: a status, headers, a body."""

    station: Station
    rest_url: str
    candles: list[list[Any]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    listeners: list[ServerConnection] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.station.port}"

    def await_listener(self, connections: int) -> ServerConnection:
        """Wait for the n-th connection, counted from 1, and return it."""
        with self.changed:
            came = self.changed.wait_for(lambda: len(self.listeners) >= connections, WITHIN_S)
        assert came, f"{len(self.listeners)} connections within {WITHIN_S} s"
        return self.listeners[connections - 1]

    def say(self, event: dict[str, Any]) -> None:
        """Say an event to the newest listener, wrapped as on a combined stream."""
        self.listeners[-1].send(json.dumps({"stream": "x", "data": event}))

    def mark(self, symbol: str, at: datetime, price: Any, rate: Any = "0.0001") -> None:
        self.say(
            {
                **{"e": "markPriceUpdate", "E": ms(at), "s": symbol, "p": price, "r": rate},
                **{"P": price, "i": price, "T": ms(at + timedelta(hours=8))},
            }
        )

    def kline(self, symbol: str, opened_at: datetime, *, ended: bool) -> None:
        bar = {"t": ms(opened_at), "T": ms(opened_at) + 59_999, "s": symbol, "i": "1m", "x": ended}
        bar |= {"o": "1", "h": "1", "l": "1", "c": "1", "v": "0"}
        self.say({"e": "kline", "E": ms(opened_at + MINUTE), "s": symbol, "k": bar})


@contextlib.contextmanager
def small_venue() -> Iterator[SmallVenue]:
    """Open it until the block ends."""

    def conduct(_number: int, connection: ServerConnection) -> None:
        with venue.changed:
            venue.listeners.append(connection)
            venue.changed.notify_all()
        until_gone(connection)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            query = dict(parse_qsl(address.query))
            assert address.path == "/fapi/v1/markPriceKlines"
            venue.asked.append(query)
            status, headers, body = (
                venue.answers.pop(0) if venue.answers else (200, {}, self._rows(query))
            )
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _rows(self, query: dict[str, str]) -> list[list[Any]]:
            assert query["interval"] == "1m"
            begin, end = int(query["startTime"]), int(query["endTime"])
            rows = [row for row in venue.candles if begin <= row[0] <= end]
            return rows[: int(query["limit"])]

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with station(conduct) as on_air:
            venue = SmallVenue(on_air, f"http://127.0.0.1:{server.server_port}")
            yield venue
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
