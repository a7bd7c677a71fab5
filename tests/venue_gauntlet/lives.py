"""One life of apply_layer: the real service, settings, bus and runner, in a forked process.

Writes notes of what it does (when it took over, committed, sent an order, was struck), one JSON
line each, before or after the fact as named. It ends itself by SIGKILL, or stops itself by SIGSTOP,
at the step that was drawn for it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import services.apply_layer.binance.wiring  # noqa: F401 - before the fork, not after each
from services.apply_layer.__main__ import service
from shared import log
from shared.bus import StateLost, Superseded
from shared.daemon import EXIT_SETTINGS, EXIT_SUPERSEDED
from shared.metrics import RunnerMetrics
from shared.runner import Runner
from shared.settings import SettingsError, load
from tests.venue_gauntlet.defects import DEFECTS
from tests.venue_gauntlet.steps import SteppedBus, step_requests
from tests.venue_gauntlet.wall_clock import WallClock


@dataclass(frozen=True, slots=True)
class Order:
    """What a life is told: its number, settings, where to write, and where it is struck, if at all.

    `strike` is a step, `nth` the time that it is reached, `how` is "kill" or "pause".
    """

    life: int
    environment: dict[str, str]
    notes: str
    log: str
    clock: str = ""
    strike: str = ""
    nth: int = 1
    how: str = "kill"
    defect: str = ""


class Notes:
    """Notes of a run: lines of JSON that several processes append to one file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, kind: str, **fields: object) -> None:
        """Append a note; it is there when this returns."""
        line = json.dumps({"kind": kind, "t": time.time(), **fields}) + "\n"
        os.write(self._file, line.encode())

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)


class _Fate:
    """When this life is struck; steps are counted over all of its threads."""

    def __init__(self, order: Order, notes: Notes) -> None:
        self._order = order
        self._notes = notes
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def _due(self, step: str) -> bool:
        with self._lock:
            self._counts[step] += 1
            return step == self._order.strike and self._counts[step] == self._order.nth

    def reached(self, step: str, client_id: str) -> None:
        """Note that an order is sent; end, or stop, if this is the step."""
        order = self._order
        if step == "before_order":
            self._notes.write("sent", life=order.life, client_id=client_id, began=time.time())
        if not self._due(step):
            return
        self._notes.write("struck", life=order.life, step=step, how=order.how, client_id=client_id)
        os.kill(os.getpid(), signal.SIGKILL if order.how == "kill" else signal.SIGSTOP)

    def in_reply(self) -> bool:
        """Whether this commit is the one whose reply is not to be read."""
        due = self._due("commit_sent") and self._order.how == "kill"
        if due:
            self._notes.write("struck", life=self._order.life, step="commit_sent", how="kill")
        return due


def live(order: Order) -> int:
    """Live until told to stop; returns the exit status that the daemon's own process would have."""
    _into_log(order.log)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    os.environ.update(order.environment)
    notes = Notes(Path(order.notes))
    fate = _Fate(order, notes)
    if order.defect:
        DEFECTS[order.defect].apply()
    step_requests(fate.reached)
    wall = WallClock(Path(order.clock)) if order.clock else None
    off_s = wall.off_s() if wall is not None else 0.0
    if wall is not None:
        wall.rule()
    try:
        settings = load(None, os.environ)
        log.configure(daemon="apply_layer", level=settings.log.level, as_json=True)
        metrics = RunnerMetrics()
        made = service(settings, metrics)
        bus = SteppedBus(settings.redis.url, "apply_layer")
        bus.reached, bus.dies_in_reply, bus.clock = fate.reached, fate.in_reply, time.time
        bus.die = lambda: os.kill(os.getpid(), signal.SIGKILL)
        bus.acquired = lambda epoch: notes.write(
            "acquired", life=order.life, epoch=epoch, clock_off_s=off_s
        )
        bus.committed = lambda began: notes.write("committed", life=order.life, began=began)
        Runner(made, bus, metrics=metrics, stop=stop).run()
    except SettingsError as error:
        log.logger().error("settings", reason=str(error))
        return EXIT_SETTINGS
    except Superseded as error:
        log.logger().error("superseded", reason=str(error))
        return EXIT_SUPERSEDED
    except StateLost as error:
        log.logger().error("state_lost", reason=str(error))
        return 1
    return 0


def _into_log(path: str) -> None:
    """Everything that this process prints goes to the log of the run."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
