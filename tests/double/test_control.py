"""Another process drives the double over loopback HTTP, and `quantum venue` serves it there."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from services.apply_layer.double import Double
from shared.cli import app

from .raw import BTC, SOL, D, Raw, config


def control(url: str, verb: str, what: str, /, **asked: object) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request(verb, f"/double/{what}", json.dumps(asked) if asked else None)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_the_market_and_the_hand_are_driven_over_http(raw: Raw) -> None:
    url = raw.venue.rest_url
    assert control(url, "POST", "order", symbol=BTC, side="BUY", qty="0.1")[0] == 200
    status, told = control(url, "POST", "stop", symbol=BTC, side="SELL", trigger="64000")
    assert (status, raw.algo(told["client_id"])["closePosition"]) == (200, True)
    assert control(url, "POST", "cancel", client_id=told["client_id"])[1] == {"cancelled": True}
    control(url, "POST", "mark", symbol=BTC, price="66000", contract="65900")
    _, state = control(url, "GET", "state")
    assert state["positions"] == {BTC: "0.1", SOL: "0"}
    assert (state["marks"][BTC], state["open_algo_orders"]) == ("66000", [])
    assert raw.get("/fapi/v1/ticker/price", symbol=BTC).json["price"] == "65900"
    _, ledger = control(url, "GET", "ledger?after=2")
    assert [line["n"] for line in ledger] == list(range(3, len(raw.venue.ledger) + 1))


def test_faults_are_driven_over_http(raw: Raw) -> None:
    url = raw.venue.rest_url
    control(url, "POST", "fault", kind="code", method="POST", path="/fapi/v1/order", code=-4131)
    assert [raw.market().code for _ in range(2)] == [-4131, 0]
    control(url, "POST", "rate", rate=1, kinds=["http_502"])
    assert raw.market().status == 502
    control(url, "POST", "calm")
    assert raw.market().status == 200
    control(url, "POST", "down", how="refuse")
    with pytest.raises(ConnectionRefusedError):
        raw.get("/fapi/v1/ping")
    raw.venue.up()
    assert control(url, "POST", "up")[0] == 200


def test_what_cannot_be_done_is_answered_with_the_reason(raw: Raw) -> None:
    url = raw.venue.rest_url
    assert control(url, "POST", "fault", kind="bad_luck")[0] == 400
    assert control(url, "POST", "mark", symbol=BTC, price="much")[0] == 400
    assert control(url, "POST", "mark", symbol=BTC, price="-1")[0] == 400
    assert control(url, "GET", "nothing")[0] == 400
    status, told = control(url, "POST", "order", symbol=BTC, side="BUY", qty="0.001")
    assert (status, told["code"]) == (400, -4164)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_the_double_listens_on_this_machine_alone(host: str) -> None:
    with pytest.raises(ValueError, match="this machine alone"):
        Double.start(config(), host=host)


def test_a_port_that_is_taken_is_said_at_once(venue: Double) -> None:
    with pytest.raises(OSError, match="in use"):
        Double.start(config(), port=venue.port)


def test_starting_and_stopping_is_quick_and_leaves_no_connection_open(raw: Raw) -> None:
    before = time.monotonic()
    for _ in range(10):
        with Double.start(config()) as venue:
            Raw(venue).get("/fapi/v1/ping")
    assert time.monotonic() - before < 3
    raw.venue.stop()
    with pytest.raises(ConnectionRefusedError):
        raw.get("/fapi/v1/ping")


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = ["venue", "--port", "0", "--symbol", "BTCUSDT=65000", "--walk", "0.02"]
    arguments += ["--ledger", str(tmp_path / "ledger.jsonl")]
    code = "from shared.cli import app; app()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        yield process
        if process.poll() is None:
            process.kill()


def test_the_command_prints_where_it_is_walks_its_marks_and_ends_on_ctrl_c(
    command: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert command.stdout is not None
    told = "".join(command.stdout.readline() for _ in range(6))
    (url,) = re.findall(r"rest_url +(http://127\.0\.0\.1:\d+)", told)
    for word in ("ws_url", "key", "secret", "BTCUSDT"):
        assert word in told
    deadline = time.monotonic() + 5
    while control(url, "GET", "state")[1]["marks"] == {BTC: "65000"}:
        assert time.monotonic() < deadline
    os.kill(command.pid, signal.SIGINT)
    assert command.wait(5) == 0
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert {json.loads(line)["kind"] for line in lines} == {"mark"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "this machine alone"),
        (["--symbol", "btc"], "BTCUSDT=65000"),
        (["--symbol", "BTCUSDT=much"], "no number"),
        (["--wallet", "0"], "above 0"),
    ],
)
def test_a_command_line_that_makes_no_venue_is_answered_with_the_reason(
    arguments: list[str], words: str
) -> None:
    result = CliRunner().invoke(app, ["venue", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert words in result.output


def test_a_port_that_is_taken_ends_the_command(venue: Double) -> None:
    result = CliRunner().invoke(app, ["venue", "--port", str(venue.port)])
    assert result.exit_code == 1
    assert D(0) == venue.position(BTC)
