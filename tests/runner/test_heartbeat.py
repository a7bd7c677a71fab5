"""The heartbeat: the sign that a daemon's loop goes round, and who and which version it is."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import Any

import pytest

from shared.bus import MemoryServer
from shared.metrics import RunnerMetrics
from shared.outside import NotYet
from shared.runner import Runner
from shared.session import HOUSEKEEPING_S, Session
from shared.streams import HEARTBEAT_KEPT_S, heartbeat_key
from tests.worlds import MemoryWorld, RedisWorld, World

from .counting import service
from .hooked import HookedBus

KEY = heartbeat_key("harvest_brain")


def one_turn(world: World, hook: Callable[[str], None] = lambda _step: None) -> None:
    runner = Runner(service(), HookedBus(world.bus("harvest_brain"), hook))
    runner.start()
    runner.turn(block_ms=1)


def test_a_turn_of_the_loop_shows_who_and_which_version_goes_round(world: World) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    one_turn(world)
    sign = world.hash(KEY)
    at, started_at = (datetime.fromisoformat(sign.pop(name)) for name in ("at", "started_at"))
    assert before <= started_at <= at <= datetime.now(UTC)
    assert sign == {
        "pid": str(os.getpid()),
        "host": socket.gethostname(),
        "version": metadata.version("quantum-trader"),
    }


def test_a_daemon_that_is_gone_is_forgotten_a_day_later(redis_world: RedisWorld) -> None:
    one_turn(redis_world)
    left_s: int = redis_world.client.ttl(KEY)
    assert HEARTBEAT_KEPT_S - 60 < left_s <= HEARTBEAT_KEPT_S


def test_a_daemon_that_hangs_in_its_turn_gives_no_sign(world: World) -> None:
    def strike(step: str) -> None:
        if step == "idle":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one_turn(world, strike)
    assert world.hash(KEY) == {}


def test_a_daemon_whose_venue_is_not_seen_yet_goes_round_and_shows_it(world: World) -> None:
    class Unseen:
        def cycle(self) -> list[object]:
            raise NotYet("the venue is away")

        def restore(self, documents: object) -> None: ...

        def urgent(self) -> bool:
            return False

    stop = threading.Event()
    stop.set()
    unseen: Any = Unseen()
    runner = Runner(replace(service(), outside=unseen), world.bus("harvest_brain"), stop=stop)
    runner.start()
    assert runner.turn(block_ms=1) == 0
    assert world.hash(KEY)["pid"] == str(os.getpid())


def test_a_daemon_that_has_nothing_to_do_goes_on_showing_itself() -> None:
    """A replay that has ended waits to be told to stop; it is not away."""
    world = MemoryWorld()
    world.server = MemoryServer()
    seen: list[str] = []
    stop = threading.Event()

    class Counting(HookedBus):
        def beat(self, sign: object) -> None:
            super().beat(sign)  # type: ignore[arg-type]
            seen.append(world.hash(heartbeat_key("market_feed"))["at"])
            if len(seen) == 2:
                stop.set()

    bus = Counting(world.bus("market_feed"), lambda _step: None)
    Session(bus, "market_feed", metrics=RunnerMetrics(), stop=stop).wait()
    first, second = map(datetime.fromisoformat, seen)
    assert HOUSEKEEPING_S - 0.5 <= (second - first).total_seconds() < HOUSEKEEPING_S + 2
