"""notifier in this process, on a real server and with real receivers; its clock is the test's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis

from services.notifier.__main__ import Notifier
from services.notifier.outbox import Policy
from services.notifier.outside.addresses import Address
from services.notifier.outside.listener import Listener
from services.notifier.outside.receivers import Receivers
from shared.bus import RedisBus, load_library
from shared.metrics import RunnerMetrics
from shared.session import Session
from tests.ring.live import a_client, call, eventually
from tests.ring.messages import golden

from .phone import Phone


def say(client: Redis, name: str, **changes: str) -> str:
    """Put a golden message on its stream, as the ring would."""
    message = golden(name, **changes)
    words = [word for pair in message.fields.items() for word in pair]
    return str(call(client, "XADD", message.stream.key, "*", *words), "ascii")


@dataclass
class Desk:
    """One notifier after another on the same state; `ahead` is how far its clock goes ahead."""

    url: str
    client: Redis
    phones: tuple[Phone, ...]
    policy: Policy = field(default_factory=Policy)
    timeout_s: float = 20.0
    ahead: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin as a new process would; the one before is gone, with whatever it had in hand."""
        self.make()
        self.notifier.begin()
        self.notifier.turn()

    def make(self) -> None:
        """A notifier that has not begun."""
        self.metrics = RunnerMetrics()
        self.receivers = Receivers(
            [Address(f"{n} json", phone.address) for n, phone in enumerate(self.phones, 1)],
            timeout_s=self.timeout_s,
        )
        self.bus = RedisBus(self.url, "notifier")
        self.stop = threading.Event()
        session = Session(self.bus, "notifier", metrics=self.metrics, stop=self.stop)
        self.listener = Listener(self.url)
        self.notifier = Notifier(
            session,
            self.listener,
            self.receivers,
            self.policy,
            now=lambda: datetime.now(UTC) + self.ahead,
            block_ms=5,
        )

    def end(self) -> None:
        """End it as a kill would: nothing is finished first."""
        self.receivers.close()
        self.bus.close()
        self.listener.close()

    def restart(self) -> None:
        """One is killed, another starts."""
        self.end()
        self.start()

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Turn until a condition holds."""

        def turned() -> Any:
            self.notifier.turn()
            return condition()

        eventually(turned, what)

    def until_told(self, *texts: str) -> None:
        """Turn until each of these words has come to every phone."""

        def all_there() -> bool:
            return all(
                any(text in line for line in phone.lines) for phone in self.phones for text in texts
            )

        self.until(all_there, f"{texts} among {[phone.lines for phone in self.phones]}")

    def until_idle(self) -> None:
        """Turn until nothing is left to tell."""
        self.until(lambda: not self.left, "nothing left to tell")

    @property
    def left(self) -> float:
        """How much news is still to be told, as /metrics has it."""
        return sum(
            sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "quantum_notices_waiting"
        )

    def count(self, name: str, **labels: str) -> float:
        """A figure of /metrics."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@contextmanager
def a_desk(url: str, *phones: Phone, **options: Any) -> Iterator[Desk]:
    """A notifier that has taken over and listens."""
    client = a_client(url)
    load_library(client)
    desk = Desk(url, client, phones, **options)
    try:
        yield desk
    finally:
        desk.end()
        client.close()
