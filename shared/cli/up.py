"""`quantum up`: the whole ring in one terminal, on a server of its own or on yours."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table

from shared.bus import connect, load_library
from shared.candle_names import named
from shared.cli.ring import Ring, replay_environment
from shared.cli.story import Story, settle, tell
from shared.daemon import EXIT_SETTINGS
from shared.sections import settings_of
from shared.server import ServerFailed, ServerNotFound, server_url
from shared.settings import Settings, SettingsError, load
from shared.streams import DAEMONS

_WATCH_S = 0.1


def up(
    *,
    replay: Annotated[
        list[str] | None,
        typer.Option(help="A candle file (.csv, .csv.gz, .zip), or SYMBOL=file; may be repeated."),
    ] = None,
    speed: Annotated[
        str, typer.Option(help="Times real time, or max: as fast as the slowest reader.")
    ] = "60",
    until_end: Annotated[
        bool, typer.Option("--until-end", help="End after the last bar, with a summary.")
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON and nothing else.")
    ] = False,
    logs: Annotated[
        Path | None, typer.Option(help="A folder for the daemons' logs instead of the terminal.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The settings file.")] = None,
) -> None:
    """Run the six daemons until Ctrl-C, or until a replay ends.

    Uses the server at REDIS_URL or in the settings; without one, a replay brings a server of its
    own that is gone afterwards.
    """
    environment = replay_environment(replay, speed=speed, until_end=until_end) if replay else {}
    if config is not None:
        environment["QUANTUM_CONFIG"] = str(config)
    settings = _checked(config, replay, environment)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="quantum-") as folder:
        own = Path(folder)
        if logs is None and json_:
            logs = own / "logs"
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
        server_is_named = "url" in settings.redis.model_fields_set
        url = settings.redis.url if server_is_named or not replay else None
        if url is None:
            # Nobody scrapes a ring that is gone after the replay, and two may run side by side.
            environment.setdefault("QUANTUM_METRICS__BASE_PORT", "0")
        try:
            # A server that lives as long as one replay need not survive a power cut.
            with server_url(url, own / "redis", appendfsync="everysec") as address:
                story, status = _run(address, environment, logs, stop, until_end=until_end)
        except (ServerNotFound, ServerFailed) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(1) from None
    if story is not None:
        _print(story, as_json=json_)
        status = status or (0 if story.ok else 1)
    raise typer.Exit(status)


def _checked(
    config: Path | None, replay: list[str] | None, environment: dict[str, str]
) -> Settings:
    """Refuse what cannot work before anything is started."""
    try:
        settings = load(config, {**os.environ, **environment})
        _ = settings.redis
        for daemon in DAEMONS:
            settings_of(daemon, settings).policy()
    except (SettingsError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_SETTINGS) from None
    for file in replay or ():
        path = Path(named(file).path)
        if not path.is_file():
            typer.echo(f"{path}: there is no such candle file", err=True)
            raise typer.Exit(EXIT_SETTINGS)
    return settings


def _run(
    address: str,
    environment: dict[str, str],
    logs: Path | None,
    stop: threading.Event,
    *,
    until_end: bool,
) -> tuple[Story | None, int]:
    try:
        load_library(connect(address))
    except RedisError as error:
        typer.echo(f"{address}: {error}", err=True)
        raise typer.Exit(1) from None

    def ended(daemon: str, status: int) -> None:
        if status and not stop.is_set():
            where = f", see {logs / daemon}.log" if logs else ""
            typer.echo(f"{daemon} ended with status {status}{where}", err=True)

    with Ring(address, environment, logs, on_end=ended) as ring:
        while not stop.wait(_WATCH_S):
            ring.watch()
            if ring.status("market_feed") is not None or any(
                ring.status(daemon) for daemon in ring.daemons
            ):
                break
            if until_end and ring.hopeless():
                typer.echo(f"{ring.hopeless()} crashes again and again: given up", err=True)
                return None, 1
        status = next((s for d in ring.daemons if (s := ring.status(d))), 0)
        if not status and until_end and not stop.is_set():
            settle(address)
    if status and logs is not None:
        for daemon in ring.daemons:
            if ring.status(daemon):
                typer.echo((logs / f"{daemon}.log").read_text(errors="replace")[-2000:], err=True)
    return (tell(address) if until_end and not status else None), status


def _print(story: Story, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(story.as_json()))
        return
    table = Table(title="What the run came to")
    for heading in (
        "symbol", "entries", "25 %", "50 %", "75 %", "stops", "full closes",
        "realised", "fees", "open",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "symbol" else "right")
    for symbol, one in sorted(story.symbols.items()):
        rungs = [str(one.rungs.get(f"PARTIAL_{share}", 0)) for share in (25, 50, 75)]
        table.add_row(
            symbol, str(one.entries), *rungs, str(one.stops), str(one.full_closes),
            f"{one.realized_pnl:.2f}", f"{one.fees:.2f}", f"{one.net_fills:f}",
        )  # fmt: skip
    console = Console(file=sys.stdout)
    console.print(table)
    counts = ", ".join(f"{name} {count}" for name, count in story.streams.items())
    console.print(f"streams: {counts}")
    if story.ok:
        console.print("Nothing is pending, no dead letters; records, fills and venue agree.")
    for problem in story.problems:
        console.print(f"[red]problem:[/red] {problem}")
