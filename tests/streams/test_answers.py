"""What a server says instead of an answer, and what a program makes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from shared.bus import BusDown, Commit, NotReady, RedisBus, StateLost
from shared.bus.client import ANSWERS, call, connect, plainly
from shared.server import LocalServer
from shared.streams import APPLY_PLAN
from tests.worlds import RedisWorld

from .servers import PROGRAMS, a_world_on
from .test_bus import ack, fill, numbers, owner, read

Place = tuple[LocalServer, RedisWorld]
Cause = Callable[[RedisWorld], None]


@pytest.fixture(params=PROGRAMS, ids=lambda program: program.name)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with a_world_on(request.param, tmp_path) as (server, world):
        yield server, world


def typed(*words: Any) -> Cause:
    return lambda world: call(world.client, *words)


def as_another(user: str = "", password: str = "", *, words: tuple[str, ...] = ("PING",)) -> Cause:
    """Ask as somebody else."""

    def ask(world: RedisWorld) -> None:
        who = f"unix://{user}:{password}@" if user else "unix://"
        with plainly(), connect(world.url.replace("unix://", who)) as client:
            call(client, *words)

    return ask


def write(world: RedisWorld) -> None:
    bus = RedisBus(world.url, "exitbrain")
    with plainly():
        call(bus._commands, "HSET", "h", "a", "1")
    bus.close()


def stale_replica(world: RedisWorld) -> None:
    call(world.client, "CONFIG", "SET", "replica-serve-stale-data", "no")
    call(world.client, "REPLICAOF", "127.0.0.1", "1")


def busy(world: RedisWorld) -> None:
    call(world.client, "CONFIG", "SET", "busy-reply-threshold", "1")
    other = Redis.from_url(world.url)
    threading.Thread(target=_spin, args=(other,)).start()
    while True:
        try:
            world.client.ping()
        except ResponseError:
            return


def _spin(client: Redis) -> None:
    with client, pytest.raises(ResponseError, match="killed"):
        call(client, "EVAL", "while true do end", 0)


#: How it is caused, how it is asked, and how it ends.
CAUSED: dict[str, tuple[Cause, Cause, Cause]] = {
    "READONLY": (typed("REPLICAOF", "127.0.0.1", "1"), write, typed("REPLICAOF", "NO", "ONE")),
    "MASTERDOWN": (stale_replica, as_another(words=("GET", "k")), typed("REPLICAOF", "NO", "ONE")),
    "BUSY ": (busy, write, typed("SCRIPT", "KILL")),
    "NOREPLICAS": (
        typed("CONFIG", "SET", "min-replicas-to-write", "1"), write,
        typed("CONFIG", "SET", "min-replicas-to-write", "0"),
    ),
    "OOM": (
        typed("CONFIG", "SET", "maxmemory", "1"), write, typed("CONFIG", "SET", "maxmemory", "0"),
    ),
    "WRONGTYPE": (typed("SET", "h", "x"), write, typed("DEL", "h")),
    "NOPERM": (
        typed("ACL", "SETUSER", "default", "-hset"), write,
        typed("ACL", "SETUSER", "default", "+hset"),
    ),
    "invalid username-password": (typed("PING"), as_another("nobody", "pw"), typed("PING")),
    "Authentication required": (
        typed("ACL", "SETUSER", "default", "resetpass", ">pw"), as_another(),
        typed("ACL", "SETUSER", "default", "nopass"),
    ),
    "unknown command": (typed("PING"), as_another(words=("NOSUCH",)), typed("PING")),
    "DB index is out of range": (
        typed("PING"), as_another(words=("SELECT", "9999")), typed("PING"),
    ),
    "Function not found": (typed("PING"), as_another(words=("FCALL", "no", "0")), typed("PING")),
    "NOGROUP": (
        typed("PING"), as_another(words=("XPENDING", "none", "g")), typed("PING"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("known", CAUSED)
def test_what_the_server_says_has_its_meaning_and_passes_when_it_is_mended(
    known: str, place: Place
) -> None:
    _, world = place
    [(_, kind, sentence)] = [row for row in ANSWERS if row[0] == known]
    cause, ask, end = CAUSED[known]
    cause(world)
    with pytest.raises(kind, match=sentence.replace("?", r"\?")):
        ask(world)
    end(world)


def test_a_server_that_takes_no_further_connection_is_down(place: Place) -> None:
    _, world = place
    call(world.client, "CONFIG", "SET", "maxclients", "1")
    # The server says so and hangs up; the client may see the one or the other.
    with pytest.raises(BusDown):
        as_another()(world)
    call(world.client, "CONFIG", "SET", "maxclients", "100")
    as_another()(world)


def test_a_reader_waits_while_the_server_is_a_replica_and_goes_on(place: Place) -> None:
    _, world = place
    fill(world, 1)
    bus = owner(world)
    bus.commit(ack(*read(bus)))
    told: list[Exception] = []

    def block() -> None:
        try:
            bus.read(count=100, block_ms=60_000)
        except (BusDown, NotReady, StateLost) as error:
            told.append(error)

    blocked = threading.Thread(target=block)
    blocked.start()
    while not world.client.info("clients")["blocked_clients"]:
        pass
    call(world.client, "REPLICAOF", "127.0.0.1", "1")
    blocked.join()
    assert [type(error) for error in told] == [BusDown]
    for ask in (lambda: read(bus), lambda: bus.commit(Commit(documents={"a/b": b"1"}))):
        with pytest.raises(BusDown, match="the server is a replica"):
            ask()
    call(world.client, "REPLICAOF", "NO", "ONE")
    fill(world, 1, first=1)
    assert numbers(read(bus)) == [1]


def test_an_error_that_nobody_knows_is_not_taken_for_one_that_passes(place: Place) -> None:
    _, world = place
    with pytest.raises(ResponseError), plainly():
        call(world.client, "XADD", APPLY_PLAN.key, "not-an-id", "a", "b")
