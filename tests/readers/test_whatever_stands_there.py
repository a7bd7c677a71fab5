"""Whatever stands in a stream or a key, all who look go on and name it.

Keys, entries and records are written at random, by a seed, on a real server, as a hand or another
program might; then every command and every companion looks at them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError
from typer.testing import CliRunner

from services.dashboard.prices import Prices
from services.dashboard.view import page_of
from services.notifier.outside.listener import Listener
from services.notifier.values import Cursor, Heard
from services.watcher.decider import decide
from services.watcher.reading import Reader
from services.watcher.state import Policy, State
from shared.bus.client import call, load_library
from shared.cli import app
from shared.cli.story import reader
from shared.decisions import Record
from shared.overview.read import read_overview
from shared.streams import (
    MODE_KEY,
    PROGRAMS,
    STREAMS,
    VENUE_KEY,
    WATCH_KEY,
    harvest_key,
    heartbeat_key,
    position_key,
    state_key,
)
from shared.why.picture import Terms
from tests.cli.asking import Open
from tests.cli.small_ring import SYMBOL, SmallRing, at_r

HIGHEST = "18446744073709551615-18446744073709551615"
#: As if the clock were a year ahead, far ahead, and at its end.
IDS = ("1827000000000-0", "99999999999999-7", "18446744073709551615-0", HIGHEST)
WORDS = (
    b"", b"0", b"-1", b"NaN", b"1E999999", b"Infinity", b"9" * 400, b"\xff\xfe\x00", b"{}", b"[",
    b"null", b'{"a":' * 30, "币安人生USDT".encode(), b"\x1b[31mred", b"2026-01-01T00:00:00",
    b"9999-12-31T23:59:59.999Z", b"0001-01-01T00:00:00Z", b"LONG", b"x" * 100_000, b"a=b c=d",
    b'{"unprotected_since":"never"}', b'{"request":{"symbol":"RIVERUSDT"}}', b"12.32", b'"1"',
)  # fmt: skip
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("top", "--once"), ("top", "--json"), ("positions",), ("positions", "--json"),
    ("why", SYMBOL), ("why", SYMBOL, "--json"), ("why", "--intent", "no.such"),
    ("tail", "--no-follow"), ("tail", "market.tick", "--no-follow", "--json"),
    ("history", SYMBOL), ("history", SYMBOL, "--json"), ("dead", "list"),
    ("dead", "list", "--json"), ("check",), ("mode",),
)  # fmt: skip
SEEDS = (*range(24), 1230)


def asks(words: tuple[str, ...]) -> str:
    """What a command says; it ends by itself, and with no traceback."""
    ended = CliRunner().invoke(app, list(words))
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise AssertionError(words) from ended.exception
    assert ended.exit_code in (0, 1), (words, ended.output)
    if "--json" in words and ended.stdout:
        for line in ended.stdout.splitlines():
            json.loads(line)
    assert "\x1b" not in ended.output
    return ended.output


class Hand:
    """Somebody who writes what he likes."""

    def __init__(self, client: Redis, seed: int) -> None:
        self.client = client
        self.chance = random.Random(seed)

    def word(self) -> bytes:
        return self.chance.choice(WORDS)

    def write(self) -> None:
        kinds: list[Callable[[], object]] = [
            self.entry, self.letter, self.odd_id, self.other_type, self.record, self.field,
            self.journal, self.beat, self.mode,
        ]  # fmt: skip
        for _ in range(self.chance.randint(1, 6)):
            try:
                self.chance.choice(kinds)()
            except ResponseError:
                continue  # What he wrote before stands in his way, too.

    def entry(self) -> None:
        stream = self.chance.choice(STREAMS)
        known = call(self.client, "XREVRANGE", stream.key, "+", "-", "COUNT", 1)
        flat = list(known[0][1]) if known else [b"a", b"b"]
        for at in self.chance.sample(range(len(flat)), k=min(2, len(flat))):
            flat[at] = self.word()
        call(self.client, "XADD", stream.key, "*", *flat)

    def letter(self) -> None:
        names = [b"code", b"stream", b"id", b"original:symbol", b"original:payload", self.word()]
        words = [word for name in names for word in (name, self.word())]
        call(self.client, "XADD", self.chance.choice(STREAMS).dead_key, "*", *words)

    def odd_id(self) -> None:
        stream = self.chance.choice(STREAMS)
        key = self.chance.choice([stream.key, stream.dead_key])
        known = call(self.client, "XREVRANGE", stream.key, "+", "-", "COUNT", 1)
        flat = known[0][1] if known else [b"a", b"b"]
        call(self.client, "XADD", key, self.chance.choice(IDS), *flat)

    def keys(self) -> list[str]:
        return [
            *(stream.key for stream in STREAMS), *(stream.dead_key for stream in STREAMS),
            position_key(SYMBOL), position_key("币安人生USDT"), harvest_key(SYMBOL), VENUE_KEY,
            WATCH_KEY, MODE_KEY, state_key("apply_layer"), *map(heartbeat_key, PROGRAMS),
        ]  # fmt: skip

    def other_type(self) -> None:
        key = self.chance.choice(self.keys())
        self.client.delete(key)
        how = self.chance.choice([("SET", key, "x"), ("RPUSH", key, "x"), ("SADD", key, "x")])
        call(self.client, *how)

    def record(self) -> None:
        symbol = self.chance.choice([SYMBOL, "币安人生USDT", "A:B: C", "", "ETHUSDT_260327"])
        key = self.chance.choice([position_key(symbol), harvest_key(symbol), VENUE_KEY, WATCH_KEY])
        names = [b"symbol", b"side", b"qty", b"seen_at", b"barrier.x", b"quarantine.X", self.word()]
        self.client.hset(key, mapping={name: self.word() for name in names})

    def field(self) -> None:
        key = self.chance.choice([position_key(SYMBOL), harvest_key(SYMBOL)])
        names = sorted(self.client.hkeys(key)) or [b"symbol"]
        name = self.chance.choice(names)
        if self.chance.random() < 0.3:
            self.client.hdel(key, name)
        else:
            self.client.hset(key, name, self.word())

    def journal(self) -> None:
        names = ("positions", "orders", "rules", "left_alone")
        name = f"{self.chance.choice(names)}/{SYMBOL}"
        self.client.hset(state_key("apply_layer"), name, self.word())

    def beat(self) -> None:
        key = heartbeat_key(self.chance.choice(PROGRAMS))
        self.client.hset(key, mapping={"at": self.word(), "pid": self.word()})

    def mode(self) -> None:
        self.client.set(MODE_KEY, self.word())


def companions(url: str, client: Redis) -> list[str]:
    """All three look; what watcher raises is returned."""
    page_of(read_overview(client), Prices())
    listener = Listener(url)
    cursors = {key: Cursor() for key in listener.ends()}
    assert all(not isinstance(one, Heard) or one.at for one in listener.hear(cursors, block_ms=1))
    listener.look()
    listener.close()
    watcher, policy = Reader(url, lambda _symbol: Terms()), Policy(settle_s=0, lag_within_s=0)
    watcher.begin(3600)
    state, alarms = State(), []
    while (heard := watcher.next_page()) is not None:
        state, _ = decide(state, heard, policy)
    for _ in range(2):
        state, _ = decide(state, watcher.hear(1), policy)
        state, outputs = decide(state, watcher.look(), policy)
        alarms = [name for one in outputs if isinstance(one, Record) for name in one.fields or {}]
    watcher.client.close()
    return alarms


@pytest.fixture
def held(open_ring: Open) -> SmallRing:
    """A position with a rung taken, and an entry that was refused; all daemons have stopped."""
    ring = open_ring()
    for r in ("0", "1", "2"):
        ring.tick(at_r(r))
        ring.settle()
    ring.put(ring.entry(qty=100))
    ring.settle()
    ring.stop(*list(ring.runners))
    return ring


@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_looks_goes_on_whatever_stands_there(held: SmallRing, seed: int) -> None:
    Hand(held.client, seed).write()
    look = reader(held.url)
    companions(held.url, look)
    look.close()
    for words in COMMANDS:
        asks(words)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
@pytest.mark.parametrize("id_", IDS)
def test_an_id_from_the_future_is_named_and_is_an_alarm(
    held: SmallRing, stream: Any, id_: str
) -> None:
    held.raw(stream.key, ["a", "b"], id_=id_)
    overview = read_overview(held.client)
    assert [each.what for each in overview.unreadable] == [stream.name]
    assert id_ in overview.unreadable[0].why
    assert f"unreadable.{stream.name}" in companions(held.url, held.client)
    assert id_ in asks(("top", "--once"))


@pytest.mark.parametrize(
    "key",
    [
        *(stream.key for stream in STREAMS), VENUE_KEY, position_key(SYMBOL), harvest_key(SYMBOL),
        state_key("apply_layer"), MODE_KEY, heartbeat_key("watcher"),
    ],
)  # fmt: skip
def test_a_key_of_another_type_is_named_and_is_an_alarm(held: SmallRing, key: str) -> None:
    held.client.delete(key)
    held.client.rpush(key, "x")
    assert key in {each.what for each in read_overview(held.client).unreadable}
    assert any(key in name for name in companions(held.url, held.client))
    assert key in asks(("positions",))


def test_an_entry_that_nobody_puts_aside_is_an_alarm(held: SmallRing) -> None:
    held.raw(STREAMS[1].key, ["a", "b"])
    assert f"unreadable.{STREAMS[1].name}/entries" in companions(held.url, held.client)


def test_a_stream_that_was_mended_is_heard_on(held: SmallRing) -> None:
    load_library(held.client)
    watcher, listener = Reader(held.url, lambda _symbol: Terms()), Listener(held.url)
    watcher.begin(3600)
    key = STREAMS[3].key
    flat = call(held.client, "XREVRANGE", key, "+", "-", "COUNT", 1)[0][1]
    call(held.client, "XADD", key, HIGHEST, *flat)
    while watcher.next_page() is not None:
        pass
    cursors = {one.key: Cursor(one.id) for one in listener.hear({}, block_ms=1)
               if isinstance(one, Heard)}  # fmt: skip
    assert cursors[key].id == HIGHEST
    assert CliRunner().invoke(app, ["repair", "--yes"]).exit_code == 0
    watcher.look()
    call(held.client, "XADD", key, "*", *flat)
    heard = [said for _ in range(3) for said in (watcher.next_page() or watcher.hear(1)).said]
    assert heard
    for one in listener.hear(cursors, block_ms=1):
        cursors[one.key] = getattr(one, "end", cursors.get(one.key, Cursor()))
    call(held.client, "XADD", key, "*", *flat)
    assert any(isinstance(one, Heard) for one in listener.hear(cursors, block_ms=1))
    watcher.client.close()
    listener.close()
