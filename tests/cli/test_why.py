"""`quantum why` of an open position: its rungs, its stop, its mode, and who refused what."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from shared.bus.client import call
from shared.streams import MODE_KEY
from shared.why.findings import findings_of
from shared.why.picture import Terms
from shared.why.read import read_picture
from shared.why.story import story_of

from .asking import SHOWN_AT_ONCE, Open, asked, reason, run, states
from .small_ring import SYMBOL, at_r, seed


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
    assert "stop refused by the venue: -4004 " in told["reason"]["text"]
    assert told["reason"]["verdict"] == "wait"
    assert told["position"]["stop_loss"] is None
    picture = read_picture(ring.client, SYMBOL, Terms())
    span = timedelta(seconds=3)
    first, *_ = findings_of(story_of(replace(picture, now=picture.now + span)))
    assert (first.code, first.verdict) == ("stop_missing", "fail")


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
