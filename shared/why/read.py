"""Reading for `quantum why`: from the server, one symbol's picture at one moment.

Reads the streams and their groups, the dead letters, the records, the heartbeats, the operator's
switch and what apply_layer has in its journal. Only commands that write nothing, so that a user who
may only read can ask. What cannot be read as a message is left out: it is among the dead letters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from shared.bus.client import call
from shared.contracts import HISTORY_SOURCE, BadMessage, decode
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    MARKET_TICK,
    MODE_KEY,
    PROGRAMS,
    STREAMS,
    TRADE_INTENT,
    VENUE_KEY,
    Stream,
    harvest_key,
    heartbeat_key,
    position_key,
    state_key,
)
from shared.ticks import is_ahead
from shared.why.picture import Letter, Order, Picture, Queue, Rules, Said, Terms, moment_of

_PAGE = 1000
#: Dead letters of a stream that are looked at, the newest.
_LETTERS = 500
_RAW = ("XRANGE", "XREVRANGE", "XPENDING", "XINFO GROUPS", "XINFO CONSUMERS", "HGETALL")

Flat = list[bytes]


def read_picture(client: Redis, symbol: str, terms: Terms) -> Picture:
    """All that tells of one symbol, as it stands now.

    Raises:
        redis.RedisError: the server cannot be asked, or the user may not look.
    """
    raw_replies(client)
    said = {
        stream.name: tuple(_of_symbol(client, stream, symbol))
        for stream in (TRADE_INTENT, APPLY_PLAN, APPLY_RESULT)
    }
    journal = _hash(client, state_key("apply_layer"))
    heartbeats = read_heartbeats(client)
    mode: Any = client.get(MODE_KEY)
    picture = Picture(
        symbol=symbol,
        now=server_time(client),
        terms=terms,
        mode=None if mode is None else text_of(mode),
        intents=said[TRADE_INTENT.name],
        plans=said[APPLY_PLAN.name],
        results=said[APPLY_RESULT.name],
        letters=tuple(letter for letter in read_letters(client) if _mentions(letter, symbol)),
        queues={(q.stream, q.group): q for q in read_queues(client, heartbeats)},
        heartbeats=heartbeats,
        position=_hash(client, position_key(symbol)),
        harvest=_hash(client, harvest_key(symbol)),
        venue=_hash(client, VENUE_KEY),
        orders=tuple(_orders(journal, symbol)),
        naked_since=naked_since(journal.get(f"positions/{symbol}")),
        left_alone=_left_alone(journal, symbol),
        rules=rules_in(journal.get(f"rules/{symbol}")),
    )
    # Last, so that no record is of a later price than the one that is taken for the last.
    tick, last_tick_at = _prices(client, symbol)
    return replace(picture, tick=tick, last_tick_at=last_tick_at, now=server_time(client))


def raw_replies(client: Redis) -> None:
    """Take replies as the server sends them."""
    for command in _RAW:
        client.set_response_callback(command, lambda reply, **_: reply)


def server_time(client: Redis) -> datetime:
    """The server's clock, by which entries are named."""
    seconds, micros = client.time()
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def symbol_of(client: Redis, *, intent_id: str | None, plan_id: str | None) -> str | None:
    """The symbol of an intent or a plan, wherever it is told of; None if it is not."""
    raw_replies(client)
    name, value = ("intent_id", intent_id) if intent_id else ("plan_id", plan_id or "")
    for stream in (TRADE_INTENT, APPLY_PLAN, APPLY_RESULT):
        for _, flat in _entries(client, stream.key):
            if value.encode() in b"\0".join(flat):
                message = readable(stream, flat)
                if message is not None and getattr(message, name, None) == value:
                    return str(message.symbol)
    for letter in read_letters(client):
        if letter.fields.get(name) == value:
            return letter.fields.get("symbol")
    return None


def readable(stream: Stream, flat: Flat) -> Any:
    """The message that an entry holds, or None."""
    try:
        return decode(stream.contract, pairs(flat))
    except BadMessage:
        return None


def pairs(flat: Flat) -> tuple[tuple[bytes, bytes], ...]:
    """An entry's fields, one by one."""
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _entries(client: Redis, key: str) -> Iterator[tuple[str, Flat]]:
    """A stream from its beginning, in pages."""
    start = "-"
    while True:
        page = call(client, "XRANGE", key, start, "+", "COUNT", _PAGE)
        for id_, flat in page:
            yield id_.decode(), flat
        if len(page) < _PAGE:
            return
        start = f"({page[-1][0].decode()}"


def _of_symbol(client: Redis, stream: Stream, symbol: str) -> Iterator[Said]:
    """What is said of a symbol; whatever does not name it is not even decoded."""
    name = symbol.encode()
    for id_, flat in _entries(client, stream.key):
        # A producer may have wrapped its fields as JSON in one.
        if name in flat or (len(flat) == 2 and name in flat[1]):
            message = readable(stream, flat)
            if message is not None and message.symbol == symbol:
                yield Said(id_, message)


def _prices(client: Redis, symbol: str) -> tuple[Said | None, datetime | None]:
    """The last price of the symbol, and when the last of any symbol came; newest first."""
    newest: datetime | None = None
    end = "+"
    while True:
        page = call(client, "XREVRANGE", MARKET_TICK.key, end, "-", "COUNT", _PAGE)
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
    raw_replies(client)
    for stream in STREAMS:
        page = call(client, "XREVRANGE", stream.dead_key, "+", "-", "COUNT", _LETTERS)
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


def read_heartbeats(client: Redis) -> dict[str, datetime]:
    """When the loop of each daemon was last seen to go round; one that was not has none."""
    raw_replies(client)
    signs = {daemon: _hash(client, heartbeat_key(daemon)) for daemon in PROGRAMS}
    return {daemon: datetime.fromisoformat(sign["at"]) for daemon, sign in signs.items() if sign}


def read_queues(client: Redis, heartbeats: Mapping[str, datetime]) -> Iterator[Queue]:
    """What every daemon has not finished of each of its streams."""
    raw_replies(client)
    for stream in STREAMS:
        groups: dict[str, dict[str, Any]] = {}
        if client.exists(stream.key):
            for flat in call(client, "XINFO GROUPS", stream.key):
                row = row_of(flat)
                groups[text_of(row["name"])] = row
        for daemon in stream.readers:
            if daemon in groups:
                queue = _queue(client, stream, daemon, groups[daemon])
                yield _seen(client, stream, queue, heartbeats.get(daemon))
            else:
                yield Queue(stream.name, daemon, exists=False, lag=None)


def _queue(client: Redis, stream: Stream, daemon: str, group: Mapping[str, Any]) -> Queue:
    delivered = text_of(group["last-delivered-id"])
    pending = call(client, "XPENDING", stream.key, daemon, "-", "+", _PAGE)
    next_ = call(client, "XRANGE", stream.key, f"({delivered}", "+", "COUNT", 1)
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
        queue = replace(queue, front=_front(client, stream, oldest))
    return queue


def _front(client: Redis, stream: Stream, id_: str) -> str:
    """What is wrong with an entry, if it cannot be read."""
    found = call(client, "XRANGE", stream.key, id_, id_)
    if not found:
        return "it was removed before it was read"
    try:
        decode(stream.contract, pairs(found[0][1]))
    except BadMessage as bad:
        return f"{bad.code}, {bad.detail}"
    return ""


def _seen(client: Redis, stream: Stream, queue: Queue, heartbeat: datetime | None) -> Queue:
    """When the daemon last showed itself: by its heartbeat, or by asking for entries.

    Of a daemon that asks in vain, servers before 7.2 note nothing.
    """
    if heartbeat is not None:
        queue = replace(queue, seen_at=heartbeat, beats=True)
    try:
        consumers = call(client, "XINFO CONSUMERS", stream.key, queue.group)
    except ResponseError:  # The group went away meanwhile.
        return queue
    now = server_time(client)
    for row in map(row_of, consumers):
        if text_of(row["name"]) == queue.group:
            seen_at = datetime.fromtimestamp(now.timestamp() - row["idle"] / 1000, UTC)
            return replace(
                queue,
                seen_at=seen_at if heartbeat is None else max(seen_at, heartbeat),
                beats=queue.beats or "inactive" in row,
            )
    return queue


def _orders(journal: Mapping[str, str], symbol: str) -> Iterator[Order]:
    for name, document in journal.items():
        if not name.startswith("orders/"):
            continue
        sent = json.loads(document)
        request, doubt = sent["request"], sent["doubt"] or {}
        if request["symbol"] == symbol:
            trigger = request["trigger_price"]
            yield Order(
                client_order_id=request["client_order_id"],
                leg={"e": "entry", "x": "exit", "s": "stop", "t": "target", "f": "forced close"}[
                    sent["leg"]
                ],
                plan_id=sent["plan_id"],
                action=sent["action"],
                accepted=sent["accepted"],
                sent_at=_moment(request["sent_at"]),
                trigger_price=None if trigger is None else Decimal(trigger),
                doubt=doubt.get("reason", ""),
                doubt_since=_moment(doubt.get("since")),
            )


def naked_since(document: str | bytes | None) -> datetime | None:
    """Since when a position has had no stop, by apply_layer's own document of it."""
    return None if document is None else _moment(json.loads(document)["unprotected_since"])


def rules_in(document: str | bytes | None) -> Rules | None:
    """The venue's rules for a symbol, by apply_layer's own document of them."""
    if document is None:
        return None
    stated = json.loads(document)
    names = [field.name for field in fields(Rules)]
    return Rules(**{name: Decimal(stated[name]) for name in names})


def _left_alone(journal: Mapping[str, str], symbol: str) -> Decimal | None:
    document = journal.get(f"left_alone/{symbol}")
    return None if document is None else Decimal(json.loads(document))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _hash(client: Redis, key: str) -> dict[str, str]:
    return texts_of(call(client, "HGETALL", key))


def texts_of(flat: Flat) -> dict[str, str]:
    """The fields of a hash as text."""
    return {text_of(name): text_of(value) for name, value in pairs(flat)}


def row_of(flat: list[Any]) -> dict[str, Any]:
    """What the server tells in pairs, by name."""
    return {text_of(name): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def text_of(word: bytes) -> str:
    """What may not be text, as text."""
    return str(word, "utf-8", "replace")
