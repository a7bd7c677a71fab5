"""What can fail inside a commit fails before its first write, and once it is mended the same commit
goes through. Each kind that shared/bus/quantum.lua names is caused here, on every server program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from shared.bus import Bus, BusDown, Commit, NotReady
from shared.bus.client import call, plainly
from shared.server import LocalServer
from shared.streams import APPLY_PLAN, MARKET_TICK, state_key
from tests.worlds import RedisWorld

from .servers import PROGRAMS, a_world_on
from .test_bus import fill, full, nothing_was_written, numbers, owner, read

Place = tuple[LocalServer, RedisWorld]
RECORD = "quantum:harvest:X"


@pytest.fixture(params=PROGRAMS, ids=lambda program: program.name)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with a_world_on(request.param, tmp_path) as (server, world):
        yield server, world


def ready(world: RedisWorld) -> tuple[Bus, Commit]:
    """A bus with two messages in hand, and a commit that has one of everything."""
    fill(world, 2)
    bus = owner(world)
    return bus, full(*read(bus))


def in_hand(world: RedisWorld) -> int:
    """How many messages the daemon has not finished."""
    return len(call(world.client, "XPENDING", APPLY_PLAN.key, "exitbrain", "-", "+", 10))


def refused_whole(world: RedisWorld, bus: Bus, commit: Commit, why: str) -> None:
    """The commit is refused with the true reason, and nothing of it was done."""
    with pytest.raises((BusDown, NotReady), match=why):
        bus.commit(commit)
    assert in_hand(world) == 2


def done_whole(world: RedisWorld, bus: Bus, commit: Commit) -> None:
    """The commit goes through, once."""
    bus.commit(commit)
    assert world.pending("exitbrain") == 0
    assert world.entries(MARKET_TICK.key)[-1] == {"out": "1"}
    assert world.hash(state_key("exitbrain")) == {"table/key": '"value"'}
    assert world.hash(RECORD) == {"rung": "2"}
    fill(world, 1, first=2)
    assert numbers(read(bus)) == [2]


def setting(name: str, broken: str, whole: str) -> tuple[Callable[[RedisWorld], None], ...]:
    return (
        lambda world: call(world.client, "CONFIG", "SET", name, broken),
        lambda world: call(world.client, "CONFIG", "SET", name, whole),
    )


def turned(*broken: str) -> tuple[Callable[[RedisWorld], None], ...]:
    return (
        lambda world: call(world.client, *broken),
        lambda world: call(world.client, "REPLICAOF", "NO", "ONE"),
    )


def typed(key: str) -> tuple[Callable[[RedisWorld], None], ...]:
    return lambda world: world.set_string(key, "in the way"), lambda world: world.client.delete(key)


TROUBLES = {
    "OOM": ("maxmemory", setting("maxmemory", "1mb", "0")),
    "NOREPLICAS": ("NOREPLICAS", setting("min-replicas-to-write", "1", "0")),
    "READONLY": ("replica", turned("REPLICAOF", "127.0.0.1", "1")),
    "WRONGTYPE of an output": ("WRONGTYPE", typed(MARKET_TICK.key)),
    "WRONGTYPE of a record": ("WRONGTYPE", typed(RECORD)),
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_what_the_server_cannot_do_is_not_half_done_and_goes_through_when_mended(
    kind: str, place: Place
) -> None:
    _, world = place
    why, (break_it, mend_it) = TROUBLES[kind]
    bus, commit = ready(world)
    break_it(world)
    refused_whole(world, bus, commit, why)
    mend_it(world)
    assert nothing_was_written(world)
    done_whole(world, bus, commit)


def test_a_disk_that_takes_nothing_is_misconf_and_nothing_is_half_done(place: Place) -> None:
    server, world = place
    call(world.client, "CONFIG", "SET", "appendonly", "no")
    call(world.client, "CONFIG", "SET", "save", "3600 1")
    call(world.client, "CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
    bus, commit = ready(world)
    (server.folder / "dump.rdb").mkdir()
    call(world.client, "BGSAVE")
    while call(world.client, "INFO", "persistence")["rdb_bgsave_in_progress"]:
        pass
    refused_whole(world, bus, commit, "MISCONF")
    call(world.client, "CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
    assert nothing_was_written(world)
    done_whole(world, bus, commit)


def test_a_state_of_another_type_is_not_half_written(place: Place) -> None:
    _, world = place
    bus, commit = ready(world)
    state = call(world.client, "DUMP", state_key("exitbrain"))
    world.set_string(state_key("exitbrain"), "in the way")
    refused_whole(world, bus, commit, "WRONGTYPE")
    call(world.client, "RESTORE", state_key("exitbrain"), 0, state, "REPLACE")
    assert nothing_was_written(world)
    done_whole(world, bus, commit)


def test_a_stream_without_ids_left_is_mended_and_the_commit_done_whole(place: Place) -> None:
    _, world = place
    bus, commit = ready(world)
    call(world.client, "XADD", MARKET_TICK.key, f"{2**64 - 1}-{2**64 - 1}", "a", "b")
    done_whole(world, bus, commit)


def test_a_stream_without_ids_left_that_may_not_be_mended_is_not_half_done(place: Place) -> None:
    _, world = place
    bus, commit = ready(world)
    call(world.client, "XADD", MARKET_TICK.key, f"{2**64 - 1}-{2**64 - 1}", "a", "b")
    world.set_string(MARKET_TICK.dead_key, "in the way")
    refused_whole(world, bus, commit, "WRONGTYPE")
    world.client.delete(MARKET_TICK.dead_key)
    done_whole(world, bus, commit)


@pytest.mark.parametrize("missing", ["xadd", "xack", "hset", "hdel", "del", "xinfo|stream"])
def test_a_right_that_is_missing_refuses_the_whole_commit(missing: str, place: Place) -> None:
    _, world = place
    bus, commit = ready(world)
    commit.documents = {"table/key": b'"value"', "table/other": None}
    world.add(MARKET_TICK.key, {"n": "9"})
    call(world.client, "ACL", "SETUSER", "default", f"-{missing}")
    with pytest.raises(NotReady, match="lacks a right"):
        bus.commit(commit)
    call(world.client, "ACL", "SETUSER", "default", f"+{missing}")
    assert in_hand(world) == 2
    assert world.hash(state_key("exitbrain")) == {}
    done_whole(world, bus, commit)


@pytest.mark.parametrize("words", [["name"], ["name", "value", "name"]])
def test_a_name_without_a_value_refuses_the_whole_commit(words: list[str], place: Place) -> None:
    _, world = place
    bus, commit = ready(world)
    commit.published.append((APPLY_PLAN.dead_key, list(words)))
    with pytest.raises(ResponseError, match="without a value"):
        bus.commit(commit)
    assert nothing_was_written(world)
    assert world.pending("exitbrain") == 2


def test_a_server_that_is_killed_has_all_of_a_commit_or_nothing(place: Place) -> None:
    server, world = place
    bus, commit = ready(world)
    call(world.client, "CONFIG", "SET", "appendfsync", "always")
    bus.commit(commit)
    server.kill()
    server.restart()
    with plainly():
        assert world.pending("exitbrain") == 0
    assert not nothing_was_written(world)
