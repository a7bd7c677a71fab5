"""`quantum mode` and `quantum close`: what an operator does to a running ring."""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from shared.bus.client import call
from shared.cli import app
from shared.decisions import Mode
from shared.streams import MODE_KEY, TRADE_INTENT
from shared.why.picture import Terms
from shared.why.read import read_picture

from .asking import Open
from .small_ring import SYMBOL, SmallRing, at_r

D = Decimal


def run(*words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=answer)


@pytest.fixture
def client(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Redis:
    monkeypatch.setenv("REDIS_URL", redis_url)
    return Redis.from_url(redis_url)


@pytest.mark.parametrize(
    ("word", "mode"),
    [("run", Mode.RUN), ("exits-only", Mode.EXITS_ONLY), ("halt", Mode.HALT)],
)
def test_the_switch_is_turned_to_what_the_daemons_read(
    client: Redis, word: str, mode: Mode
) -> None:
    ended = run("mode", word)
    assert ended.exit_code == 0
    assert ended.stdout.startswith(f"{mode}: ")
    assert client.get(MODE_KEY) == mode.value.encode()
    assert Mode.of(mode.value) is mode


def test_it_says_what_the_switch_was(client: Redis) -> None:
    assert run("mode", "halt").stdout.endswith("It was RUN.\n")
    assert run("mode", "run").stdout.endswith("It was HALT.\n")
    assert run("mode", "run").stdout.endswith("It was so before.\n")
    client.set(MODE_KEY, "nonsense")
    assert "'nonsense', which is no mode" in run("mode", "exits-only").stdout
    told = json.loads(run("mode", "halt", "--json").stdout)
    assert told == {"mode": "HALT", "was": "EXITS_ONLY"}


def test_without_a_word_it_only_tells(client: Redis) -> None:
    assert run("mode").stdout == "RUN: entries and exits pass.\n"
    assert client.get(MODE_KEY) is None
    client.set(MODE_KEY, "nonsense")
    assert run("mode").stdout.startswith("EXITS_ONLY: ")
    assert client.get(MODE_KEY) == b"nonsense"


def test_a_word_that_is_no_mode_changes_nothing(client: Redis) -> None:
    assert run("mode", "HALT!").exit_code == 2
    assert client.get(MODE_KEY) is None


@pytest.mark.parametrize("words", [("mode", "halt"), ("close", SYMBOL, "--yes"), ("why", SYMBOL)])
def test_a_server_that_is_away_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path}/nobody.sock")
    ended = run(*words)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"the server at unix://{tmp_path}/nobody.sock cannot be asked")
    assert len(ended.stderr.splitlines()) == 1


def test_a_server_whose_user_may_not_write_is_one_clear_line(
    client: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.acl_setuser(
        "looker", enabled=True, passwords=["+look"], keys=["*"],
        categories=["+@read"], commands=["+ping", "+time"], reset=True,
    )  # fmt: skip
    path = redis_url.removeprefix("unix://")
    monkeypatch.setenv("REDIS_URL", f"unix://looker:look@{path}")
    try:
        ended = run("mode", "halt")
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert "no permissions" in ended.stderr.lower()
        assert len(ended.stderr.splitlines()) == 1
        # All that only reads works for such a user.
        for words in (
            ("mode",), ("why", SYMBOL, "--json"), ("dead", "list"), ("history", SYMBOL),
            ("tail", "--no-follow"),
        ):  # fmt: skip
            assert run(*words).stderr == "", words
    finally:
        client.acl_deluser("looker")


def turning(ring: SmallRing, *prices: Decimal) -> threading.Thread:
    """The ring goes on by itself, with a price after each round, until the thread is joined."""

    def turn() -> None:
        for price in prices:
            ring.wait_for(TRADE_INTENT.key, 1)
            ring.settle()
            ring.tick(price)
            ring.settle()

    thread = threading.Thread(target=turn)
    thread.start()
    return thread


def opened(open_ring: Open) -> SmallRing:
    ring = open_ring()
    ring.tick(at_r(1))
    ring.settle()
    return ring


def asked(ring: SmallRing) -> list[Any]:
    return [said.message for said in read_picture(ring.client, SYMBOL, Terms()).intents]


def test_a_position_is_closed_whole_and_the_outcome_is_told(open_ring: Open) -> None:
    ring = opened(open_ring)
    thread = turning(ring, at_r(1))
    ended = run("close", SYMBOL.lower(), "--yes")
    thread.join()
    assert ended.exit_code == 0, ended.output
    assert "FULL_CLOSE_PROPOSED: SELL 1.83 at" in ended.stdout
    [intent] = asked(ring)
    assert (intent.intent_type, intent.source) == ("FULL_CLOSE_PROPOSED", "operator")
    assert run("close", SYMBOL, "--yes").stderr == "No position in RIVERUSDT is open.\n"


@pytest.mark.parametrize(
    ("fraction", "qty", "kind"),
    [
        ("0.25", "0.45", "HARVEST_PARTIAL_25"),
        ("0.5", "0.91", "HARVEST_PARTIAL_50"),
        ("0.74", "1.35", "HARVEST_PARTIAL_75"),
    ],
)
def test_a_part_goes_by_the_lowest_rung_that_has_room_for_it(
    open_ring: Open, fraction: str, qty: str, kind: str
) -> None:
    ring = opened(open_ring)
    thread = turning(ring, at_r(1))
    ended = run("close", SYMBOL, "--fraction", fraction, "--yes")
    thread.join()
    assert ended.exit_code == 0, ended.output
    assert f"SELL {qty} at" in ended.stdout
    [intent] = asked(ring)
    assert (intent.intent_type, intent.qty) == (kind, D(qty))


def test_no_more_than_the_ladder_takes_goes_as_a_part(open_ring: Open) -> None:
    ring = opened(open_ring)
    ended = run("close", SYMBOL, "--fraction", "0.9", "--yes")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == "At most 1.37 may still go as a part; or close all of it.\n"
    ended = run("close", SYMBOL, "--fraction", "0.001", "--yes")
    assert ended.stderr == "That is less than one lot of 0.01.\n"
    assert asked(ring) == []


@pytest.mark.parametrize("fraction", ["0", "1", "-0.5", "NaN", "half", "1e999"])
def test_a_fraction_that_is_none_is_refused(open_ring: Open, fraction: str) -> None:
    ring = opened(open_ring)
    assert run("close", SYMBOL, f"--fraction={fraction}", "--yes").exit_code == 2
    assert asked(ring) == []


def test_it_asks_first_and_a_no_is_a_no(open_ring: Open) -> None:
    ring = opened(open_ring)
    ended = run("close", SYMBOL, answer="n\n")
    assert ended.exit_code == 1
    assert "SELL 1.83 RIVERUSDT at the market, all of it, whatever is held then?" in ended.stdout
    assert asked(ring) == []
    assert run("close", SYMBOL, "--wait-s", "0.01", answer="y\n").exit_code == 1
    assert len(asked(ring)) == 1


def test_in_the_mode_halt_it_says_so_before_and_the_refusal_after(open_ring: Open) -> None:
    ring = opened(open_ring)
    call(ring.client, "SET", MODE_KEY, "HALT")
    thread = turning(ring, at_r(1))
    ended = run("close", SYMBOL, "--yes")
    thread.join()
    assert ended.exit_code == 1
    assert "The mode is HALT: it will be refused." in ended.stderr
    assert "apply_layer refused with mode_halt" in ended.stdout


def test_without_an_answer_it_says_where_to_look(open_ring: Open) -> None:
    ring = opened(open_ring)
    ended = run("close", SYMBOL, "--yes", "--wait-s", "0.01")
    assert ended.exit_code == 1
    [intent] = asked(ring)
    assert f"quantum why --intent {intent.intent_id}" in ended.stderr


def test_its_market_time_is_that_of_the_prices(open_ring: Open) -> None:
    """In a replay the wall clock is not the market's; an order of the future would never fill."""
    ring = opened(open_ring)
    run("close", SYMBOL, "--yes", "--wait-s", "0.01")
    [intent] = asked(ring)
    picture = read_picture(ring.client, SYMBOL, Terms())
    assert picture.tick is not None
    assert intent.timestamp == picture.tick.message.timestamp
    assert intent.produced_at > intent.timestamp
