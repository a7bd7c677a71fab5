"""`quantum mode` and `quantum close`: what an operator does to a running ring.

`mode` reads and writes `quantum:mode`. `close` reads the position's record and the last result of
its symbol, and writes one trade.intent, as a producer outside the suite would.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any

import typer
from redis import Redis

from shared.bus.client import call
from shared.cli.desk import a_desk
from shared.cli.inspect import ConfigOption, JsonOption
from shared.contracts import (
    FullCloseIntent,
    HarvestIntent,
    Message,
    RefusedResult,
    SkipPlan,
    encode,
)
from shared.decisions import Mode
from shared.formulas import DEFAULT_LADDER, Rung, floor_to_step, target_qty
from shared.reading import Reading
from shared.records import text_of
from shared.streams import APPLY_PLAN, APPLY_RESULT, MODE_KEY, TRADE_INTENT
from shared.symbols import as_typed, slug
from shared.why.chains import is_exit
from shared.why.lines import line_of
from shared.why.picture import Picture, Terms
from shared.why.read import read_picture, readable
from shared.why.story import Held, Story, story_of
from shared.why.words import plain

SOURCE = "operator"

MEANING = {
    Mode.RUN: "entries and exits pass",
    Mode.EXITS_ONLY: "no entry is admitted, exits pass",
    Mode.HALT: "no plan is executed at all; positions keep their stops",
}


class Switch(StrEnum):
    """The words of the command."""

    RUN = "run"
    EXITS_ONLY = "exits-only"
    HALT = "halt"


def mode(
    *,
    to: Annotated[Switch | None, typer.Argument(help="Without it, the mode is only told.")] = None,
    config: ConfigOption = None,
    json_: JsonOption = False,
) -> None:
    """Turn the operator's switch and say what it was: run, exits-only or halt. Asks nothing.

    It holds from each daemon's next batch on. HALT refuses exits too; what protects a position,
    its stop, is kept up in every mode.
    """
    with a_desk(config) as desk:
        before = switch(desk.client, None if to is None else Mode[to.name])
    was = Mode.of(before)
    now = was if to is None else Mode[to.name]
    if json_:
        typer.echo(json.dumps({"mode": now.value, "was": before or Mode.RUN.value}))
        return
    told = f"{now}: {MEANING[now]}."
    if before is not None and before not in Mode.__members__:
        told += f" (The switch {'holds' if to is None else 'held'} {before!r}, which is no mode.)"
    elif to is not None:
        told += " It was so before." if was is now else f" It was {was}."
    typer.echo(told)


def switch(client: Redis, to: Mode | None) -> str | None:
    """What the switch holds; it is turned, if a mode is given, and what it held is returned."""
    before = Reading(client).ask("GET", MODE_KEY)
    if to is not None:
        client.set(MODE_KEY, to.value)
    return None if before is None else text_of(before)


@dataclass(frozen=True, slots=True)
class NotClosed:
    """Why a close cannot be asked for."""

    reason: str


def close(
    *,
    symbol: Annotated[str, typer.Argument(help="A symbol such as BTCUSDT.")],
    fraction: Annotated[
        str | None, typer.Option(help="How much of what is held, such as 0.5; else all of it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait_s: Annotated[float, typer.Option(help="How long to wait for the outcome.")] = 10.0,
    config: ConfigOption = None,
) -> None:
    """Ask the ring to close a position at the market, wholly or in part. Asks before it does.

    It writes one intent, as any producer may, and it goes the way of every exit: intent_bridge,
    apply_layer, the venue. So it is refused in the mode HALT, waits for a daemon that is down, and
    does nothing of which the ring does not know: a position that apply_layer left alone is not
    closed. A part is a harvest: it counts for the ladder, whose rungs take that much less, and
    all parts together are at most the 75 % that the ladder takes. It does not keep the strategy
    from entering again: for that, `quantum mode exits-only` first.

    Exits with 1 if it was not executed.
    """
    share = None if fraction is None else _share(fraction)
    with a_desk(config) as desk:
        picture = read_picture(desk.client, as_typed(symbol), Terms())
        wish = intent_of(story_of(picture), share, now=datetime.now(UTC))
        if isinstance(wish, NotClosed):
            typer.echo(wish.reason, err=True)
            raise typer.Exit(1)
        if Mode.of(picture.mode) is Mode.HALT:
            typer.echo("The mode is HALT: it will be refused.", err=True)
        what = "all of it, whatever is held then" if share is None else "and never more"
        question = f"{wish.side} {plain(wish.qty)} {wish.symbol} at the market, {what}?"
        if not yes and not typer.confirm(question):
            raise typer.Exit(1)
        since = {stream: _newest(desk.client, stream.key) for stream in (APPLY_PLAN, APPLY_RESULT)}
        words = [word for pair in encode(wish) for word in pair]
        call(desk.client, "XADD", TRADE_INTENT.key, "*", *words)
        typer.echo(f"Asked for as {wish.intent_id}.")
        outcome = _outcome(desk.client, wish.intent_id, since, wait_s)
    if outcome is None:
        typer.echo(
            f"No outcome within {wait_s:g} s: quantum why --intent {wish.intent_id}", err=True
        )
        raise typer.Exit(1)
    typer.echo(line_of(outcome))
    raise typer.Exit(0 if is_exit(outcome) else 1)


def _share(text: str) -> Decimal:
    try:
        share = Decimal(text)
    except InvalidOperation:
        share = Decimal(0)
    if not (share.is_finite() and 0 < share < 1):
        raise typer.BadParameter("a fraction is above 0 and below 1, such as 0.5")
    return share


def intent_of(story: Story, share: Decimal | None, *, now: datetime) -> Any:
    """The intent that closes a share of what is held, or all of it; else a `NotClosed`.

    Its `timestamp` is the market time of the symbol: a replay's is not the wall clock.
    """
    picture, held = story.picture, story.held
    if held is None:
        return NotClosed(f"No position in {picture.symbol} is open.")
    common: dict[str, Any] = {
        "timestamp": _market_time(picture, now),
        "produced_at": now,
        "source": SOURCE,
        "intent_id": f"{SOURCE}.{slug(picture.symbol)}.{int(now.timestamp() * 1000)}",
        "symbol": picture.symbol,
        "side": held.side.exit,
        "reduceOnly": True,
        "position_id": held.position_id,
        "reason": "asked for by the operator",
    }
    if share is None:
        return FullCloseIntent(intent_type="FULL_CLOSE_PROPOSED", qty=held.qty, **common)
    if not picture.results:
        return NotClosed(f"The streams tell of no rules for {picture.symbol}; close all of it.")
    lot_step: Decimal = picture.results[-1].message.lot_step
    qty = floor_to_step(share * held.qty, lot_step)
    if qty <= 0:
        return NotClosed(f"That is less than one lot of {plain(lot_step)}.")
    rung, room = _rung_for(held, qty, lot_step)
    if rung is None:
        return NotClosed(f"At most {plain(room)} may still go as a part; or close all of it.")
    kind: Any = f"HARVEST_{rung.name}"
    return HarvestIntent(intent_type=kind, qty=qty, **common)


def _rung_for(held: Held, qty: Decimal, lot_step: Decimal) -> tuple[Rung | None, Decimal]:
    """The lowest rung that has room for a quantity, and how much room the highest has."""
    room = Decimal(0)
    for rung in DEFAULT_LADDER:
        room = target_qty(rung.share, held.initial_qty, lot_step) - held.harvested_qty
        if qty <= room:
            return rung, room
    return None, max(room, Decimal(0))


def _market_time(picture: Picture, now: datetime) -> datetime:
    updated_at = datetime.fromisoformat(picture.position["updated_at"])
    if picture.tick is None:
        return min(updated_at, now)
    of_price: datetime = picture.tick.message.timestamp
    return max(updated_at, of_price)


def _newest(client: Redis, key: str) -> bytes:
    found = Reading(client).ask("XREVRANGE", key, "+", "-", "COUNT", 1)
    return found[0][0] if found else b"0"


def _outcome(
    client: Redis, intent_id: str, since: dict[Any, bytes], wait_s: float
) -> Message | None:
    """What became of an intent, as soon as it is told."""
    deadline = time.monotonic() + wait_s
    while (left_s := deadline - time.monotonic()) > 0:
        keys = [stream.key for stream in since]
        block_ms = max(int(min(left_s, 1.0) * 1000), 1)
        reply = call(client, "XREAD", "BLOCK", block_ms, "STREAMS", *keys, *since.values())
        news = dict(reply or ())
        for stream in since:
            for id_, flat in news.get(stream.key.encode(), ()):
                since[stream] = id_
                message = readable(stream, flat)
                own = message is not None and message.intent_id == intent_id
                if own and _is_final(message):
                    return message  # type: ignore[no-any-return]
    return None


def _is_final(message: Any) -> bool:
    refused = isinstance(message, SkipPlan | RefusedResult)
    return refused or (is_exit(message) and message.status != "PARTIALLY_FILLED")
