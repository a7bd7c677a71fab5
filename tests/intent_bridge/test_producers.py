"""Producers outside have streams of their own; what they write is passed on in their name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from services.intent_bridge.decider import decide
from services.intent_bridge.settings import IntentBridgeSettings
from services.intent_bridge.state import Policy, State
from shared.bus import MemoryBus, RedisBus
from shared.bus.client import call
from shared.contracts import encode
from shared.runner import Runner
from shared.service import Service
from shared.settings import Settings, SettingsError
from shared.streams import APPLY_PLAN, BATCH, PROGRAMS, TRADE_INTENT, producer_key, producer_stream
from tests.worlds import MemoryWorld, RedisWorld, World

from .bridge import WALL, Bridge

NAME = "my_signals"
KEY = producer_key(NAME)
STREAMS = (producer_stream(NAME), producer_stream("others"))


def bus_of(world: World) -> MemoryBus | RedisBus:
    if isinstance(world, MemoryWorld):
        return MemoryBus(world.server, "intent_bridge", producers=STREAMS)
    assert isinstance(world, RedisWorld)
    return RedisBus(world.url, "intent_bridge", producers=STREAMS)


@pytest.fixture
def bridge(world: World) -> Iterator[Runner[State, Policy]]:
    service = Service("intent_bridge", State, decide, Policy(), obeys_mode=True, producers=STREAMS)
    bus = bus_of(world)
    runner = Runner(service, bus, now=lambda: WALL)
    runner.start()
    yield runner
    bus.close()


def intent(number: int, source: str = NAME, **changes: str) -> dict[str, str]:
    return dict(encode(Bridge().entry(f"own.{number}"))) | {"source": source} | changes


def letters(world: World) -> list[dict[str, str]]:
    return world.entries(TRADE_INTENT.dead_key)


def settle(bridge: Runner[State, Policy]) -> None:
    for _ in range(50):
        if not bridge.turn(block_ms=1):
            return
    raise AssertionError("the bridge does not come to rest")


def test_what_a_producer_writes_to_its_stream_is_passed_on_and_decided(
    world: World, bridge: Runner[State, Policy]
) -> None:
    world.add(KEY, intent(1))
    settle(bridge)
    assert world.entries(TRADE_INTENT.key) == [intent(1)]
    [plan] = world.entries(APPLY_PLAN.key)
    assert plan["intent_id"] == "own.1"
    assert letters(world) == []
    assert world.pending("intent_bridge") == 0


def test_a_producer_speaks_in_its_own_name_alone(
    world: World, bridge: Runner[State, Policy]
) -> None:
    for number, source in enumerate(("harvest_brain", "operator", "others", "my_signals2")):
        world.add(KEY, intent(number, source))
    settle(bridge)
    assert world.entries(TRADE_INTENT.key) == []
    assert {(letter["code"], letter["stream"]) for letter in letters(world)} == {
        ("foreign_source", f"producer:{NAME}")
    }
    assert len(letters(world)) == 4


def test_what_cannot_be_read_is_put_aside_and_never_passed_on(
    world: World, bridge: Runner[State, Policy]
) -> None:
    world.add(KEY, intent(1, entry_price="1e3"))
    world.add(KEY, [(b"a", b"b")])
    world.add(KEY, intent(2))
    settle(bridge)
    assert [entry["intent_id"] for entry in world.entries(TRADE_INTENT.key)] == ["own.2"]
    assert [letter["code"] for letter in letters(world)] == ["bad_number", "missing_field"]


def test_an_exit_waits_for_no_more_than_one_read_of_a_flood(
    world: World, bridge: Runner[State, Policy]
) -> None:
    """Two producers bring twice what the bridge decides in one read; its own come first."""
    for number in range(12 * BATCH):
        world.add(KEY, {"n": str(number)})
        world.add(STREAMS[1].key, intent(number, "others", intent_id=f"flood.{number}"))
    for _ in range(6):
        bridge.turn(block_ms=1)
    passed_on = len(world.entries(TRADE_INTENT.key))
    seen = bridge.metrics.messages.labels(TRADE_INTENT.name, "read")._value.get()
    assert passed_on - seen <= BATCH
    world.add(TRADE_INTENT.key, dict(encode(Bridge().close("exit.1"))))
    for _ in range(3):
        bridge.turn(block_ms=1)
    assert "exit.1" in {plan["intent_id"] for plan in world.entries(APPLY_PLAN.key)}


def test_a_name_of_the_suite_is_no_producers_name() -> None:
    for name in (*PROGRAMS, "operator"):
        settings = Settings({"intent_bridge": {"producer": {name: {}}}}, "the test")
        with pytest.raises(SettingsError, match="suite's own"):
            settings.section("intent_bridge", IntentBridgeSettings)
    settings = Settings({"intent_bridge": {"producer": {NAME: {}}}}, "the test")
    assert settings.section("intent_bridge", IntentBridgeSettings).producer[NAME].may_exit is False


def turned(redis_world: RedisWorld) -> tuple[RedisBus, Runner[State, Policy]]:
    service = Service("intent_bridge", State, decide, Policy(), obeys_mode=True, producers=STREAMS)
    bus = RedisBus(redis_world.url, "intent_bridge", producers=STREAMS)
    runner = Runner(service, bus, now=lambda: WALL)
    runner.start()
    return bus, runner


MAX = f"{2**64 - 1}-{2**64 - 1}"


def test_an_odd_id_spoils_the_producers_own_stream_and_no_other(redis_world: RedisWorld) -> None:
    bus, bridge = turned(redis_world)
    fields = [word for item in intent(1).items() for word in item]
    call(redis_world.client, "XADD", KEY, MAX, *fields)
    redis_world.add(STREAMS[1].key, intent(2, "others"))
    settle(bridge)
    redis_world.add(STREAMS[1].key, intent(3, "others"))
    settle(bridge)
    passed_on = [entry["intent_id"] for entry in redis_world.entries(TRADE_INTENT.key)]
    assert passed_on == ["own.1", "own.2", "own.3"]
    bus.close()


def test_unread_entries_that_a_producer_has_removed_are_told_and_others_are_untouched(
    redis_world: RedisWorld,
) -> None:
    bus, bridge = turned(redis_world)
    redis_world.add(KEY, intent(0))
    settle(bridge)
    for number in range(1, 6):
        fields = [word for item in intent(number).items() for word in item]
        call(redis_world.client, "XADD", KEY, "MAXLEN", "1", "*", *fields)
    settle(bridge)
    [letter] = letters(redis_world)
    assert (letter["code"], letter["stream"]) == ("trimmed", f"producer:{NAME}")
    assert letter["detail"].startswith("4 entries ")
    passed_on = [entry["intent_id"] for entry in redis_world.entries(TRADE_INTENT.key)]
    assert passed_on == ["own.0", "own.5"]
    bus.close()


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_producer_fills_no_server(redis_world: RedisWorld, size: int) -> None:
    bus, _ = turned(redis_world)
    with redis_world.client.pipeline(transaction=False) as pipeline:
        for _ in range(12_000 if size == 10 else 400):
            pipeline.xadd(KEY, {"a": "x" * size})
        pipeline.execute()
    bus.trim(STREAMS[0])
    left: Any = redis_world.client.xlen(KEY)
    assert 0 < left <= 10_000
    assert call(redis_world.client, "MEMORY", "USAGE", KEY, "SAMPLES", 0) <= 16_000_000
    bus.close()
