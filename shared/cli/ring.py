"""The ring as child processes: what systemd does on a server, `quantum up` does in a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from shared.candle_names import named
from shared.daemon import EXIT_SETTINGS, EXIT_SUPERSEDED
from shared.streams import DAEMONS

STOP_WITHIN_S = 20.0
_RESTART_FIRST_S = 0.2
_RESTART_LONGEST_S = 5.0
#: A daemon that ran this long before it ended starts again without delay.
_RAN_WELL_S = 10.0
#: Crashes in a row after which a replay gives up.
_HOPELESS = 5
#: Ends that starting again would not mend.
_FINAL = (0, EXIT_SUPERSEDED, EXIT_SETTINGS)


@dataclass
class _Child:
    daemon: str
    process: subprocess.Popen[bytes]
    started_at: float
    failures: int = 0
    restart_at: float | None = None


@dataclass
class Ring:
    """Six daemons on one server. `logs` is a folder for one log file each, or None for stderr.

    A daemon that crashes is started again, with backoff; one that is superseded or that cannot
    use its settings is not. `restarts` counts by daemon.
    """

    redis_url: str
    environment: Mapping[str, str] = field(default_factory=dict)
    logs: Path | None = None
    daemons: tuple[str, ...] = DAEMONS
    on_end: Callable[[str, int], None] = lambda _daemon, _status: None
    restarts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._children: dict[str, _Child] = {}
        self._files: list[IO[bytes]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start every daemon; readers first, so that nothing waits for long."""
        for daemon in reversed(self.daemons):
            self._children[daemon] = self._spawn(daemon)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every daemon: each finishes its batch, and is killed only if it does not."""
        running = [c.process for c in self._children.values() if c.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WITHIN_S
        for process in running:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for file in self._files:
            file.close()

    def _spawn(self, daemon: str) -> _Child:
        environment = {
            **os.environ,
            **self.environment,
            "REDIS_URL": self.redis_url,
            "PYTHONUNBUFFERED": "1",
        }
        log: IO[bytes] | None = None
        if self.logs is not None:
            log = (self.logs / f"{daemon}.log").open("ab")
            self._files.append(log)
        process = subprocess.Popen(
            [sys.executable, "-m", f"services.{daemon}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log if log is not None else sys.stderr.fileno(),
            stderr=log,
            # Ctrl-C reaches this process alone, which then stops the others in good order.
            start_new_session=True,
        )
        return _Child(daemon, process, time.monotonic())

    def watch(self) -> None:
        """Look after the daemons once: start again what has crashed. Call it every so often."""
        with self._lock:
            for child in tuple(self._children.values()):
                self._look_after(child)

    def _look_after(self, child: _Child) -> None:
        status = child.process.poll()
        if status is None:
            return
        now = time.monotonic()
        if child.restart_at is None:
            self.on_end(child.daemon, status)
            if status in _FINAL:
                child.restart_at = float("inf")
                return
            if now - child.started_at > _RAN_WELL_S:
                child.failures = 0
            delay_s = min(_RESTART_FIRST_S * 2**child.failures, _RESTART_LONGEST_S)
            child.restart_at = now + delay_s
        if now >= child.restart_at:
            self.restarts[child.daemon] = self.restarts.get(child.daemon, 0) + 1
            again = self._spawn(child.daemon)
            again.failures = child.failures + 1
            self._children[child.daemon] = again

    def kill(self, daemon: str) -> None:
        """SIGKILL one daemon, as a crash would end it; `watch` starts it again."""
        child = self._children[daemon]
        child.process.kill()
        child.process.wait()

    def status(self, daemon: str) -> int | None:
        """The exit status of a daemon that has ended for good, None while it runs or restarts."""
        child = self._children[daemon]
        ended = child.process.poll()
        return ended if ended in _FINAL else None

    def hopeless(self) -> str | None:
        """A daemon that has crashed again and again without ever running well, if there is one.

        A ring that trades goes on trying, because a position may be open; a replay need not.
        """
        return next((c.daemon for c in self._children.values() if c.failures >= _HOPELESS), None)

    def pid(self, daemon: str) -> int:
        """The process id of a daemon."""
        return self._children[daemon].process.pid


@contextmanager
def sigterm_ends_in_order() -> Iterator[None]:
    """Daemons are sessions of their own: they would outlive a parent that SIGTERM just ends."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def replay_environment(
    files: list[str], *, speed: str, until_end: bool, max_ticks_ahead: int | None = None
) -> dict[str, str]:
    """Settings, as the environment says them, for a ring that replays candle files."""
    symbols = sorted({named(file).symbol for file in files} - {""})
    environment = {
        "QUANTUM_MARKET_FEED__FILES": json.dumps(files, ensure_ascii=False),
        "QUANTUM_MARKET_FEED__SPEED": speed,
        "QUANTUM_MARKET_FEED__UNTIL_END": "true" if until_end else "false",
        "QUANTUM_APPLY_LAYER__SYMBOLS": json.dumps(symbols, ensure_ascii=False),
    }
    if max_ticks_ahead is not None:
        environment["QUANTUM_MARKET_FEED__MAX_TICKS_AHEAD"] = str(max_ticks_ahead)
    return environment
