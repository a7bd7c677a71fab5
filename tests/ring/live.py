"""A ring of real processes on a real server, and how a test waits for it and reads what it did."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from redis import Redis

from shared.bus import load_library
from shared.cli.demo_market import SYMBOL, write_candles
from shared.cli.ring import Ring, replay_environment
from shared.cli.story import reader
from shared.server import LocalServer
from shared.streams import APPLY_RESULT, DAEMONS, MARKET_TICK, STREAMS, Stream, state_key

T = TypeVar("T")

#: A lone poll interval; a test never waits for a time, only for a condition.
_POLL_S = 0.01
WITHIN_S = 30.0

#: 1.83 at 12.32 with its stop 2 % below: one R is 0.2464.
SEED = f"""
[[apply_layer.paper.position]]
symbol = "{SYMBOL}"
side = "LONG"
qty = "1.83"
entry_price = "12.32"
mark_price = "12.32"
stop_loss = "12.0736"
leverage = 10
opened_at = 2025-05-31T20:00:00Z
"""
CLIMB_MINUTES = 75
CLIMB_TICKS = CLIMB_MINUTES * 4
#: What the ladder takes of 1.83 on the way, each rung once.
CLIMB_LADDER = [
    ("PARTIAL_25", Decimal("0.46")),
    ("PARTIAL_50", Decimal("0.46")),
    ("PARTIAL_75", Decimal("0.45")),
]

_GROUPS = {(stream.key, reader_) for stream in STREAMS for reader_ in stream.readers}


def eventually(condition: Callable[[], T], what: str, *, within_s: float = WITHIN_S) -> T:
    """Poll until `condition` holds and return its value; fail with `what` after the deadline."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(_POLL_S)
    return value


def climb() -> Iterator[float]:
    """Closes that rise by a tenth of an R a minute, through all three rungs, one at a time."""
    for minute in range(CLIMB_MINUTES):
        yield 12.32 + 0.024 * minute


def write_climb(folder: Path) -> Path:
    """The candle file of the climb."""
    return write_candles(folder, climb())[0]


def now_text(ahead_s: float = 0) -> str:
    """The wall clock as a message says it."""
    moment = datetime.fromtimestamp(time.time() + ahead_s, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def call(client: Redis, *words: Any) -> Any:
    """One command, as redis-cli would send it."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def entries(client: Redis, key: str) -> list[tuple[str, list[tuple[bytes, bytes]]]]:
    """The entries of a stream with their ids, field by field, as the server holds them."""
    rows = call(client, "XRANGE", key, "-", "+") or ()
    return [(id_.decode(), list(zip(flat[::2], flat[1::2], strict=True))) for id_, flat in rows]


def texts(client: Redis, stream: Stream) -> list[dict[str, str]]:
    """The messages of a stream, as text."""
    return [
        {name.decode(): value.decode() for name, value in fields}
        for _, fields in entries(client, stream.key)
    ]


def groups(client: Redis) -> dict[tuple[str, str], tuple[int, int | None]]:
    """For each stream and group, how many entries are pending and how many not delivered."""
    found = {}
    for stream in STREAMS:
        if not client.exists(stream.key):
            continue
        for flat in call(client, "XINFO GROUPS", stream.key):
            row = dict(zip(flat[::2], flat[1::2], strict=True))
            found[stream.key, row[b"name"].decode()] = (row[b"pending"], row[b"lag"])
    return found


def is_quiet(client: Redis) -> bool:
    """Whether every group of the ring stands and has finished all there is."""
    found = groups(client)
    return found.keys() >= _GROUPS and all(row == (0, 0) for row in found.values())


def ladder(client: Redis) -> list[tuple[str, Decimal]]:
    """The rungs that were filled, in their order."""
    return [
        (result["reason"], Decimal(result["filled_qty"]))
        for result in texts(client, APPLY_RESULT)
        if result["status"] == "FILLED" and result["reason"].startswith("PARTIAL")
    ]


def books(client: Redis) -> dict[str, dict[str, Any]]:
    """The paper venue's books by symbol, from apply_layer's own documents."""
    flat = call(client, "HGETALL", state_key("apply_layer"))
    documents = dict(zip(flat[::2], flat[1::2], strict=True))
    prefix = b"paper_book/"
    return {
        name.removeprefix(prefix).decode(): json.loads(document)
        for name, document in documents.items()
        if name.startswith(prefix)
    }


@dataclass
class Live:
    """One ring on one server; `look_after` makes it a supervised one."""

    server: LocalServer
    client: Redis
    ring: Ring
    logs: Path
    pids: dict[str, int] = field(default_factory=dict)

    def until(self, condition: Callable[[], T], what: str, *, within_s: float = WITHIN_S) -> T:
        """Wait for a condition while crashed daemons are started again."""

        def watched() -> T:
            self.ring.watch()
            return condition()

        return eventually(watched, what, within_s=within_s)

    def until_standing(self) -> None:
        """Wait until every reader has taken over and nothing is left to do."""
        self.until(lambda: is_quiet(self.client), "a quiet ring")
        self.until(lambda: len(texts(self.client, APPLY_RESULT)) > 0, "the venue's rules")
        self.until(lambda: is_quiet(self.client), "a quiet ring")
        self.pids = {daemon: self.ring.pid(daemon) for daemon in self.ring.daemons}

    def until_ticks(self, count: int) -> None:
        """Wait until so many prices were published."""
        self.until(lambda: call(self.client, "XLEN", MARKET_TICK.key) >= count, f"{count} prices")

    def until_the_end(self) -> None:
        """Wait for the last price and for all that follows from it."""
        self.until(lambda: self.ring.status("market_feed") is not None, "the end of the replay")
        assert self.ring.status("market_feed") == 0
        self.until(lambda: is_quiet(self.client), "a quiet ring")

    def log(self, daemon: str) -> list[dict[str, Any]]:
        """The log of a daemon; each line is a JSON object, whoever wrote it."""
        lines = (self.logs / f"{daemon}.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def events(self, daemon: str) -> list[str]:
        """What a daemon logged, by name."""
        return [line["event"] for line in self.log(daemon)]


@contextlib.contextmanager
def a_server(folder: Path, *, appendfsync: Any = "always") -> Iterator[LocalServer]:
    """A server of the test's own with the Function library loaded."""
    with LocalServer.start(folder / "redis", appendfsync=appendfsync) as server:
        client = a_client(server.url)
        load_library(client)
        client.close()
        yield server


def a_client(url: str) -> Redis:
    """A client that takes replies as they come."""
    client = reader(url)
    for command in ("XRANGE", "XINFO GROUPS"):
        client.set_response_callback(command, lambda reply, **_: reply)
    return client


@contextlib.contextmanager
def a_ring(
    server: LocalServer,
    folder: Path,
    *,
    settings: str = "",
    candles: Path | None = None,
    until_end: bool = True,
    environment: Mapping[str, str] | None = None,
    daemons: tuple[str, ...] = DAEMONS,
    name: str = "logs",
) -> Iterator[Live]:
    """A ring of processes that ends with the block, each daemon within its time."""
    config = folder / f"{name}.toml"
    config.write_text(settings, encoding="utf-8")
    logs = folder / name
    logs.mkdir(exist_ok=True)
    own = {"QUANTUM_CONFIG": str(config), "QUANTUM_METRICS__BASE_PORT": "0"}
    if candles is not None:
        own |= replay_environment([str(candles)], speed="max", until_end=until_end)
    client = a_client(server.url)
    ring = Ring(server.url, own | dict(environment or {}), logs, daemons=daemons)
    try:
        with ring:
            yield Live(server, client, ring, logs)
    finally:
        client.close()


def quantum(
    *words: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `quantum` as a user would, without anything of this process's own settings."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("QUANTUM_", "REDIS_"))}
    return subprocess.run(
        [sys.executable, "-c", "from shared.cli import app; app()", *words],
        env=plain | {"COLUMNS": "120"} | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
