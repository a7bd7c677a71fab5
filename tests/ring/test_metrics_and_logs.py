"""What a running ring tells of itself: figures for Prometheus, and logs that a machine can read."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shared.daemon import EXIT_SETTINGS
from shared.streams import DAEMONS, inputs_of

from .live import (
    CLIMB_LADDER,
    CLIMB_TICKS,
    SEED,
    Live,
    a_ring,
    a_server,
    is_quiet,
    write_climb,
)
from .messages import golden, send

SYMBOL = "RIVERUSDT"
TCP_TABLE = Path("/proc/net/tcp")
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def free_range(count: int) -> int:
    """The first of so many ports in a row that nobody listens at."""
    for _ in range(200):
        first = random.randrange(20_000, 60_000)
        with ExitStack() as doors:
            try:
                for port in range(first, first + count):
                    door = doors.enter_context(socket.socket())
                    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    door.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("there is no free range of ports")


def scrape(port: int) -> Samples:
    """What /metrics says, by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        text = page.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def named(samples: Samples, name: str) -> dict[frozenset[tuple[str, str]], float]:
    return {labels: value for (found, labels), value in samples.items() if found == name}


def labelled(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


class Watched:
    """A ring that climbed and stands, with one message that could not be read."""

    def __init__(self, live: Live, base_port: int) -> None:
        self.live = live
        self.base_port = base_port

    def metrics(self, daemon: str) -> Samples:
        return scrape(self.base_port + DAEMONS.index(daemon))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("metrics")
    base_port = free_range(len(DAEMONS))
    environment = {"QUANTUM_METRICS__BASE_PORT": str(base_port)}
    with (
        a_server(folder, appendfsync="no") as server,
        a_ring(
            server,
            folder,
            settings=SEED,
            candles=write_climb(folder),
            until_end=False,
            environment=environment,
        ) as live,
    ):
        live.until_ticks(CLIMB_TICKS)
        send(live.client, golden("market.tick.bare", mark_price="NaN"))
        live.until(lambda: is_quiet(live.client), "a quiet ring")
        yield Watched(live, base_port)


def test_every_reader_counts_what_it_read_and_how_long_that_took(watched: Watched) -> None:
    for daemon in DAEMONS[1:]:
        samples = watched.metrics(daemon)
        assert named(samples, "quantum_commit_seconds_count")[frozenset()] > 0
        assert named(samples, "quantum_decide_seconds_count")[frozenset()] > 0
        read = named(samples, "quantum_messages_total")
        for stream in inputs_of(daemon):
            assert read[labelled(stream=stream.name, outcome="read")] > 0, (daemon, stream.name)
    ticks = labelled(stream="market.tick", outcome="read")
    found = named(watched.metrics("harvest_brain"), "quantum_messages_total")
    assert found[ticks] == CLIMB_TICKS


def test_the_feed_says_how_long_its_commits_took(watched: Watched) -> None:
    samples = watched.metrics("market_feed")
    assert named(samples, "quantum_commit_seconds_count")[frozenset()] > 0


def test_every_reader_says_how_far_it_is_behind_each_of_its_streams(watched: Watched) -> None:
    for daemon in DAEMONS[1:]:
        wanted = {labelled(stream=stream.name): 0.0 for stream in inputs_of(daemon)}
        for name in ("quantum_stream_lag", "quantum_stream_pending"):
            watched.live.until(
                lambda daemon=daemon, name=name, wanted=wanted: (  # type: ignore[misc]
                    named(watched.metrics(daemon), name) == wanted
                ),
                f"{name} of {daemon} at rest",
            )


def test_a_dead_letter_is_counted_once_by_its_code_and_by_who_wrote_it(watched: Watched) -> None:
    counted = {
        daemon: named(watched.metrics(daemon), "quantum_dead_letters_total") for daemon in DAEMONS
    }
    [writer] = [daemon for daemon, found in counted.items() if found]
    assert writer == "harvest_brain"
    assert counted[writer] == {labelled(stream="market.tick", code="bad_number"): 1}
    read = {daemon: named(watched.metrics(daemon), "quantum_messages_total") for daemon in DAEMONS}
    assert read[writer][labelled(stream="market.tick", outcome="dead")] == 1
    for other in ("trading_bot", "apply_layer"):
        assert read[other][labelled(stream="market.tick", outcome="unreadable")] == 1


def test_the_profit_its_harvest_and_its_protection_are_figures(watched: Watched) -> None:
    samples = watched.metrics("harvest_brain")
    symbol = labelled(symbol=SYMBOL)
    watched.live.until(
        lambda: named(watched.metrics("harvest_brain"), "quantum_harvest_r_multiple")[symbol] > 6,
        "R",
    )
    assert 0 <= named(samples, "quantum_harvest_kill_score")[symbol] <= 1
    asked = named(samples, "quantum_harvest_actions_total")
    for action, _ in CLIMB_LADDER:
        assert asked[labelled(symbol=SYMBOL, action=f"HARVEST_{action}")] == 1
    applied = watched.metrics("apply_layer")
    assert 0 <= named(applied, "quantum_position_longest_unprotected_seconds")[symbol] <= 2
    fills = named(applied, "quantum_results_total")[labelled(symbol=SYMBOL, status="FILLED")]
    assert fills == len(CLIMB_LADDER)


@pytest.mark.skipif(not TCP_TABLE.exists(), reason="only Linux tells who listens")
def test_metrics_are_served_to_this_machine_alone(watched: Watched) -> None:
    mine = set(range(watched.base_port, watched.base_port + len(DAEMONS)))
    heard = {}
    for row in TCP_TABLE.read_text(encoding="ascii").splitlines()[1:]:
        address, _, port = row.split()[1].partition(":")
        if row.split()[3] == "0A" and int(port, 16) in mine:
            heard[int(port, 16)] = address
    assert heard == dict.fromkeys(mine, "0100007F")


def run_daemon(daemon: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"services.{daemon}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_port_that_is_taken_is_a_clear_error() -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        port = door.getsockname()[1]
        base = str(port - DAEMONS.index("exitbrain"))
        ended = run_daemon("exitbrain", QUANTUM_METRICS__BASE_PORT=base)
    assert ended.returncode == EXIT_SETTINGS
    assert ended.stdout == ""
    assert ended.stderr == f"metrics.base_port: 127.0.0.1:{port}: Address already in use\n"


def test_every_line_of_every_log_is_json_and_names_its_daemon(watched: Watched) -> None:
    for daemon in DAEMONS:
        lines = watched.live.log(daemon)
        assert lines[0]["event"] in ("started", "server_unavailable", "replay_ended")
        for line in lines:
            assert line["daemon"] == daemon
            assert line["level"] in ("info", "warning", "error")
            assert line["timestamp"].endswith("Z")
    [dead] = [line for line in watched.live.log("harvest_brain") if line["event"] == "dead_letter"]
    assert (dead["stream"], dead["code"], dead["level"]) == ("market.tick", "bad_number", "error")


def test_a_harvest_is_one_line_from_which_the_whole_story_can_be_found(watched: Watched) -> None:
    def lines(daemon: str, event: str) -> list[dict[str, Any]]:
        return [line for line in watched.live.log(daemon) if line["event"] == event]

    for action, qty in CLIMB_LADDER:
        asked = lines("harvest_brain", "harvest")
        [harvest] = [line for line in asked if line["action"] == action]
        assert harvest["symbol"] == SYMBOL
        assert float(harvest["r"]) >= 2 * (1 + [name for name, _ in CLIMB_LADDER].index(action))
        assert 0 <= float(harvest["kill"]) < 0.6
        assert harvest["qty"] == str(qty)
        assert harvest["position_id"].startswith(SYMBOL)
        [passed] = [
            line
            for line in lines("intent_bridge", "pass")
            if line["intent_id"] == harvest["intent_id"]
        ]
        [fill] = [
            line for line in lines("apply_layer", "fill") if line["plan_id"] == passed["plan_id"]
        ]
        assert (fill["status"], fill["qty"]) == ("FILLED", str(qty))
        assert fill["position_id"] == harvest["position_id"]
