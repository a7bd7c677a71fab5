"""Reading an overview from the server: three round trips, whatever the length of the streams.

Only commands that write nothing and that a user who may only look is allowed. Reads the records of
positions and harvests, the heartbeats, what watcher and apply_layer say, the switch, the newest
entries of each stream and how far each group is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from redis import Redis

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
from shared.reading import Reading
from shared.records import NONSENSE, moment_of, pairs, place, row_of, text_of, texts_of
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
from shared.why.journal import naked_since, rules_in
from shared.why.picture import Said, Terms

#: Events that are shown; so many of each stream are looked at, as any may have the newest.
EVENTS = 30
#: Prices that are looked at for the newest of each symbol.
_PRICES = 500
_POSITIONS = (position_key("*"), 1000)

#: An id that is further ahead of the server's clock than this was not made by it.
_AHEAD = timedelta(seconds=60)

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
    reading = Reading(client)
    first = _first(reading, events)
    seconds, micros = first["time"]
    now = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    mode = None if first["mode"] is None else text_of(first["mode"])
    ticks = ticks_of((text_of(id_), pairs(flat)) for id_, flat in first["newest", MARKET_TICK])
    symbols = sorted(_symbols(reading, *first["positions"]))
    second = _second(reading, symbols)
    positions: list[Position] = []
    for symbol in symbols:
        kept = _kept(reading, symbol, second, ticks.get(symbol))
        if kept is not None:
            found = readable_position(reading, symbol, kept, terms_of(symbol), now)
            positions += [found] if found is not None else []
    _note_ids_ahead(reading, first, now)
    return Overview(
        now=now,
        mode=Mode.of(mode),
        mode_text=mode,
        positions=tuple(positions),
        streams=tuple(_streams(reading, first, second, now)),
        daemons=tuple(daemon_of(name, texts_of(first["sign", name]), now) for name in PROGRAMS),
        venue=venue_of(texts_of(first["venue"])),
        watch=watch_of(texts_of(first["watch"]), now),
        prices={symbol: price_of(tick) for symbol, tick in sorted(ticks.items())},
        events=tuple(_events(first, events)),
        unreadable=reading.unreadable,
    )


def _first(reading: Reading, events: int) -> Reply:
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
        commands["about", stream.key] = ("XINFO STREAM", stream.key)
        commands["about", stream.dead_key] = ("XINFO STREAM", stream.dead_key)
        commands["length", stream] = ("XLEN", stream.key)
        commands["dead", stream] = ("XLEN", stream.dead_key)
        commands["newest", stream] = ("XREVRANGE", stream.key, "+", "-", "COUNT", count)
    return reading.ask_all(commands)


def _second(reading: Reading, symbols: list[str]) -> Reply:
    """What stands under the names that the first answer brought."""
    commands: dict[Any, tuple[Any, ...]] = {}
    for stream in STREAMS:
        commands["groups", stream] = ("XINFO GROUPS", stream.key)
    for symbol in symbols:
        commands["position", symbol] = ("HGETALL", position_key(symbol))
        commands["harvest", symbol] = ("HGETALL", harvest_key(symbol))
        # What an order must be like, and since when a position is naked, is in no record.
        own = (f"rules/{symbol}", f"positions/{symbol}")
        commands["own", symbol] = ("HMGET", state_key("apply_layer"), *own)
    return reading.ask_all(commands)


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


def _symbols(reading: Reading, cursor: int, keys: list[bytes]) -> set[str]:
    """The symbols of all positions; the server hands the keys out in parts."""
    found = set(keys)
    while cursor:
        pattern, count = _POSITIONS
        cursor, keys = reading.ask("SCAN", cursor, "MATCH", pattern, "COUNT", count)
        found.update(keys)
    symbols = set()
    for key in found:
        symbol = text_of(key).removeprefix(position_key(""))
        if position_key(symbol).encode() == key:
            symbols.add(symbol)
        else:
            reading.note(text_of(key), "the name of the key is not text")
    return symbols


def _kept(reading: Reading, symbol: str, second: Reply, tick: Said | None) -> Kept | None:
    """What is kept of one symbol; None if it was closed since the names were read."""
    record = texts_of(second["position", symbol])
    if not record:
        return None
    rules, own = second["own", symbol]
    state = state_key("apply_layer")
    naked = partial(naked_since, own)
    return Kept(
        position=record,
        harvest=texts_of(second["harvest", symbol]),
        rules=reading.made(f"{state} rules/{symbol}", partial(rules_in, rules), None),
        naked_since=reading.made(f"{state} positions/{symbol}", naked, None),
        tick=tick,
    )


def readable_position(
    reading: Reading, symbol: str, kept: Kept, terms: Terms, now: datetime
) -> Position | None:
    """The position of one symbol, without what harvest_brain says if that makes no sense."""
    of = kept.position.get("symbol", "")
    if of != symbol:
        reading.note(position_key(symbol), f"the record is of {of[:40]!r}")
        return None
    try:
        return position_of(kept, terms, now)
    except NONSENSE:
        alone = replace(kept, harvest={})
    position = reading.made(position_key(symbol), lambda: position_of(alone, terms, now), None)
    if position is not None:
        reading.note(harvest_key(symbol), "makes no sense; it is left out")
    return position


def _note_ids_ahead(reading: Reading, first: Reply, now: datetime) -> None:
    """Name every stream whose last id is ahead of the server's clock."""
    for (what, *key), about in first.items():
        if what == "about" and about:
            last = text_of(row_of(about)["last-generated-id"])
            if moment_of(last) - now > _AHEAD:
                name = key[0].removeprefix(f"{PREFIX}:stream:")
                reading.note(name, f"its last id, {last}, is of the future: `quantum repair`")


def _streams(reading: Reading, first: Reply, second: Reply, now: datetime) -> Iterator[Stream]:
    standing = {
        (stream, text_of(row["name"])): row
        for stream in STREAMS
        for row in map(row_of, second["groups", stream])
    }
    commands: dict[Any, tuple[Any, ...]] = {}
    for (stream, daemon), row in standing.items():
        after = f"({text_of(row['last-delivered-id'])}"
        commands["pending", stream, daemon] = ("XPENDING", stream.key, daemon)
        commands["next", stream, daemon] = ("XRANGE", stream.key, after, "+", "COUNT", 1)
    third = reading.ask_all(commands)

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
