"""The bus on a real server, where only a server can fail: breaks, limits, rights, other readers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.bus import BusDown, Commit, NotReady, RedisBus, StateLost, Superseded, load_library
from shared.server import LocalServer
from shared.streams import APPLY_PLAN, DEAD_KEPT, MARKET_TICK, state_key
from tests.worlds import RedisWorld, proxy_to

from .test_bus import ack, fill, full, nothing_was_written, numbers, owner, read

KEY = APPLY_PLAN.key


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LocalServer]:
    """A server that the test may kill."""
    with LocalServer.start(tmp_path) as server:
        yield server


@pytest.fixture
def own_world(own_server: LocalServer) -> Iterator[RedisWorld]:
    world = RedisWorld(own_server.url)
    yield world
    world.close()


def test_entries_that_were_trimmed_away_unread_come_back_without_fields(
    redis_world: RedisWorld,
) -> None:
    ids = fill(redis_world, 3)
    read(owner(redis_world))
    redis_world.client.xtrim(KEY, minid=ids[2], approximate=False)
    bus = owner(redis_world)
    for lost in ids[:2]:
        (entry,) = read(bus)
        assert (entry.id, entry.fields) == (lost, ())
        bus.commit(ack(entry))
    assert numbers(read(bus)) == [2]


def test_entries_under_another_consumer_name_come_first(redis_world: RedisWorld) -> None:
    ids = fill(redis_world, 3)
    bus = owner(redis_world)
    client = redis_world.client
    client.xreadgroup("exitbrain", "somebody", {KEY: ">"}, count=2)
    client.xtrim(KEY, minid=ids[1], approximate=False)
    seen = []
    while entries := read(bus):
        seen += [entry.id for entry in entries]
        bus.commit(ack(*entries))
    assert seen == ids
    assert redis_world.pending("exitbrain") == 0


def test_entries_that_somebody_takes_while_we_read_keep_their_place(
    redis_world: RedisWorld,
) -> None:
    bus = owner(redis_world)
    assert read(bus) == []
    fill(redis_world, 1)
    redis_world.client.xreadgroup("exitbrain", "exitbrain", {KEY: ">"})
    fill(redis_world, 2, first=1)
    seen = []
    while entries := read(bus):
        seen += numbers(entries)
        bus.commit(ack(*entries))
    assert seen == [0, 1, 2]


def test_a_superseded_reader_that_is_blocked_loses_nothing_for_its_successor(
    redis_world: RedisWorld,
) -> None:
    old = owner(redis_world)
    told: list[Superseded] = []

    def block() -> None:
        try:
            old.read(count=100, block_ms=5_000)
        except Superseded as error:
            told.append(error)

    blocked = threading.Thread(target=block)
    blocked.start()
    while not redis_world.client.info("clients")["blocked_clients"]:
        pass
    new = owner(redis_world)
    fill(redis_world, 2)
    blocked.join()
    fill(redis_world, 1, first=2)
    seen = []
    while entries := read(new):
        seen += numbers(entries)
        new.commit(ack(*entries))
    assert len(told) == 1
    assert seen == [0, 1, 2]


def test_a_read_whose_reply_was_lost_is_read_again(redis_world: RedisWorld) -> None:
    fill(redis_world, 2)
    with proxy_to(redis_world.url, loses_reply_to=b"XREADGROUP") as url:
        bus = RedisBus(url, "exitbrain")
        bus.acquire()
        fill(redis_world, 1, first=2)
        bus.commit(Commit(documents={"a": b"1"}))
        with pytest.raises(BusDown):
            read(bus)
        fill(redis_world, 2, first=3)
        seen = []
        while entries := read(bus):
            seen.append((numbers(entries), entries[0].deliveries))
            bus.commit(ack(*entries))
        bus.close()
    assert seen == [([0], 2), ([1], 2), ([2], 2), ([3, 4], 1)]


def test_a_killed_server_is_bus_down_and_works_again_after_its_restart(
    own_server: LocalServer, own_world: RedisWorld
) -> None:
    fill(own_world, 2)
    bus = owner(own_world)
    entries = read(bus, count=1)
    own_server.kill()
    for call in (bus.mode, bus.backlog, bus.acquire, lambda: read(bus)):
        with pytest.raises(BusDown):
            call()
    with pytest.raises(BusDown):
        bus.commit(full(*entries))
    own_server.restart()
    bus.commit(full(*entries))
    assert numbers(read(bus)) == [1]
    assert len(own_world.raw(MARKET_TICK.key)) == 1


def test_a_server_that_lost_its_data_and_its_library_is_noticed(
    own_server: LocalServer, own_world: RedisWorld
) -> None:
    fill(own_world, 1)
    bus = owner(own_world)
    entries = read(bus)
    own_world.client.function_flush("SYNC")
    with pytest.raises(NotReady, match="run `quantum init`"):
        bus.commit(ack(*entries))
    own_world.flush()
    load_library(own_world.client)
    with pytest.raises(StateLost, match="forgotten"):
        bus.commit(ack(*entries))
    with pytest.raises(StateLost, match="flushed"):
        read(bus)


def test_without_the_library_nobody_starts(own_world: RedisWorld) -> None:
    own_world.client.function_flush("SYNC")
    with pytest.raises(NotReady, match="the Function library is missing: run `quantum init`"):
        owner(own_world)
    own_world.client.function_load(
        "#!lua name=quantum\nredis.register_function{function_name='quantum_version', "
        "callback=function() return '0' end, flags={'no-writes'}}"
    )
    with pytest.raises(NotReady, match="another version"):
        owner(own_world)


def test_a_server_out_of_memory_is_bus_down_and_writes_nothing_by_halves(
    own_world: RedisWorld,
) -> None:
    fill(own_world, 2)
    bus = owner(own_world)
    commit = full(*read(bus))
    own_world.client.config_set("maxmemory", "1mb")
    with pytest.raises(BusDown, match="maxmemory"):
        bus.commit(commit)
    assert nothing_was_written(own_world)
    assert own_world.pending("exitbrain") == 2
    bus.trim(APPLY_PLAN)
    own_world.client.config_set("maxmemory", "0")
    bus.commit(commit)
    assert own_world.pending("exitbrain") == 0


def test_a_replica_is_bus_down_until_it_is_a_master(own_world: RedisWorld) -> None:
    bus = owner(own_world)
    own_world.client.execute_command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(BusDown):
        bus.commit(full())
    own_world.client.execute_command("REPLICAOF", "NO", "ONE")
    bus.commit(full())


def test_trimming_keeps_what_the_stream_keeps(redis_world: RedisWorld) -> None:
    fill(redis_world, 1_500)
    bus = owner(redis_world)
    bus.commit(ack(*read(bus, count=2_000)))
    bus.trim(replace(APPLY_PLAN, kept=500))
    left = [int(entry["n"]) for entry in redis_world.entries(KEY)]
    assert 500 <= len(left) <= 600
    assert left == list(range(1_500 - len(left), 1_500))


def test_trimming_stops_at_the_oldest_entry_that_a_group_has_not_finished(
    redis_world: RedisWorld,
) -> None:
    fill(redis_world, 1_500)
    bus, slow = owner(redis_world), owner(redis_world, "apply_layer")
    bus.commit(ack(*read(bus, count=2_000)))
    entries = read(slow, count=700)
    slow.commit(ack(*entries[:600], *entries[601:]))
    bus.trim(replace(APPLY_PLAN, kept=10))
    left = [int(entry["n"]) for entry in redis_world.entries(KEY)]
    assert 500 <= left[0] <= 600
    (unfinished,) = read(slow)
    assert numbers([unfinished]) == [600]
    slow.commit(ack(unfinished))
    assert numbers(read(slow, count=1)) == [700]


def test_dead_letters_are_trimmed_though_nobody_reads_them_in_a_group(
    redis_world: RedisWorld,
) -> None:
    with redis_world.client.pipeline(transaction=False) as pipeline:
        for number in range(DEAD_KEPT + 1_000):
            pipeline.xadd(APPLY_PLAN.dead_key, {"n": number})
        pipeline.execute()
    owner(redis_world).trim(APPLY_PLAN)
    left = redis_world.entries(APPLY_PLAN.dead_key)
    assert DEAD_KEPT <= len(left) <= DEAD_KEPT + 100
    assert left[-1] == {"n": str(DEAD_KEPT + 999)}


def test_an_output_with_too_many_fields_is_refused_before_anything_is_written(
    redis_world: RedisWorld,
) -> None:
    fill(redis_world, 1)
    bus = owner(redis_world)
    commit = full(*read(bus))
    commit.published.append((KEY + ".dead", ["word"] * 9_000))
    with pytest.raises(Exception, match="too long"):
        bus.commit(commit)
    assert nothing_was_written(redis_world)
    assert redis_world.pending("exitbrain") == 1


#: What exitbrain needs, and no more. A call of a function needs one selector with all its keys.
RIGHTS = (
    "(+xreadgroup +xpending +xgroup|create +xack ~quantum:stream:apply.plan)",
    "(+xadd ~quantum:stream:apply.plan ~quantum:stream:apply.plan.dead)",
    "(+hset +hget +hmget +hgetall +hdel ~quantum:state:exitbrain)",
    "(+fcall +type ~quantum:stream:apply.plan ~quantum:stream:apply.plan.dead"
    " ~quantum:state:exitbrain)",
    "(+fcall +exists +xinfo|stream +xinfo|groups ~quantum:stream:*)",
    "(+get ~quantum:mode)",
)


def user_with(world: RedisWorld, *rights: str) -> str:
    world.client.execute_command("ACL", "SETUSER", "exitbrain", "reset", "on", ">pw", *rights)
    world.client.execute_command("ACL", "SETUSER", "exitbrain", "+fcall", "+time")
    return world.url.replace("unix://", f"unix://exitbrain:{quote('pw')}@")


def test_a_user_with_the_rights_of_one_daemon_can_do_all_that_it_does(
    own_world: RedisWorld,
) -> None:
    bus = RedisBus(user_with(own_world, *RIGHTS), "exitbrain")
    bus.acquire()
    fill(own_world, 2)
    commit = ack(*read(bus))
    commit.published += [(KEY, ["out", "1"]), (APPLY_PLAN.dead_key, ["out", "1"])]
    commit.documents = {"a/b": b"1", "a/c": None}
    bus.commit(commit)
    assert bus.mode() is None
    assert bus.backlog()
    assert len(own_world.raw(KEY)) == 3
    bus.close()


@pytest.mark.parametrize("right", ["+xadd", "+xack", "+hset"])
def test_a_user_without_a_right_writes_nothing_by_halves(right: str, own_world: RedisWorld) -> None:
    fill(own_world, 1)
    reader = owner(own_world)
    entry = read(reader)
    for rights in (RIGHTS, tuple(each.replace(right, "") for each in RIGHTS)):
        bus = RedisBus(user_with(own_world, *RIGHTS), "exitbrain")
        bus.acquire()
        commit = ack(*entry)
        commit.published.append((KEY, ["out", "1"]))
        commit.documents = {"a/b": b"1"}
        if rights is not RIGHTS:
            user_with(own_world, *rights)
            with pytest.raises(NotReady, match=f"(?i){right[1:]}"):
                bus.commit(commit)
            assert own_world.pending("exitbrain") == 1
            assert len(own_world.raw(KEY)) == 1
            assert own_world.hash(state_key("exitbrain")) == {}
        bus.close()


def test_a_user_of_one_daemon_reaches_nothing_of_another(own_world: RedisWorld) -> None:
    fill(own_world, 1)
    bus = RedisBus(user_with(own_world, *RIGHTS), "exitbrain")
    bus.acquire()
    commit = ack(*read(bus))
    commit.records["quantum:position:BTCUSDT"] = {"qty": "1"}
    with pytest.raises(NotReady):
        bus.commit(commit)
    assert own_world.pending("exitbrain") == 1
    bus.close()
    foreign = RedisBus(user_with(own_world, *RIGHTS), "apply_layer")
    with pytest.raises(NotReady):
        foreign.acquire()
    foreign.close()


def test_a_stream_that_was_made_anew_is_read_from_its_beginning(redis_world: RedisWorld) -> None:
    fill(redis_world, 2)
    bus = owner(redis_world)
    bus.commit(ack(*read(bus)))
    redis_world.client.delete(KEY)
    redis_world.client.xadd(KEY, {"n": "7"}, id="5-1")
    assert numbers(read(owner(redis_world))) == [7]


def test_entries_that_somebody_removed_unread_are_counted_at_the_next_one(
    redis_world: RedisWorld,
) -> None:
    bus = owner(redis_world)
    fill(redis_world, 2)
    bus.commit(ack(*read(bus)))
    for n in range(2, 6):
        redis_world.client.xadd(KEY, {"n": str(n)}, maxlen=1, approximate=False)
    entries = read(bus)
    assert [(numbers([entry]), entry.missed) for entry in entries] == [([5], 3)]
    bus.commit(ack(*entries))
    fill(redis_world, 2, first=6)
    entries = read(bus)
    assert [entry.missed for entry in entries] == [0, 0]
    bus.commit(ack(*entries))
    redis_world.client.xtrim(KEY, maxlen=0, approximate=False)
    fill(redis_world, 1, first=8)
    assert [entry.missed for entry in read(bus)] == [0]
    assert all(row.lag == 0 for row in bus.backlog() if row.group == "exitbrain")


DAY = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 5)),
        st.tuples(st.just("cut"), st.integers(0, 4)),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(st.just("read"), st.integers(1, 6)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DAY)
def test_what_was_removed_unread_is_counted_once_and_nothing_else_is(
    redis_world: RedisWorld, day: list[tuple[str, int]]
) -> None:
    redis_world.flush()
    client, added, removed, read_up, told = redis_world.client, 0, 0, set[int](), 0
    bus = owner(redis_world)
    read(bus)

    def take(count: int) -> None:
        nonlocal told
        entries = read(bus, count=count)
        if entries:
            bus.commit(ack(*entries))
        read_up.update(numbers(entries))
        told += sum(entry.missed for entry in entries)

    def unread() -> int:
        rows = redis_world.entries(KEY)
        return len([row for row in rows if int(row["n"]) not in read_up])

    def read_all() -> None:
        """Read what is there, and look once more when nothing is, as a daemon always does."""
        while unread():
            take(100)
        take(100)

    for kind, number in day:
        before = unread()
        if kind == "add":
            fill(redis_world, number, first=added)
            added += number
        elif kind == "read":
            take(number)
        elif kind == "restart":
            # What goes while nobody runs is not counted, and what went before is told first.
            for _ in range(2):
                fill(redis_world, 1, first=added)
                added += 1
                read_all()
            bus = owner(redis_world)
            read(bus)
        elif kind == "cut":
            client.xtrim(KEY, maxlen=number, approximate=False)
            removed += before - unread()
        else:
            for id_, _ in client.execute_command("XRANGE", KEY, "-", "+")[number:][:1]:
                client.xdel(KEY, id_)
            removed += before - unread()
    # One that was taken out between others shows when all is read, and is told with the next.
    for n in (added, added + 1):
        fill(redis_world, 1, first=n)
        read_all()
    assert told == removed
