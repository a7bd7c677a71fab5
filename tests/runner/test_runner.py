"""The runner: it reads, validates, decides and commits, and nothing is ever half done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.bus import MemoryServer, StateLost, Superseded
from shared.metrics import RunnerMetrics
from shared.runner import Runner
from shared.server import LocalServer
from shared.streams import (
    MARKET_TICK,
    MAX_DELIVERIES,
    TRADE_INTENT,
    harvest_key,
    state_key,
)
from tests.worlds import MemoryWorld, RedisWorld, World

from .counting import NOW, Policy, add_ticks, service, tick_fields
from .hooked import HookedBus

DEAD = MARKET_TICK.dead_key
STATE = state_key("harvest_brain")


def run(
    world: World,
    policy: Policy | None = None,
    *,
    name: str = "harvest_brain",
    obeys_mode: bool = False,
    metrics: RunnerMetrics | None = None,
    hook: Callable[[str], None] = lambda _step: None,
    measure: Callable[[object], None] = lambda _output: None,
) -> None:
    """One life of a daemon, until there is nothing left to read."""
    stop = threading.Event()

    def stop_when_idle(step: str) -> None:
        hook(step)
        if step == "idle":
            stop.set()

    bus = HookedBus(world.bus(name), stop_when_idle)
    decided = service(policy, name=name, obeys_mode=obeys_mode, measure=measure)
    Runner(decided, bus, metrics=metrics, stop=stop, now=lambda: NOW).run()


def intents(world: World) -> list[str]:
    return [entry["intent_id"] for entry in world.entries(TRADE_INTENT.key)]


def dead(world: World) -> list[tuple[str, str]]:
    return [(entry["code"], entry["id"]) for entry in world.entries(DEAD)]


def test_outputs_state_and_acknowledgements_land_together(world: World) -> None:
    add_ticks(world, "t1", "t2")
    run(world)
    assert intents(world) == ["close.t1", "close.t2"]
    state = world.hash(STATE)
    assert state.pop("clock") == "2025-06-01T12:00:00.000+00:00"
    assert state == {"counts/BTCUSDT": '{"ticks":2,"total":"201.0","last":"t2"}'}
    assert world.hash(harvest_key("BTCUSDT")) == {"ticks": "2"}
    assert world.pending("harvest_brain") == 0
    assert dead(world) == []


def test_the_state_survives_a_restart(world: World) -> None:
    add_ticks(world, "t1")
    run(world)
    add_ticks(world, "t2")
    run(world)
    assert world.hash(harvest_key("BTCUSDT")) == {"ticks": "2"}
    assert intents(world) == ["close.t1", "close.t2"]


def test_every_entry_of_a_long_stream_is_decided_once(world: World) -> None:
    add_ticks(world, *(f"t{n}" for n in range(350)))
    run(world)
    assert intents(world) == [f"close.t{n}" for n in range(350)]


def test_a_bad_message_is_one_dead_letter_and_the_next_message_is_processed(world: World) -> None:
    add_ticks(world, "t1")
    bad = [(b"mark_price", b"NaN"), (b"\xff\x00", b"\xfe\n"), (b"mark_price", b"1")]
    id_ = world.add(MARKET_TICK.key, bad)
    add_ticks(world, "t2")
    run(world)
    assert intents(world) == ["close.t1", "close.t2"]
    (letter,) = world.raw(DEAD)
    said = {name.decode(): value.decode() for name, value in letter[:6]}
    assert said.pop("detail")
    assert said == {
        "code": "not_text",
        "stream": "market.tick",
        "id": id_,
        "group": "harvest_brain",
        "at": "2025-06-01T12:00:00.000+00:00",
    }
    assert letter[6:] == [(b"original:" + name, value) for name, value in bad]
    assert world.pending("harvest_brain") == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"mark_price": "NaN"}, "bad_number"),
        ({"mark_price": "0"}, "out_of_range"),
        ({"version": "2"}, "unknown_version"),
        ({"colour": "red"}, "unknown_field"),
        ({"source": "x" * 17_000}, "too_large"),
    ],
)
def test_the_dead_letter_says_what_is_wrong(
    change: dict[str, str], code: str, world: World
) -> None:
    id_ = world.add(MARKET_TICK.key, tick_fields("t1") | change)
    run(world)
    assert dead(world) == [(code, id_)]
    assert intents(world) == []


def test_a_bad_message_with_thousands_of_fields_is_put_aside_whole(world: World) -> None:
    fields = [(b"f%d" % number, b"v") for number in range(6_000)]
    world.add(MARKET_TICK.key, fields)
    add_ticks(world, "t1")
    run(world)
    assert intents(world) == ["close.t1"]
    (letter,) = world.raw(DEAD)
    name, netstrings = letter[-1]
    assert name == b"original"
    assert netstrings.startswith(b"2:f0,1:v,2:f1,1:v,")
    assert netstrings.endswith(b"5:f5999,1:v,")
    assert world.pending("harvest_brain") == 0


def test_of_several_groups_only_the_first_reader_writes_the_dead_letter(world: World) -> None:
    world.add(MARKET_TICK.key, {"version": "1"})
    add_ticks(world, "t1")
    metrics = RunnerMetrics()
    run(world, name="trading_bot", metrics=metrics)
    assert dead(world) == []
    assert sample(metrics, "quantum_messages_total", "market.tick", outcome="unreadable") == 1
    run(world, name="harvest_brain")
    assert len(dead(world)) == 1
    assert intents(world) == ["close.t1", "close.t1"]
    assert world.pending("trading_bot") == 0


def test_a_message_that_the_decider_refuses_is_a_dead_letter(world: World) -> None:
    add_ticks(world, "t1", "t2", "t3")
    run(world, Policy(refused=frozenset({"t2"})))
    (letter,) = world.entries(DEAD)
    assert (letter["code"], letter["detail"]) == ("refused", "not this one")
    assert letter["original:tick_id"] == "t2"
    assert intents(world) == ["close.t1", "close.t3"]


def test_a_message_that_crashes_the_decider_goes_to_the_dead_letters_in_the_end(
    world: World,
) -> None:
    add_ticks(world, "t1", "t2", "t3")
    policy = Policy(poison=frozenset({"t2"}))
    for _ in range(MAX_DELIVERIES):
        with pytest.raises(ZeroDivisionError):
            run(world, policy)
        assert dead(world) == []
    assert intents(world) == ["close.t1"]
    run(world, policy)
    (letter,) = world.entries(DEAD)
    assert (letter["code"], letter["detail"]) == ("poison", f"failed {MAX_DELIVERIES} times")
    assert letter["original:tick_id"] == "t2"
    assert intents(world) == ["close.t1", "close.t3"]
    assert world.hash(harvest_key("BTCUSDT")) == {"ticks": "2"}


def test_a_crash_is_logged_with_the_entry_that_caused_it(world: World) -> None:
    add_ticks(world, "t1")
    with capture_logs() as logs, pytest.raises(ZeroDivisionError):
        run(world, Policy(poison=frozenset({"t1"})))
    (crash,) = [line for line in logs if line["log_level"] == "critical"]
    assert crash["event"] == "crashed"
    assert crash["entry"]


def test_an_entry_that_was_trimmed_away_unread_is_told(redis_world: RedisWorld) -> None:
    add_ticks(redis_world, "t1", "t2")
    with pytest.raises(ZeroDivisionError):
        run(redis_world, Policy(poison=frozenset({"t1"})))
    redis_world.client.xtrim(MARKET_TICK.key, maxlen=1, approximate=False)
    with capture_logs() as logs:
        run(redis_world)
    assert [code for code, _ in dead(redis_world)] == ["trimmed"]
    assert [line["code"] for line in logs if line["event"] == "dead_letter"] == ["trimmed"]
    assert intents(redis_world) == ["close.t2"]


def test_nothing_is_told_before_it_is_committed(world: World) -> None:
    add_ticks(world, "t1")
    told: list[tuple[str, int]] = []
    measured: list[object] = []

    def hook(step: str) -> None:
        if step.endswith("commit"):
            told.append((step, len([line for line in logs if line["event"] == "counted"])))
            told.append((step, len(measured)))

    with capture_logs() as logs:
        run(world, hook=hook, measure=measured.append)
    assert told == [("before_commit", 0)] * 2 + [("after_commit", 0)] * 2
    assert [line["tick_id"] for line in logs if line["event"] == "counted"] == ["t1"]
    assert len(measured) == 3


def test_the_same_input_gives_the_same_outputs_byte_for_byte(world: World) -> None:
    twin = MemoryWorld()
    for each in (world, twin):
        add_ticks(each, *(f"t{number}" for number in range(120)))
        each.add(MARKET_TICK.key, tick_fields("t", price="-1"))
        add_ticks(each, "last")
        run(each)
    assert world.raw(TRADE_INTENT.key) == twin.raw(TRADE_INTENT.key)
    assert world.hash(STATE) == twin.hash(STATE)
    assert len(intents(world)) == 121


@pytest.mark.parametrize(
    ("switch", "seen"),
    [(None, "RUN"), ("HALT", "HALT"), ("EXITS_ONLY", "EXITS_ONLY"), ("run", "EXITS_ONLY")],
)
def test_a_service_that_obeys_the_mode_is_told_it(
    switch: str | None, seen: str, world: World
) -> None:
    add_ticks(world, "t1")
    if switch:
        world.set_mode(switch)
    with capture_logs() as logs:
        run(world, obeys_mode=True)
    assert [line["mode"] for line in logs if line["event"] == "counted"] == [seen]


def test_stop_finishes_the_batch_in_hand(world: World) -> None:
    add_ticks(world, "t1", "t2", "t3")
    stop = threading.Event()
    policy = Policy(on_decide=lambda tick_id: stop.set())
    with capture_logs() as logs:
        Runner(service(policy), world.bus("harvest_brain"), stop=stop).run()
    assert intents(world) == ["close.t1", "close.t2", "close.t3"]
    assert world.pending("harvest_brain") == 0
    assert logs[-1]["event"] == "stopped"


def test_the_metrics_count_what_happened(world: World) -> None:
    add_ticks(world, "t1", "t2", "t3")
    world.add(MARKET_TICK.key, {"a": "b"})
    metrics = RunnerMetrics()
    run(world, metrics=metrics)
    assert sample(metrics, "quantum_messages_total", "market.tick", outcome="read") == 3
    assert sample(metrics, "quantum_messages_total", "market.tick", outcome="dead") == 1
    assert sample(metrics, "quantum_published_total", "trade.intent") == 3
    found = sample(metrics, "quantum_dead_letters_total", "market.tick", code="missing_field")
    assert found == 1
    assert sample(metrics, "quantum_stream_pending", "market.tick") == 0
    assert sample(metrics, "quantum_stream_lag", "market.tick") == 0
    assert metrics.registry.get_sample_value("quantum_commit_seconds_count") == 1


def sample(metrics: RunnerMetrics, name: str, stream: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"stream": stream, **labels})


def test_a_superseded_instance_ends_and_its_successor_does_all_once(world: World) -> None:
    add_ticks(world, "t1", "t2")

    def take_over(step: str) -> None:
        if step == "before_commit":
            run(world)

    with capture_logs() as logs, pytest.raises(Superseded):
        run(world, hook=take_over)
    assert intents(world) == ["close.t1", "close.t2"]
    assert "crashed" not in [line["event"] for line in logs]


def test_a_flush_ends_the_instance(world: World) -> None:
    add_ticks(world, "t1")

    def flush(step: str) -> None:
        if step == "before_commit":
            world.flush()

    with capture_logs() as logs, pytest.raises(StateLost):
        run(world, hook=flush)
    assert intents(world) == []
    assert "crashed" not in [line["event"] for line in logs]


def test_a_reply_that_is_lost_on_its_way_changes_nothing(world: World) -> None:
    add_ticks(world, "t1", "t2")
    stop = threading.Event()
    behind = world.bus_that_loses_a_reply("harvest_brain")
    bus = HookedBus(behind, lambda step: stop.set() if step == "idle" else None)
    with capture_logs() as logs:
        Runner(service(), bus, stop=stop).run()
    assert intents(world) == ["close.t1", "close.t2"]
    assert world.hash(harvest_key("BTCUSDT")) == {"ticks": "2"}
    events = [line["event"] for line in logs]
    assert events.index("server_unavailable") < events.index("server_back")


class Waiting(threading.Event):
    """A stop signal that does what a test has planned instead of waiting."""

    def __init__(self, *plans: Callable[[], None]) -> None:
        super().__init__()
        self.plans = list(plans)

    def wait(self, timeout: float | None = None) -> bool:
        if self.plans:
            self.plans.pop(0)()
        return self.is_set()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LocalServer]:
    """A server that the test may kill."""
    with LocalServer.start(tmp_path, appendfsync="always") as server:
        yield server


@pytest.mark.parametrize("step", ["start", "before_read", "after_read", "before_commit", "after"])
def test_a_server_that_is_away_is_told_and_nothing_is_lost(
    step: str, own_server: LocalServer
) -> None:
    world = RedisWorld(own_server.url)
    add_ticks(world, *(f"t{number}" for number in range(250)))
    stop = Waiting(lambda: None, own_server.restart)
    steps: list[str] = []

    def kill_once(now: str) -> None:
        steps.append(now)
        if now == ("after_commit" if step == "after" else step) and steps.count(now) == 2:
            own_server.kill()
        if now == "idle":
            stop.set()

    bus = HookedBus(world.bus("harvest_brain"), kill_once)
    if step == "start":
        own_server.kill()
    with capture_logs() as logs:
        Runner(service(), bus, stop=stop).run()
    world.close()
    world = RedisWorld(own_server.url)
    assert intents(world) == [f"close.t{number}" for number in range(250)]
    assert world.hash(harvest_key("BTCUSDT")) == {"ticks": "250"}
    assert world.pending("harvest_brain") == 0
    assert dead(world) == []
    world.close()
    away = [line for line in logs if line["event"] == "server_unavailable"]
    assert len(away) == 2
    assert all(line["reason"] for line in away)
    assert [line["retry_in_s"] for line in away] == [0.1, 0.2]
    assert [line["event"] for line in logs].count("server_back") == 1


def test_told_to_stop_while_the_server_is_away_it_stops(own_server: LocalServer) -> None:
    world = RedisWorld(own_server.url)
    stop = Waiting()
    stop.plans.append(stop.set)
    own_server.kill()
    with capture_logs() as logs:
        Runner(service(), world.bus("harvest_brain"), stop=stop).run()
    world.close()
    assert [line["event"] for line in logs][1:] == ["stopped_without_server", "stopped"]


def test_housekeeping_without_a_server_is_put_off() -> None:
    server = MemoryServer()
    world = MemoryWorld()
    world.server = server
    stop = threading.Event()

    def strike(step: str) -> None:
        server.down = step == "idle"
        if step == "idle":
            stop.set()

    metrics = RunnerMetrics()
    bus = HookedBus(world.bus("harvest_brain"), strike)
    with capture_logs() as logs:
        Runner(service(), bus, metrics=metrics, stop=stop).run()
    events = [line["event"] for line in logs]
    assert events == ["started", "housekeeping_put_off", "stopped"]
    assert metrics.registry.get_sample_value("quantum_bus_failures_total") == 1
