"""A ring worth looking at: one position at 5 R, one at a loss, one whose stop is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from shared.bus.client import call
from shared.cli.desk import Desk
from shared.cli.story import reader
from shared.contracts.values import format_timestamp
from shared.settings import Settings
from shared.streams import PROGRAMS, WATCH_KEY, heartbeat_key, position_key, state_key
from tests.cli.asking import SHOWN_AT_ONCE
from tests.cli.small_ring import SmallRing, a_small_ring, at_r, seed

NAKED = "SOLUSDT"
LOSING = "ETHUSDT"


def three_positions() -> dict[str, Any]:
    """Settings with the positions that the account holds at the beginning."""
    held = [
        seed(),
        seed(symbol=LOSING, side="SHORT", qty="1.2", entry_price="2480", mark_price="2480",
             stop_loss="2521.6", leverage=5),
        seed(symbol=NAKED, qty="14", entry_price="151.2", mark_price="151.2", stop_loss="146.9",
             leverage=8),
    ]  # fmt: skip
    positions = [one["apply_layer"]["paper"]["position"][0] for one in held]
    return {"apply_layer": {"paper": {"position": positions}}} | SHOWN_AT_ONCE


def play(ring: SmallRing) -> None:
    """Prices that take two rungs of one position and none of the others."""
    for r, eth, sol in ((1, "2478", "151.9"), (3, "2485", "153.4"), (5, "2491.35", "156.07")):
        ring.tick(at_r(r))
        ring.tick(eth, symbol=LOSING)
        ring.tick(sol, symbol=NAKED)
        ring.settle()


def go_wrong(ring: SmallRing) -> None:
    """One stop is gone from the record, one daemon is silent, and watcher says so."""
    now = ring.now()
    ring.stop("apply_layer", "exitbrain")
    call(ring.client, "HDEL", position_key(NAKED), "stop_loss")
    own = json.loads(call(ring.client, "HGET", state_key("apply_layer"), f"positions/{NAKED}"))
    own["unprotected_since"] = format_timestamp(now - timedelta(seconds=9))
    words = (f"positions/{NAKED}", json.dumps(own))
    call(ring.client, "HSET", state_key("apply_layer"), *words)
    beat(ring, *(name for name in PROGRAMS if name not in ("exitbrain", "dashboard")))
    call(ring.client, "HSET", heartbeat_key("exitbrain"), "at",
         format_timestamp(now - timedelta(seconds=48)))  # fmt: skip
    say(ring, **{
        f"position_without_stop.{NAKED}": f"{format_timestamp(now - timedelta(seconds=7))} "
        "LONG 14 has had no stop for more than 2 s",
        "daemon_silent.exitbrain": f"{format_timestamp(now - timedelta(seconds=33))} "
        "its loop has not gone round for 15 s",
    })  # fmt: skip


def say(ring: SmallRing, **alarms: str) -> None:
    """What watcher would say now; without alarms that all is well."""
    call(ring.client, "DEL", WATCH_KEY)
    words = [word for pair in alarms.items() for word in pair]
    call(ring.client, "HSET", WATCH_KEY, "seen_at", format_timestamp(ring.now()), *words)


def beat(ring: SmallRing, *names: str) -> None:
    """Heartbeats as of programs that have been up since the morning."""
    now = ring.now()
    for name in names:
        call(ring.client, "HSET", heartbeat_key(name), "at", format_timestamp(now),
             "started_at", format_timestamp(now - timedelta(hours=3, minutes=20)))  # fmt: skip


def a_desk(url: str) -> Desk:
    """The desk of an operator at a server."""
    return Desk(Settings({}, "the test"), reader(url))


@contextmanager
def a_stage(url: str) -> Iterator[SmallRing]:
    """The ring with all of that."""
    with a_small_ring(url, three_positions()) as ring:
        play(ring)
        go_wrong(ring)
        yield ring
