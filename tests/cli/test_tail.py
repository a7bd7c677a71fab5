"""`quantum tail` shows what is said, `quantum history` what became of positions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from itertools import islice
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shared.cli import app
from shared.cli.tail import last_of, newest, news
from shared.reading import Reading
from shared.streams import APPLY_PLAN, MARKET_TICK, TRADE_INTENT

from .asking import Open
from .small_ring import RISK, SYMBOL, at_r


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def rows(*words: str) -> list[dict[str, Any]]:
    ended = run("tail", "--no-follow", "--json", *words)
    assert ended.exit_code == 0, ended.output
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_the_last_messages_come_in_the_order_in_which_they_were_said(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(2))
    ring.settle()
    told = rows("-n", "6")
    assert [row["stream"] for row in told] == [
        "trade.intent", "trade.intent", "apply.plan", "apply.plan", "apply.result", "apply.result",
    ]  # fmt: skip
    assert [row["id"] for row in told] == sorted(row["id"] for row in told)
    page = run("tail", "--no-follow", "-n", "6").stdout.splitlines()
    assert len(page) == 6
    assert "RIVERUSDT   intent   PARTIAL_25: SELL 0.46" in page[0]
    assert "filled   PARTIAL_25: SELL 0.46 at" in page[4]


def test_one_stream_and_one_symbol_are_told_apart(open_ring: Open) -> None:
    ring = open_ring()
    for number in range(600):
        ring.tick("150", symbol="SOLUSDT" if number else SYMBOL)
    assert {row["symbol"] for row in rows("market.tick")} == {"SOLUSDT"}
    # However far back its last one is.
    assert [row["symbol"] for row in rows("market.tick", "--symbol", SYMBOL.lower())] == [SYMBOL]
    assert MARKET_TICK.name not in {row["stream"] for row in rows("-n", "1000")}


def test_what_cannot_be_read_is_shown_with_its_code(open_ring: Open) -> None:
    ring = open_ring()
    ring.raw(TRADE_INTENT.key, ["version", "1", "\x1b[31m", "x"])
    [row] = rows("trade.intent")
    assert row["code"] == "missing_field"
    page = run("tail", "trade.intent", "--no-follow").stdout
    assert "unreadable: missing_field" in page
    assert "\x1b" not in page


def test_what_comes_later_is_shown_as_it_comes(open_ring: Open) -> None:
    ring = open_ring()
    ring.put(ring.entry())
    reading = Reading(ring.client)
    after = {stream: newest(reading, stream) for stream in (TRADE_INTENT, APPLY_PLAN)}
    coming = news(reading, after)
    ring.put(ring.entry(intent_id="stranger.2"))
    ring.settle()
    told = list(islice(coming, 3))
    assert [(line.stream.name, line.message.intent_id) for line in told] == [
        ("trade.intent", "stranger.2"),
        ("apply.plan", "stranger.1"),
        ("apply.plan", "stranger.2"),
    ]
    ring.put(ring.entry(intent_id="stranger.3"))
    while told[-1].message.intent_id != "stranger.3":
        told.append(next(coming))
    assert len({(line.stream.name, line.id) for line in told}) == len(told)
    [line] = last_of(reading, TRADE_INTENT, "+", None, 1)
    assert line.message.intent_id == "stranger.3"


@pytest.mark.parametrize("words", [("trade.intention",), ("-n", "-1")])
def test_a_wrong_word_ends_with_2(open_ring: Open, words: tuple[str, ...]) -> None:
    open_ring()
    assert run("tail", *words).exit_code == 2


def test_the_history_tells_each_position_with_its_end(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(2))
    ring.settle()
    ring.tick("12.30")
    ring.settle()
    [past] = json.loads(run("history", SYMBOL, "--json").stdout)
    assert past["ended_by"] == "STOPPED_OUT"
    assert past["initial_qty"] == "1.83"
    assert [line.split("  ")[1].split(":")[0] for line in past["lines"]] == [
        "adopted", "PARTIAL_25", "STOPPED_OUT",
    ]  # fmt: skip
    sold = [line for line in past["lines"] if "realised" in line]
    assert sum(float(line.rpartition(" ")[2]) for line in sold) == pytest.approx(
        float(past["realized_pnl"])
    )
    gain = Decimal(past["realized_pnl"]) - Decimal(past["fees"])
    assert Decimal(past["r_realized"]) == round(gain / (RISK * Decimal("1.83")), 2)
    page = run("history", SYMBOL.lower()).stdout
    assert "LONG 1.83 from 12.32: ended by STOPPED_OUT after 1 h" in page
    assert f"{past['r_realized']} R" in page


def test_an_open_position_is_told_as_open(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(1))
    ring.settle()
    assert "LONG 1.83 from 12.32: open; realised 0, fees 0" in run("history", SYMBOL).stdout
    assert "tell of no position in BTCUSDT" in run("history", "BTCUSDT").stdout


def test_ctrl_c_ends_it_in_good_order(open_ring: Open) -> None:
    ring = open_ring()
    ring.put(ring.entry())
    process = subprocess.Popen(
        [sys.executable, "-c", "from shared.cli import app; app()", "tail", "trade.intent"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        text=True,
    )
    assert process.stdout is not None
    assert "intent   BUY 10 units at 150, 10x" in process.stdout.readline()
    ring.put(ring.entry(intent_id="stranger.2"))
    assert "stranger.2" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
