"""`quantum positions`: what is open, and how it stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shared.bus.client import call
from shared.cli import app
from shared.streams import position_key

from .asking import SHOWN_AT_ONCE, Open
from .small_ring import SYMBOL, at_r, seed


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["positions", *words])


def test_a_position_is_shown_with_its_r_its_stop_and_its_rungs(open_ring: Open) -> None:
    ring = open_ring(seed() | SHOWN_AT_ONCE)
    ring.tick(at_r(3))
    ring.settle()
    ended = run()
    assert ended.exit_code == 0
    row, *rungs = (line.split() for line in ended.stdout.splitlines() if "PARTIAL" in line)
    assert row[:8] == [SYMBOL, "LONG", "1.37", "1.83", "12.32", "12.3446", "13.0716", "3.00"]
    assert [row[-4:], *rungs] == [
        ["PARTIAL_25", "at", "12.8251", "taken"],
        ["PARTIAL_50", "at", "13.3179", "next"],
        ["PARTIAL_75", "at", "13.8107", "ahead"],
    ]


def test_machines_get_every_figure_as_text(open_ring: Open) -> None:
    ring = open_ring(seed() | SHOWN_AT_ONCE)
    ring.tick(at_r(3))
    ring.settle()
    ended = run("--json")
    assert (ended.exit_code, ended.stderr) == (0, "")
    (told,) = json.loads(ended.stdout)
    shown = {name: told[name] for name in ("symbol", "side", "qty", "r_net", "stop_loss")}
    assert shown == {
        "symbol": SYMBOL, "side": "LONG", "qty": "1.37", "r_net": "3.0003", "stop_loss": "12.3446",
    }  # fmt: skip
    assert [rung["state"] for rung in told["rungs"]] == ["taken", "next", "ahead"]


def test_no_position_is_said_in_a_sentence(open_ring: Open) -> None:
    open_ring({})
    assert run().stdout == "No position is open.\n"
    ended = run("--json")
    assert (ended.exit_code, ended.stdout) == (0, "[]\n")


def test_a_record_that_makes_no_sense_is_named_and_hides_no_other(open_ring: Open) -> None:
    ring = open_ring(seed())
    call(ring.client, "HSET", position_key("BTCUSDT"), "symbol", "BTCUSDT", "side", "UP")
    ended = run()
    assert ended.exit_code == 1
    assert SYMBOL in ended.stdout
    assert ended.stderr.startswith(f"cannot be read: {position_key('BTCUSDT')}: ")


def test_a_server_that_is_away_is_a_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setenv("REDIS_URL", url)
    ended = run()
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"the server at {url} cannot be asked: ")
    assert len(ended.stderr.splitlines()) == 1
