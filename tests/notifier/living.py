"""notifier as a process on a real server, and what the ring says to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from shared.cli.ring import Ring
from tests.ring.live import a_client, eventually

from .phone import Phone


def write_receivers(folder: Path, *phones: Phone) -> Path:
    """The file of receivers, as its owner would write it."""
    path = folder / "receivers.txt"
    path.touch(mode=0o600)
    path.write_text("# who is told\n" + "".join(f"{phone.address}\n" for phone in phones))
    return path


@dataclass
class Living:
    """A notifier that is looked after by a supervisor, or killed."""

    ring: Ring
    client: Redis
    log: Path

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for a condition while a crashed notifier is started again."""

        def watched() -> Any:
            self.ring.watch()
            return condition()

        eventually(watched, f"{what}; log: {self.log}")

    def until_it_listens(self) -> None:
        """Wait until whatever is said from now on is heard."""
        self.until(lambda: self.client.exists("quantum:heartbeat:notifier"), "a first turn")


@contextmanager
def a_notifier(
    url: str, folder: Path, receivers: Path, settings: Mapping[str, str] | None = None
) -> Iterator[Living]:
    """notifier in a process of its own, until the end of the block."""
    own = {
        "QUANTUM_METRICS__BASE_PORT": "0",
        "QUANTUM_NOTIFIER__RECEIVERS_FILE": str(receivers),
        "QUANTUM_LOG__LEVEL": "debug",
    }
    client = a_client(url)
    try:
        with Ring(url, own | dict(settings or {}), folder, daemons=("notifier",)) as ring:
            yield Living(ring, client, folder / "notifier.log")
    finally:
        client.close()
