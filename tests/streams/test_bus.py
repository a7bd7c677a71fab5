"""What every bus promises, asked of both: the one in memory and the one on a real server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.bus import Bus, BusDown, Commit, Entry, NotReady, StateLost, Superseded
from shared.streams import APPLY_PLAN, APPLY_RESULT, MARKET_TICK, STREAMS, Stream, state_key
from tests.worlds import World

STATE = state_key("exitbrain")


def fill(world: World, count: int, stream: Stream = APPLY_PLAN, *, first: int = 0) -> list[str]:
    return [world.add(stream.key, {"n": str(n)}) for n in range(first, first + count)]


def owner(world: World, daemon: str = "exitbrain") -> Bus:
    bus = world.bus(daemon)
    bus.acquire()
    return bus


def read(bus: Bus, count: int = 100) -> list[Entry]:
    return bus.read(count=count, block_ms=1)


def numbers(entries: list[Entry]) -> list[int]:
    return [int(dict(entry.fields)[b"n"]) for entry in entries]


def ack(*entries: Entry) -> Commit:
    commit = Commit()
    for entry in entries:
        commit.acknowledged.setdefault(entry.stream.key, []).append(entry.id)
    return commit


def full(*entries: Entry) -> Commit:
    """A commit with one of everything."""
    commit = ack(*entries)
    commit.published.append((MARKET_TICK.key, ["out", "1"]))
    commit.documents = {"table/key": b'"value"'}
    commit.records["quantum:harvest:X"] = {"rung": "2"}
    return commit


def nothing_was_written(world: World) -> bool:
    return not (world.raw(MARKET_TICK.key) or world.hash(STATE) or world.hash("quantum:harvest:X"))


def test_entries_are_read_once_in_their_order(world: World) -> None:
    fill(world, 3)
    bus = owner(world)
    first = read(bus)
    assert numbers(first) == [0, 1, 2]
    assert [entry.deliveries for entry in first] == [1, 1, 1]
    bus.commit(ack(*first))
    assert read(bus) == []
    fill(world, 1, first=3)
    assert numbers(read(bus)) == [3]


def test_entries_from_before_the_group_was_made_are_read(world: World) -> None:
    ids = fill(world, 2)
    assert [entry.id for entry in read(owner(world))] == ids


def test_a_read_takes_at_most_count_entries_of_each_stream_prices_first(world: World) -> None:
    fill(world, 3, MARKET_TICK)
    fill(world, 3, APPLY_RESULT, first=10)
    bus = owner(world, "harvest_brain")
    assert numbers(read(bus, count=2)) == [0, 1, 10, 11]


def test_what_was_not_finished_comes_first_and_one_at_a_time(world: World) -> None:
    fill(world, 3)
    read(owner(world))
    fill(world, 2, first=3)
    bus = owner(world)
    for number in range(3):
        unfinished = read(bus)
        assert numbers(unfinished) == [number]
        assert unfinished[0].deliveries == 2
        bus.commit(ack(*unfinished))
    assert numbers(read(bus)) == [3, 4]


def test_only_the_message_in_hand_has_its_deliveries_counted(world: World) -> None:
    fill(world, 2)
    read(owner(world))
    assert [read(owner(world))[0].deliveries for _ in range(3)] == [2, 3, 4]
    bus = owner(world)
    bus.commit(ack(*read(bus)))
    assert [(*numbers([entry]), entry.deliveries) for entry in read(bus)] == [(1, 2)]


def test_asking_again_in_one_life_is_no_further_delivery(world: World) -> None:
    fill(world, 1)
    read(owner(world))
    bus = owner(world)
    assert [read(bus)[0].deliveries for _ in range(8)] == [2] * 8


def test_unfinished_entries_of_every_stream_come_before_anything_new(world: World) -> None:
    fill(world, 1, MARKET_TICK)
    fill(world, 1, APPLY_RESULT, first=10)
    read(owner(world, "harvest_brain"))
    fill(world, 1, APPLY_RESULT, first=11)
    bus = owner(world, "harvest_brain")
    seen = []
    while entries := read(bus):
        seen.append(numbers(entries))
        bus.commit(ack(*entries))
    assert seen == [[0], [10], [11]]


def test_a_commit_does_all_of_it(world: World) -> None:
    fill(world, 2)
    bus = owner(world)
    bus.commit(full(*read(bus)))
    assert world.entries(MARKET_TICK.key) == [{"out": "1"}]
    assert world.hash(STATE) == {"table/key": '"value"'}
    assert world.hash("quantum:harvest:X") == {"rung": "2"}
    assert world.pending("exitbrain") == 0
    assert world.bus("exitbrain").acquire() == {"table/key": b'"value"'}


def test_a_commit_takes_messages_of_several_streams(world: World) -> None:
    fill(world, 2, MARKET_TICK)
    fill(world, 2, APPLY_RESULT)
    bus = owner(world, "harvest_brain")
    bus.commit(ack(*read(bus)))
    assert world.pending("harvest_brain") == 0
    assert read(bus) == []


def test_a_commit_without_messages_writes_too(world: World) -> None:
    bus = owner(world)
    bus.commit(full())
    assert not nothing_was_written(world)


def test_documents_and_records_are_removed_by_none(world: World) -> None:
    bus = owner(world)
    bus.commit(full())
    removal = Commit(documents={"table/key": None, "table/other": b"1"})
    removal.records["quantum:harvest:X"] = None
    bus.commit(removal)
    assert world.hash(STATE) == {"table/other": "1"}
    assert world.hash("quantum:harvest:X") == {}


def test_a_record_is_replaced_whole(world: World) -> None:
    bus = owner(world)
    bus.commit(Commit(records={"quantum:harvest:X": {"old": "1", "both": "1"}}))
    bus.commit(Commit(records={"quantum:harvest:X": {"new": "2", "both": "2"}}))
    assert world.hash("quantum:harvest:X") == {"new": "2", "both": "2"}
    bus.commit(Commit(records={"quantum:harvest:X": {}}))
    assert world.hash("quantum:harvest:X") == {}


def test_a_commit_of_very_many_documents_is_one_commit(world: World) -> None:
    bus = owner(world)
    documents: dict[str, bytes | None] = {f"table/{n}": b"1" for n in range(9_000)}
    bus.commit(Commit(documents=documents))
    assert len(world.hash(STATE)) == 9_000
    bus.commit(Commit(documents=dict.fromkeys(documents)))
    assert world.hash(STATE) == {}


def test_a_superseded_owner_commits_nothing_and_is_told(world: World) -> None:
    fill(world, 1)
    old = owner(world)
    entries = read(old)
    new = owner(world)
    with pytest.raises(Superseded, match="taken over"):
        old.commit(full(*entries))
    assert nothing_was_written(world)
    assert world.pending("exitbrain") == 1
    new.commit(full(*read(new)))
    assert world.pending("exitbrain") == 0


def test_a_superseded_reader_is_told_and_loses_nothing_for_its_successor(world: World) -> None:
    old, new = owner(world), owner(world)
    fill(world, 2)
    with pytest.raises(Superseded):
        read(old)
    fill(world, 1, first=2)
    seen = []
    while entries := read(new):
        seen += numbers(entries)
        new.commit(ack(*entries))
    assert seen == [0, 1, 2]


def test_a_commit_whose_reply_was_lost_happens_once(world: World) -> None:
    fill(world, 2)
    bus = world.bus_that_loses_a_reply("exitbrain")
    bus.acquire()
    commit = full(*read(bus))
    with pytest.raises(BusDown):
        bus.commit(commit)
    assert len(world.raw(MARKET_TICK.key)) == 1
    bus.commit(commit)
    assert len(world.raw(MARKET_TICK.key)) == 1
    assert read(bus) == []
    fill(world, 1)
    bus.commit(full(*read(bus)))
    assert len(world.raw(MARKET_TICK.key)) == 2


def test_acknowledging_what_is_not_pending_is_state_lost(world: World) -> None:
    fill(world, 1)
    bus = owner(world)
    entries = read(bus)
    bus.commit(ack(*entries))
    with pytest.raises(StateLost, match="no longer pending"):
        bus.commit(full(*entries))
    assert nothing_was_written(world)


def test_a_commit_or_a_read_after_a_flush_is_state_lost(world: World) -> None:
    fill(world, 1)
    bus, reader = owner(world), owner(world, "intent_bridge")
    entries = read(bus)
    world.flush()
    with pytest.raises(StateLost):
        bus.commit(full(*entries))
    assert nothing_was_written(world)
    with pytest.raises(StateLost):
        read(reader)


def test_a_fresh_start_after_a_flush_finds_a_sound_footing(world: World) -> None:
    owner(world).commit(full())
    world.flush()
    bus = world.bus("exitbrain")
    assert bus.acquire() == {}
    fill(world, 1)
    bus.commit(full(*read(bus)))
    assert len(world.raw(MARKET_TICK.key)) == 1


def test_a_key_of_the_wrong_type_refuses_the_commit_before_anything_is_written(
    world: World,
) -> None:
    fill(world, 1)
    bus = owner(world)
    entries = read(bus)
    commit = full(*entries)
    commit.records["quantum:harvest:Y"] = {"a": "1"}
    world.set_string("quantum:harvest:Y", "in the way")
    with pytest.raises(NotReady, match=r"WRONGTYPE quantum:harvest:Y is a string"):
        bus.commit(commit)
    assert nothing_was_written(world)
    assert world.pending("exitbrain") == 1


def test_an_output_onto_a_key_of_the_wrong_type_writes_nothing(world: World) -> None:
    fill(world, 1)
    bus = owner(world)
    commit = full(*read(bus))
    commit.published.append(("quantum:harvest:Z", ["a", "1"]))
    commit.records["quantum:harvest:W"] = {"a": "1"}
    owner(world, "apply_layer").commit(Commit(records={"quantum:harvest:Z": {"a": "1"}}))
    with pytest.raises(NotReady, match=r"WRONGTYPE quantum:harvest:Z is a hash"):
        bus.commit(commit)
    assert nothing_was_written(world)


def test_a_field_given_twice_is_seen_twice(world: World) -> None:
    fields = [(b"side", b"BUY"), (b"side", b"SELL"), (b"\xff", b"\x00\n")]
    world.add(APPLY_PLAN.key, fields)
    assert list(read(owner(world))[0].fields) == fields


def test_the_backlog_tells_how_far_each_group_is(world: World) -> None:
    bus = owner(world)
    owner(world, "apply_layer")
    assert all(row.idle for row in bus.backlog())
    fill(world, 5)
    entries = read(bus, count=2)
    rows = {(row.stream, row.group): row for row in bus.backlog()}
    ours, theirs = rows["apply.plan", "exitbrain"], rows["apply.plan", "apply_layer"]
    assert (ours.pending, ours.behind, ours.lag) == (2, True, 3)
    assert (theirs.pending, theirs.behind, theirs.lag) == (0, True, 5)
    bus.commit(ack(*entries))
    bus.commit(ack(*read(bus)))
    rows = {(row.stream, row.group): row for row in bus.backlog()}
    assert rows["apply.plan", "exitbrain"].idle
    assert not rows["apply.plan", "apply_layer"].idle
    assert rows["market.tick", "apply_layer"].idle


def test_entries_in_hand_are_not_idle(world: World) -> None:
    fill(world, 1)
    bus = owner(world)
    read(bus)
    assert [row.idle for row in bus.backlog()] == [False]


def test_trimming_never_removes_what_a_group_needs(world: World) -> None:
    fill(world, 1_000)
    bus, slow = owner(world), owner(world, "apply_layer")
    for _ in range(2):
        bus.commit(ack(*read(bus, count=500)))
    read(slow, count=300)
    bus.trim(replace(APPLY_PLAN, kept=10))
    assert len(world.raw(APPLY_PLAN.key)) == 1_000
    behind = owner(world, "apply_layer")
    behind.commit(ack(*read(behind)))
    assert numbers(read(behind)) == [1]


def test_the_mode_is_what_the_operator_set(world: World) -> None:
    bus = owner(world)
    assert bus.mode() is None
    world.set_mode("HALT")
    assert bus.mode() == "HALT"


def test_a_daemon_without_inputs_reads_nothing(world: World) -> None:
    bus = owner(world, "market_feed")
    with pytest.raises(ValueError, match="reads no stream"):
        read(bus)
    bus.commit(Commit(published=[(STREAMS[0].key, ["a", "1"])]))
    assert world.entries(STREAMS[0].key) == [{"a": "1"}]


def test_a_group_that_is_lost_goes_on_where_it_was(world: World) -> None:
    fill(world, 3)
    bus = owner(world)
    bus.commit(ack(*read(bus)))
    fill(world, 1, first=3)
    world.lose_group(APPLY_PLAN.key, "exitbrain")
    with pytest.raises(StateLost):
        read(bus)
    bus = owner(world)
    assert numbers(read(bus)) == [3]


def test_a_group_that_is_lost_reads_again_what_was_in_hand(world: World) -> None:
    fill(world, 2)
    bus = owner(world)
    bus.commit(ack(*read(bus)))
    fill(world, 3, first=2)
    entries = read(bus)
    bus.commit(ack(entries[1]))
    world.lose_group(APPLY_PLAN.key, "exitbrain")
    assert numbers(read(owner(world))) == [2, 3, 4]


def test_a_group_is_made_from_the_beginning_where_the_state_is_lost_too(world: World) -> None:
    fill(world, 2)
    bus = owner(world)
    bus.commit(ack(*read(bus)))
    world.flush()
    fill(world, 1, first=5)
    assert numbers(read(owner(world))) == [5]
