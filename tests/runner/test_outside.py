"""The runner and the outside world: journal, perform, acknowledge; with a crash at any step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from shared.contracts import MarketTick, Message
from shared.decisions import Received
from shared.outside import NotYet
from shared.runner import Runner
from shared.service import Service
from shared.streams import MARKET_TICK, TRADE_INTENT, state_key
from tests.worlds import World

from .counting import NOW, add_ticks, intent_for
from .hooked import HookedBus

STATE = state_key("harvest_brain")


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    order_id: str


@dataclass(frozen=True, slots=True)
class Placed:
    order_id: str


@dataclass(frozen=True, slots=True)
class Looked:
    """All orders that the venue has."""

    order_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Journal:
    """`sent` until the order is known to stand; the rest is what answers it then."""

    symbol: str
    timestamp: datetime
    sent: bool = True


@dataclass(frozen=True, slots=True)
class State:
    journal: Mapping[str, Journal] = field(default_factory=dict)


def decide(state: State, received: Received[Any], policy: None) -> tuple[State, Sequence[object]]:
    """One order for each tick; its intent is published when the order is known to stand."""
    event = received.event
    if isinstance(event, MarketTick):
        if event.tick_id in state.journal:
            return state, ()
        journal = {**state.journal, event.tick_id: Journal(event.symbol, event.timestamp)}
        return replace(state, journal=journal), [PlaceOrder(event.tick_id)]
    if isinstance(event, Placed):
        return _done(state, event.order_id, received)
    assert isinstance(event, Looked)
    outputs: list[object] = []
    for order_id, entry in state.journal.items():
        if entry.sent and order_id in event.order_ids:
            state, published = _done(state, order_id, received)
            outputs += published
        elif entry.sent:
            outputs.append(PlaceOrder(order_id))
    return state, outputs


def _done(state: State, order_id: str, received: Received[Any]) -> tuple[State, Sequence[object]]:
    entry = state.journal[order_id]
    journal = {**state.journal, order_id: replace(entry, sent=False)}
    intent = intent_for(order_id, entry.symbol, entry.timestamp, received.received_at)
    return replace(state, journal=journal), [intent]


class Crash(Exception):
    """The process ends here."""


class Venue:
    """What stands at the venue, and what it says: one order for each id, never two."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.calls = 0


class Outside:
    """The daemon's side of the venue; a new one for each life of the daemon."""

    def __init__(self, venue: Venue, strike: Callable[[str], None]) -> None:
        self.venue = venue
        self.strike = strike
        self.restored: Mapping[str, bytes] = {}
        self.seen: list[str] = []
        self.unsaved = False
        self.closed = False

    def restore(self, documents: Mapping[str, bytes]) -> None:
        self.restored = {k: v for k, v in documents.items() if k.startswith("venue/")}

    def documents(self) -> dict[str, bytes]:
        if not self.unsaved:
            return {}
        self.unsaved = False
        return {"venue/calls": str(self.venue.calls).encode()}

    def observe(self, message: Message, _received_at: datetime) -> Iterable[object]:
        assert isinstance(message, MarketTick)
        self.seen.append(message.tick_id)
        return ()

    def perform(self, request: object) -> Iterable[object]:
        assert isinstance(request, PlaceOrder)
        self.strike("before_perform")
        self.venue.calls += 1
        self.unsaved = True
        self.venue.orders.append(request.order_id)
        self.strike("during_perform")
        yield Placed(request.order_id)
        self.strike("after_perform")

    def urgent(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def cycle(self) -> Iterable[object]:
        yield Looked(tuple(self.venue.orders))


def run(world: World, venue: Venue, strike: Callable[[str], None] = lambda _step: None) -> Outside:
    """One life, until there is nothing left to read."""
    stop = threading.Event()

    def hook(step: str) -> None:
        strike(step)
        if step == "idle":
            stop.set()

    outside = Outside(venue, strike)
    service = Service("harvest_brain", State, decide, None, outside=outside)
    bus = HookedBus(world.bus("harvest_brain"), hook)
    Runner(service, bus, stop=stop, now=lambda: NOW).run()
    return outside


def intents(world: World) -> list[str]:
    return [entry["intent_id"] for entry in world.entries(TRADE_INTENT.key)]


def test_a_request_is_performed_after_its_state_is_durable_and_before_the_acknowledgement(
    world: World,
) -> None:
    add_ticks(world, "t1", "t2")
    seen: list[tuple[str, bool, int]] = []

    def look(step: str) -> None:
        if step == "before_perform":
            order_id = ("t1", "t2")[len(seen)]
            journalled = '"sent":true' in world.hash(STATE).get(f"journal/{order_id}", "")
            seen.append((order_id, journalled, world.pending("harvest_brain")))

    run(world, Venue(), look)
    assert seen == [("t1", True, 2), ("t2", True, 1)]
    assert intents(world) == ["close.t1", "close.t2"]
    assert world.pending("harvest_brain") == 0


def test_the_outside_learns_of_a_message_before_it_is_decided(world: World) -> None:
    add_ticks(world, "t1", "t2")
    assert run(world, Venue()).seen == ["t1", "t2"]


def test_the_outside_is_let_go_of_at_the_end(world: World) -> None:
    assert run(world, Venue()).closed


def test_nothing_is_read_before_the_outside_was_seen(world: World) -> None:
    add_ticks(world, "t1")
    outside = Outside(Venue(), lambda _step: None)
    seen = iter([False, False, True])

    def cycle() -> Iterable[object]:
        if not next(seen, True):
            raise NotYet("the venue does not answer")
        return ()

    outside.cycle = cycle  # type: ignore[method-assign]
    service = Service("harvest_brain", State, decide, None, outside=outside)
    runner = Runner(service, world.bus("harvest_brain"), now=lambda: NOW, cycle_s=0.01)
    runner.start()
    assert [runner.step(block_ms=1) for _ in range(3)] == [0, 0, 1]


def test_what_cannot_wait_is_looked_at_before_the_next_cycle(world: World) -> None:
    outside = Outside(Venue(), lambda _step: None)
    looks: list[bool] = []
    outside.cycle = lambda: looks.append(True) or ()  # type: ignore[method-assign,func-returns-value]
    service = Service("harvest_brain", State, decide, None, outside=outside)
    runner = Runner(service, world.bus("harvest_brain"), now=lambda: NOW, cycle_s=60)
    runner.start()
    runner.step(block_ms=1)
    runner.step(block_ms=1)
    assert len(looks) == 1
    outside.urgent = lambda: True  # type: ignore[method-assign]
    runner.step(block_ms=1)
    assert len(looks) == 2


def test_the_documents_of_the_outside_are_committed_and_come_back(world: World) -> None:
    add_ticks(world, "t1", "t2")
    run(world, Venue())
    assert run(world, Venue()).restored == {"venue/calls": b"2"}


STRIKES = [
    "after_read", "before_commit", "after_commit", "before_perform", "during_perform",
    "after_perform",
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "time"),
    [(step, time) for step in STRIKES for time in (1, 2, 4) if step != "after_read" or time == 1],
)
def test_after_a_crash_at_any_step_everything_happened_exactly_once(
    step: str, time: int, world: World
) -> None:
    ticks = ("t1", "t2", "t3", "t4")
    add_ticks(world, *ticks)
    venue = Venue()
    steps: list[str] = []

    def crash(now: str) -> None:
        steps.append(now)
        if now == step and steps.count(now) == time:
            raise Crash(step)

    with pytest.raises(Crash):
        run(world, venue, crash)
    run(world, venue)
    assert venue.orders == list(ticks)
    assert intents(world) == [f"close.{tick}" for tick in ticks]
    assert world.pending("harvest_brain") == 0
    assert world.raw(MARKET_TICK.dead_key) == []
    states = world.hash(STATE)
    assert ['"sent":false' in states[f"journal/{tick}"] for tick in ticks] == [True] * 4


def test_a_crash_at_every_step_in_turn_is_survived(world: World) -> None:
    ticks = tuple(f"t{number}" for number in range(8))
    add_ticks(world, *ticks)
    venue = Venue()
    for step in STRIKES:
        struck: list[str] = []

        def crash(now: str, step: str = step, struck: list[str] = struck) -> None:
            if now == step and not struck:
                struck.append(now)
                raise Crash(step)

        with pytest.raises(Crash):
            run(world, venue, crash)
    run(world, venue)
    assert sorted(venue.orders) == sorted(ticks)
    assert sorted(intents(world)) == sorted(f"close.{tick}" for tick in ticks)
    assert world.pending("harvest_brain") == 0


def test_a_request_that_nobody_can_perform_is_a_bug_that_is_told(world: World) -> None:
    add_ticks(world, "t1")
    service = Service("harvest_brain", State, decide, None)
    with pytest.raises(TypeError, match=r"harvest_brain cannot perform PlaceOrder"):
        Runner(service, world.bus("harvest_brain")).run()
    assert world.pending("harvest_brain") == 1
    assert world.hash(STATE) == {}
