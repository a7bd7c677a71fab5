"""The command itself: in a terminal of its own, which it leaves as it was, and without one."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared.cli import app
from shared.daemon import EXIT_SETTINGS
from tests.cli.asking import Open
from tests.cli.small_ring import SYMBOL, SmallRing
from tests.top.stage import LOSING, NAKED, go_wrong, play, three_positions

_WITHIN_S = 30.0
#: The other screen of a terminal, on which a program draws; and the way back from it.
ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?1049l"
SHOW_CURSOR = b"\x1b[?25h"
#: A colour that needs more than sixteen of them.
FINE_COLOUR = re.compile(rb"\x1b\[[0-9;]*[34]8;[25];")
ANY_COLOUR = re.compile(rb"\x1b\[(?:[0-9;]*;)?(?:3[0-7]|4[0-7]|9[0-7]|10[0-7]|[34]8;[25];)[0-9;]*m")

#: The command with a bug in the first look but one.
BROKEN = """
import sys, shared.cli
top = sys.modules["shared.cli.top"]
read, looks = top.read_overview, iter("ab")
def broken(*words, **named):
    canary = "kept to itself"
    if next(looks) == "b":
        raise LookupError("a bug of the test")
    return read(*words, **named)
top.read_overview = broken
"""


@pytest.fixture
def ring(open_ring: Open) -> SmallRing:
    """A ring with three positions, one of which has no stop."""
    opened = open_ring(three_positions())
    play(opened)
    go_wrong(opened)
    return opened


@dataclass
class Terminal:
    """A terminal in which the command runs; `written` is what it has drawn so far."""

    process: subprocess.Popen[bytes]
    master: int
    before: list[object]
    written: bytearray = field(default_factory=bytearray)

    def until(self, words: bytes) -> None:
        """Wait until something was drawn."""
        deadline = time.monotonic() + _WITHIN_S
        while words not in self.written:
            assert time.monotonic() < deadline, f"{words!r} not in {bytes(self.written[-9000:])!r}"
            self._read()

    def press(self, keys: bytes) -> None:
        """Type something."""
        os.write(self.master, keys)

    def status(self) -> int:
        """How it ended, once it has."""
        deadline = time.monotonic() + _WITHIN_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            self._read()
        while self._read():
            pass
        return self.process.returncode

    def settings(self) -> list[object]:
        """How the terminal is set."""
        return termios.tcgetattr(self.master)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.master], [], [], 0.02)
        if ready:
            self.written += os.read(self.master, 65_536)
        return bool(ready)


@contextmanager
def a_terminal(ring: SmallRing, *, code: str = "", **environment: str) -> Iterator[Terminal]:
    """The command in a terminal of 80x24; it is gone with the block."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(master)
    kept = {k: v for k, v in os.environ.items() if k not in ("COLORTERM", "NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nfrom shared.cli import app; app()", "top"],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env=kept | {"REDIS_URL": ring.url, "TERM": "xterm-256color"} | environment,
    )  # fmt: skip
    terminal = Terminal(process, master, before)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)


def test_q_leaves_the_terminal_as_it_was(ring: SmallRing) -> None:
    with a_terminal(ring) as terminal:
        terminal.until(b"NO STOP for")
        assert ENTERED in terminal.written
        assert terminal.settings() != terminal.before
        terminal.press(b"q")
        assert terminal.status() == 0
        assert terminal.settings() == terminal.before
        assert terminal.written.rindex(LEFT) > terminal.written.rindex(ENTERED)
        assert SHOW_CURSOR in terminal.written[terminal.written.rindex(ENTERED) :]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_as_it_was(ring: SmallRing, number: int) -> None:
    with a_terminal(ring) as terminal:
        terminal.until(b"NO STOP for")
        terminal.process.send_signal(number)
        assert terminal.status() == 0
        assert terminal.settings() == terminal.before
        assert LEFT in terminal.written


def test_a_bug_shows_on_a_terminal_that_is_as_it_was(ring: SmallRing) -> None:
    with a_terminal(ring, code=BROKEN) as terminal:
        assert terminal.status() == 1
        assert terminal.settings() == terminal.before
        left = terminal.written.rindex(LEFT)
        assert terminal.written.index(b"a bug of the test") > left
        assert b"canary" not in terminal.written


def test_sixteen_colours_are_enough(ring: SmallRing) -> None:
    with a_terminal(ring, TERM="xterm-16color") as terminal:
        terminal.until(b"NO STOP for")
        terminal.until(b"quit")
        assert ANY_COLOUR.search(terminal.written)
        assert not FINE_COLOUR.search(terminal.written)


def test_no_color_is_obeyed(ring: SmallRing) -> None:
    with a_terminal(ring, NO_COLOR="1") as terminal:
        terminal.until(b"NO STOP for")
        terminal.until(b"quit")
        assert not ANY_COLOUR.search(terminal.written)


def test_a_window_that_grows_is_used(ring: SmallRing) -> None:
    with a_terminal(ring) as terminal:
        terminal.until(b"NO STOP for")
        assert b"3 h 20 min" not in terminal.written
        fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        # The kernel tells only those whose session the terminal governs.
        terminal.process.send_signal(signal.SIGWINCH)
        # The uptime of a daemon stands only where there is room for it.
        terminal.until(b"3 h 20 min")


def test_once_prints_a_frame_and_ends(ring: SmallRing) -> None:
    ended = CliRunner().invoke(app, ["top", "--once"])
    assert (ended.exit_code, ended.stderr) == (0, "")
    for words in (f"position without stop {NAKED}", "NO STOP for ", LOSING, "+5.00 R", "apply.plan",
                  "harvest_brain", "filled   PARTIAL_50: SELL 0.46 at 13.563"):  # fmt: skip
        assert words in ended.stdout
    assert "\x1b" not in ended.stdout
    only = CliRunner().invoke(app, ["top", "--once", "--symbol", "river"]).stdout
    assert SYMBOL in only
    assert LOSING not in only


def test_machines_get_all_of_it(ring: SmallRing) -> None:
    ended = CliRunner().invoke(app, ["top", "--json"])
    assert (ended.exit_code, ended.stderr) == (0, "")
    told = json.loads(ended.stdout)
    assert [one["symbol"] for one in told["positions"]] == [LOSING, SYMBOL, NAKED]
    assert {alarm["name"] for alarm in told["watch"]["alarms"]} == {
        "position_without_stop", "daemon_silent",
    }  # fmt: skip


def test_settings_that_cannot_be_used_are_told_before_anything_is_drawn(
    ring: SmallRing, tmp_path: Path
) -> None:
    config = tmp_path / "quantum.toml"
    config.write_text("[harvest_brain]\ncost_bps = -1\n", encoding="utf-8")
    with a_terminal(ring, QUANTUM_CONFIG=str(config)) as terminal:
        assert terminal.status() == EXIT_SETTINGS
        assert b"harvest_brain.cost_bps" in terminal.written
        assert ENTERED not in terminal.written
