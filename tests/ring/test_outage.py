"""Servers and daemons that go away, by every door: the ladder ends as if nothing had been."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from shared.cli.story import tell
from shared.daemon import EXIT_SUPERSEDED
from shared.server import LocalServer
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    COMPANIONS,
    DAEMONS,
    MARKET_TICK,
    STREAMS,
    TRADE_INTENT,
    heartbeat_key,
)

from .live import (
    CLIMB_LADDER,
    CLIMB_TICKS,
    SEED,
    Live,
    a_ring,
    a_server,
    call,
    entries,
    groups,
    is_quiet,
    ladder,
    now_text,
    texts,
    write_climb,
)
from .messages import entry_intent, send, tick

READERS = tuple(daemon for daemon in DAEMONS if daemon != "market_feed")

GROUPS = (
    (TRADE_INTENT, "intent_bridge"),
    (APPLY_RESULT, "intent_bridge"),
    (APPLY_RESULT, "harvest_brain"),
    (APPLY_PLAN, "apply_layer"),
    (APPLY_PLAN, "exitbrain"),
    (MARKET_TICK, "harvest_brain"),
    (MARKET_TICK, "apply_layer"),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    """A server that loses nothing to a crash."""
    with a_server(tmp_path) as started:
        yield started


def assert_ended_like_a_quiet_climb(live: Live) -> None:
    assert len(entries(live.client, MARKET_TICK.key)) == CLIMB_TICKS
    assert ladder(live.client) == CLIMB_LADDER
    story = tell(live.server.url)
    assert story.problems == []
    assert story.dead_letters == {}


def assert_nothing_crashed(live: Live) -> None:
    assert live.ring.restarts == {}
    for daemon in live.ring.daemons:
        assert "crashed" not in live.events(daemon)


def test_daemons_that_start_before_their_server_say_so_and_work_when_it_comes(
    server: LocalServer, tmp_path: Path
) -> None:
    server.kill()
    with a_ring(server, tmp_path, daemons=READERS) as live:
        for daemon in READERS:
            log = live.logs / f"{daemon}.log"
            live.until(lambda log=log: log.stat().st_size > 0, f"a line of {daemon}")  # type: ignore[misc]
            first = live.log(daemon)[0]
            assert (first["event"], first["level"]) == ("server_unavailable", "warning")
            assert "redis.sock" in first["reason"]
        server.restart()
        live.until_standing()
        send(live.client, tick("SOLUSDT", "150"))
        send(live.client, entry_intent("SOLUSDT", "150"))
        live.until(
            lambda: [r for r in texts(live.client, APPLY_RESULT) if r["status"] == "FILLED"],
            "the entry's fill",
        )
        assert_nothing_crashed(live)


def test_every_program_waits_while_the_server_is_a_replica_and_names_it(
    server: LocalServer, tmp_path: Path
) -> None:
    programs = (*READERS, *COMPANIONS)
    with a_ring(server, tmp_path, daemons=programs) as live:
        live.until_standing()
        beats = [heartbeat_key(program) for program in programs]
        live.until(lambda: call(live.client, "EXISTS", *beats) == len(beats), "all heartbeats")
        call(live.client, "REPLICAOF", "127.0.0.1", "1")
        for program in programs:
            live.until(partial(names_a_replica, live, program), f"what {program} says")
        call(live.client, "REPLICAOF", "NO", "ONE")
        send(live.client, tick("SOLUSDT", "150"))
        send(live.client, entry_intent("SOLUSDT", "150"))
        live.until(
            lambda: [r for r in texts(live.client, APPLY_RESULT) if r["status"] == "FILLED"],
            "the entry's fill",
        )
        assert_nothing_crashed(live)
        for stream in STREAMS:
            assert entries(live.client, stream.dead_key) == []


def names_a_replica(live: Live, program: str) -> bool:
    """Whether a program has said that the server is a replica."""
    return any("is a replica" in line.get("reason", "") for line in live.log(program))


def test_a_group_that_somebody_removes_costs_a_start_and_no_letter(
    server: LocalServer, tmp_path: Path
) -> None:
    candles = write_climb(tmp_path)
    with a_ring(server, tmp_path, settings=SEED, candles=candles) as live:
        for number, (stream, group) in enumerate(GROUPS):
            live.until_ticks(30 + 25 * number)
            call(live.client, "XGROUP", "DESTROY", stream.key, group)
        live.until_the_end()
        assert_ended_like_a_quiet_climb(live)
        assert set(live.ring.restarts) <= {group for _, group in GROUPS}


def test_a_server_killed_in_the_middle_of_a_climb_costs_nothing(
    server: LocalServer, tmp_path: Path
) -> None:
    candles = write_climb(tmp_path)
    with a_ring(server, tmp_path, settings=SEED, candles=candles) as live:
        for ticks in (60, 150, 240):
            live.until_ticks(ticks)
            server.kill()
            server.restart()
        live.until_the_end()
        assert_ended_like_a_quiet_climb(live)
        assert_nothing_crashed(live)
        assert "server_back" in {event for daemon in DAEMONS for event in live.events(daemon)}


def test_each_daemon_killed_in_turn_in_the_middle_of_a_climb_costs_nothing(
    server: LocalServer, tmp_path: Path
) -> None:
    candles = write_climb(tmp_path)
    with a_ring(server, tmp_path, settings=SEED, candles=candles) as live:
        # The rungs are reached at about 85, 165 and 245 of the 300 prices.
        for number, daemon in enumerate(reversed(DAEMONS)):
            live.until_ticks(40 + 40 * number)
            live.ring.kill(daemon)
        live.until_the_end()
        assert_ended_like_a_quiet_climb(live)
        assert live.ring.restarts == dict.fromkeys(DAEMONS, 1)


def test_a_ring_that_is_told_to_stop_has_nothing_half_done_and_goes_on_where_it_was(
    server: LocalServer, tmp_path: Path
) -> None:
    candles = write_climb(tmp_path)
    with a_ring(server, tmp_path, settings=SEED, candles=candles) as live:
        live.until_ticks(100)
    with a_ring(server, tmp_path, daemons=(), name="after") as after:
        assert {daemon: live.ring.status(daemon) for daemon in DAEMONS} == dict.fromkeys(DAEMONS, 0)
        pending = {group: count for (_, group), (count, _) in groups(after.client).items() if count}
        # What waited for its turn was not begun; it is read again, and waits for its turn again.
        assert pending.keys() <= {"trading_bot"}
        assert len(entries(after.client, MARKET_TICK.key)) < CLIMB_TICKS
    for daemon in DAEMONS:
        assert live.events(daemon)[-1] == "stopped"
    with a_ring(server, tmp_path, settings=SEED, candles=candles, name="again") as again:
        again.until_the_end()
        assert_ended_like_a_quiet_climb(again)


def test_a_second_instance_takes_over_and_the_first_ends_for_good(
    server: LocalServer, tmp_path: Path
) -> None:
    with ExitStack() as rings:
        first = rings.enter_context(a_ring(server, tmp_path, daemons=READERS, name="first"))
        first.until_standing()
        second = rings.enter_context(a_ring(server, tmp_path, daemons=READERS, name="second"))
        for daemon in READERS:
            first.until(
                lambda daemon=daemon: first.ring.status(daemon),  # type: ignore[misc]
                f"the end of the first {daemon}",
            )
            assert first.ring.status(daemon) == EXIT_SUPERSEDED
            last = first.log(daemon)[-1]
            assert last["event"] == "superseded"
            assert daemon in last["reason"]
        send(second.client, entry_intent("SOLUSDT", "150", produced_at=now_text()))
        second.until(lambda: texts(second.client, APPLY_PLAN), "a plan from the second")
        second.until(lambda: is_quiet(second.client), "a quiet ring")
        first.ring.watch()
        assert first.ring.restarts == second.ring.restarts == {}
        assert all(second.ring.status(daemon) is None for daemon in READERS)
