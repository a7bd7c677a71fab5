"""The bench runs and says all that it promises; how fast anything is, is not tested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import typer
from typer.testing import CliRunner

from shared.cli.bench import bench
from shared.cli.bench_ring import peak_memory_mib
from shared.cli.bench_stage import STAGES
from shared.streams import DAEMONS

WAY = {"hops", "count", "median_ms", "p99_ms", "per_hop_ms", "ratio_per_hop"}


@pytest.fixture(scope="module")
def figures() -> Any:
    app = typer.Typer()
    app.command()(bench)
    result = CliRunner().invoke(app, ["--quick", "--json"])
    structlog.reset_defaults()
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def numbers(value: Any) -> Iterator[float]:
    match value:
        case dict():
            for inner in value.values():
                yield from numbers(inner)
        case list():
            for inner in value:
                yield from numbers(inner)
        case int() | float():
            yield value


def test_it_says_what_the_machine_is(figures: Any) -> None:
    machine = figures["machine"]
    assert machine.keys() == {
        "cores", "architecture", "load_1min", "python", "server", "redis_py", "hiredis",
    }  # fmt: skip
    assert machine["server"].startswith(("Redis ", "Valkey "))


def test_it_compares_the_stage_with_a_bare_loop(figures: Any) -> None:
    assert [row["name"] for row in figures["stage"]] == [stage.name for stage in STAGES]
    for row in figures["stage"]:
        assert row.keys() == {
            "name", "batch", "appendfsync", "stage_per_s", "bare_per_s", "ratio", "goal",
        }  # fmt: skip
        assert min(numbers(row)) > 0


def test_it_compares_hops_with_a_bare_round_trip_at_both_durabilities(figures: Any) -> None:
    assert [row["appendfsync"] for row in figures["hops"]] == ["always", "everysec"]
    for row in figures["hops"]:
        assert row.keys() == {"appendfsync", "entry", "close", "bare"}
        for way, hops in (("entry", 4), ("close", 3), ("bare", 2)):
            assert row[way].keys() == WAY
            assert row[way]["hops"] == hops
            assert min(numbers(row[way])) > 0
        assert row["entry"]["count"] == row["close"]["count"] == 6
        assert row["bare"]["count"] == 12


def test_the_whole_ring_replays_every_price_and_adds_up(figures: Any) -> None:
    ring = figures["ring"]
    assert ring["ticks"] == 3 * 60 * 4
    assert ring["messages"]["market.tick"] == ring["ticks"]
    assert ring["problems"] == []
    for name in ("start_up_s", "replay_s", "ticks_per_s", "ticks_per_s_with_start_up"):
        assert ring[name] > 0
    if peak_memory_mib(1) is not None or ring["peak_memory_mib"]:
        assert ring["peak_memory_mib"].keys() == {*DAEMONS, "server"}
        assert min(numbers(ring["peak_memory_mib"])) > 0


def test_it_tells_how_long_it_took(figures: Any) -> None:
    assert figures.keys() == {"machine", "stage", "hops", "ring", "elapsed_s"}
    assert figures["elapsed_s"] > 0
