"""A stream whose ids were driven up is mended: nothing is lost, nothing is delivered twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from shared.bus import Bus, BusDown, Commit, StateLost
from shared.bus.client import call, connect
from shared.bus.mending import HIGHEST_MS, ID_AHEAD, mend
from shared.streams import APPLY_PLAN, STREAMS, TRADE_INTENT
from tests.worlds import RedisWorld

from .servers import PROGRAMS, a_world_on
from .test_bus import ack, fill, numbers, owner, read

KEY, DEAD = APPLY_PLAN.key, APPLY_PLAN.dead_key
MOST = 2**64 - 1
LAST = f"{MOST}-{MOST}"


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda program: program.name)
def shared_world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisWorld]:
    with a_world_on(request.param, tmp_path_factory.mktemp("server")) as (_, world):
        yield world


@pytest.fixture
def world(shared_world: RedisWorld) -> RedisWorld:
    shared_world.flush()
    return shared_world


def put(world: RedisWorld, id_: str, *, n: int = 99, key: str = KEY) -> None:
    call(world.client, "XADD", key, id_, "n", str(n))


def drain(bus: Bus) -> list[int]:
    seen = []
    while entries := read(bus):
        seen += numbers(entries)
        bus.commit(ack(*entries))
    return seen


def letters(world: RedisWorld, key: str = KEY) -> list[dict[str, str]]:
    return world.entries(key + ".dead")


def says_nothing_of_ids(world: RedisWorld, key: str) -> None:
    """A stream is as if nobody had driven it up."""
    for id_, _ in call(world.client, "XRANGE", key, "-", "+"):
        assert int(id_.partition(b"-")[0]) <= HIGHEST_MS
    world.add(key, {"n": "1"})


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_without_ids_left_is_mended_by_whoever_writes_to_it(
    world: RedisWorld, stream: Any
) -> None:
    put(world, LAST, key=stream.key)
    bus = owner(world, stream.writers[0])
    bus.commit(Commit(published=[(stream.key, ["n", "1"])], documents={"a/b": b"1"}))
    assert world.entries(stream.key) == [{"n": "99"}, {"n": "1"}]
    [letter] = letters(world, stream.key)
    assert letter["code"] == ID_AHEAD
    assert (letter["stream"], letter["id"], letter["group"]) == (
        stream.name, LAST, stream.writers[0],
    )  # fmt: skip
    says_nothing_of_ids(world, stream.key)


def test_dead_letters_without_ids_left_are_mended_too(world: RedisWorld) -> None:
    fill(world, 1)
    put(world, LAST, key=APPLY_PLAN.dead_key)
    bus = owner(world)
    commit = ack(*read(bus))
    commit.published.append((APPLY_PLAN.dead_key, ["code", "x"]))
    bus.commit(commit)
    assert [letter.get("code") for letter in letters(world)] == [None, ID_AHEAD, "x"]
    assert world.pending("exitbrain") == 0


def test_a_group_that_has_read_the_highest_id_reads_on(world: RedisWorld) -> None:
    fill(world, 2)
    put(world, LAST, n=2)
    bus = owner(world)
    bus.commit(ack(*read(bus)))
    owner(world, "intent_bridge").commit(Commit(published=[(KEY, ["n", "3"])]))
    assert drain(bus) == [3]


def test_a_message_in_hand_is_not_decided_under_its_old_id_and_again_under_its_new_one(
    world: RedisWorld,
) -> None:
    fill(world, 1)
    put(world, LAST, n=1)
    bus = owner(world)
    in_hand = read(bus)
    owner(world, "intent_bridge").commit(Commit(published=[(KEY, ["n", "2"])]))
    commit = ack(*in_hand)
    commit.documents = {"a/b": b"1"}
    with pytest.raises(StateLost):
        bus.commit(commit)
    assert world.bus("exitbrain").acquire() == {}
    assert drain(owner(world)) == [0, 1, 2]


def test_a_commit_that_was_done_is_known_by_its_number_though_the_ids_ended_meanwhile(
    world: RedisWorld,
) -> None:
    bus = world.bus_that_loses_a_reply("exitbrain")
    bus.acquire()
    commit = Commit(published=[(KEY, ["n", "1"])])
    with pytest.raises(BusDown):
        bus.commit(commit)
    put(world, LAST)
    bus.commit(commit)
    assert world.entries(KEY) == [{"n": "1"}, {"n": "99"}]


def test_an_entry_of_very_many_fields_is_kept_in_one(world: RedisWorld) -> None:
    words = [word for n in range(6_000) for word in (f"f{n}", "v")]
    call(world.client, "XADD", KEY, LAST, *words)
    mend(world.client, KEY, DEAD, by="a test")
    [entry] = world.entries(KEY)
    assert entry.keys() == {"packed"}
    assert entry["packed"].startswith("2:f0,1:v,2:f1,")


def last_id(world: RedisWorld) -> bytes:
    return dict_of(call(world.client, "XINFO", "STREAM", KEY))[b"last-generated-id"]  # type: ignore[no-any-return]


def dict_of(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def test_where_a_key_of_another_type_is_in_the_way_nothing_is_half_mended(
    world: RedisWorld,
) -> None:
    put(world, LAST)
    world.set_string(APPLY_PLAN.dead_key, "in the way")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        mend(world.client, KEY, DEAD, by="a test")
    assert last_id(world) == LAST.encode()


@pytest.mark.parametrize(
    "missing", ["xdel", "xsetid", "xadd", "xgroup|setid", "xclaim", "xack", "xpending", "xrange"]
)
def test_without_one_of_the_rights_nothing_is_half_mended(world: RedisWorld, missing: str) -> None:
    put(world, LAST)
    owner(world)
    call(world.client, "ACL", "SETUSER", "some", "reset", "on", ">pw", "~*", "+@all", f"-{missing}")
    with (
        connect(world.url.replace("unix://", "unix://some:pw@")) as client,
        pytest.raises(ResponseError, match=r"no right to|no permissions"),
    ):
        mend(client, KEY, DEAD, by="a test")
    assert last_id(world) == LAST.encode()
    assert len(world.entries(KEY)) == 1


def test_nothing_is_mended_where_nothing_is_wrong(world: RedisWorld) -> None:
    fill(world, 3)
    assert mend(world.client, KEY, DEAD, by="a test") == []
    assert letters(world) == []


GROUPS = ("exitbrain", "intent_bridge", "apply_layer")
AHEAD = st.one_of(
    st.just(LAST),
    st.just(f"{MOST}-0"),
    st.tuples(st.integers(10**15, MOST), st.integers(0, MOST)).map(
        lambda id_: f"{id_[0]}-{id_[1]}"
    ),
    # Neighbours that a double would take for one another.
    st.integers(2**53, 2**53 + 3).map(lambda ms: f"{ms}-{2**53 + 1}"),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.just("*")),
        st.tuples(st.just("add"), AHEAD),
        st.tuples(st.just("read"), st.sampled_from(GROUPS), st.integers(1, 4)),
        st.tuples(st.just("again"), st.sampled_from(GROUPS), st.integers(1, 2)),
        st.tuples(st.just("finish"), st.sampled_from(GROUPS), st.integers(1, 3)),
        st.tuples(st.just("delete"), st.integers(0, 30)),
        st.tuples(st.just("trim"), st.integers(0, 10)),
    ),
    max_size=40,
)


def do(client: Any, steps: list[tuple[Any, ...]]) -> None:
    """Somebody's day with a stream; what the server refuses is left out."""
    n = 0
    for kind, *words in steps:
        if kind == "add":
            try:
                call(client, "XADD", KEY, words[0], "n", str(n))
                n += 1
            except ResponseError:
                continue
        elif kind == "read":
            call(client, "XREADGROUP", "GROUP", words[0], words[0], "COUNT", words[1],
                 "STREAMS", KEY, ">")  # fmt: skip
        elif kind == "again":
            call(client, "XREADGROUP", "GROUP", words[0], words[0], "COUNT", words[1],
                 "STREAMS", KEY, "0")  # fmt: skip
        elif kind == "finish":
            for row in call(client, "XPENDING", KEY, words[0], "-", "+", words[1]):
                call(client, "XACK", KEY, words[0], row[0])
        elif kind == "delete":
            for id_, _ in call(client, "XRANGE", KEY, "-", "+")[words[0] :][:1]:
                call(client, "XDEL", KEY, id_)
        else:
            call(client, "XTRIM", KEY, "MAXLEN", words[0])


def seen_by(client: Any, group: str) -> tuple[list[Any], list[Any], Any]:
    """What a group has pending, what it will read, and how far it is behind, without the ids."""
    rows = call(client, "XRANGE", KEY, "-", "+")
    content = {id_: flat[1] for id_, flat in rows}
    held = call(client, "XPENDING", KEY, group, "-", "+", 1_000)
    groups = [dict_of(flat) for flat in call(client, "XINFO GROUPS", KEY)]
    [mine] = [row for row in groups if row[b"name"] == group.encode()]
    after = b"(" + mine[b"last-delivered-id"]
    unread = [] if LAST.encode() in after else call(client, "XRANGE", KEY, after, "+")
    pending = [(content[row[0]], row[1], row[3]) for row in held if row[0] in content]
    return pending, [flat[1] for _, flat in unread], mine[b"entries-read"]


@settings(max_examples=150)
@given(steps=STEPS)
def test_every_group_has_before_it_and_in_hand_what_it_had(
    shared_world: RedisWorld, steps: list[tuple[Any, ...]]
) -> None:
    shared_world.flush()
    client = shared_world.client
    for name in ("XINFO GROUPS", "XREADGROUP"):
        client.set_response_callback(name, lambda reply, **_: reply)
    for group in GROUPS:
        call(client, "XGROUP", "CREATE", KEY, group, "0", "MKSTREAM")
    do(client, steps)
    before = {group: seen_by(client, group) for group in GROUPS}
    content = shared_world.entries(KEY)
    mended = mend(client, KEY, DEAD, by="a test")
    assert shared_world.entries(KEY) == content
    assert {group: seen_by(client, group) for group in GROUPS} == before
    says_nothing_of_ids(shared_world, KEY)
    assert len(letters(shared_world)) == len(mended)
    for group in GROUPS:
        assert seen_by(client, group)[1] == [*before[group][1], b"1"]


def test_the_bridge_decides_what_stood_behind_the_highest_id(world: RedisWorld) -> None:
    bridge = owner(world, "intent_bridge")
    world.add(TRADE_INTENT.key, {"n": "0"})
    bridge.commit(ack(*read(bridge)))
    put(world, LAST, key=TRADE_INTENT.key, n=1)
    brain = owner(world, "harvest_brain")
    brain.commit(Commit(published=[(TRADE_INTENT.key, ["n", "2"])]))
    assert drain(bridge) == [1, 2]
