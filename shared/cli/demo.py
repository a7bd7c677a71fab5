"""`quantum demo`: three short stories on the paper venue, each told as it happens and checked.

Every scenario is a ring of its own: six processes, a server, a candle file. What is checked is
read from the streams and the venue's books, as an outsider would.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import typer
from redis import Redis
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from shared.bus import load_library
from shared.cli.complaints import complain
from shared.cli.demo_market import (
    RESCUE_SETTINGS,
    SYMBOL,
    rescue_prices,
    ring_prices,
    write_candles,
)
from shared.cli.ring import Ring, replay_environment, sigterm_ends_in_order
from shared.cli.story import added, executed_exits, highest_r, messages, reader, settle, tell
from shared.contracts import (
    EntryIntent,
    EntryPlan,
    FillResult,
    FullCloseIntent,
    HarvestIntent,
    PositionResult,
    SkipPlan,
    StopMovedResult,
    decode,
)
from shared.server import LocalServer, ServerFailed, ServerNotFound
from shared.streams import APPLY_PLAN, APPLY_RESULT, MARKET_TICK, TRADE_INTENT

_TOLD = (TRADE_INTENT, APPLY_PLAN, APPLY_RESULT)
_LIMIT_S = 90.0


@dataclass
class Outcome:
    """What a scenario came to; the fields are those of `--json`. `missing` is why it is not ok."""

    name: str
    symbol: str = SYMBOL
    initial_qty: Decimal = Decimal(0)
    harvested_qty: Decimal = Decimal(0)
    remaining_qty: Decimal = Decimal(0)
    realized_pnl: Decimal = Decimal(0)
    r_net_max: Decimal = Decimal(0)
    intents: int = 0
    plans: int = 0
    results: int = 0
    exit_orders: int = 0
    dead_letters: int = 0
    unprotected_s_max: Decimal = Decimal(0)
    stop_loss: Decimal | None = None
    ladder: list[tuple[str, Decimal]] = field(default_factory=list)
    restarts: dict[str, int] = field(default_factory=dict)
    ended_by: str = ""
    missing: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The row of `--json`."""
        names = (
            "name", "symbol", "initial_qty", "harvested_qty", "remaining_qty", "realized_pnl",
            "r_net_max", "intents", "plans", "results", "exit_orders", "dead_letters",
            "unprotected_s_max",
        )  # fmt: skip
        row = {name: getattr(self, name) for name in names}
        return {k: float(v) if isinstance(v, Decimal) else v for k, v in row.items()}


@dataclass(frozen=True)
class Scenario:
    """A market, an account and what must come of it. `kills` names whom an intent's sight kills."""

    name: str
    title: str
    prices: Callable[[], Iterator[float]]
    settings: str = ""
    kills: dict[str, str] = field(default_factory=dict)


SCENARIOS = (
    Scenario(
        "rescue",
        "The account holds 1.83 RIVER from 12.32; the price is 21.68 and nobody sells.",
        rescue_prices,
        settings=RESCUE_SETTINGS,
    ),
    Scenario(
        "ring",
        "A price climbs from 12.32 to 21.68 and falls back: signal, plan, exits, harvest, close.",
        ring_prices,
    ),
    Scenario(
        "crash",
        "The same climb, with harvest_brain and then apply_layer killed by SIGKILL on the way.",
        ring_prices,
        kills={"HARVEST_PARTIAL_25": "harvest_brain", "HARVEST_PARTIAL_50": "apply_layer"},
    ),
)


def demo(
    *,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON and nothing else.")
    ] = False,
) -> None:
    """Watch the ring rescue a forgotten profit, trade a climb, and survive two crashes."""
    started = time.monotonic()
    console = Console(file=sys.stderr if json_ else sys.stdout, quiet=json_)
    try:
        with sigterm_ends_in_order():
            outcomes = [_play(scenario, console) for scenario in SCENARIOS]
    except (ServerNotFound, ServerFailed) as error:
        complain(error)
        raise typer.Exit(1) from None
    by_name = {outcome.name: outcome for outcome in outcomes}
    if by_name["crash"].ladder != by_name["ring"].ladder:
        by_name["crash"].missing.append("the ladder did not end as it does without a crash")
    elapsed_s = round(time.monotonic() - started, 1)
    ok = not any(outcome.missing for outcome in outcomes)
    if json_:
        rows = [outcome.as_json() for outcome in outcomes]
        typer.echo(json.dumps({"ok": ok, "elapsed_s": elapsed_s, "scenarios": rows}))
        for outcome in outcomes:
            for sentence in outcome.missing:
                complain(f"{outcome.name}: {sentence}")
    else:
        _close(console, outcomes, elapsed_s)
    raise typer.Exit(0 if ok else 1)


def _play(scenario: Scenario, console: Console) -> Outcome:
    console.print(f"\n[bold]{scenario.name}[/bold]  {scenario.title}", soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="quantum-demo-") as name:
        folder = Path(name)
        candles, bars = write_candles(folder, scenario.prices())
        config = folder / "quantum.toml"
        config.write_text(scenario.settings, encoding="utf-8")
        environment = replay_environment([str(candles)], speed="max", until_end=True)
        environment |= {"QUANTUM_CONFIG": str(config), "QUANTUM_METRICS__BASE_PORT": "0"}
        logs = folder / "logs"
        logs.mkdir()
        # The server lives as long as the scenario and need not survive a power cut.
        with LocalServer.start(folder / "redis", appendfsync="everysec") as server:
            client = reader(server.url)
            load_library(client)
            with Ring(server.url, environment, logs) as ring:
                told = _Narrator(client, console, scenario, ring)
                finished = told.until_the_end(bars * 4)
                finished = finished and settle(server.url)
                told.read()
                restarts = dict(ring.restarts)
            outcome = _outcome(scenario.name, client, server.url)
            outcome.restarts = restarts
        if not finished:
            outcome.missing.append("it did not come to an end in time; the end of the logs:")
            for log in sorted(logs.iterdir()):
                tail = log.read_text(errors="replace").splitlines()[-2:]
                outcome.missing.extend(f"{log.stem}: {line[:300]}" for line in tail)
    outcome.missing.extend(_what_is_missing(scenario, outcome))
    for sentence in outcome.missing:
        console.print(f"  [red]✗ {sentence}[/red]")
    return outcome


class _Narrator:
    """Reads the streams while the ring runs, tells each message in a line, and does the killing."""

    def __init__(self, client: Redis, console: Console, scenario: Scenario, ring: Ring) -> None:
        self._client = client
        self._console = console
        self._kills = dict(scenario.kills)
        self._ring = ring
        self._after: dict[str, bytes] = {stream.key: b"0" for stream in _TOLD}

    def until_the_end(self, ticks: int) -> bool:
        """Tell what happens until the last price; False if that takes too long."""
        deadline = time.monotonic() + _LIMIT_S
        columns = (
            TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.completed} prices"),
            TimeElapsedColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self._console, transient=True) as progress:
            task: TaskID = progress.add_task("market", total=ticks)
            while time.monotonic() < deadline:
                self.read(block_ms=50)
                self._ring.watch()
                progress.update(task, completed=added(self._client, MARKET_TICK.key))
                if self._ring.status("market_feed") is not None:
                    return self._ring.status("market_feed") == 0
        return False

    def read(self, *, block_ms: int | None = None) -> None:
        """Tell what is new; with `block_ms`, wait that long for something to come."""
        blocking = () if block_ms is None else ("BLOCK", block_ms)
        reply: Any = self._client.execute_command(  # type: ignore[no-untyped-call]
            "XREAD", *blocking, "STREAMS", *self._after, *self._after.values()
        )
        contracts = {stream.key.encode(): stream.contract for stream in _TOLD}
        news = []
        for key, entries in reply or ():
            self._after[key.decode()] = entries[-1][0]
            for id_, flat in entries:
                pairs = tuple(zip(flat[::2], flat[1::2], strict=True))
                at, _, number = id_.partition(b"-")
                news.append(((int(at), int(number)), decode(contracts[key], pairs)))
        for _, message in sorted(news, key=itemgetter(0)):
            self._kill(message)
            line = _line(message)
            if line:
                when = f"{message.timestamp:%d %b %H:%M}"
                self._console.print(f"  [dim]{when}[/dim]  {line}", soft_wrap=True)

    def _kill(self, message: Any) -> None:
        daemon = self._kills.pop(getattr(message, "intent_type", ""), None)
        if daemon is not None:
            self._ring.kill(daemon)
            self._console.print(
                f"                [bold red]{daemon} is killed with SIGKILL[/bold red]"
            )


def _line(message: Any) -> str | None:
    """One message in a line for people, or None for what would only repeat another."""
    match message:
        case EntryIntent():
            return f"signal   {message.side} at {message.entry_price}, {message.reason}"
        case EntryPlan():
            levels = f"stop {message.stop_loss}, target {message.take_profit}"
            return f"plan     {message.side} {message.qty} x{message.leverage}, {levels}"
        case SkipPlan():
            return f"refused  {message.reason}: {message.detail}"
        case HarvestIntent():
            action = message.intent_type.removeprefix("HARVEST_")
            return f"harvest  {action} of {message.qty} at R {message.r_level:.2f}"
        case FullCloseIntent():
            return f"close    all of it: {message.reason}"
        case FillResult():
            trade = f"{message.side} {message.filled_qty} at {message.avg_price}"
            if not message.reduceOnly:
                return f"filled   entry: {trade}"
            what = message.reason or message.status
            money = f"realised [green]{message.realized_pnl:.2f}[/green]"
            return f"filled   {what}: {trade}, {money}, {message.position_qty} left"
        case StopMovedResult():
            return f"stop     stands at {message.position_stop_loss}"
        case PositionResult(status="ADOPTED"):
            stop = message.position_stop_loss
            return f"adopted  {message.position_side} {message.position_qty}, its stop at {stop}"
        case _:
            return None


def _outcome(name: str, client: Redis, url: str) -> Outcome:
    story = tell(url)
    one = story.symbols.get(SYMBOL)
    results = [r for r in messages(client, APPLY_RESULT) if r.symbol == SYMBOL and r.position_id]
    fills = [r for r in results if isinstance(r, FillResult)]
    outcome = Outcome(name, missing=list(story.problems))
    outcome.intents = story.streams[TRADE_INTENT.name]
    outcome.plans = story.streams[APPLY_PLAN.name]
    outcome.results = story.streams[APPLY_RESULT.name]
    outcome.dead_letters = sum(story.dead_letters.values())
    if one is None or not results:
        return outcome
    last = results[-1]
    outcome.initial_qty = last.position_initial_qty or Decimal(0)
    outcome.harvested_qty = last.position_harvested_qty or Decimal(0)
    outcome.remaining_qty = last.position_qty
    outcome.realized_pnl = one.realized_pnl
    outcome.unprotected_s_max = one.unprotected_s_max
    outcome.stop_loss = last.position_stop_loss
    outcome.r_net_max = highest_r(client, messages(client, MARKET_TICK), SYMBOL)
    outcome.exit_orders = sum(
        count for action, count in executed_exits(client).items() if action != "MOVE_STOP"
    )
    outcome.ladder = [(f.reason, f.filled_qty) for f in fills if f.reason.startswith("PARTIAL")]
    if fills and not fills[-1].position_qty:
        outcome.ended_by = fills[-1].reason if fills[-1].status == "FILLED" else fills[-1].status
    return outcome


def _what_is_missing(scenario: Scenario, outcome: Outcome) -> Iterator[str]:
    """Sentences about what should have happened and did not."""
    rungs = [action for action, _ in outcome.ladder]
    if scenario.name == "rescue":
        if outcome.ladder != [("PARTIAL_75", Decimal("1.37"))]:
            yield f"PARTIAL_75 of 1.37, once, was expected; there was {outcome.ladder}"
        if outcome.remaining_qty != Decimal("0.46"):
            yield f"0.46 should remain, {outcome.remaining_qty} does"
        if outcome.stop_loss is None or outcome.stop_loss <= Decimal("12.0736"):
            yield f"the stop should be tighter than 12.0736; it is {outcome.stop_loss}"
    else:
        if rungs != ["PARTIAL_25", "PARTIAL_50", "PARTIAL_75"]:
            yield f"25, 50 and 75 % should each be taken once; there was {rungs}"
        if outcome.ended_by not in ("FULL_CLOSE_PROPOSED", "STOPPED_OUT"):
            yield "the runner should be closed by a regime flip or by the locked stop"
        if outcome.remaining_qty:
            yield f"nothing should remain, {outcome.remaining_qty} does"
    if outcome.realized_pnl <= 0:
        yield f"a profit should be realised; it is {outcome.realized_pnl}"
    for daemon in scenario.kills.values():
        if not outcome.restarts.get(daemon):
            yield f"{daemon} should have been killed and started again"


def _close(console: Console, outcomes: list[Outcome], elapsed_s: float) -> None:
    title = f"Harvested, once, and never without a stop ({elapsed_s} s)"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    headings = ("initial", "harvested", "left", "realised", "R max", "exits", "dead", "naked s")
    table.add_column("scenario", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for one in outcomes:
        mark = "[red]✗[/red]" if one.missing else "[green]✓[/green]"
        table.add_row(
            f"{mark} {one.name}", f"{one.initial_qty}", f"{one.harvested_qty}",
            f"{one.remaining_qty}", f"{one.realized_pnl:.2f}", f"{one.r_net_max:.2f}",
            str(one.exit_orders), str(one.dead_letters), f"{one.unprotected_s_max}",
        )  # fmt: skip
    console.print()
    console.print(table)
    for one in outcomes:
        if one.restarts:
            again = ", ".join(f"{daemon} {count}x" for daemon, count in one.restarts.items())
            console.print(f"In {one.name}, killed and started again: {again}.")
