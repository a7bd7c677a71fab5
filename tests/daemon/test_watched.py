"""Real daemons as systemd has them: when they stand, what they wait for, and when they hang."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from shared.bus import load_library
from shared.streams import MARKET_TICK, MAX_DELIVERIES
from tests.ring.live import a_client, a_server, write_climb
from tests.runner.counting import add_ticks
from tests.worlds import RedisWorld

from .manager import Manager, a_manager

WATCHED = {"WATCHDOG_USEC": "800000"}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with a_manager(tmp_path) as started:
        yield started


@pytest.mark.parametrize("daemon", ["market_feed", "exitbrain", "watcher"])
def test_a_daemon_says_when_it_stands_that_it_goes_on_and_when_it_ends(
    redis_world: RedisWorld, manager: Manager, tmp_path: Path, daemon: str
) -> None:
    files = json.dumps([str(write_climb(tmp_path))])
    given = {
        "REDIS_URL": redis_world.url, "QUANTUM_MARKET_FEED__FILES": files, **WATCHED,
    }  # fmt: skip
    manager.start("-m", f"services.{daemon}", environment=given)
    manager.until_said("READY=1")
    manager.until_said("STATUS=runs")
    manager.until_said("WATCHDOG=1", times=3)
    assert "STOPPING=1" not in manager.said
    manager.signal(signal.SIGTERM)
    assert manager.ends() == 0
    manager.until_said("STOPPING=1")


def test_a_daemon_whose_server_is_away_waits_for_it_for_as_long_as_it_takes(
    tmp_path: Path, manager: Manager
) -> None:
    """Started before Redis, and through an outage: never ready too early, never taken for hung."""
    with a_server(tmp_path) as server:
        server.kill()
        given = {"REDIS_URL": server.url, **WATCHED}
        manager.start("-m", "services.exitbrain", environment=given)
        manager.until_said("EXTEND_TIMEOUT_USEC=60000000", times=2)
        assert any(line.startswith("STATUS=waits for Redis: ") for line in manager.said)
        assert "READY=1" not in manager.said
        server.restart()
        client = a_client(server.url)
        load_library(client)
        client.close()
        manager.until_said("READY=1")
        manager.until_said("STATUS=runs")
        server.kill()
        told = len(manager.said)
        manager.until(
            lambda: manager.said[told:].count("WATCHDOG=1") >= 4, "signs of life in the outage"
        )
        assert any(line.startswith("STATUS=waits for Redis: ") for line in manager.said[told:])


def test_a_message_that_hangs_its_reader_is_put_aside_and_the_journal_says_where_it_hung(
    redis_world: RedisWorld, manager: Manager
) -> None:
    """The watchdog ends what hangs as systemd does; the message counts as one that kills."""
    add_ticks(redis_world, "hang", "t1")
    given = {"REDIS_URL": redis_world.url, **WATCHED}
    for life in range(MAX_DELIVERIES):
        hung = ["in hand"] * (life + 1)
        manager.start("-m", "tests.daemon.hanging", environment=given)
        manager.until(partial(manager.has_logged, hung), "it is in hand")
        while manager.hear():
            pass
        # The watchdog's interval goes by without a word.
        assert not manager.hear(within_s=0.8)
        manager.signal(signal.SIGABRT)
        assert manager.ends() == -signal.SIGABRT
    assert "READY=1" not in manager.said
    log = manager.log.read_text()
    assert "Fatal Python error: Aborted" in log
    assert 'hanging.py", line' in log
    assert "in hang_at" in log
    manager.start("-m", "tests.daemon.hanging", environment=given)
    manager.until_said("READY=1")
    manager.until(lambda: redis_world.hash("quantum:harvest:BTCUSDT"), "the next message")
    assert redis_world.hash("quantum:harvest:BTCUSDT") == {"ticks": "1"}
    [letter] = redis_world.entries(MARKET_TICK.dead_key)
    assert letter["code"] == "poison"


def test_a_daemon_serves_its_figures_on_the_socket_that_it_was_handed(
    redis_world: RedisWorld, manager: Manager
) -> None:
    """Whoever asks before it stands waits for it, as the socket listens already."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        given = {"REDIS_URL": redis_world.url}
        manager.start("-m", "services.exitbrain", environment=given, handed=listening)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        assert b"quantum_build_info" in answer.read()
    manager.until_said("READY=1")
    began = time.monotonic()
    manager.signal(signal.SIGTERM)
    assert manager.ends() == 0
    assert time.monotonic() - began < 10
