"""A daemon's standing on the bus: it waits for the server, takes over, and commits for certain.

While the server is away a daemon says so, tries again with backoff and loses nothing: a commit is
repeated until the bus knows whether it happened.
"""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import TypeVar

from shared.bus import Bus, BusDown, Commit, NotReady, ServerFull
from shared.contracts.values import format_timestamp
from shared.log import logger
from shared.metrics import RunnerMetrics
from shared.streams import STREAMS, Stream, inputs_of
from shared.systemd import Supervisor

BACKOFF_S = (0.1, 5.0)
HOUSEKEEPING_S = 2.0

T = TypeVar("T")


class Stopped(Exception):
    """The daemon was told to stop while it waited for the server."""


class Session:
    """One daemon's bus with patience. `stop` ends every wait."""

    def __init__(
        self,
        bus: Bus,
        daemon: str,
        *,
        metrics: RunnerMetrics,
        stop: threading.Event,
        supervisor: Supervisor | None = None,
        producers: Sequence[Stream] = (),
        reload: Callable[[], None] = lambda: None,
    ) -> None:
        self.bus = bus
        self.daemon = daemon
        self.metrics = metrics
        self.stop = stop
        self.supervisor = supervisor or Supervisor()
        self._reload = reload
        self._stands = False
        self._trims = [stream for stream in STREAMS if stream.writers[0] == daemon]
        # Nobody else trims what a producer has written: it cannot read, and so need not be trusted.
        self._trims += producers
        self._tidy_at = 0.0
        self._sign = {
            "started_at": format_timestamp(datetime.now(UTC)),
            "pid": str(os.getpid()),
            "host": socket.gethostname(),
            "version": metadata.version("quantum-trader"),
        }

    def acquire(self) -> dict[str, bytes]:
        """Wait for the server, become the owner of the daemon's state and return its documents."""
        documents = self.patiently(self.bus.acquire)
        logger().info("started", documents=len(documents))
        return documents

    def commit(self, commit: Commit) -> None:
        """Commit, however often the server goes away meanwhile; it happens exactly once."""
        started = time.perf_counter()
        self.patiently(lambda: self.bus.commit(commit))
        self.metrics.commit_seconds.observe(time.perf_counter() - started)
        # A batch may hold many orders to a venue that takes its time: each one done is progress.
        self.supervisor.alive()

    def patiently(self, call: Callable[[], T]) -> T:
        """Make a call that is safe to repeat until the server answers it.

        Raises:
            Stopped: told to stop while the server was away.
        """
        delay_s, longest_s = BACKOFF_S
        away = False
        while True:
            try:
                answer = call()
            except (BusDown, NotReady) as error:
                self.metrics.bus_down.inc()
                away = True
                # Each attempt has a time limit, and to start again would bring no server back.
                self.supervisor.waits(f"waits for Redis: {error}")
                logger().warning(
                    "server_unavailable", reason=str(error), retry_in_s=round(delay_s, 1)
                )
                if isinstance(error, ServerFull):
                    self._make_room()
                if self.stop.wait(delay_s):
                    raise Stopped(str(error)) from error
                delay_s = min(delay_s * 2, longest_s)
            else:
                if away:
                    logger().info("server_back")
                return answer

    def _make_room(self) -> None:
        """Trim, which a server without memory still does: what waits is what else would."""
        try:
            for stream in self._trims:
                self.bus.trim(stream)
        except (BusDown, NotReady) as error:
            logger().warning("trimming_put_off", reason=str(error))

    def others_are_idle(self) -> bool:
        """Whether every other group has finished all there is on every stream."""
        rows = self.patiently(self.bus.backlog)
        return all(row.idle for row in rows if row.group != self.daemon)

    def wait(self, seconds: float = math.inf) -> None:
        """Wait so long, or until told to stop, with housekeeping meanwhile."""
        until = time.monotonic() + seconds
        while not self.stop.wait(max(0.0, min(until - time.monotonic(), HOUSEKEEPING_S))):
            self.housekeeping()
            if time.monotonic() >= until:
                return

    def housekeeping(self, *, waits_for: str = "") -> None:
        """What is due between two turns of the loop; `waits_for` is what holds it up, if anything.

        It says that the loop goes round, and reads the settings again if that was asked for; every
        so often it trims the daemon's streams, measures its backlog and leaves a sign of life. It
        is never called from a thread of its own, so that what it says it says of the loop: a
        daemon that hangs is silent, however well its threads are.
        """
        if not self._stands:
            self._stands = True
            self.supervisor.ready()
        self.supervisor.alive()
        if waits_for:
            self.supervisor.waits(f"waits for {waits_for}")
        self._reload()
        now = time.monotonic()
        if now < self._tidy_at:
            return
        self._tidy_at = now + HOUSEKEEPING_S
        try:
            behind = self._tidy()
            self._beat()
            if not waits_for:
                self.supervisor.status(f"runs, {behind:,} messages behind" if behind else "runs")
        except (BusDown, NotReady) as error:
            # The next call that matters will wait for the server.
            self.metrics.bus_down.inc()
            logger().warning("housekeeping_put_off", reason=str(error))

    def _beat(self) -> None:
        self.bus.beat({"at": format_timestamp(datetime.now(UTC)), **self._sign})

    def _tidy(self) -> int:
        behind = 0
        for stream in self._trims:
            self.bus.trim(stream)
        for row in self.bus.backlog() if inputs_of(self.daemon) else ():
            if row.group == self.daemon:
                behind += row.pending + (row.lag or 0)
                self.metrics.pending.labels(row.stream).set(row.pending)
                # What the server cannot count must not look like nothing.
                self.metrics.lag.labels(row.stream).set(math.nan if row.lag is None else row.lag)
        return behind


def flat(stream: Stream, fields: list[tuple[str, str]]) -> tuple[str, list[str | bytes]]:
    """A message's fields as `Commit.published` takes them."""
    return stream.key, [part for pair in fields for part in pair]
