"""Wiring of notifier: hear, decide, keep, tell; the ring never waits for any of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client import Counter, Gauge

from services.notifier.decider import decide
from services.notifier.outbox import Policy
from services.notifier.outside.addresses import WHERE_THEY_BELONG, read_addresses
from services.notifier.outside.listener import Listener
from services.notifier.outside.receivers import Receivers
from services.notifier.records import away
from services.notifier.settings import NotifierSettings
from services.notifier.values import Beat, Began, Counted, Handed, Send, State, Unseen
from shared.bus import BusDown, Commit, NotReady
from shared.daemon import run_producer
from shared.decisions import Note, Received
from shared.log import logger
from shared.metrics import RunnerMetrics
from shared.session import Session
from shared.settings import Settings
from shared.state import StateCodec
from shared.streams import BLOCK_MS

_LOOK_S = 1.0
_RETRY_S = 1.0


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class NotifierMetrics:
    """What became of news, and how the receivers take notices."""

    def __init__(self, metrics: RunnerMetrics) -> None:
        registry = metrics.registry
        self._news = Counter(
            "quantum_notices",
            "News by kind and by what became of it, for each receiver",
            ["kind", "outcome"],
            registry=registry,
        )
        self._handed = Counter(
            "quantum_notices_handed",
            "Notices handed over, by receiver and by how that ended",
            ["receiver", "how"],
            registry=registry,
        )
        self._failures = Gauge(
            "quantum_notices_failures",
            "Notices in a row that a receiver did not take",
            ["receiver"],
            registry=registry,
        )
        self._waiting = Gauge(
            "quantum_notices_waiting",
            "News that a receiver is still to be told",
            ["receiver"],
            registry=registry,
        )

    def count(self, counted: Counted) -> None:
        """Take an outcome into account."""
        self._news.labels(counted.kind, counted.outcome).inc(counted.count)

    def handed(self, handed: Handed) -> None:
        """Take the end of a handing over into account."""
        self._handed.labels(handed.receiver, handed.how).inc()

    def show(self, state: State) -> None:
        """Show how much waits."""
        for name, outbox in state.outboxes.items():
            notice = () if outbox.notice is None else (outbox.notice.news,)
            summed = () if outbox.summed is None else (outbox.summed,)
            waiting = (*outbox.waiting.values(), *notice, *summed)
            self._waiting.labels(name).set(sum(news.count for news in waiting))
            self._failures.labels(name).set(outbox.failures)


class Notifier:
    """Turns until told to stop. What is told is kept first, so that a crash repeats at most that.

    While the server is away it goes on telling what it knows, and that the server is away.
    """

    def __init__(
        self,
        session: Session,
        listener: Listener,
        receivers: Receivers,
        policy: Policy,
        *,
        now: Callable[[], datetime] = _wall_clock,
        block_ms: int = BLOCK_MS,
    ) -> None:
        self.state = State()
        self._session = session
        self._listener = listener
        self._receivers = receivers
        self._policy = policy
        self._now = now
        self._block_ms = block_ms
        self._metrics = NotifierMetrics(session.metrics)
        self._codec = StateCodec(State)
        self._kept = self.state
        self._unkept: tuple[Commit, State] | None = None
        self._standing = False
        self._away = False
        self._look_at = 0.0
        self._sends: list[Send] = []

    def run(self) -> None:
        """Turn until told to stop, and wait for what is on its way then."""
        self.begin()
        try:
            while not self._session.stop.is_set():
                self.turn()
            for handed in self._receivers.handed(wait=True):
                self._take(handed)
            if self._standing:
                self._keep()
        except (BusDown, NotReady) as error:
            logger().warning("stopped_without_server", reason=str(error))
        finally:
            self._receivers.close()
            self._listener.close()
        logger().info("stopped")

    def begin(self) -> None:
        """Know who is told before anything else is known: there may be no server to ask."""
        self._take(Began(self._receivers.names, {}))

    def turn(self) -> None:
        """Hear what is new, tell what is due."""
        reachable = self._hear()
        for handed in self._receivers.handed():
            self._take(handed)
        self._take(Beat())
        self._metrics.show(self.state)
        if reachable:
            try:
                self._keep()
            except (BusDown, NotReady) as error:
                # What could not be kept is told all the same: late is worse than twice.
                self._lost_sight(error)
        for send in self._sends:
            notice = send.notice
            self._receivers.send(
                send.receiver, title=notice.title, body=notice.body, severity=notice.severity
            )
        self._sends.clear()
        self._session.housekeeping(waits_for="" if reachable else "Redis")

    def _hear(self) -> bool:
        """Take everything that is new; False if the server cannot be asked."""
        try:
            if not self._standing:
                self._take_over()
            for event in self._listener.hear(self.state.cursors, block_ms=self._block_ms):
                self._take(event)
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + _LOOK_S
                self._take(self._listener.look())
        except (BusDown, NotReady) as error:
            self._lost_sight(error)
            self._session.stop.wait(_RETRY_S)
            return False
        if self._away:
            self._away = False
            logger().info("server_back")
        return True

    def _take_over(self) -> None:
        """Take over what is remembered, and go on from there."""
        documents = self._session.bus.acquire()
        # Before it was known what is remembered, only that the server is away can be on its way.
        for handed in self._receivers.handed(wait=True):
            self._take(handed)
        self._kept = self._codec.load(documents)
        ends = {} if self._kept.cursors else self._listener.ends()
        began = Began(self._receivers.names, ends, away(self.state.shown))
        self.state = self._kept
        self._take(began)
        self._standing = True
        logger().info("started", documents=len(documents), receivers=self._receivers.names)

    def _lost_sight(self, error: BusDown | NotReady) -> None:
        self._session.metrics.bus_down.inc()
        if not self._away:
            self._away = True
            logger().warning("server_unavailable", reason=str(error))
        self._take(Unseen(str(error)))

    def _keep(self) -> None:
        """Keep what is remembered, in one commit.

        A commit without an answer may have happened: it is made again as it was, before the next.
        """
        while True:
            if self._unkept is None:
                documents = self._codec.changes(self._kept, self.state)
                if not documents:
                    return
                self._unkept = (Commit(documents=documents), self.state)
            commit, state = self._unkept
            self._session.bus.commit(commit)
            self._kept, self._unkept = state, None

    def _take(self, event: object) -> None:
        received = Received(event, self._now())
        self.state, outputs = decide(self.state, received, self._policy)
        if isinstance(event, Handed):
            self._metrics.handed(event)
        for output in outputs:
            if isinstance(output, Send):
                self._sends.append(output)
            elif isinstance(output, Counted):
                self._metrics.count(output)
            elif isinstance(output, Note):
                getattr(logger(), output.level)(output.event, **output.fields)


def body(settings: Settings, session: Session, _stop: threading.Event) -> None:
    """Tell until told to stop."""
    own = settings.section("notifier", NotifierSettings)
    addresses = read_addresses(own.receivers_file, os.environ.get("CREDENTIALS_DIRECTORY"))
    if not addresses:
        logger().warning("nobody_is_told", reason=WHERE_THEY_BELONG)
    receivers = Receivers(addresses, timeout_s=own.timeout_s)
    receivers.check()
    Notifier(session, Listener(settings.redis.url), receivers, own.policy()).run()


def main() -> None:
    """Run until told to stop."""
    run_producer("notifier", body)


if __name__ == "__main__":
    main()
