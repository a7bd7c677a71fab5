"""What counts as getting on, for the watchdog and for people, without a process of its own."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from shared.bus import Commit
from shared.metrics import RunnerMetrics
from shared.outside import NotYet
from shared.runner import Runner
from shared.session import Session
from shared.systemd import Supervisor
from tests.runner.counting import service
from tests.worlds import MemoryWorld

from .ear import Ear


def test_each_commit_is_progress_because_a_batch_may_hold_many_slow_orders(
    ear: Ear, given: dict[str, str]
) -> None:
    session = Session(
        MemoryWorld().bus("apply_layer"),
        "apply_layer",
        metrics=RunnerMetrics(),
        stop=threading.Event(),
        supervisor=Supervisor(given | {"WATCHDOG_USEC": "4"}),
    )
    session.acquire()
    assert ear.heard() == []
    for _ in range(2):
        session.commit(Commit(documents={"a": b"1"}))
    assert ear.heard() == ["WATCHDOG=1", "WATCHDOG=1"]


def test_a_daemon_whose_venue_is_away_stands_and_people_are_told_what_it_waits_for(
    ear: Ear, given: dict[str, str]
) -> None:
    class Unseen:
        def cycle(self) -> list[object]:
            raise NotYet("no answer")

        def restore(self, documents: object) -> None: ...

        def urgent(self) -> bool:
            return False

    venue: Any = Unseen()
    runner = Runner(
        replace(service(), outside=venue),
        MemoryWorld().bus("harvest_brain"),
        supervisor=Supervisor(given),
    )
    runner.start()
    runner.turn(block_ms=1)
    assert ear.heard() == ["READY=1", "STATUS=waits for its venue: no answer"]
