"""The runner: everything about a daemon that is not its decision, once for all of them.

It reads its consumer group, validates, decides and commits. One commit takes the outputs, the
changed state and the acknowledgements of a batch together, so a message is either wholly done or
not done at all, and a crash at any instruction is recovered by the same path as a start.

A request to the outside world is made only after the state that tells of it is durable. The
message that caused it is acknowledged when everything that it caused is done. Where the outside
does several requests at once, messages of different symbols do not wait for each other; those of
one symbol keep their order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from shared.arrivals import Arrivals
from shared.at_once import AtOnce, Cause
from shared.batch import Batch
from shared.bus import Bus, Entry, StateLost, Superseded
from shared.clock import CLOCK, Clock
from shared.contracts import LOCKSTEP_SOURCE, BadMessage, Message, decode
from shared.decisions import ClockSet, DeadLetter, Mode, Note, Produced, Received, Record
from shared.log import logger
from shared.metrics import RunnerMetrics
from shared.outside import Concurrent, NotYet, Outside, Waits
from shared.service import Service
from shared.session import Session, Stopped
from shared.settings import SettingsError
from shared.state import StateCodec
from shared.streams import BATCH, BLOCK_MS, MAX_DELIVERIES
from shared.systemd import Supervisor
from shared.ticks import MAX_AHEAD

S = TypeVar("S")
P = TypeVar("P")

#: How soon to look again at a world that was not seen since the start: something may be naked.
_UNSEEN_S = (0.25, 5.0)
#: How long to wait for answers, and for messages while answers are due.
_ANSWERS_S, _BUSY_BLOCK_MS = 0.02, 5
#: How soon to look again whether the others are done with a step of a replay.
_TURN_POLL_S = 0.0003


class Runner(Generic[S, P]):
    """Runs one service on one bus. `step` is one turn; `run` turns until told to stop."""

    def __init__(
        self,
        service: Service[S, P],
        bus: Bus,
        *,
        metrics: RunnerMetrics | None = None,
        stop: threading.Event | None = None,
        now: Callable[[], datetime] | None = None,
        clock: Clock | None = None,
        max_tick_ahead: timedelta = MAX_AHEAD,
        cycle_s: float = 1.0,
        supervisor: Supervisor | None = None,
        reload: Callable[[], P | None] = lambda: None,
    ) -> None:
        self.metrics = metrics or RunnerMetrics()
        self.stop = stop or threading.Event()
        self._service = service
        self._bus = bus
        self._reload = reload
        self._session = Session(
            bus,
            service.name,
            metrics=self.metrics,
            stop=self.stop,
            supervisor=supervisor,
            producers=service.producers,
            reload=self._take_new_policy,
        )
        self._codec = StateCodec(service.state)
        own = clock or (Clock.of(now) if now else CLOCK)
        self._arrivals = Arrivals(service.name, own, max_tick_ahead, self.metrics)
        self._now = own.now
        self._cycle_s = cycle_s
        self._cycle_at = 0.0
        self._mode = Mode.RUN
        self._entry: Entry | None = None
        self._in_hand: Sequence[Entry] = ()
        self._performed = False
        self._unseen = ""
        self._unseen_s = _UNSEEN_S[0]
        self._batch = Batch(self._session, self.metrics, service.measure)
        self._cause = Cause()
        self._requests: list[tuple[object, Cause]] = []
        outside = service.outside
        self._line: AtOnce[Cause] | None = None
        if isinstance(outside, Concurrent):
            self._line = AtOnce(outside, most=outside.at_once, kept=outside.kept)

    def start(self) -> None:
        """Take over: load the state, and look at the outside world as after a crash."""
        documents = self._session.acquire()
        self._arrivals.began(documents)
        self.state = self._committed = self._codec.load(documents)
        if self._service.outside is not None:
            self._service.outside.restore(documents)
        self._cycle_at = 0.0

    def run(self) -> None:
        """Turn until `stop` is set; a batch that was begun is finished first.

        Raises:
            Superseded, StateLost: this instance is over, and the caller says so.
            SettingsError: the world outside cannot be used as it is set up.
        """
        try:
            self.start()
            while not self.stop.is_set():
                self.turn()
            self._finish()
        except Stopped:
            logger().warning("stopped_without_server")
        except (Superseded, StateLost, SettingsError):
            raise
        except Exception:
            logger().critical("crashed", entry=self._entry and self._entry.id, exc_info=True)
            raise
        finally:
            if self._line is not None:
                self._line.close()
            if self._service.outside is not None:
                self._service.outside.close()
            self._bus.close()
        logger().info("stopped")

    def turn(self, *, block_ms: int = BLOCK_MS) -> int:
        """One step, however long the server is away, and what has to be done between two.

        Raises:
            Stopped, Superseded, StateLost.
        """
        taken = self._session.patiently(lambda: self.step(block_ms=block_ms))
        self._session.housekeeping(waits_for=self._unseen)
        return taken

    def _take_new_policy(self) -> None:
        """Decide by other settings from the next batch on; as after a restart, with this state."""
        policy = self._reload()
        if policy is not None:
            self._service = replace(self._service, policy=policy)

    def step(self, *, block_ms: int = BLOCK_MS) -> int:
        """One turn: read a batch, decide it, commit it. Returns how many entries it had.

        Raises:
            BusDown, NotReady: nothing could be read; nothing is in hand.
            Superseded, StateLost: this instance is over; it has done nothing by halves.
        """
        outside = self._service.outside
        self._performed = False
        if outside is not None and self._is_due(outside):
            try:
                self._look_outside(outside)
                self._unseen = ""
            except NotYet as unseen:
                self._unseen = f"its venue: {unseen}"
                logger().error("outside_not_seen", reason=str(unseen), retry_in_s=self._unseen_s)
                self._cycle_at = 0.0
                self.stop.wait(self._unseen_s)
                self._unseen_s = min(2 * self._unseen_s, _UNSEEN_S[1])
                return 0
        if self._line:
            self._hear(0.0)
            block_ms = min(block_ms, _BUSY_BLOCK_MS)
        entries = self._in_hand
        if not entries:
            entries = self._bus.read(count=BATCH, block_ms=block_ms)
            self._arrivals.came(entries)
        if not entries:
            return 0
        self._in_hand = entries if self._is_turn_of_others(entries) else ()
        if self._in_hand:
            self.stop.wait(_TURN_POLL_S)
            return 0
        if self._service.obeys_mode:
            self._mode = Mode.of(self._session.patiently(self._bus.mode))
        started = time.perf_counter()
        (self._one_by_one if self._line is None else self._side_by_side)(entries)
        self.metrics.decide_seconds.observe(time.perf_counter() - started)
        self._commit()
        return len(entries)

    def _is_turn_of_others(self, entries: Sequence[Entry]) -> bool:
        """Whether others must be done with a step of a replay before this daemon takes it."""
        in_step = (b"source", LOCKSTEP_SOURCE.encode())
        if not self._service.comes_last or not any(in_step in e.fields for e in entries):
            return False
        return not self._session.others_are_idle()

    def _one_by_one(self, entries: Iterable[Entry]) -> None:
        """Decide messages in their order, each with all that it causes."""
        received_at = self._now()
        for entry in entries:
            self._take_up(entry, received_at)
            self._look_if_due()

    def _side_by_side(self, entries: Iterable[Entry]) -> None:
        """Decide messages, each as soon as nothing of its symbol is under way, until all is done.

        A message whose requests are under way is acknowledged when the last of them is over.
        """
        line = self._line
        waiting, causes = list(entries), list[Cause]()
        while line is not None and (waiting or any(cause.open for cause in causes)):
            received_at = self._now()
            busy = {key.encode() for key in line.keys}
            later = []
            for entry in waiting:
                symbol = dict(entry.fields).get(b"symbol", b"")
                if symbol in busy:
                    later.append(entry)
                    continue
                causes.append(self._take_up(entry, received_at))
                if causes[-1].open:
                    busy.add(symbol)
            # One that waits keeps those of its symbol behind it.
            waiting = later
            self._send()
            if line:
                self._hear(_ANSWERS_S)
            self._look_if_due()

    def _look_if_due(self) -> None:
        """Orders take their time, and what the venue does meanwhile may not wait for them."""
        outside = self._service.outside
        if outside is not None and self._performed and self._is_due(outside):
            self._look_outside(outside)

    def _take_up(self, entry: Entry, received_at: datetime) -> Cause:
        cause = self._cause = Cause(entry)
        self._entry = entry
        self._take(entry, received_at)
        self._cause, self._entry = Cause(), None
        if not cause.open:
            self._batch.acknowledge(entry)
        return cause

    def _is_due(self, outside: Outside) -> bool:
        return time.monotonic() >= self._cycle_at or outside.urgent()

    def _look_outside(self, outside: Outside) -> None:
        self._cycle_at = time.monotonic() + self._cycle_s
        if self._service.obeys_mode:
            self._mode = Mode.of(self._session.patiently(self._bus.mode))
        for fact in outside.cycle():
            self._decide_all((fact,))
            self._settle()
        self._commit()

    def _take(self, entry: Entry, received_at: datetime) -> None:
        if entry.missed:
            gone = f"{entry.missed} entries before this one were removed before they were read"
            self._batch.bury(entry._replace(fields=()), "trimmed", gone, received_at)
        if not entry.fields:
            self._batch.bury(entry, "trimmed", "it was removed before it was read", received_at)
            return
        if entry.deliveries > MAX_DELIVERIES:
            self._batch.bury(entry, "poison", f"failed {entry.deliveries - 1} times", received_at)
            return
        try:
            message = decode(entry.stream.contract, entry.fields)
            received_at = self._heard_at(message, received_at)
            self._arrivals.refuse_ahead(message)
        except BadMessage as bad:
            if entry.stream.readers[0] == self._service.name:
                self._batch.bury(entry, bad.code, bad.detail, received_at)
            else:
                self._batch.count(self.metrics.messages, entry.stream.name, "unreadable")
            return
        self._batch.count(self.metrics.messages, entry.stream.name, "read")
        if entry.stream.producer:
            self._decide(Produced(entry.stream.producer, message), received_at)
            return
        if self._service.outside is not None:
            for fact in self._service.outside.observe(message, received_at):
                self._decide(fact, received_at)
        self._decide(message, received_at)
        if self._line is None:
            self._settle()

    def _heard_at(self, message: Message, received_at: datetime) -> datetime:
        """When a message arrived, by a clock that it may have put right."""
        by = self._arrivals.heard(message)
        if not by:
            return received_at
        now = self._now()
        self._decide(ClockSet(by), now)
        return now

    def _decide(self, event: object, received_at: datetime) -> None:
        received = Received(event, received_at, self._mode)
        self.state, outputs = self._service.decide(self.state, received, self._service.policy)
        for output in outputs:
            if isinstance(output, Message | Record | Note):
                self._batch.add(output)
            elif isinstance(output, DeadLetter):
                if self._entry is None:
                    raise TypeError("a dead letter without a message")
                self._batch.bury(self._entry, output.code, output.detail, received_at)
            else:
                self._cause.open += 1
                self._requests.append((output, self._cause))

    def _settle(self) -> None:
        """Make the requests in hand, each after it is durable that we would, until none is left."""
        outside = self._service.outside
        if self._line is not None:
            self._send()
        while self._requests:
            if outside is None:
                raise TypeError(f"{self._service.name} cannot perform {self._requests[0][0]!r}")
            self._commit()
            self._performed = True
            requests, self._requests = self._requests, []
            for request, cause in requests:
                self._decide_all(outside.perform(request))
                cause.open -= 1

    def _send(self) -> None:
        """Put the requests in hand in line, after it is durable that we would."""
        outside, line = self._service.outside, self._line
        if line is None or not isinstance(outside, Concurrent):
            return
        while self._requests:
            self._commit()
            self._performed = True
            requests, self._requests = self._requests, []
            at_once = []
            for request, cause in requests:
                if line.has(request):
                    self._over(cause)
                elif (place := outside.asked(request)) is not None:
                    line.submit(request, place, cause)
                else:
                    at_once.append((request, cause))
            for request, cause in at_once:
                self._told(outside.perform(request), cause)

    def _hear(self, wait_s: float) -> None:
        """Decide what requests have brought, and send what follows from it."""
        outside, line = self._service.outside, self._line
        if line is None or not isinstance(outside, Concurrent):
            return
        found = line.done(wait_s)
        for done in found:
            self._told(outside.heard(done.request, done.answers()), done.cause)
        if found:
            self._send()
            self._commit()

    def _told(self, facts: Iterable[object], cause: Cause) -> None:
        """Decide the facts of one request, which is over then."""
        before = self._cause, self._entry
        self._cause, self._entry = cause, cause.entry
        self._decide_all(facts)
        self._cause, self._entry = before
        self._over(cause)

    def _over(self, cause: Cause) -> None:
        """One request of a cause is over; with the last one the message is done."""
        cause.open -= 1
        if not cause.open and cause.entry is not None:
            self._batch.acknowledge(cause.entry)

    def _decide_all(self, facts: Iterable[object]) -> None:
        for fact in facts:
            if isinstance(fact, Waits):
                self._hear(0.0)
            else:
                # A venue takes its time: how long a position stands naked must show.
                self._decide(fact, self._now())

    def _finish(self) -> None:
        """Hear the end of what is under way."""
        while self._line:
            self._session.supervisor.alive()
            self._hear(_ANSWERS_S)

    def _commit(self) -> None:
        """Commit what is in hand, with what changed of the state."""
        documents = self._codec.changes(self._committed, self.state)
        if self._service.outside is not None:
            documents |= self._service.outside.documents()
        if documents or self._batch:
            documents |= self._arrivals.documents()
        self._batch.commit(documents)
        self._committed = self.state
