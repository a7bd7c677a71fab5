"""`quantum why` names the hop at which the ring stands still: prices, daemons, messages."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.bus.client import call
from shared.contracts import HISTORY_SOURCE
from shared.streams import MARKET_TICK, heartbeat_key
from shared.why.findings import findings_of
from shared.why.picture import Terms
from shared.why.read import read_picture
from shared.why.story import story_of
from shared.why.words import Finding

from .asking import Open, asked, reason, strike
from .small_ring import SYMBOL, SmallRing, at_r


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
        ("harvest_brain", "harvest_brain has nothing waiting on market.tick and was last seen"),
        ("apply_layer", "apply_layer has nothing waiting on apply.plan and was last seen"),
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
    assert "harvest_brain has 200 waiting on market.tick and runs (was last seen" in text
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


@pytest.mark.parametrize(
    ("silent_s", "says"),
    [
        (None, "no other symbol has a newer one: is market_feed running? Nothing is decided"),
        (90, "1 min 30 s ago: is it running? Nothing is decided"),
        (1, "1 s ago): has its replay ended, or does its venue send nothing? Nothing is decided"),
    ],
)
def test_a_feed_that_stands_still_is_told_from_one_that_is_not_there(
    open_ring: Open, silent_s: float | None, says: str
) -> None:
    ring = open_ring()
    ring.tick(at_r(1), age_s=200)
    ring.settle()
    if silent_s is not None:
        at = ring.now() - timedelta(seconds=silent_s)
        ring.client.hset(heartbeat_key("market_feed"), "at", at.isoformat())
    code, _, text = reason()
    assert code == "feed_stale"
    assert says in text


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
