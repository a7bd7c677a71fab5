"""One scene of the benchmark: so many symbols, so far away; what the venue's own ledger tells.

apply_layer runs with the real adapter and ccxt on the bus in memory; the venue is the double in the
same process, behind a proxy that holds back what passes. Nothing is taken from our own records.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.apply_layer.double import gate
from shared.log import configure
from tests.binance.desk import D, Desk, desk_at
from tests.binance.far import Far

#: How many entries are asked for at once.
ENTRIES = 30
_READY_S, _OPEN_S, _CALM_S = 120.0, 40.0, 3.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What to play: `seconds` of calm and as many with stops lost, `losses` of them a minute."""

    symbols: int
    latency_s: float
    seconds: float
    losses: float
    seed: int


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it; times in seconds. `weight` is the most of any 60 seconds in the calm."""

    asked: Asked
    weight: int
    opened: int
    entries: int
    open_s: float
    entry_naked: tuple[float, ...]
    lost_naked: tuple[float, ...]
    too_often: int


def quiet() -> None:
    """Say nothing but what must not happen."""
    configure(daemon="bench", level="critical")


def play(asked: Asked) -> Found:
    """Open many at once, watch in calm, lose stops."""
    chance = random.Random(asked.seed)
    names = [f"S{number:03}USDT" for number in range(asked.symbols)]
    with tempfile.TemporaryDirectory() as folder, _desk(Path(folder), names) as (desk, far):
        far.latency_s = asked.latency_s
        first = names[:ENTRIES]
        open_s = _open(desk, first)
        opened = sum(desk.venue.position(name) != 0 for name in first)
        for at in range(ENTRIES, len(names), 10):
            _open(desk, names[at : at + 10])
        _turn(desk, _CALM_S)
        calm = time.time()
        _turn(desk, asked.seconds)
        weight = _weight(desk, calm)
        _lose(desk, asked, chance)
        lines = sorted(desk.venue.ledger, key=lambda line: line["n"])
        return Found(
            asked, weight, opened, len(first), open_s, _from_entry(lines), _from_loss(lines),
            sum(line["kind"] == "request" and line["http"] in (418, 429) for line in lines),
        )  # fmt: skip


@contextmanager
def _desk(folder: Path, names: list[str]) -> Iterator[tuple[Desk, Far]]:
    live: dict[str, Any] = {
        "timeout_s": "3", "recv_window_ms": 5000, "doubt_first_s": "5", "doubt_again_s": "10",
        "settle_s": "5",
    }  # fmt: skip
    symbols = {name: D(100) for name in names}
    with (
        desk_at(folder, live, symbols=symbols, wallet=D(10_000_000)) as desk,
        Far(desk.venue.port, 0.0) as far,
    ):
        desk.live |= {"rest_url": far.rest_url, "ws_url": far.ws_url}
        desk.own["symbols"] = names
        desk.restart()
        _until(desk, lambda: not desk.outside.barred and not desk.state.barriers, _READY_S)
        desk.runner._cycle_s = 1.0
        yield desk, far


def _until(desk: Desk, condition: Callable[[], object], within_s: float) -> float:
    began = time.monotonic()
    while not condition() and time.monotonic() - began < within_s:
        desk.runner.step(block_ms=0)
        # As long as a read of the streams waits, which here never does.
        desk.runner.stop.wait(0.02)
    return time.monotonic() - began


def _turn(desk: Desk, seconds: float) -> None:
    _until(desk, lambda: False, seconds)


def _open(desk: Desk, names: list[str]) -> float:
    """Ask for all of them before the first is read; how long until each has its outcome."""
    turn, desk.turn = desk.turn, lambda: None  # type: ignore[method-assign]
    for name in names:
        desk.enter(name)
    desk.turn = turn  # type: ignore[method-assign]
    return _until(desk, lambda: all(desk.holds(name) for name in names), _OPEN_S)


def _lose(desk: Desk, asked: Asked, chance: random.Random) -> None:
    """Withdraw stops by hand; every second time the user stream does not tell of it."""
    every_s = 60 / asked.losses
    for number in range(int(asked.seconds / every_s)):
        stops = [o for o in desk.venue.open_algo_orders() if o["algoStatus"] == "NEW"]
        if stops:
            if number % 2:
                desk.venue.faults.script("stream_event_lost", times=1)
            desk.venue.cancel_by_hand(chance.choice(stops)["clientAlgoId"])
        _turn(desk, every_s)


def _weight(desk: Desk, since: float) -> int:
    """The most weight of any 60 seconds, by the venue's table."""
    calls = [
        (line["t"], gate.weight_of(f"{line['method']} {line['path']}", line["params"]))
        for line in desk.venue.ledger
        if line["kind"] == "request" and line["t"] >= since
    ]
    return max((sum(w for at, w in calls if t <= at < t + 60) for t, _ in calls), default=0)


def _from_entry(lines: list[dict[str, Any]]) -> tuple[float, ...]:
    """From a symbol's first trade to its first stop."""
    opened: dict[str, float] = {}
    spans: dict[str, float] = {}
    for line in lines:
        if line["kind"] == "trade":
            opened.setdefault(line["symbol"], line["t"])
        elif _is_stop(line) and line["symbol"] in opened:
            spans.setdefault(line["symbol"], line["t"] - opened[line["symbol"]])
    return tuple(spans.values())


def _from_loss(lines: list[dict[str, Any]]) -> tuple[float, ...]:
    """From the end of a symbol's last stop to its next one; of one never replaced, to the end."""
    standing: dict[str, set[str]] = {}
    naked: dict[str, float] = {}
    spans: list[float] = []
    for line in lines:
        if _is_stop(line):
            standing.setdefault(line["symbol"], set()).add(line["client_id"])
            if line["symbol"] in naked:
                spans.append(line["t"] - naked.pop(line["symbol"]))
        elif line["kind"] == "ended" and line["book"] == "algo":
            left = standing.get(line["symbol"], set())
            left.discard(line["client_id"])
            if not left:
                naked[line["symbol"]] = line["t"]
    return (*spans, *(lines[-1]["t"] - since for since in naked.values()))


def _is_stop(line: dict[str, Any]) -> bool:
    return bool(line["kind"] == "order" and line["type"] == "STOP_MARKET")
