"""Reading for `quantum why`: from the server, one symbol's picture at one moment.

Reads the streams and their groups, the dead letters, the records, the heartbeats, the operator's
switch and what apply_layer has in its journal. Only commands that write nothing, so that a user who
may only read can ask. What cannot be read as a message is left out: it is among the dead letters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from redis import Redis

from shared.contracts import HISTORY_SOURCE, BadMessage, decode
from shared.reading import Reading
from shared.records import moment, moment_of, pairs, row_of, text_of
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    MARKET_TICK,
    MODE_KEY,
    PROGRAMS,
    STREAMS,
    TRADE_INTENT,
    VENUE_KEY,
    WATCH_KEY,
    Stream,
    harvest_key,
    heartbeat_key,
    position_key,
)
from shared.ticks import is_ahead
from shared.why.journal import of_journal
from shared.why.picture import Letter, Picture, Queue, Said, Terms

_PAGE = 1000
#: Dead letters of a stream that are looked at, the newest.
_LETTERS = 500
Flat = list[bytes]


def read_picture(client: Redis, symbol: str, terms: Terms) -> Picture:
    """All that tells of one symbol, as it stands now; what makes no sense is named in it.

    Raises:
        redis.RedisError: the server cannot be asked, or the user may not look.
    """
    reading = Reading(client)
    said = {
        stream.name: tuple(_of_symbol(reading, stream, symbol))
        for stream in (TRADE_INTENT, APPLY_PLAN, APPLY_RESULT)
    }
    heartbeats = _heartbeats(reading)
    mode = reading.ask("GET", MODE_KEY)
    picture = Picture(
        symbol=symbol,
        now=server_time(client),
        terms=terms,
        mode=None if mode is None else text_of(mode),
        intents=said[TRADE_INTENT.name],
        plans=said[APPLY_PLAN.name],
        results=said[APPLY_RESULT.name],
        letters=tuple(letter for letter in _letters(reading) if _mentions(letter, symbol)),
        queues={(q.stream, q.group): q for q in _queues(reading, heartbeats)},
        heartbeats=heartbeats,
        position=reading.hash(position_key(symbol)),
        harvest=reading.hash(harvest_key(symbol)),
        venue=reading.hash(VENUE_KEY),
        watch=reading.hash(WATCH_KEY),
    )
    picture = replace(picture, **of_journal(reading, symbol))
    # Last, so that no record is of a later price than the one that is taken for the last.
    tick, last_tick_at = _prices(reading, symbol)
    return replace(
        picture,
        tick=tick,
        last_tick_at=last_tick_at,
        now=server_time(client),
        unreadable=reading.unreadable,
    )


def server_time(client: Redis) -> datetime:
    """The server's clock, by which entries are named."""
    seconds, micros = client.time()
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def symbol_of(client: Redis, *, intent_id: str | None, plan_id: str | None) -> str | None:
    """The symbol of an intent or a plan, wherever it is told of; None if it is not."""
    reading = Reading(client)
    name, value = ("intent_id", intent_id) if intent_id else ("plan_id", plan_id or "")
    for stream in (TRADE_INTENT, APPLY_PLAN, APPLY_RESULT):
        for _, flat in _entries(reading, stream.key):
            if value.encode() in b"\0".join(flat):
                message = readable(stream, flat)
                if message is not None and getattr(message, name, None) == value:
                    return str(message.symbol)
    for letter in _letters(reading):
        if letter.fields.get(name) == value:
            return letter.fields.get("symbol")
    return None


def readable(stream: Stream, flat: Flat) -> Any:
    """The message that an entry holds, or None."""
    try:
        return decode(stream.contract, pairs(flat))
    except BadMessage:
        return None


def _entries(reading: Reading, key: str) -> Iterator[tuple[str, Flat]]:
    """A stream from its beginning, in pages."""
    start = "-"
    while True:
        page = reading.ask("XRANGE", key, start, "+", "COUNT", _PAGE)
        for id_, flat in page:
            yield id_.decode(), flat
        if len(page) < _PAGE:
            return
        start = f"({page[-1][0].decode()}"


def _of_symbol(reading: Reading, stream: Stream, symbol: str) -> Iterator[Said]:
    """What is said of a symbol; whatever does not name it is not even decoded."""
    name = symbol.encode()
    for id_, flat in _entries(reading, stream.key):
        # A producer may have wrapped its fields as JSON in one.
        if name in flat or (len(flat) == 2 and name in flat[1]):
            message = readable(stream, flat)
            if message is not None and message.symbol == symbol:
                yield Said(id_, message)


def _prices(reading: Reading, symbol: str) -> tuple[Said | None, datetime | None]:
    """The last price of the symbol, and when the last of any symbol came; newest first."""
    newest: datetime | None = None
    end = "+"
    while True:
        page = reading.ask("XREVRANGE", MARKET_TICK.key, end, "-", "COUNT", _PAGE)
        for id_, flat in page:
            message = readable(MARKET_TICK, flat)
            if message is None or message.source == HISTORY_SOURCE:
                continue
            newest = newest or moment_of(id_.decode())
            if message.symbol == symbol and not is_ahead(
                message.timestamp, moment_of(id_.decode())
            ):
                return Said(id_.decode(), message), newest
        if len(page) < _PAGE:
            return None, newest
        end = f"({page[-1][0].decode()}"


def read_letters(client: Redis) -> Iterator[Letter]:
    """The dead letters of every stream, the newest of each."""
    return _letters(Reading(client))


def _letters(reading: Reading) -> Iterator[Letter]:
    for stream in STREAMS:
        page = reading.ask("XREVRANGE", stream.dead_key, "+", "-", "COUNT", _LETTERS)
        for id_, flat in reversed(page):
            yield letter_of(id_.decode(), flat)


def letter_of(letter_id: str, flat: Flat) -> Letter:
    """One dead letter; the fields of the message in it are decoded as far as they are text."""
    fields = {text_of(name): value for name, value in pairs(flat)}
    original = {
        name.removeprefix("original:"): text_of(value)
        for name, value in fields.items()
        if name.startswith("original:")
    }
    if set(original) == {"payload"}:
        original |= _payload(original["payload"])
    return Letter(
        letter_id=letter_id,
        **{name: text_of(fields.get(name, b"")) for name in ("stream", "id", "group", "code")},
        detail=text_of(fields.get("detail", b"")),
        fields=original,
    )


def _payload(text: str) -> dict[str, str]:
    """What can be told of a message in JSON that may not be any."""
    try:
        read = json.loads(text, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(read, dict):
        return {}
    return {name: value for name, value in read.items() if isinstance(value, str)}


def _mentions(letter: Letter, symbol: str) -> bool:
    return letter.fields.get("symbol") == symbol or (
        "symbol" not in letter.fields and symbol in letter.fields.get("payload", "")
    )


def _heartbeats(reading: Reading) -> dict[str, datetime]:
    """When the loop of each daemon was last seen to go round; one that was not has none."""
    beats = {}
    for daemon in PROGRAMS:
        key = heartbeat_key(daemon)
        sign = reading.hash(key)
        at = reading.made(key, partial(_beat, sign), None)
        if at is not None:
            beats[daemon] = at
    return beats


def _beat(sign: Mapping[str, str]) -> datetime | None:
    return moment(sign["at"]) if sign else None


def _queues(reading: Reading, heartbeats: Mapping[str, datetime]) -> Iterator[Queue]:
    """What every daemon has not finished of each of its streams."""
    for stream in STREAMS:
        rows = map(row_of, reading.ask("XINFO GROUPS", stream.key))
        groups = {text_of(row["name"]): row for row in rows}
        for daemon in stream.readers:
            if daemon in groups:
                queue = _queue(reading, stream, daemon, groups[daemon])
                yield _seen(reading, stream, queue, heartbeats.get(daemon))
            else:
                yield Queue(stream.name, daemon, exists=False, lag=None)


def _queue(reading: Reading, stream: Stream, daemon: str, group: Mapping[str, Any]) -> Queue:
    delivered = text_of(group["last-delivered-id"])
    pending = reading.ask("XPENDING", stream.key, daemon, "-", "+", _PAGE)
    next_ = reading.ask("XRANGE", stream.key, f"({delivered}", "+", "COUNT", 1)
    lag = group.get("lag")
    queue = Queue(
        stream=stream.name,
        group=daemon,
        delivered=delivered,
        pending=frozenset(text_of(row[0]) for row in pending),
        lag=0 if not next_ else lag,
        oldest=text_of(next_[0][0]) if next_ else None,
    )
    if pending:
        oldest = text_of(pending[0][0])
        queue = replace(queue, oldest=oldest, deliveries=pending[0][3])
        queue = replace(queue, front=_front(reading, stream, oldest))
    return queue


def _front(reading: Reading, stream: Stream, id_: str) -> str:
    """What is wrong with an entry, if it cannot be read."""
    found = reading.ask("XRANGE", stream.key, id_, id_)
    if not found:
        return "it was removed before it was read"
    try:
        decode(stream.contract, pairs(found[0][1]))
    except BadMessage as bad:
        return f"{bad.code}, {bad.detail}"
    return ""


def _seen(reading: Reading, stream: Stream, queue: Queue, heartbeat: datetime | None) -> Queue:
    """When the daemon last showed itself: by its heartbeat, or by asking for entries.

    Of a daemon that asks in vain, servers before 7.2 note nothing.
    """
    if heartbeat is not None:
        queue = replace(queue, seen_at=heartbeat, beats=True)
    consumers = reading.ask("XINFO CONSUMERS", stream.key, queue.group)
    now = server_time(reading.client)
    for row in map(row_of, consumers):
        if text_of(row["name"]) == queue.group:
            seen_at = datetime.fromtimestamp(now.timestamp() - row["idle"] / 1000, UTC)
            return replace(
                queue,
                seen_at=seen_at if heartbeat is None else max(seen_at, heartbeat),
                beats=queue.beats or "inactive" in row,
            )
    return queue
