"""Reading an overview from the server: three round trips, whatever the length of the streams.

Only commands that write nothing and that a user who may only look is allowed. Reads the records of
positions and harvests, the heartbeats, what watcher and apply_layer say, the switch, the newest
entries of each stream and how far each group is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from redis import Redis

from shared.bus.client import call, call_all
from shared.decisions import Mode
from shared.overview.values import Event, Group, Overview, Position, Stream
from shared.overview.view import (
    Kept,
    daemon_of,
    event_of,
    position_of,
    price_of,
    ticks_of,
    venue_of,
    watch_of,
)
from shared.streams import (
    MARKET_TICK,
    MODE_KEY,
    PREFIX,
    PROGRAMS,
    STREAMS,
    VENUE_KEY,
    WATCH_KEY,
    harvest_key,
    heartbeat_key,
    position_key,
    state_key,
)
from shared.streams import Stream as Known
from shared.why.picture import Said, Terms, moment_of, place
from shared.why.read import naked_since, pairs, raw_replies, row_of, rules_in, text_of, texts_of

#: Events that are shown; so many of each stream are looked at, as any may have the newest.
EVENTS = 30
#: Prices that are looked at for the newest of each symbol.
_PRICES = 500
_POSITIONS = (position_key("*"), 1000)

K = TypeVar("K", bound=Hashable)
Reply = dict[Any, Any]


def read_overview(
    client: Redis,
    terms_of: Callable[[str], Terms] = lambda _symbol: Terms(),
    *,
    events: int = EVENTS,
) -> Overview:
    """All that stands now; `terms_of` says what harvest_brain goes by for a symbol.

    Raises:
        redis.RedisError: the server cannot be asked, or the user may not look.
    """
    raw_replies(client)
    first = _first(client, events)
    seconds, micros = first["time"]
    now = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    mode = None if first["mode"] is None else text_of(first["mode"])
    ticks = ticks_of((text_of(id_), pairs(flat)) for id_, flat in first["newest", MARKET_TICK])
    symbols = sorted(_symbols(client, *first["positions"]))
    second = _second(client, symbols, [s for s in STREAMS if first["exists", s]])
    positions, unreadable = _positions(symbols, second, ticks, terms_of, now)
    return Overview(
        now=now,
        mode=Mode.of(mode),
        mode_text=mode,
        positions=tuple(positions),
        streams=tuple(_streams(client, first, second, now)),
        daemons=tuple(daemon_of(name, texts_of(first["sign", name]), now) for name in PROGRAMS),
        venue=venue_of(texts_of(first["venue"])),
        watch=watch_of(texts_of(first["watch"]), now),
        prices={symbol: price_of(tick) for symbol, tick in sorted(ticks.items())},
        events=tuple(_events(first, events)),
        unreadable=tuple(unreadable),
    )


def _first(client: Redis, events: int) -> Reply:
    """What can be asked for by names that are known."""
    commands: dict[Any, tuple[Any, ...]] = {
        "time": ("TIME",),
        "mode": ("GET", MODE_KEY),
        "venue": ("HGETALL", VENUE_KEY),
        "watch": ("HGETALL", WATCH_KEY),
        "positions": ("SCAN", 0, "MATCH", _POSITIONS[0], "COUNT", _POSITIONS[1]),
    }
    for name in PROGRAMS:
        commands["sign", name] = ("HGETALL", heartbeat_key(name))
    for stream in STREAMS:
        # One in any case: when the last came is asked of every stream.
        count = _PRICES if stream == MARKET_TICK else max(events, 1)
        commands["exists", stream] = ("EXISTS", stream.key)
        commands["length", stream] = ("XLEN", stream.key)
        commands["dead", stream] = ("XLEN", stream.dead_key)
        commands["newest", stream] = ("XREVRANGE", stream.key, "+", "-", "COUNT", count)
    return _ask(client, commands)


def _second(client: Redis, symbols: list[str], streams: Iterable[Known]) -> Reply:
    """What stands under the names that the first answer brought."""
    commands: dict[Any, tuple[Any, ...]] = {}
    for stream in streams:
        commands["groups", stream] = ("XINFO GROUPS", stream.key)
    for symbol in symbols:
        commands["position", symbol] = ("HGETALL", position_key(symbol))
        commands["harvest", symbol] = ("HGETALL", harvest_key(symbol))
        # What an order must be like, and since when a position is naked, is in no record.
        own = (f"rules/{symbol}", f"positions/{symbol}")
        commands["own", symbol] = ("HMGET", state_key("apply_layer"), *own)
    return _ask(client, commands)


def _events(first: Reply, count: int) -> Iterator[Event]:
    """The newest entries of the streams that tell of trades; prices are many and say little."""
    told = [
        (place(text_of(id_)), stream, flat)
        for stream in STREAMS
        if stream != MARKET_TICK
        for id_, flat in first["newest", stream]
    ]
    told.sort(key=lambda entry: entry[0], reverse=True)
    for (ms, number), stream, flat in told[:count]:
        yield event_of(stream, f"{ms}-{number}", pairs(flat))


def _ask(client: Redis, commands: Mapping[K, tuple[Any, ...]]) -> dict[K, Any]:
    replies = call_all(client, *commands.values()) if commands else []
    return dict(zip(commands, replies, strict=True))


def _symbols(client: Redis, cursor: int, keys: list[bytes]) -> set[str]:
    """The symbols of all positions; the server hands the keys out in parts."""
    found = set(keys)
    while cursor:
        pattern, count = _POSITIONS
        cursor, keys = call(client, "SCAN", cursor, "MATCH", pattern, "COUNT", count)
        found.update(keys)
    return {text_of(key).removeprefix(f"{PREFIX}:position:") for key in found}


def _positions(
    symbols: list[str],
    second: Reply,
    ticks: Mapping[str, Said],
    terms_of: Callable[[str], Terms],
    now: datetime,
) -> tuple[list[Position], list[str]]:
    positions, unreadable = [], []
    for symbol in symbols:
        record = texts_of(second["position", symbol])
        if not record:  # Closed since the names were read.
            continue
        rules, own = second["own", symbol]
        try:
            kept = Kept(
                position=record,
                harvest=texts_of(second["harvest", symbol]),
                rules=rules_in(rules),
                naked_since=naked_since(own),
                tick=ticks.get(symbol),
            )
            positions.append(position_of(kept, terms_of(symbol), now))
        except (KeyError, ValueError, ArithmeticError) as error:
            # One that makes no sense must not hide the others.
            unreadable.append(f"{position_key(symbol)}: {error!r}")
    return positions, unreadable


def _streams(client: Redis, first: Reply, second: Reply, now: datetime) -> Iterator[Stream]:
    standing = {
        (stream, text_of(row["name"])): row
        for stream in STREAMS
        for row in map(row_of, second.get(("groups", stream), ()))
    }
    commands: dict[Any, tuple[Any, ...]] = {}
    for (stream, daemon), row in standing.items():
        after = f"({text_of(row['last-delivered-id'])}"
        commands["pending", stream, daemon] = ("XPENDING", stream.key, daemon)
        commands["next", stream, daemon] = ("XRANGE", stream.key, after, "+", "COUNT", 1)
    third = _ask(client, commands)

    def group(stream: Known, daemon: str) -> Group:
        row = standing.get((stream, daemon))
        if row is None:
            return Group(daemon, exists=False, lag=None)
        pending, oldest, _, _ = third["pending", stream, daemon]
        undelivered = third["next", stream, daemon]
        if not pending and undelivered:
            oldest = undelivered[0][0]
        return Group(
            daemon=daemon,
            exists=True,
            lag=row.get("lag") if undelivered else 0,
            pending=pending,
            oldest_age_s=None if oldest is None else _age_s(text_of(oldest), now),
        )

    for stream in STREAMS:
        newest = first["newest", stream]
        yield Stream(
            name=stream.name,
            length=first["length", stream],
            last_at=moment_of(text_of(newest[0][0])) if newest else None,
            dead=first["dead", stream],
            groups=tuple(group(stream, daemon) for daemon in stream.readers),
        )


def _age_s(id_: str, now: datetime) -> float:
    # An entry may have come after `now` was read.
    return max((now - moment_of(id_)).total_seconds(), 0.0)
