"""What is done to the machine, in order, and what must be so after each step."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from shared.cli.demo_market import ring_prices, write_candles
from shared.cli.story import reader
from shared.streams import APPLY_RESULT
from tests.boot.machine import Failed, Machine
from tests.ring.live import texts

T = TypeVar("T")

CHECKOUT = "/root/quantum-trader"
INSTALL = (f"{CHECKOUT}/deploy/install.sh", "--wheels", "/wheels")
CONFIG = "/etc/quantum/quantum.toml"
CANDLES = "/var/lib/quantum/candles"
SOCKET = "/run/quantum-redis/redis.sock"
#: May do everything: it looks where no user of the suite may, and sends what a producer would.
TESTER = "user boot_test on ~* &* +@all\n"

REPLAY = f"""
[market_feed]
files = ["{CANDLES}/RIVERUSDT-1m-demo.csv"]
speed = "max"

[apply_layer]
symbols = ["RIVERUSDT"]
"""


class Evening:
    """One machine from clean to clean. Every line that is printed was asserted before."""

    def __init__(self, machine: Machine, version: str) -> None:
        self._machine = machine
        self._version = version
        self._began = time.monotonic()

    def play(self) -> None:
        """All of it."""
        self._dry_run()
        self._first_harvest()

    def _say(self, sentence: str) -> None:
        at_s = time.monotonic() - self._began
        print(f"{datetime.now(UTC):%H:%M:%S} {at_s:6.1f} s  {sentence}", flush=True)  # noqa: T201

    def _until(self, condition: Callable[[], T], what: str, within_s: float = 60.0) -> T:
        deadline = time.monotonic() + within_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise Failed(f"not within {within_s} s: {what}\n{self._troubles()}")
            time.sleep(0.05)
        return value

    def _troubles(self) -> str:
        run = self._machine.run
        return run("systemctl", "list-units", "--all", "--no-pager", "quantum*", check=False) + run(
            "journalctl", "--no-pager", "-n", "60", "-u", "quantum-*", check=False
        )

    def _redis(self) -> Any:
        return reader(self._url("boot_test"))

    def _url(self, user: str) -> str:
        env = self._machine.inside(f"/etc/quantum/redis/{user}.env").read_text(encoding="utf-8")
        url = env.splitlines()[0].partition("=")[2]
        return url.replace(SOCKET, str(self._machine.inside(SOCKET)))

    def _dry_run(self) -> None:
        with (self._machine.inside(f"{CHECKOUT}/deploy/redis/users.acl")).open("a") as users:
            users.write(TESTER)
        before = _files(self._machine.root)
        said = self._machine.run(*INSTALL, "--dry-run")
        after = _files(self._machine.root)
        assert before == after, before ^ after
        self._say(f"--dry-run lists {said.count('would change')} changes and makes none")

    def _first_harvest(self) -> None:
        machine = self._machine
        candles = machine.inside(CANDLES)
        candles.mkdir(parents=True)
        write_candles(candles, ring_prices())
        machine.inside("/etc/quantum").mkdir()
        machine.inside(CONFIG).write_text(REPLAY, encoding="utf-8")
        started = time.monotonic()
        said = machine.run(*INSTALL)
        self._say(f"installed: {said.splitlines()[-1]}")
        self._until(lambda: _fills(self._redis(), "PARTIAL_25"), "a first harvest")
        self._say(f"first paper harvest {time.monotonic() - started:.1f} s after the install began")
        said = machine.run(*INSTALL)
        assert "Nothing had to be changed." in said, said
        self._say("a second run has nothing to change")


def _fills(client: Any, reason: str) -> list[dict[str, str]]:
    return [row for row in texts(client, APPLY_RESULT) if row.get("reason") == reason]


def _files(root: Path) -> set[tuple[str, int]]:
    """Every file where an installer writes, with its time of change."""
    found = set()
    for folder in ("etc", "opt", "usr/local", "var/lib/redis", "root", "var/spool"):
        for path in (root / folder).rglob("*"):
            status = path.lstat()
            found.add((str(path), status.st_mtime_ns))
    return found
