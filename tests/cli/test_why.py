"""`quantum why` names the true reason why nothing was sold, whatever holds the ring up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shared.bus.client import call
from shared.cli import app
from shared.cli.why_findings import findings_of
from shared.cli.why_picture import Terms
from shared.cli.why_read import read_picture
from shared.cli.why_story import story_of
from shared.cli.why_words import Finding
from shared.contracts import HISTORY_SOURCE
from shared.streams import MARKET_TICK, MODE_KEY

from .small_ring import SYMBOL, SmallRing, a_small_ring, at_r, seed

Open = Callable[..., SmallRing]

#: harvest_brain shows what it saw once a second; a test does not wait for that.
SHOWN_AT_ONCE = {"harvest_brain": {"show_every_s": 0}}


@pytest.fixture
def open_ring(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens a ring that ends with the test; its server is the one that the commands ask."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "160")
    opened: list[Any] = []

    def opener(settings: dict[str, Any] | None = None) -> SmallRing:
        opened.append(a_small_ring(redis_url, settings))
        ring: SmallRing = opened[-1].__enter__()
        return ring

    yield opener
    for ring in opened:
        ring.__exit__(None, None, None)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["why", *words])


def asked(*words: str) -> dict[str, Any]:
    """What `quantum why --json` says; its exit status agrees with it."""
    ended = run(*words, "--json")
    assert ended.stderr == "", ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    assert ended.exit_code == (0 if told["ok"] else 1)
    return told


def reason(*words: str) -> tuple[str, str, str]:
    """Code, verdict and text of the first finding."""
    first = asked(*(words or (SYMBOL,)))["reason"]
    return first["code"], first["verdict"], first["text"]


def later(ring: SmallRing, seconds: float) -> list[Finding]:
    """The findings as they will be, if all that runs goes on asking and one more price comes."""
    ring.tick(at_r(2), age_s=-seconds)
    ring.settle("harvest_brain")
    picture = read_picture(ring.client, SYMBOL, Terms())
    span = timedelta(seconds=seconds)
    queues = {
        hop: replace(queue, seen_at=queue.seen_at + span)
        if queue.seen_at is not None and queue.group in ring.runners
        else queue
        for hop, queue in picture.queues.items()
    }
    return findings_of(story_of(replace(picture, now=picture.now + span, queues=queues)))


def strike(step: str) -> None:
    """The end of a process that has just been handed something."""
    if step == "after_read":
        raise KeyboardInterrupt


def states(told: dict[str, Any]) -> dict[str, str]:
    return {rung["name"]: rung["state"] for rung in told["rungs"]}


def test_below_the_first_rung_it_says_how_far_away_that_is(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(1))
    ring.settle()
    told = asked(SYMBOL)
    assert told["reason"]["code"] == "thresholds"
    assert told["reason"]["verdict"] == "ok"
    text = told["reason"]["text"]
    assert "R is 1.00 (at most 1.00 so far)" in text
    assert "PARTIAL_25 is due at 2.00 R, at 12.8251, 1.96 % from 12.5788" in text
    assert "the kill score is 0.12 of 0.60" in text
    assert states(told) == {"PARTIAL_25": "next", "PARTIAL_50": "ahead", "PARTIAL_75": "ahead"}
    assert [rung["price"] for rung in told["rungs"]] == ["12.82512", "13.31792", "13.81072"]
    assert [rung["qty"] for rung in told["rungs"]] == ["0.46", "0.46", "0.45"]


def test_a_daemon_that_is_down_is_named_with_what_waits_for_it(open_ring: Open) -> None:
    ring = open_ring()
    ring.stop("intent_bridge")
    ring.tick(at_r(2))
    ring.settle("harvest_brain")
    first, *_ = later(ring, 62)
    assert (first.code, first.verdict) == ("daemon_down", "fail")
    assert first.text.startswith("PARTIAL_25 published ")
    assert "intent_bridge has 2 waiting on trade.intent" in first.text
    assert "1 min 2 s ago: is the daemon running?" in first.text


def test_a_daemon_that_died_with_a_message_in_hand_is_down_and_not_slow(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(2))
    ring.settle("harvest_brain", "intent_bridge")
    ring.start("apply_layer", hook=strike)
    with pytest.raises(KeyboardInterrupt):
        ring.turn("apply_layer")
    ring.stop("apply_layer")
    first, *_ = later(ring, 20)
    assert (first.code, first.verdict) == ("daemon_down", "fail")
    assert "the plan for PARTIAL_25 published" in first.text
    assert "handed out and not finished" in first.text


@pytest.mark.parametrize(
    ("down", "says"),
    [
        ("harvest_brain", "harvest_brain has nothing waiting on market.tick and last read"),
        ("apply_layer", "is the daemon running, or does it wait for its venue?"),
    ],
)
def test_a_daemon_that_is_down_shows_even_before_anything_waits_for_it(
    open_ring: Open, down: str, says: str
) -> None:
    ring = open_ring()
    ring.tick(at_r(1))
    ring.settle()
    ring.stop(down)
    picture = read_picture(ring.client, SYMBOL, Terms())
    span = timedelta(seconds=10)
    queues = {
        hop: queue if queue.group == down else replace(queue, seen_at=picture.now + span)
        for hop, queue in picture.queues.items()
    }
    first, *_ = findings_of(story_of(replace(picture, now=picture.now + span, queues=queues)))
    assert (first.code, first.verdict) == ("daemon_down", "fail")
    assert says in first.text


def test_a_daemon_that_stays_away_shows_by_the_clock(open_ring: Open) -> None:
    ring = open_ring()
    ring.stop("intent_bridge")
    ring.tick(at_r(2))
    deadline = time.monotonic() + 20
    code = ""
    while code != "daemon_down":
        assert time.monotonic() < deadline, code
        ring.tick(at_r(2))
        ring.settle()
        code, _, text = reason()
        assert code in ("daemon_down", "group_lags", "on_its_way"), text
    assert "intent_bridge" in text


def test_a_daemon_that_was_never_started_is_named(open_ring: Open) -> None:
    ring = open_ring()
    ring.stop("exitbrain")
    call(ring.client, "XGROUP", "DESTROY", "quantum:stream:apply.plan", "exitbrain")
    ring.put(ring.entry())
    ring.settle()
    told = asked("SOLUSDT")
    found = [f["text"] for f in told["findings"] if f["code"] == "daemon_down"]
    assert found == ["exitbrain has never read apply.plan on this server: was it started?"]


def test_a_group_that_lags_is_behind_and_not_away(open_ring: Open) -> None:
    ring = open_ring()
    for number in range(300):
        ring.tick(at_r("1.5"), age_s=15 - number / 20)
    ring.turn("harvest_brain")
    code, verdict, text = reason()
    assert (code, verdict) == ("group_lags", "fail")
    assert "RIVERUSDT at" in text
    assert "harvest_brain has 200 waiting on market.tick and goes on reading" in text
    assert "it is behind, not away" in text


def test_a_lag_that_the_server_cannot_count_is_none_the_less_told(open_ring: Open) -> None:
    ring = open_ring()
    for number in range(300):
        ring.tick(at_r("1.5"), age_s=15 - number / 20)
    ring.turn("harvest_brain")
    removed = call(ring.client, "XREVRANGE", MARKET_TICK.key, "+", "-", "COUNT", 9)[-1][0]
    call(ring.client, "XDEL", MARKET_TICK.key, removed)
    code, verdict, text = reason()
    assert (code, verdict) == ("group_lags", "fail")
    assert "harvest_brain has more than can be counted waiting on market.tick" in text


def test_a_server_that_does_not_show_who_asks_blames_nobody_who_has_nothing_to_do(
    open_ring: Open,
) -> None:
    """Before 7.2 a server notes only when a daemon was given something."""
    ring = open_ring()
    ring.tick(at_r(1))
    ring.settle()
    picture = read_picture(ring.client, SYMBOL, Terms())
    queues = {hop: replace(queue, beats=False) for hop, queue in picture.queues.items()}
    quiet = replace(picture, now=picture.now + timedelta(seconds=20), queues=queues)
    assert [finding.code for finding in findings_of(story_of(quiet))] == ["thresholds"]


def test_a_message_that_kills_its_reader_is_named(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(2))
    ring.settle("harvest_brain", "intent_bridge")
    for _ in range(3):
        ring.start("apply_layer", hook=strike)
        with pytest.raises(KeyboardInterrupt):
            ring.turn("apply_layer")
    told = asked(SYMBOL)
    assert told["reason"]["code"] == "bad_message"
    text = told["reason"]["text"]
    assert "was handed to apply_layer 3 times and never finished" in text
    assert "After 5 times it goes to the dead letters by itself" in text


def test_an_unreadable_message_in_front_is_told_with_its_code(open_ring: Open) -> None:
    ring = open_ring()
    ring.raw("quantum:stream:trade.intent", ["version", "1", "qty", "NaN"])
    for place in (">", "0", "0"):
        call(ring.client, "XREADGROUP", "GROUP", "intent_bridge", "intent_bridge",
             "STREAMS", "quantum:stream:trade.intent", place)  # fmt: skip
    ring.tick(at_r(2))
    ring.settle("harvest_brain")
    code, verdict, text = reason()
    assert (code, verdict) == ("bad_message", "fail")
    assert "(missing_field, intent_type: Field required)" in text
    assert "2 wait behind it" in text


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_intent_among_the_dead_letters_is_found_by_its_id(
    open_ring: Open, *, wrapped: bool
) -> None:
    ring = open_ring()
    fields = {
        "version": "1", "intent_id": "bad.1", "symbol": SYMBOL, "intent_type": "ENTRY",
        "side": "BUY", "qty": "NaN", "source": "stranger",
    }  # fmt: skip
    words = ["payload", json.dumps(fields)] if wrapped else [w for kv in fields.items() for w in kv]
    ring.raw("quantum:stream:trade.intent", words)
    ring.tick(at_r(1))
    ring.settle()
    code, verdict, text = reason("--intent", "bad.1")
    assert (code, verdict) == ("dead_letter", "fail")
    assert "(bad.1) was put aside as a dead letter at" in text
    assert "by intent_bridge: " in text
    beside = [f for f in asked(SYMBOL)["findings"] if f["code"] == "dead_letter"]
    assert [f["verdict"] for f in beside] == ["warn"]
    assert reason()[0] == "thresholds"


def test_the_mode_halt_is_the_reason_and_the_refusal_is_told(open_ring: Open) -> None:
    ring = open_ring(seed() | SHOWN_AT_ONCE)
    call(ring.client, "SET", MODE_KEY, "HALT")
    ring.tick(at_r(2))
    ring.settle()
    told = asked(SYMBOL)
    assert [f["code"] for f in told["findings"]][:2] == ["mode_halt", "refused"]
    assert "`quantum mode run`" in told["reason"]["text"]
    refused = told["findings"][1]["text"]
    assert refused.startswith("PARTIAL_25: apply_layer refused with mode_halt at")
    assert "asked again from" in refused
    assert states(told)["PARTIAL_25"] == "due"


def test_exits_pass_in_the_mode_that_bars_entries(open_ring: Open) -> None:
    ring = open_ring()
    call(ring.client, "SET", MODE_KEY, "nonsense")
    ring.tick(at_r(2))
    ring.settle()
    assert reason()[0] == "thresholds"
    ring.put(ring.entry())
    ring.settle()
    told = asked("SOLUSDT")
    assert told["reason"]["code"] == "refused"
    assert "intent_bridge refused with mode_exits_only" in told["reason"]["text"]
    assert "'nonsense', no mode, and counts as EXITS_ONLY" in told["findings"][1]["text"]


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"reduce_only_min_notional": "8"}, "0.46 at 12.8251 is 5.90, less than the minimum of 8"),
        ({"min_qty": "0.5"}, "0.46 is less than the venue's minimum quantity, 0.5"),
        ({"lot_step": "1"}, "less than half a lot, left to the next rung"),
    ],
)
def test_a_rung_that_is_too_small_is_merged_and_says_why(
    open_ring: Open, rules: dict[str, str], says: str
) -> None:
    settings = seed()
    settings["apply_layer"]["paper"]["symbol"] = {SYMBOL: rules}
    ring = open_ring(settings)
    ring.tick(at_r("2.5"))
    ring.settle()
    told = asked(SYMBOL)
    assert told["reason"]["code"] == "merged"
    assert says in told["reason"]["text"]
    assert states(told)["PARTIAL_25"] == "merged"
    assert states(told)["PARTIAL_50"] == "next"


def test_a_refusal_of_the_venue_is_told_with_its_code(open_ring: Open) -> None:
    ring = open_ring(seed() | SHOWN_AT_ONCE)
    ring.settings["apply_layer"]["paper"]["symbol"] = {SYMBOL: {"min_qty": "1"}}
    ring.start("apply_layer")
    ring.tick(at_r(2))
    ring.settle()
    told = asked(SYMBOL)
    assert (told["reason"]["code"], told["reason"]["verdict"]) == ("refused", "fail")
    text = told["reason"]["text"]
    assert text.startswith("PARTIAL_25: the venue refused with -4004 at ")
    assert "(qty_under_min)" in text
    assert "refused once in a row, asked again from" in text
    assert "PARTIAL_25" in run(SYMBOL).stdout


def test_a_stop_that_is_missing_comes_before_all_else(open_ring: Open) -> None:
    settings = seed(stop_loss=None)
    settings["apply_layer"]["paper"]["symbol"] = {SYMBOL: {"min_qty": "5"}}
    ring = open_ring(settings)
    ring.tick(at_r(1))
    ring.settle()
    call(ring.client, "SET", MODE_KEY, "HALT")
    told = asked(SYMBOL)
    assert [f["code"] for f in told["findings"]][:2] == ["stop_missing", "mode_halt"]
    assert "no live stop stands for this position since" in told["reason"]["text"]
    assert "`rejected` in its log" in told["reason"]["text"]
    assert told["reason"]["verdict"] == "wait"
    assert told["position"]["stop_loss"] is None
    picture = read_picture(ring.client, SYMBOL, Terms())
    span = timedelta(seconds=3)
    first, *_ = findings_of(story_of(replace(picture, now=picture.now + span)))
    assert (first.code, first.verdict) == ("stop_missing", "fail")


def test_a_feed_that_stands_still_is_named_by_the_age_of_its_last_price(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(1), age_s=200)
    ring.settle()
    code, verdict, text = reason()
    assert (code, verdict) == ("feed_stale", "fail")
    assert "the last price of RIVERUSDT, 12.5788, is of" in text
    assert "3 min 20 s ago" in text
    assert "is market_feed running?" in text
    ring.tick("150", symbol="SOLUSDT")
    ring.settle()
    assert "is it still among market_feed.symbols?" in reason()[2]


def test_a_price_that_only_fills_a_gap_does_not_make_the_feed_fresh(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(1), age_s=200)
    at = ring.now()
    ring.put(ring.price(at_r(1), at=at, produced_at=at, source=HISTORY_SOURCE))
    ring.settle()
    assert reason()[0] == "feed_stale"
    assert "3 min 20 s ago" in reason()[2]


def test_a_rung_that_was_reached_stays_due_wherever_the_price_goes(open_ring: Open) -> None:
    ring = open_ring(seed() | SHOWN_AT_ONCE)
    ring.stop("intent_bridge")
    for r in ("2.5", "1"):
        ring.tick(at_r(r))
        ring.settle("harvest_brain")
    told = asked(SYMBOL)
    assert states(told)["PARTIAL_25"] == "due"
    assert told["rungs"][0]["why"] == "R was 2.50"
    assert told["reason"]["code"] == "on_its_way"


def test_a_symbol_without_any_price_is_told_so(open_ring: Open) -> None:
    ring = open_ring()
    assert reason()[0] == "feed_stale"
    assert "there is no price of RIVERUSDT on market.tick: is market_feed running?" in reason()[2]
    ring.tick("150", symbol="SOLUSDT")
    assert "does market_feed list it?" in reason()[2]


def test_prices_older_than_those_seen_before_are_told_so(open_ring: Open) -> None:
    """A replay of a file from its beginning, on a server that has seen its end."""
    ring = open_ring()
    ring.tick(at_r(1))
    ring.settle()
    at = ring.now()
    old = at - timedelta(days=30)
    ring.put(ring.price(at_r(3), at=old, produced_at=at))
    ring.settle()
    code, verdict, text = reason()
    assert (code, verdict) == ("prices_of_the_past", "fail")
    assert f"{old:%d %b %Y}" in text


def test_when_every_rung_is_taken_the_rest_runs_on(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(7))
    ring.settle()
    told = asked(SYMBOL)
    assert told["reason"]["code"] == "all_taken"
    assert "no rung is left: 0.46 of 1.83 runs on" in told["reason"]["text"]
    assert set(states(told).values()) == {"taken"}
    why = {rung["name"]: rung["why"] for rung in told["rungs"]}
    assert why["PARTIAL_25"] == "with PARTIAL_75"
    assert why["PARTIAL_75"].startswith("1.37 at ")
    assert [stop["stop_loss"] for stop in told["stops"]] == ["12.0736", "12.3446"]
    assert Decimal(told["position"]["qty"]) == Decimal("0.46")


def test_a_short_position_is_told_the_other_way_round(open_ring: Open) -> None:
    ring = open_ring(seed(side="SHORT", stop_loss="12.5664"))
    ring.tick("12.06")
    ring.settle()
    told = asked(SYMBOL)
    assert "PARTIAL_25 is due at 2.00 R, at 11.8148" in told["reason"]["text"]
    assert "2.03 % from 12.06" in told["reason"]["text"]
    assert [rung["price"] for rung in told["rungs"]] == ["11.81488", "11.32208", "10.82928"]
    assert [rung["away"] for rung in told["rungs"]] == ["0.24512", "0.73792", "1.23072"]


def test_the_page_tells_the_whole_story(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(2))
    ring.settle()
    page = run(SYMBOL).stdout
    for text in (
        "LONG 1.37 of 1.83 from 12.32 at 10x",
        "adopted: the suite did not open it",
        "PARTIAL_25   2.00   12.8251   0.46   taken   0.46 at",
        "12.0736, adopted",
        "12.3446, asked for",
        "longest without a stop so far",
        "0.1205 of 0.6: bias -2.00, regime_flip 0.00",
        "last evaluated at 12.8252",
        "orders without an outcome\n  stop at 12.3446, s1-",
        "PARTIAL_25: SELL 0.46 at",
    ):
        assert text in page, text
