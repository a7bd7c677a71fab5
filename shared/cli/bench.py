"""`quantum bench`: what the suite costs, as ratios to bare work measured in the same run.

A time by itself tells more of the machine than of the suite, so each figure stands beside what the
server and the client can do without it. Every part has a server of its own that is gone afterwards;
REDIS_URL and settings files are not looked at.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from shared import log
from shared.bus import connect
from shared.cli.bench_figures import BenchFailed, Hops, Latency
from shared.cli.bench_hops import measure_hops
from shared.cli.bench_ring import RingFigures, measure_ring
from shared.cli.bench_stage import Figures, measure
from shared.cli.complaints import complain
from shared.cli.ring import sigterm_ends_in_order
from shared.server import AppendFsync, LocalServer, ServerFailed, ServerNotFound
from shared.streams import BATCH

#: The least that a stage should reach of the bare loop.
STAGE_GOAL = 0.5
_FSYNC: tuple[AppendFsync, ...] = ("always", "everysec")
_LOG_TAIL = 1500


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    messages: int
    rounds: int
    intents: int
    hours: int


QUICK = Size(messages=1000, rounds=3, intents=12, hours=1)


def bench(
    *,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON and nothing else.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that it runs: too little for good figures.")
    ] = False,
    intents: Annotated[int, typer.Option(min=6, help="Intents that are timed.")] = 200,
    hours: Annotated[int, typer.Option(min=1, help="Market time that the ring replays.")] = 30,
) -> None:
    """Measure stage, hops and ring against bare work on the same server in the same run."""
    size = QUICK if quick else Size(messages=5000, rounds=5, intents=intents, hours=hours)
    console = Console(file=sys.stderr if json_ else sys.stdout, quiet=json_)
    # What the runner logs in this process is not part of the answer.
    log.configure(daemon="bench", level="warning")
    with tempfile.TemporaryDirectory(prefix="quantum-bench-") as name, sigterm_ends_in_order():
        folder = Path(name)
        try:
            figures = _measure(folder, size, console)
        except (ServerNotFound, ServerFailed, BenchFailed) as error:
            complain(error)
            _show_logs(folder)
            raise typer.Exit(1) from None
    if json_:
        typer.echo(json.dumps(figures))


def _measure(folder: Path, size: Size, console: Console) -> dict[str, Any]:
    started = time.monotonic()
    stage_folder = folder / "stage"
    with LocalServer.start(stage_folder, appendfsync="everysec") as server:
        machine = _machine(server.url)
        _print_machine(console, machine)
        stages = measure(server.url, messages=size.messages, rounds=size.rounds)
    _print_stages(console, stages, size)
    hops = [measure_hops(folder / fsync, fsync, intents=size.intents) for fsync in _FSYNC]
    _print_hops(console, hops)
    ring = measure_ring(folder / "ring", hours=size.hours)
    _print_ring(console, ring)
    elapsed_s = round(time.monotonic() - started, 1)
    _say(console, f"Measured in {elapsed_s} s.")
    return {
        "machine": machine,
        "stage": [
            {
                "name": one.name,
                "batch": BATCH,
                "appendfsync": "everysec",
                "stage_per_s": round(one.stage),
                "bare_per_s": round(one.bare),
                "ratio": round(one.ratio, 3),
                "goal": STAGE_GOAL,
            }
            for one in stages
        ],
        "hops": [one.as_json() for one in hops],
        "ring": ring.as_json(),
        "elapsed_s": elapsed_s,
    }


def _machine(url: str) -> dict[str, Any]:
    """What the figures depend on."""
    with connect(url) as client:
        info: dict[str, Any] = client.info("server")
    # A Valkey calls itself Redis 7.2.4 too, for the sake of older clients.
    valkey = info.get("valkey_version")
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "server": f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}",
        "redis_py": version("redis"),
        "hiredis": version("hiredis"),
    }


def _show_logs(folder: Path) -> None:
    for path in sorted(folder.rglob("*.log")):
        tail = path.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
        if tail:
            complain(f"-- {path.relative_to(folder)} ends with:\n{tail}")


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False)


def _print_machine(console: Console, machine: dict[str, Any]) -> None:
    _say(
        console,
        f"{machine['cores']} cores {machine['architecture']} (load {machine['load_1min']}), "
        f"Python {machine['python']}, {machine['server']},\n"
        f"redis-py {machine['redis_py']}, hiredis {machine['hiredis']}\n",
    )


def _print_stages(console: Console, stages: list[Figures], size: Size) -> None:
    _say(
        console,
        f"[bold]Stage[/bold]: read, validate, decide, commit; batches of {BATCH}, everysec. Bare: "
        f"the same\nreads and commits by redis-py alone. Medians of {size.rounds} rounds in turn.",
    )
    table = _table("messages a second", "runner", "bare", "ratio", "goal")
    for one in stages:
        table.add_row(
            one.name, f"{one.stage:,.0f}", f"{one.bare:,.0f}", f"{one.ratio:.2f}", f"{STAGE_GOAL}"
        )
    console.print(table)


def _print_hops(console: Console, hops: list[Hops]) -> None:
    _say(
        console,
        "[bold]Hops[/bold]: from an intent to its fill on paper, daemons as processes. Bare: the\n"
        "intent's own words to a second process and back by XADD and XREAD, in between.",
    )
    table = _table("appendfsync, ms", "hops", "n", "median", "p99", "a hop", "to bare")
    for one in hops:
        ways: tuple[tuple[str, Latency], ...] = (
            ("entry", one.entry),
            ("full close", one.close),
            ("bare", one.bare),
        )
        for name, way in ways:
            table.add_row(
                f"{one.appendfsync}, {name}", str(way.hops), str(way.count),
                f"{way.median_ms:.2f}", f"{way.p99_ms:.2f}", f"{way.per_hop_ms:.2f}",
                f"{way.ratio:.1f}x",
            )  # fmt: skip
    console.print(table)


def _print_ring(console: Console, ring: RingFigures) -> None:
    counts = ", ".join(f"{name} {count:,}" for name, count in ring.messages.items())
    _say(
        console,
        f"[bold]Ring[/bold]: all six daemons, {ring.symbols} symbols of {ring.bars:,} bars, at "
        f"--speed max, everysec.\n{counts}.",
    )
    table = _table("prices", "ticks", "seconds", "ticks/s")
    table.add_row(
        "first to last", f"{ring.ticks:,}", f"{ring.replay_s:.2f}", f"{ring.ticks_per_s:,.0f}"
    )
    table.add_row(
        "with start-up", f"{ring.ticks:,}", f"{ring.start_up_s + ring.replay_s:.2f}",
        f"{ring.ticks_per_s_with_start_up:,.0f}",
    )  # fmt: skip
    console.print(table)
    if ring.peak_memory_mib:
        memory = _table("process", "peak memory, MiB")
        for name, peak in ring.peak_memory_mib.items():
            memory.add_row(name, f"{peak:.1f}")
        console.print(memory)
    for problem in ring.problems:
        console.print(f"[red]problem:[/red] {problem}")
