"""`quantum reset`: clear what a paper or testnet account left, so that another one can start.

Reads apply_layer's state and the heartbeats. Removes every key of the ring at once: records,
streams, dead letters and what each daemon remembers. The operator's switch, the heartbeats and what
notifier has not told yet stay.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from redis import Redis
from redis.exceptions import WatchError

from shared.account import account_of, way_to_clear
from shared.bus.client import call
from shared.cli.desk import a_desk
from shared.cli.inspect import ConfigOption
from shared.records import pairs
from shared.streams import (
    DAEMONS,
    PREFIX,
    STREAMS,
    VENUE_KEY,
    WATCH_KEY,
    harvest_key,
    heartbeat_key,
    position_key,
    state_key,
)

#: A daemon that runs beats every two seconds.
_BEATS_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.2
_KEYS = (
    *(key for stream in STREAMS for key in (stream.key, stream.dead_key)),
    *map(state_key, DAEMONS),
    VENUE_KEY,
    WATCH_KEY,
)
_PATTERNS = (position_key("*"), harvest_key("*"), f"{PREFIX}:producer:*")


def reset(
    *,
    paper: Annotated[bool, typer.Option("--paper", help="What the paper account left.")] = False,
    testnet: Annotated[
        bool, typer.Option("--testnet", help="What a testnet account left.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
) -> None:
    """Clear positions, history and memory of a paper or testnet account, before another starts.

    The state on the server must be of such an account, and no daemon of the ring may run. What a
    testnet account holds at its venue stays there. A real account's state is never cleared: give
    each account a server of its own.
    """
    if paper == testnet:
        raise typer.BadParameter("say --paper or --testnet")
    option = "--paper" if paper else "--testnet"
    with a_desk(config) as desk:
        _refuse_another(desk.client, option)
        running = _running(desk.client)
        if running:
            _end(f"{', '.join(running)} runs: stop every daemon first")
        question = "Clear all positions, streams and memory that it left on this server, for good?"
        if not yes and not typer.confirm(question):
            raise typer.Exit(1)
        count = _clear(desk.client, option)
    typer.echo(f"It is cleared, {count} keys. The next start of the ring begins anew.")


def _refuse_another(client: Redis, option: str) -> None:
    """End the command unless the state is of an account that the option clears."""
    flat = call(client, "HGETALL", state_key("apply_layer"))
    found = account_of({str(n, "utf-8", "replace"): v for n, v in pairs(flat)})
    if found is not None and way_to_clear(found) != option:
        other = way_to_clear(found)
        way = f"`quantum reset {other}` would clear it" if other else "it is never cleared"
        _end(f"The state on this server is of {found}: {way}.")


def _running(client: Redis) -> list[str]:
    """The daemons whose heartbeat moves on, as far as it does within a few seconds."""

    def beats() -> dict[str, Any]:
        return {daemon: client.hget(heartbeat_key(daemon), "at") for daemon in DAEMONS}

    before, deadline = beats(), time.monotonic() + _BEATS_WITHIN_S
    while any(before.values()) and time.monotonic() < deadline:
        moved = [daemon for daemon, at in beats().items() if at and at != before[daemon]]
        if moved:
            return moved
        time.sleep(_LOOK_EVERY_S)
    return []


def _clear(client: Redis, option: str) -> int:
    """Remove all of it at once, unless the state became another's meanwhile."""
    with client.pipeline() as transaction:
        while True:
            transaction.watch(state_key("apply_layer"))  # type: ignore[no-untyped-call]
            _refuse_another(client, option)
            keys = [*_KEYS, *(key for each in _PATTERNS for key in client.scan_iter(match=each))]
            transaction.multi()
            transaction.delete(*keys)
            try:
                [count] = transaction.execute()
                return int(count)
            except WatchError:
                continue


def _end(sentence: str) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
