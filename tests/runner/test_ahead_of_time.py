"""The runner and time: what is ahead is put aside, and a wrong clock makes no daemon deaf."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from shared.contracts import ApplyResult, MarketTick, Message, decode, encode
from shared.contracts.values import format_timestamp
from shared.decisions import ClockSet, Received
from shared.metrics import RunnerMetrics
from shared.runner import Runner
from shared.service import Service
from shared.streams import APPLY_RESULT, BY_NAME, MARKET_TICK, state_key
from tests.jumps import JUMPS_S
from tests.ring.messages import GOLDEN
from tests.worlds import MemoryWorld, World

from .test_clock import Machine

AHEAD_S = st.integers(6, 86_400 * 30)


@dataclass(frozen=True, slots=True)
class State:
    heard: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def decide(
    state: State, received: Received[Any], seen: list[Any]
) -> tuple[State, Sequence[object]]:
    seen.append(received)
    name = type(received.event).__name__
    times = (*state.heard.get(name, ()), "")
    return replace(state, heard={**state.heard, name: times}), ()


class Life:
    """One daemon on a machine whose wall clock is set by hand, one tick a second."""

    def __init__(self, world: World, machine: Machine, daemon: str = "harvest_brain") -> None:
        self.world, self.machine, self.daemon = world, machine, daemon
        self.seen: list[Received[Any]] = []
        self.metrics = RunnerMetrics()
        self.ticks = 0
        self.begin()

    def begin(self) -> None:
        """Start, or start again: a new life has the wall clock as it is."""
        self.machine.__post_init__()
        service = Service(self.daemon, State, decide, self.seen)
        bus = self.world.bus(self.daemon)
        self.runner = Runner(service, bus, metrics=self.metrics, clock=self.machine.clock)
        self.runner.start()

    def step(self) -> None:
        while self.runner.step(block_ms=1):
            pass

    def say(self, message: Message) -> None:
        self.world.add(BY_NAME[message.stream_name].key, dict(encode(message)))

    def tick(self, ahead_s: float = 0, produced_ahead_s: float | None = None) -> bool:
        """A tick of true time, or ahead of it; whether it was heard."""
        self.machine.passed += timedelta(seconds=1)
        self.ticks += 1
        also_s = ahead_s if produced_ahead_s is None else produced_ahead_s
        before = len(self.prices)
        self.say(
            MarketTick(
                timestamp=self.machine.true + timedelta(seconds=ahead_s),
                produced_at=self.machine.true + timedelta(seconds=also_s),
                source="market_feed", tick_id=f"t{self.ticks}", symbol="BTCUSDT",
                mark_price=Decimal(60000),
            )
        )  # fmt: skip
        self.step()
        return len(self.prices) > before

    @property
    def prices(self) -> list[Received[Any]]:
        return [one for one in self.seen if isinstance(one.event, MarketTick)]

    def letters(self, stream: Any = MARKET_TICK) -> list[str]:
        return [letter["code"] for letter in self.world.entries(stream.dead_key)]


def result(at: datetime) -> Any:
    fields = dict(json.loads((GOLDEN / "apply.result.filled.json").read_text(encoding="utf-8")))
    fields |= {"timestamp": format_timestamp(at), "produced_at": format_timestamp(at)}
    return decode(ApplyResult, [(name.encode(), text.encode()) for name, text in fields.items()])


@pytest.mark.parametrize("wrong", [(82_800, None), (82_800, 0), (0, 82_800), (6, 6)])
def test_a_tick_from_ahead_of_time_is_one_dead_letter_and_the_next_is_heard(
    world: World, wrong: tuple[int, int | None]
) -> None:
    life = Life(world, Machine())

    assert not life.tick(*wrong)
    assert life.tick()
    assert life.letters() == ["ahead_of_time"]


def test_another_reader_counts_a_tick_from_ahead_of_time(world: World) -> None:
    life = Life(world, Machine(), "trading_bot")

    assert not life.tick(82_800)
    assert life.letters() == []
    counted = {"stream": "market.tick", "outcome": "unreadable"}
    assert life.metrics.registry.get_sample_value("quantum_messages_total", counted) == 1


@given(st.integers(-3600, 86_000))
def test_a_fill_from_an_hour_or_a_day_ahead_finds_its_reader(ahead_s: int) -> None:
    life = Life(MemoryWorld(), Machine())
    life.say(result(life.machine.true + timedelta(seconds=ahead_s)))
    life.step()

    assert len(life.seen) == 1
    assert life.letters(APPLY_RESULT) == []


@given(st.integers(0, 86_000), st.booleans())
def test_no_clock_that_is_behind_makes_a_daemon_deaf_for_a_minute(
    behind_s: int, feed_too: bool
) -> None:
    off = timedelta(seconds=-behind_s)
    life = Life(MemoryWorld(), Machine(off=off))
    heard = [life.tick(0, -behind_s if feed_too else 0) for _ in range(60)]

    assert all(heard[30:])
    assert abs(len(life.letters()) + sum(heard)) == 60


def test_a_clock_that_is_behind_is_said_and_measured() -> None:
    life = Life(MemoryWorld(), Machine(off=timedelta(hours=-1)))
    with capture_logs() as lines:
        for _ in range(30):
            life.tick(0, -3600)

    assert [line["event"] for line in lines].count("clock_behind") == 1
    behind = life.metrics.registry.get_sample_value("quantum_clock_behind_seconds")
    assert behind == pytest.approx(3600, abs=2)


@given(st.lists(st.tuples(st.integers(0, 5), JUMPS_S, st.booleans()), max_size=4))
def test_however_the_clock_jumps_and_the_daemon_restarts_it_hears_within_a_minute(
    jumps: list[tuple[int, int, bool]],
) -> None:
    life = Life(MemoryWorld(), Machine())
    for after, by_s, restarts in jumps:
        for _ in range(after):
            life.tick()
        life.machine.off += timedelta(seconds=by_s)
        if restarts and abs(life.machine.off) < timedelta(days=2):
            life.begin()
    heard = [life.tick() for _ in range(90)]

    assert all(heard[60:])
    at, event = life.prices[-1].received_at, life.prices[-1].event
    assert abs((at - event.produced_at).total_seconds()) <= 5


@given(JUMPS_S)
def test_within_a_life_no_jump_changes_when_things_arrive(by_s: int) -> None:
    life = Life(MemoryWorld(), Machine())
    for _ in range(5):
        life.tick()
    life.machine.off = timedelta(seconds=by_s)
    for _ in range(30):
        assert life.tick()

    times = [one.received_at for one in life.prices]
    assert times == sorted(times)
    assert not [one for one in life.seen if isinstance(one.event, ClockSet)]


def test_a_decider_hears_that_its_clock_was_put_right() -> None:
    life = Life(MemoryWorld(), Machine(off=timedelta(hours=1)))
    life.tick()
    life.machine.off = timedelta(0)
    life.tick()

    (told,) = [one.event for one in life.seen if isinstance(one.event, ClockSet)]
    assert told.by == timedelta(hours=-1)


def test_a_clock_that_went_back_over_a_restart_is_said_once(world: World) -> None:
    life = Life(world, Machine())
    life.tick()
    assert "clock" in world.hash(state_key("harvest_brain"))
    life.machine.off = timedelta(seconds=-90)
    with capture_logs() as lines:
        life.begin()
        life.tick()

    told = [line["by_s"] for line in lines if line["event"] == "clock_went_back"]
    assert told == [pytest.approx(90, abs=2)]
