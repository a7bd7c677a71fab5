"""Real processes, really killed: each input has exactly one output, whatever the instant."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.streams import MARKET_TICK, TRADE_INTENT, harvest_key
from tests.worlds import RedisWorld

from .child import EXIT_SUPERSEDED, STEPS
from .counting import add_ticks

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30


class Children:
    """The processes that a test starts; those that still live at its end are ended."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._started: list[subprocess.Popen[str]] = []

    def start(self, step: str, nth: int = 1) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.runner.child", self._url, step, str(nth)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(child)
        return child

    def end(self) -> None:
        for child in self._started:
            child.kill()
            child.communicate()


@pytest.fixture
def children(redis_world: RedisWorld) -> Iterator[Children]:
    started = Children(redis_world.url)
    yield started
    started.end()


def check_exactly_once(world: RedisWorld, count: int) -> None:
    found = [entry["intent_id"] for entry in world.entries(TRADE_INTENT.key)]
    assert found == [f"close.t{number}" for number in range(count)]
    assert world.hash(harvest_key("BTCUSDT")) == {"ticks": str(count)}
    assert world.pending("harvest_brain") == 0
    assert world.raw(MARKET_TICK.dead_key) == []


def end_of(child: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit status and the events that the process logged."""
    _, errors = child.communicate(timeout=TIMEOUT_S)
    assert "Traceback" not in errors, errors
    return child.returncode, [json.loads(line)["event"] for line in errors.splitlines()]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_again_and_again_it_does_each_message_once(
    step: str, redis_world: RedisWorld, children: Children
) -> None:
    """Three lives that die, among new messages and among unfinished ones; then one that lives."""
    count = 520
    add_ticks(redis_world, *(f"t{number}" for number in range(count)))
    for nth in (1, 2, 40 if step == "decide" else 2):
        status, _ = end_of(children.start(step, nth))
        assert status == -signal.SIGKILL
    status, events = end_of(children.start("never"))
    assert (status, events[-1]) == (0, "stopped")
    check_exactly_once(redis_world, count)


def test_a_paused_instance_that_wakes_behind_its_successor_can_commit_nothing(
    redis_world: RedisWorld, children: Children
) -> None:
    old = children.start("linger")
    assert old.stdout is not None
    assert old.stdout.readline() == "idle\n"
    os.kill(old.pid, signal.SIGSTOP)
    wait_until_stopped(old.pid)
    add_ticks(redis_world, *(f"t{number}" for number in range(120)))
    status, _ = end_of(children.start("never"))
    assert status == 0
    add_ticks(redis_world, *(f"t{number}" for number in range(120, 240)))
    os.kill(old.pid, signal.SIGCONT)
    status, events = end_of(old)
    assert status == EXIT_SUPERSEDED
    assert events[-1] == "superseded"
    status, _ = end_of(children.start("never"))
    check_exactly_once(redis_world, 240)


def wait_until_stopped(pid: int) -> None:
    """Until the kernel says so: a process with threads stops a moment after the signal."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while os.waitpid(pid, os.WUNTRACED | os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline_s


def test_a_paused_instance_in_the_middle_of_a_batch_loses_it_to_its_successor(
    redis_world: RedisWorld, children: Children
) -> None:
    add_ticks(redis_world, *(f"t{number}" for number in range(120)))
    old = children.start("pause")
    wait_until_stopped(old.pid)
    status, _ = end_of(children.start("never"))
    assert status == 0
    check_exactly_once(redis_world, 120)
    os.kill(old.pid, signal.SIGCONT)
    status, events = end_of(old)
    assert (status, events[-1]) == (EXIT_SUPERSEDED, "superseded")
    check_exactly_once(redis_world, 120)


def test_sigterm_ends_a_daemon_cleanly(redis_world: RedisWorld, children: Children) -> None:
    add_ticks(redis_world, "t0")
    child = children.start("linger")
    assert child.stdout is not None
    assert child.stdout.readline() == "idle\n"
    child.terminate()
    assert end_of(child) == (0, ["started", "counted", "stopped"])
    check_exactly_once(redis_world, 1)
