"""The place where the commands of a document are typed: a checkout, a HOME and a server of its own.

Everything is in one folder and ends with the block that opened it.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from shared.cli.demo_market import write_candles
from shared.server import LocalServer
from shared.streams import APPLY_PLAN
from tests.deploy.redis_users import PEOPLE, TESTER, a_guarded_server
from tests.ring.live import SEED, a_ring, a_server, ladder, write_climb

from .documents import ROOT, Command
from .table import CANDLES, Stage

#: What a command may need of the checkout; `.venv` is made anew.
_CHECKOUT = ("deploy", "docs", "services", "shared", "tests", "pyproject.toml")
_ENDS_WITHIN_S = 120
#: The status of a command that did not end within that, as `timeout` has it.
_NEVER_ENDED = 124
#: Around a status, behind what a command said; nothing that one says has it.
_MARK = "\x1e"

#: The producer of docs/producing-intents.md.
_PRODUCER = "\n[intent_bridge.producer.my_signals]\nmay_exit = true\n"
_QUANTUM = "import sys; from shared.cli import app; sys.argv[0] = 'quantum'; app()"
#: Takes the place of `redis-cli`, which need not be installed: the same words to the test's own
#: server, whatever address they name, as the user they name; an error ends it with 1. It imports
#: little, because it is started often.
_REDIS_CLI = """\
#!{python} -S
import os, socket, sys

server = socket.socket(socket.AF_UNIX)
server.connect({socket!r})

def call(*words):
    parts = [word.encode() for word in words]
    server.sendall(b"*%d\\r\\n" % len(parts))
    server.sendall(b"".join(b"$%d\\r\\n%s\\r\\n" % (len(part), part) for part in parts))
    reply = server.recv(1 << 20)
    if reply.startswith(b"-"):
        sys.exit("(error) " + reply[1:].decode())
    return [row.lstrip("+:") for row in reply.decode().splitlines() if row[:1] not in ("$", "*")]

words = [word for word in sys.argv[1:] if word != "…"]
while words[0].startswith("-"):
    option, value, *words = words
    password = os.environ.get("PASSWORD_OF_" + value.upper())
    if option == "--user" and password:
        call("AUTH", value, password)
    elif option not in ("-s", "--user"):
        sys.exit("redis-cli: what is " + option + "?")
print(*call(*words), sep="\\n")
"""


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended and what it said, errors among it."""

    status: int
    output: str


class Desk:
    """A checkout and one shell in it, as a person has it who goes through a document."""

    def __init__(self, checkout: Path, environment: Mapping[str, str]) -> None:
        self.checkout = checkout
        self._script = checkout.parent / "typed"
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=checkout,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def type(self, command: str) -> Said:
        """Type one command and wait until it has ended; one that does not takes the shell along."""
        if self._shell.poll() is not None:
            return Said(_NEVER_ENDED, "a command before it did not end")
        self._script.write_text(command, encoding="utf-8")
        assert self._shell.stdin is not None
        line = f". {self._script} < /dev/null; printf '{_MARK}%d{_MARK}' $?\n"
        self._shell.stdin.write(line.encode())
        self._shell.stdin.flush()
        told = self._until_the_mark()
        output, _, status = told.decode(errors="replace").rstrip(_MARK).partition(_MARK)
        return Said(int(status or _NEVER_ENDED), output)

    def _until_the_mark(self) -> bytes:
        assert self._shell.stdout is not None
        told = b""
        deadline = time.monotonic() + _ENDS_WITHIN_S
        while told.count(_MARK.encode()) < 2:
            left = deadline - time.monotonic()
            if not select.select([self._shell.stdout], [], [], max(left, 0))[0]:
                self.close()
                break
            more = os.read(self._shell.stdout.fileno(), 1 << 16)
            if not more:
                break
            told += more
        return told

    def close(self) -> None:
        """Leave: the shell and all that still runs in it is ended."""
        if self._shell.poll() is None:
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.communicate()

    def write(self, path: str, text: str) -> None:
        """Write a file that the document tells the reader to write."""
        file = self.checkout / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


@contextmanager
def a_desk(folder: Path, stage: Stage, commands: Sequence[Command]) -> Iterator[Desk]:
    """A desk, and behind it what the stage and the commands need."""
    with ExitStack() as running:
        environment = _environment(folder)
        if stage == "users":
            guarded = running.enter_context(a_guarded_server(folder / "guarded"))
            _hand_over(folder, guarded.url("operator"))
            with guarded.client(TESTER) as client:
                client.xgroup_create(APPLY_PLAN.key, "apply_layer", mkstream=True)
            for user in PEOPLE:
                password = guarded.url(user).partition("@")[0].rpartition(":")[2]
                environment[f"PASSWORD_OF_{user.upper()}"] = unquote(password)
            server = guarded.server
        else:
            server = running.enter_context(a_server(folder / "server"))
            environment["REDIS_URL"] = server.url
            _hand_over(folder, server.url)
            if any(_asks_the_ring(command) for command in commands):
                _start_trading(running, server, folder)
        socket = unquote(server.url.removeprefix("unix://"))
        desk = Desk(_checkout(folder, socket), environment)
        running.callback(desk.close)
        yield desk


def _hand_over(folder: Path, url: str) -> None:
    """The addresses that a person took home from where the installer put them."""
    for user in ("operator", "my_signals"):
        (folder / f"home/{user}.env").write_text(f"REDIS_URL={url}\n", encoding="utf-8")


def _asks_the_ring(command: Command) -> bool:
    return re.search(r"redis-cli|quantum (?!calc|up|init|check)", command.name) is not None


def _start_trading(running: ExitStack, server: LocalServer, folder: Path) -> None:
    """A ring that has taken the first two rungs of a position in BTCUSDT and still holds it."""
    candles = write_climb(folder).rename(folder / "BTCUSDT-1m.csv")
    rows = candles.read_text(encoding="ascii").splitlines(keepends=True)
    candles.write_text("".join(rows[:55]), encoding="ascii")
    settings = SEED.replace("RIVERUSDT", "BTCUSDT") + _PRODUCER
    ring = running.enter_context(
        a_ring(server, folder, settings=settings, candles=candles, until_end=False)
    )
    ring.until(lambda: len(ladder(ring.client)) == 2, "two rungs taken")


def _environment(folder: Path) -> dict[str, str]:
    own = ("QUANTUM_", "REDIS", "PYTEST", "PIP_", "PYTHON")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    bin_ = folder / "checkout/.venv/bin"
    site = folder / "site"
    (folder / "home").mkdir()
    return plain | {
        "HOME": str(folder / "home"),
        "USER": "reader",
        "PATH": f"{bin_}:{plain['PATH']}",
        "COLUMNS": "120",
        "LC_ALL": "C.UTF-8",
        "QUANTUM_METRICS__BASE_PORT": "0",
        # What is installed goes into a folder of the test's own, and nothing comes from outside.
        "PYTHONPATH": f"{site}:{ROOT}",
        "PIP_TARGET": str(site),
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _checkout(folder: Path, socket: str) -> Path:
    """A folder that looks like a checkout, with the programs that a reader has."""
    checkout = folder / "checkout"
    programs = checkout / ".venv/bin"
    programs.mkdir(parents=True)
    for name in _CHECKOUT:
        (checkout / name).symlink_to(ROOT / name)
    texts = {
        "quantum": f'#!/bin/sh\nexec "{sys.executable}" -c "{_QUANTUM}" "$@"\n',
        "python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n',
        "python3": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n',
        "redis-cli": _REDIS_CLI.format(python=sys.executable, socket=socket),
        "quantum-redis-cli": '#!/bin/sh\nexec redis-cli "$@"\n',
        "sudo": '#!/bin/sh\nexec "$@"\n',
    }
    for name, text in texts.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    for name in CANDLES:
        _write_candles(checkout / name)
    return checkout


def _write_candles(path: Path) -> None:
    """A candle file of two hours and more: a wave, a climb by a quarter, and a fall."""
    plain, _ = write_candles(path.parent, _closes())
    path.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()


def _closes() -> Iterator[float]:
    for minute in range(70):
        yield 100 * (1 + 0.004 * math.sin(minute / 20))
    for minute in range(45):
        yield 100 * (1 + minute / 180)
    for minute in range(15):
        yield 125 * (1 - minute / 180)
