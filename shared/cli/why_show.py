"""How `quantum why` shows people what it found; pure but for printing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.contracts import EntryIntent
from shared.why.chains import Chain
from shared.why.lines import line_of
from shared.why.rungs import rungs_of
from shared.why.story import Held, Story, stops_of
from shared.why.words import Finding, clock, on_tick, plain, safe

_COLOURS = {"ok": "green", "wait": "cyan", "warn": "yellow", "fail": "red"}
_TARGETS = ("take_profit", "take_profit_2", "take_profit_3")
_STATES = {"taken": "green", "due": "red", "next": "cyan", "merged": "yellow", "ahead": "dim"}


def show(
    story: Story, findings: list[Finding], chain: Chain | None = None, *, on: Console | None = None
) -> None:
    """Print it for people, on the terminal or on a console of the caller's."""
    console = on or Console(highlight=False)
    console.print()
    for number, finding in enumerate(findings):
        colour = _COLOURS[finding.verdict]
        mark = "why " if number == 0 else "    "
        console.print(
            f"{mark}[{colour}]{finding.verdict:<4}[/{colour}] {escape(safe(finding.text))}"
        )
    if chain is not None:
        _lines(console, "what was said", _of_chain(story, chain))
        return
    held = story.held
    if held is None:
        _lines(console, "the last that was asked", _last_chains(story))
        return
    _lines(console, "position", _position(story, held))
    _lines(console, "entry", _entry(story))
    console.print("\n[bold]rungs[/bold]")
    console.print(_rungs(story))
    _lines(console, "stop", _stops(story))
    _lines(console, "kill score", _kill(story))
    _lines(console, "orders without an outcome", _orders(story))
    _lines(console, "asked for", _last_chains(story))


def _lines(console: Console, title: str, lines: Iterator[str]) -> None:
    told = list(lines)
    if told:
        console.print(f"\n[bold]{title}[/bold]")
    for line in told:
        console.print(f"  {escape(safe(line))}")


def _position(story: Story, held: Held) -> Iterator[str]:
    stop = "none" if held.stop_loss is None else plain(held.stop_loss)
    yield (
        f"{story.picture.symbol} {held.side} {plain(held.qty)} of {plain(held.initial_qty)} from "
        f"{plain(held.entry_price)} at {held.leverage}x, since {held.opened_at:%d %b %Y %H:%M:%S} "
        f"market time ({held.position_id})"
    )
    yield (
        f"mark {plain(held.mark_price)}, R {held.r:.2f} (at most {max(held.r, held.r_max):.2f}), "
        f"stop {stop}, one R is {plain(round(held.risk_per_unit, 12))}"
    )
    record = story.picture.position
    targets = [record[name] for name in _TARGETS if name in record]
    if targets:
        yield f"targets {', '.join(targets)}"
    seen = story.evaluated_at
    if seen is not None:
        harvest = story.picture.harvest
        at, r = (harvest.get(name, "unknown") for name in ("mark_price", "r_net"))
        yield f"last evaluated at {at}, {seen:%d %b %Y %H:%M:%S} market time: R {r}"


def _entry(story: Story) -> Iterator[str]:
    chain = story.entry
    if chain is not None:
        yield from _of_chain(story, chain)
        return
    adopted = [s for s in story.told if s.message.status == "ADOPTED"]
    if adopted:
        yield f"{clock(adopted[0].at, story.picture.now)}  adopted: the suite did not open it"
    else:
        yield "opened before the streams begin"


def _of_chain(story: Story, chain: Chain) -> Iterator[str]:
    for said in chain.said:
        yield f"{clock(said.at, story.picture.now)}  {line_of(said.message)}"
        intent = said.message
        if isinstance(intent, EntryIntent):
            yield (
                f"          from {' '.join(filter(None, (intent.source, intent.model)))}: "
                f"{intent.reason or 'no reason given'}; "
                f"confidence {plain(intent.confidence)}, regime {intent.regime}, "
                f"ATR {'unknown' if intent.atr_value is None else plain(intent.atr_value)}"
            )


def _rungs(story: Story) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("rung", "R", "price", "qty", "state", ""):
        justify: Any = "right" if heading in ("R", "price", "qty") else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    for rung in rungs_of(story):
        colour = _STATES[rung.state]
        price = on_tick(rung.price, story.tick_size)
        table.add_row(
            rung.name, f"{rung.r_level:.2f}", price, plain(rung.qty),
            f"[{colour}]{rung.state}[/{colour}]", escape(rung.why),
        )  # fmt: skip
    return table


def _stops(story: Story) -> Iterator[str]:
    for said, stop, cause in stops_of(story):
        at = clock(said.at, story.picture.now)
        yield f"{at}  {'none' if stop is None else plain(stop)}, {cause}"
    naked = story.picture.position.get("unprotected_s")
    if naked is not None:
        yield f"longest without a stop so far: {naked} s"


def _kill(story: Story) -> Iterator[str]:
    if story.kill_score is not None:
        parts = ", ".join(f"{name} {value}" for name, value in story.kill.items())
        yield f"{story.kill_score:.4f} of {story.picture.terms.kill_threshold}: {parts}"


def _orders(story: Story) -> Iterator[str]:
    """What apply_layer has sent and the venue has not ended."""
    for order in story.picture.orders:
        how = "stands" if order.accepted else "no answer yet"
        how = f"unknown: {order.doubt}" if order.doubt else how
        at = "" if order.trigger_price is None else f" at {plain(order.trigger_price)}"
        yield f"{order.leg}{at}, {order.client_order_id}: {how}"


def _last_chains(story: Story) -> Iterator[str]:
    """The newest of what was asked for, each in a line."""
    own = story.held.position_id if story.held else None
    chains = [c for c in story.chains.values() if own is None or c.position_id == own]
    exits = [c for c in chains if own is None or c.kind != "ENTRY"]
    for chain in exits[-8:]:
        first, last = chain.said[0], chain.said[-1]
        end = line_of(last.message) if last is not first else "no answer yet"
        yield f"{clock(first.at, story.picture.now)}  {chain.kind} {chain.intent_id}: {end}"
