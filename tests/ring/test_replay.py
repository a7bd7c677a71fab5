"""Replay: the same file gives the same run, and a file that cannot be used is refused first."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from redis import Redis

from shared.cli.demo_market import write_candles
from shared.daemon import EXIT_SETTINGS
from shared.server import LocalServer
from shared.streams import MARKET_TICK, STREAMS, state_key

from .live import (
    CLIMB_LADDER,
    CLIMB_TICKS,
    SEED,
    a_client,
    a_server,
    call,
    ladder,
    quantum,
    texts,
    write_climb,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """One server for the runs of this file."""
    with a_server(tmp_path_factory.mktemp("replay"), appendfsync="no") as started:
        yield started


@pytest.fixture
def client(server: LocalServer) -> Iterator[Redis]:
    """The server without data."""
    opened = a_client(server.url)
    opened.flushall()
    yield opened
    opened.close()


def up(server: LocalServer, *words: str) -> subprocess.CompletedProcess[str]:
    """`quantum up` on the server, in a terminal that is none."""
    environment = {"REDIS_URL": server.url, "QUANTUM_METRICS__BASE_PORT": "0"}
    return quantum("up", *words, environment=environment)


def decisions(client: Redis) -> dict[str, list[dict[str, str]]]:
    """All messages, without what tells when they were made by the wall clock."""
    found = {stream.name: texts(client, stream) for stream in STREAMS}
    for message in (message for messages in found.values() for message in messages):
        del message["produced_at"]
    return found


def test_the_same_file_replayed_twice_gives_the_same_messages_byte_for_byte(
    server: LocalServer, client: Redis, tmp_path: Path
) -> None:
    candles = write_climb(tmp_path)
    config = tmp_path / "quantum.toml"
    config.write_text(SEED, encoding="utf-8")
    words = ("--replay", str(candles), "--config", str(config), "--speed", "max")
    runs = []
    for _ in range(2):
        client.flushall()
        run = up(server, *words, "--until-end", "--json")
        assert (run.returncode, run.stderr) == (0, "")
        [line] = run.stdout.splitlines()
        told = json.loads(line)
        assert told["ok"] is True
        assert told["problems"] == []
        assert told["symbols"]["RIVERUSDT"]["rungs"] == {name: 1 for name, _ in CLIMB_LADDER}
        assert told["streams"][MARKET_TICK.name] == CLIMB_TICKS
        assert ladder(client) == CLIMB_LADDER
        runs.append(decisions(client))
    first, second = runs
    for stream in first:
        assert first[stream] == second[stream], stream


def test_a_replay_at_a_speed_keeps_its_pace_and_ends_with_a_table_for_people(
    server: LocalServer, client: Redis, tmp_path: Path
) -> None:
    """Thirty minutes at 3600 times real time take half a second; a slow machine needs longer."""
    candles, bars = write_candles(tmp_path, [12.32] * 30)
    run = up(server, "--replay", str(candles), "--speed", "3600", "--until-end")
    assert run.returncode == 0, run.stderr
    assert "What the run came to" in run.stdout
    assert "realised" in run.stdout
    assert f"{MARKET_TICK.name} {bars * 4}" in run.stdout
    assert "Nothing is pending, no dead letters" in run.stdout
    ticks = texts(client, MARKET_TICK)
    first, last = (datetime.fromisoformat(t["produced_at"]) for t in (ticks[0], ticks[-1]))
    assert (last - first).total_seconds() >= 0.95 * 30 * 60 / 3600


def test_a_malformed_file_is_refused_before_anything_is_published(
    server: LocalServer, client: Redis, tmp_path: Path
) -> None:
    candles = write_climb(tmp_path)
    rows = candles.read_text(encoding="ascii").splitlines(keepends=True)
    fields = rows[6].split(",")
    rows[6] = ",".join((*fields[:4], "NaN", *fields[5:]))
    candles.write_text("".join(rows), encoding="ascii")
    run = up(server, "--replay", str(candles), "--speed", "max", "--until-end", "--json")
    assert run.returncode == EXIT_SETTINGS
    assert run.stdout == ""
    [said] = [line for line in run.stderr.splitlines() if str(candles) in line]
    assert said.startswith("market_feed.files: ")
    assert f"{candles}:7: " in said
    assert "NaN" in said
    assert "Traceback" not in run.stderr
    assert not call(client, "XLEN", MARKET_TICK.key)


def test_a_speed_that_is_none_is_refused_with_what_is_expected(
    server: LocalServer, client: Redis, tmp_path: Path
) -> None:
    candles, _ = write_candles(tmp_path, [12.32] * 3)
    run = up(server, "--replay", str(candles), "--speed", "fast", "--until-end")
    assert run.returncode == EXIT_SETTINGS
    assert "market_feed.speed" in run.stderr
    assert "'fast'" in run.stderr
    assert "'max'" in run.stderr
    assert "Traceback" not in run.stderr
    assert not call(client, "XLEN", MARKET_TICK.key)


def test_a_replay_gives_up_on_a_daemon_that_crashes_again_and_again(
    server: LocalServer, client: Redis, tmp_path: Path
) -> None:
    candles, _ = write_candles(tmp_path, [12.32] * 3)
    client.hset(state_key("harvest_brain"), "held/RIVERUSDT", "no document of ours")
    ended = up(server, "--replay", str(candles), "--speed", "max", "--until-end", "--json")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "harvest_brain crashes again and again: given up" in ended.stderr
