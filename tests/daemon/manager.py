"""A small stand-in for systemd: it hears what a daemon says, and hands it sockets that listen."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
WITHIN_S = 30.0
_POLL_S = 0.02
#: Takes the place of itself with a program whose descriptor 3 is the socket that it was given.
_HAND_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": sys.argv[2]}
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""


class Manager:
    """One daemon at a time, and all that it has said."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self.said: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "log"
        self._hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._hears.bind(self.address)

    def start(
        self,
        *words: str,
        environment: Mapping[str, str] | None = None,
        handed: socket.socket | None = None,
        under: str = "metrics",
    ) -> None:
        """Start `python WORDS`, with `handed` under a name."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("QUANTUM_", "REDIS_"))}
        own = {"NOTIFY_SOCKET": self.address, "QUANTUM_METRICS__BASE_PORT": "0"}
        descriptors = [] if handed is None else [handed.fileno()]
        before = [word for one in descriptors for word in ("-c", _HAND_OVER, str(one), under)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *before, *words],
                cwd=ROOT,
                env=plain | own | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=descriptors,
            )

    def hear(self, within_s: float = 0.0) -> bool:
        """Take in what was said; False if nothing was within the time."""
        ready, _, _ = select.select([self._hears], [], [], within_s)
        if ready:
            self.said += self._hears.recv(4096).decode().splitlines()
        return bool(ready)

    def until(self, condition: Callable[[], T], what: str) -> T:
        """Listen until `condition` holds; returns its value."""
        deadline = time.monotonic() + WITHIN_S
        while not (value := condition()):
            assert time.monotonic() < deadline, f"{what}\n{self.said}\n{self.log.read_text()}"
            self.hear(_POLL_S)
        return value

    def until_said(self, line: str, times: int = 1) -> None:
        """Listen until a line was said so often."""
        self.until(lambda: self.said.count(line) >= times, f"{line} {times} times")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log that tell of one event."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in told if line["event"] == name]

    def has_logged(self, lines: list[str]) -> bool:
        """Whether its log has these lines, each as often as they are here."""
        logged = self.log.read_text(encoding="utf-8").splitlines()
        return all(logged.count(line) >= lines.count(line) for line in lines)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def ends(self) -> int:
        """Wait for its end; returns its exit status."""
        assert self.process is not None
        return self.process.wait(WITHIN_S)

    def close(self) -> None:
        """Kill it if it still runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._hears.close()


@contextlib.contextmanager
def a_manager(folder: Path) -> Iterator[Manager]:
    """A manager whose daemon ends with the block."""
    manager = Manager(folder)
    try:
        yield manager
    finally:
        manager.close()
