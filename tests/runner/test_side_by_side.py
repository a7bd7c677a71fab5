"""Several requests at once: what is durable when, what waits for what, and a crash at any step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from shared.at_once import Place
from shared.contracts import MarketTick, Message
from shared.decisions import Received
from shared.runner import Runner
from shared.service import Service
from shared.streams import MARKET_TICK, TRADE_INTENT, state_key
from tests.worlds import MemoryWorld, World

from .counting import NOW, intent_for, tick_fields
from .hooked import HookedBus

STATE = state_key("harvest_brain")
WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Enter:
    order_id: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Protect:
    order_id: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Look:
    """Performed in the runner's own thread."""


@dataclass(frozen=True, slots=True)
class Stands:
    order_id: str


@dataclass(frozen=True, slots=True)
class Looked:
    order_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Order:
    symbol: str
    timestamp: datetime
    stage: str = "enter"


@dataclass(frozen=True, slots=True)
class State:
    orders: Mapping[str, Order] = field(default_factory=dict)


def decide(state: State, received: Received[Any], _policy: None) -> tuple[State, Sequence[object]]:
    """A tick is an entry, an entry is protected, and then an intent tells of it."""
    event = received.event
    if isinstance(event, MarketTick):
        if event.tick_id in state.orders:
            return state, ()
        order = Order(event.symbol, event.timestamp)
        return kept(state, event.tick_id, order), [Enter(event.tick_id, event.symbol)]
    if isinstance(event, Stands):
        return stands(state, event.order_id, received.received_at)
    assert isinstance(event, Looked)
    outputs: list[object] = []
    for order_id, order in state.orders.items():
        name = f"{order_id}.{order.stage}"
        if order.stage == "done":
            continue
        if name in event.order_ids:
            state, more = stands(state, name, received.received_at)
            outputs += more
        else:
            outputs.append((Enter if order.stage == "enter" else Protect)(order_id, order.symbol))
    return state, outputs


def kept(state: State, order_id: str, order: Order) -> State:
    return replace(state, orders={**state.orders, order_id: order})


def stands(state: State, name: str, at: datetime) -> tuple[State, Sequence[object]]:
    order_id, _, stage = name.partition(".")
    order = state.orders[order_id]
    if order.stage != stage:
        return state, ()
    if stage == "enter":
        protecting = kept(state, order_id, replace(order, stage="protect"))
        return protecting, [Protect(order_id, order.symbol)]
    done = kept(state, order_id, replace(order, stage="done"))
    return done, [intent_for(order_id, order.symbol, order.timestamp, at)]


class Crash(Exception):
    """The process ends here."""


class Venue:
    """What stands at the venue: one order for each name, however often it is sent."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.lock = threading.Lock()

    def take(self, name: str) -> None:
        with self.lock:
            assert name not in self.names
            self.names.append(name)


class Outside:
    """The daemon's side of the venue: twelve requests at once."""

    at_once, kept = 12, 4

    def __init__(self, venue: Venue, strike: Callable[[str], None] = lambda _step: None) -> None:
        self.venue = venue
        self.strike = strike
        self.on_perform: Callable[[object], None] = lambda _request: None
        self.under_way: set[str] = set()
        self.looks = 0
        self.wants_a_look = False

    def restore(self, documents: Mapping[str, bytes]) -> None:
        pass

    def documents(self) -> dict[str, bytes]:
        return {}

    def observe(self, message: Message, _received_at: datetime) -> Iterable[object]:
        return ()

    def asked(self, request: object) -> Place | None:
        if isinstance(request, Look):
            return None
        assert isinstance(request, Enter | Protect)
        self.under_way.add(request.symbol)
        return Place(request.symbol, 0 if isinstance(request, Protect) else 2)

    def perform(self, request: object) -> Iterable[object]:
        assert isinstance(request, Enter | Protect)
        self.on_perform(request)
        self.strike("before_perform")
        name = f"{request.order_id}.{type(request).__name__.lower()}"
        self.venue.take(name)
        self.strike("during_perform")
        yield Stands(name)
        self.strike("after_perform")

    def heard(self, request: object, answers: Iterable[object]) -> Iterable[object]:
        assert isinstance(request, Enter | Protect)
        self.under_way.discard(request.symbol)
        return answers

    def urgent(self) -> bool:
        return self.wants_a_look

    def cycle(self) -> Iterable[object]:
        self.looks += 1
        self.wants_a_look = False
        if not self.under_way:
            yield Looked(frozenset(self.venue.names))

    def close(self) -> None:
        pass


def run(world: World, outside: Outside, strike: Callable[[str], None] = lambda _step: None) -> None:
    """One life, until there is nothing left to read."""
    stop = threading.Event()

    def hook(step: str) -> None:
        strike(step)
        if step == "idle":
            stop.set()

    service = Service("harvest_brain", State, decide, None, outside=outside)
    bus = HookedBus(world.bus("harvest_brain"), hook)
    try:
        Runner(service, bus, stop=stop, now=lambda: NOW).run()
    finally:
        # A process that dies takes its threads along; what they still do belongs to this life.
        for thread in threading.enumerate():
            if thread.name.startswith("request"):
                thread.join(WITHIN_S)


def add(world: World, **symbols: str) -> None:
    for tick_id, symbol in symbols.items():
        world.add(MARKET_TICK.key, tick_fields(tick_id, symbol))


def told(world: World) -> list[str]:
    return sorted(entry["intent_id"] for entry in world.entries(TRADE_INTENT.key))


def test_entries_of_different_symbols_are_under_way_at_once(world: World) -> None:
    add(world, a="AUSDT", b="BUSDT", c="CUSDT")
    outside = Outside(Venue())
    together = threading.Barrier(3)

    def perform(request: object) -> None:
        if isinstance(request, Enter):
            together.wait(WITHIN_S)

    outside.on_perform = perform
    run(world, outside)
    assert told(world) == ["close.a", "close.b", "close.c"]
    assert world.pending("harvest_brain") == 0


def test_a_message_waits_for_what_is_under_way_in_its_own_symbol_alone(world: World) -> None:
    add(world, a="AUSDT", a2="AUSDT", b="BUSDT", a3="AUSDT")
    outside = Outside(Venue())
    run(world, outside)
    names = outside.venue.names
    of_a = [name for name in names if name.startswith("a")]
    assert of_a == ["a.enter", "a.protect", "a2.enter", "a2.protect", "a3.enter", "a3.protect"]
    assert told(world) == ["close.a", "close.a2", "close.a3", "close.b"]


def test_what_follows_from_one_answer_leaves_while_another_request_hangs(world: World) -> None:
    add(world, a="AUSDT", b="BUSDT")
    outside = Outside(Venue())
    protected = threading.Event()

    def perform(request: object) -> None:
        if request == Enter("a", "AUSDT"):
            assert protected.wait(WITHIN_S)
        elif request == Protect("b", "BUSDT"):
            protected.set()

    outside.on_perform = perform
    run(world, outside)
    assert outside.venue.names.index("b.protect") < outside.venue.names.index("a.enter")


def test_the_world_is_looked_at_while_a_request_hangs(world: World) -> None:
    add(world, a="AUSDT")
    outside = Outside(Venue())
    looked = threading.Event()

    def perform(request: object) -> None:
        if isinstance(request, Enter):
            outside.wants_a_look = True
            assert looked.wait(WITHIN_S)

    def cycle() -> Iterable[object]:
        if outside.under_way:
            looked.set()
        outside.wants_a_look = False
        return ()

    outside.on_perform = perform
    outside.cycle = cycle  # type: ignore[method-assign]
    run(world, outside)
    assert told(world) == ["close.a"]


def test_a_request_leaves_after_its_record_and_a_message_is_done_after_all_it_caused(
    world: World,
) -> None:
    add(world, a="AUSDT", b="BUSDT")
    outside = Outside(Venue())
    seen: list[tuple[str, bool, bool]] = []
    lock = threading.Lock()

    def perform(request: object) -> None:
        assert isinstance(request, Enter | Protect)
        stage = type(request).__name__.lower()
        with lock:
            record = world.hash(STATE).get(f"orders/{request.order_id}", "")
            seen.append((stage, f'"stage":"{stage}"' in record, world.pending(DAEMON) > 0))

    outside.on_perform = perform
    run(world, outside)
    assert sorted(seen) == [("enter", True, True)] * 2 + [("protect", True, True)] * 2
    assert world.pending(DAEMON) == 0


DAEMON = "harvest_brain"


def test_what_is_under_way_when_told_to_stop_is_heard_to_its_end(world: World) -> None:
    outside = Outside(Venue())
    stop = threading.Event()
    outside.on_perform = lambda _request: stop.set()
    add(world, a="AUSDT")
    service = Service(DAEMON, State, decide, None, outside=outside)
    runner = Runner(service, world.bus(DAEMON), stop=stop, now=lambda: NOW)
    runner.run()
    assert told(world) == ["close.a"]
    assert world.pending(DAEMON) == 0


def test_a_look_that_is_asked_for_happens_in_the_runners_own_thread() -> None:
    world = MemoryWorld()
    add(world, a="AUSDT")
    outside = Outside(Venue())
    threads: list[threading.Thread] = []

    def looking(
        state: State, received: Received[Any], policy: None
    ) -> tuple[State, Sequence[object]]:
        if received.event == Stands("a.enter"):
            return state, [Look()]
        return decide(state, received, policy) if received.event != "seen" else (state, ())

    perform = outside.perform

    def look(request: object) -> Iterable[object]:
        if isinstance(request, Look):
            threads.append(threading.current_thread())
            return ("seen",)
        return perform(request)

    outside.perform = look  # type: ignore[method-assign]
    stop = threading.Event()
    service = Service(DAEMON, State, looking, None, outside=outside)
    bus = HookedBus(world.bus(DAEMON), lambda step: stop.set() if step == "idle" else None)
    Runner(service, bus, stop=stop, now=lambda: NOW).run()
    assert threads == [threading.current_thread()]
    assert world.pending(DAEMON) == 0


STRIKES = [
    "after_read", "before_commit", "after_commit", "before_perform", "during_perform",
    "after_perform",
]  # fmt: skip
SYMBOLS = {"a": "AUSDT", "b": "BUSDT", "a2": "AUSDT", "c": "CUSDT", "d": "DUSDT", "b2": "BUSDT"}


def crashing(step: str, time: int) -> Callable[[str], None]:
    steps: list[str] = []
    lock = threading.Lock()

    def crash(now: str) -> None:
        with lock:
            steps.append(now)
            if now == step and steps.count(now) == time:
                raise Crash(step)

    return crash


def all_is_done_once(world: World, venue: Venue) -> None:
    stages = [f"{order}.{stage}" for order in SYMBOLS for stage in ("enter", "protect")]
    assert sorted(venue.names) == sorted(stages)
    assert told(world) == sorted(f"close.{order}" for order in SYMBOLS)
    assert world.pending(DAEMON) == 0
    assert world.raw(MARKET_TICK.dead_key) == []


@pytest.mark.parametrize(
    ("step", "time"),
    [(step, time) for step in STRIKES for time in (1, 2, 5) if step != "after_read" or time == 1],
)
def test_after_a_crash_at_any_step_everything_happened_exactly_once(
    step: str, time: int, world: World
) -> None:
    add(world, **SYMBOLS)
    venue = Venue()
    strike = crashing(step, time)
    with pytest.raises(Crash):
        run(world, Outside(venue, strike), strike)
    run(world, Outside(venue))
    all_is_done_once(world, venue)


def test_a_crash_at_every_step_in_turn_is_survived(world: World) -> None:
    add(world, **SYMBOLS)
    venue = Venue()
    for step in STRIKES:
        strike = crashing(step, 1)
        with pytest.raises(Crash):
            run(world, Outside(venue, strike), strike)
    run(world, Outside(venue))
    all_is_done_once(world, venue)
