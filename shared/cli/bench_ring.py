"""How many prices a second the whole ring works off, and how much memory that takes.

Six processes replay generated candles as fast as the slowest of them: a minute's prices go out
when all that the last minute set off is done. The prices swing, so that trades happen as well once
there are 24 hours to judge by; a shorter replay has prices alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from redis import Redis

from shared.bus import load_library
from shared.bus.client import call
from shared.cli.bench_figures import BenchFailed
from shared.cli.demo_market import write_candles
from shared.cli.ring import Ring, replay_environment
from shared.cli.story import added, reader, settle, tell
from shared.contracts import MarketTick, decode
from shared.server import LocalServer
from shared.streams import DAEMONS, MARKET_TICK

SYMBOLS = ("ADAUSDT", "RIVERUSDT", "SOLUSDT")
TICKS_PER_BAR = 4
#: Looking costs time that is then missing in the ring.
_LOOK_S = 0.1
_LIMIT_S = 600.0
_SERVER = "server"


@dataclass
class RingFigures:
    """One replay. Times in seconds, memory in MiB; `start_up_s` ends with the first price."""

    symbols: int
    bars: int
    ticks: int = 0
    start_up_s: float = 0.0
    replay_s: float = 0.0
    messages: dict[str, int] = field(default_factory=dict)
    peak_memory_mib: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ticks_per_s(self) -> float:
        """From the first price to the last."""
        return self.ticks / self.replay_s

    @property
    def ticks_per_s_with_start_up(self) -> float:
        """From the start of the first process to the last price."""
        return self.ticks / (self.start_up_s + self.replay_s)

    def as_json(self) -> dict[str, Any]:
        """The row of `--json`."""
        return {
            "symbols": self.symbols,
            "bars_per_symbol": self.bars,
            "ticks": self.ticks,
            "start_up_s": round(self.start_up_s, 3),
            "replay_s": round(self.replay_s, 3),
            "ticks_per_s": round(self.ticks_per_s, 1),
            "ticks_per_s_with_start_up": round(self.ticks_per_s_with_start_up, 1),
            "messages": self.messages,
            "peak_memory_mib": self.peak_memory_mib,
            "problems": self.problems,
        }


def measure_ring(folder: Path, *, hours: int) -> RingFigures:
    """Replay `hours` of three symbols through all six daemons.

    Raises:
        BenchFailed: a daemon ended badly, or the replay takes too long.
    """
    files, bars = _candles(folder, hours)
    environment = replay_environment(files, speed="max", until_end=True)
    environment |= {"QUANTUM_CONFIG": "", "QUANTUM_METRICS__BASE_PORT": "0"}
    logs = folder / "logs"
    logs.mkdir()
    figures = RingFigures(len(SYMBOLS), bars)
    with LocalServer.start(folder / "redis", appendfsync="everysec") as server:
        client = reader(server.url)
        client.set_response_callback("XREVRANGE", lambda reply, **_: reply)
        load_library(client)
        server_pid = int(client.info("server")["process_id"])
        started = time.time()
        with Ring(server.url, environment, logs) as ring:
            first_at = _replay(client, ring, server_pid, figures)
            if not settle(server.url):
                figures.problems.append("the daemons did not come to rest")
            _look_at_memory(ring, server_pid, figures)
        last_at = _tick_at(client, "XREVRANGE", "+", "-")
        if last_at is None:
            raise BenchFailed("the replay brought no prices")
        figures.ticks = added(client, MARKET_TICK.key)
        figures.start_up_s = first_at.timestamp() - started
        figures.replay_s = (last_at - first_at).total_seconds()
        story = tell(server.url)
        figures.messages = story.streams
        figures.problems.extend(story.problems)
        client.close()
    return figures


def _candles(folder: Path, hours: int) -> tuple[list[str], int]:
    files, bars = [], 0
    for number, symbol in enumerate(SYMBOLS):
        own = folder / symbol
        own.mkdir(parents=True)
        path, bars = write_candles(own, _closes(number, hours * 60))
        files.append(f"{symbol}={path}")
    return files, bars


def _closes(number: int, minutes: int) -> Iterator[float]:
    """A swing of 20 % in 18 hours with ripples of 0.4 %, each symbol in another phase."""
    for minute in range(minutes):
        swing = 0.2 * math.sin(2 * math.pi * (minute / 1080 + number / len(SYMBOLS)))
        ripple = 0.004 * math.sin(2 * math.pi * minute / 97)
        yield 12 * (1 + swing + ripple)


def _replay(client: Redis, ring: Ring, server_pid: int, figures: RingFigures) -> datetime:
    """Watch until the last price is out, looking at memory as it goes; returns when it began."""
    first_at = None
    deadline = time.monotonic() + _LIMIT_S
    while ring.status("market_feed") is None:
        if time.monotonic() > deadline:
            raise BenchFailed(f"the replay is not over after {_LIMIT_S:.0f} s")
        ring.watch()
        if ring.restarts:
            raise BenchFailed(f"daemons crashed: {ring.restarts}")
        # While it is still there: a long replay trims its beginning.
        first_at = first_at or _tick_at(client, "XRANGE", "-", "+")
        _look_at_memory(ring, server_pid, figures)
        time.sleep(_LOOK_S)
    first_at = first_at or _tick_at(client, "XRANGE", "-", "+")
    if ring.status("market_feed") or first_at is None:
        raise BenchFailed(f"market_feed ended with status {ring.status('market_feed')}")
    return first_at


def _look_at_memory(ring: Ring, server_pid: int, figures: RingFigures) -> None:
    pids = {daemon: ring.pid(daemon) for daemon in DAEMONS} | {_SERVER: server_pid}
    for name, pid in pids.items():
        peak = peak_memory_mib(pid)
        # One that has ended is remembered as it last was.
        if peak is not None:
            figures.peak_memory_mib[name] = peak


def _tick_at(client: Redis, command: str, start: str, end: str) -> datetime | None:
    """When the first tick of a range was produced, by the wall clock."""
    entries = call(client, command, MARKET_TICK.key, start, end, "COUNT", 1)
    if not entries:
        return None
    words = entries[0][1]
    tick: MarketTick = decode(MarketTick, tuple(zip(words[::2], words[1::2], strict=True)))
    return tick.produced_at


def peak_memory_mib(pid: int) -> float | None:
    """The most memory that a living process has held so far; None where the system hides it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024, 1)
    return None
