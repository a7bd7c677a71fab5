"""`quantum why` of entries, of one intent or plan, and of what only a real venue does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from redis import Redis

from services.apply_layer.exchange import (
    OrderInDoubt,
    Past,
    SymbolRules,
    VenueHealth,
    VenuePosition,
)
from services.apply_layer.journal import Leg, client_order_id
from services.apply_layer.state import Policy
from shared.bus.client import call
from shared.contracts import ExitPlan, FullCloseIntent, encode
from shared.sides import PositionSide
from shared.streams import harvest_key
from shared.why.findings import findings_of
from shared.why.picture import Terms
from shared.why.read import read_picture
from shared.why.story import story_of

from .apart import ApplyApart, look
from .asking import Open, asked, reason, run, states
from .small_ring import READERS, SYMBOL, SmallRing, at_r, seed

D = Decimal
SOL = "SOLUSDT"
RULES = SymbolRules(SYMBOL, D("0.01"), D("0.0001"), D("0.01"), D(50_000), D(5), 50, D("0.01"))


def enter(ring: SmallRing, *, filled_at: str = "150", **changes: Any) -> None:
    """A stranger's entry at the last price, and the price after it, at which it is filled."""
    ring.tick("150", symbol=SOL)
    ring.settle()
    ring.put(ring.entry(**changes))
    ring.settle()
    ring.tick(filled_at, symbol=SOL)
    ring.settle()


def test_an_entry_tells_its_causes_from_intent_to_fill(open_ring: Open) -> None:
    ring = open_ring()
    enter(ring, model="meanrev", atr_value=D("1.5"))
    told = asked(SOL)
    assert told["reason"]["code"] == "thresholds"
    assert [said.get("decision") or said.get("status") for said in told["entry"]] == [
        None, "AWAITING_EXITS", "EXECUTE", "FILLED",
    ]  # fmt: skip
    page = run(SOL).stdout
    assert "from stranger meanrev: it looked cheap; confidence 0.7" in page
    assert "ATR 1.5" in page
    assert "protects the position" in page


def test_an_intent_that_came_as_json_in_one_field_is_told_as_any_other(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick("150", symbol=SOL)
    ring.settle()
    fields = dict(encode(ring.entry(qty=D(100))))
    ring.raw("quantum:stream:trade.intent", ["payload", json.dumps(fields)])
    ring.settle()
    [intent, skip] = asked("--intent", "stranger.1")["said"]
    assert (intent["qty"], skip["reason"]) == ("100", "order_cap")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"qty": D(100)}, "ENTRY: intent_bridge refused with order_cap at"),
        (
            {"stop_loss": D(140), "take_profit": D(160)},
            "ENTRY: exitbrain refused with stop_beyond_liquidation at",
        ),
        (
            {"qty": D(13), "leverage": 2, "filled_at": "160"},
            "ENTRY: the venue ended the order with margin_insufficient at",
        ),
    ],
)
def test_an_entry_that_was_refused_says_by_whom_and_why(
    open_ring: Open, changes: dict[str, Any], says: str
) -> None:
    settings = seed()
    settings["apply_layer"]["paper"]["initial_wallet"] = "1000"
    settings["exitbrain"] = {"symbol": {SOL: {"liquidation_share": "0.1"}}}
    ring = open_ring(settings)
    enter(ring, **changes)
    assert reason(SOL)[:2] == ("refused", "fail")
    assert says in reason(SOL)[2]
    assert reason("--intent", "stranger.1")[2] == reason(SOL)[2]
    assert reason("--plan", "plan:stranger:stranger.1")[2] == reason(SOL)[2]


def test_an_entry_without_exits_waits_for_exitbrain(open_ring: Open) -> None:
    ring = open_ring()
    ring.stop("exitbrain")
    enter(ring)
    picture = read_picture(ring.client, SOL, Terms())
    span = timedelta(seconds=3)
    first, *_, last = findings_of(story_of(replace(picture, now=picture.now + span)))
    assert first.code == "group_lags"
    assert "the plan of stranger.1 published" in first.text
    assert "exitbrain has 1 waiting on apply.plan" in first.text
    assert last.text.startswith("ENTRY waits for exitbrain since ")


def test_a_position_that_ended_says_how(open_ring: Open) -> None:
    ring = open_ring()
    enter(ring)
    ring.tick("140", symbol=SOL)
    ring.settle()
    code, verdict, text = reason(SOL)
    assert (code, verdict) == ("done", "ok")
    assert "the position ended" in text
    assert "by STOPPED_OUT, realised -" in text


def test_a_symbol_of_which_nothing_is_known(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick("150", symbol=SOL)
    ring.settle()
    assert reason(SOL)[:2] == ("nothing_asked", "ok")
    assert run(SOL.lower()).exit_code == 0


def test_an_id_that_nobody_has_heard_of_ends_with_1(open_ring: Open) -> None:
    open_ring()
    ended = run("--intent", "nobody.1")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "tells of nobody.1" in ended.stderr


@pytest.mark.parametrize("words", [(), (SOL, "--plan", "p"), ("--plan", "p", "--intent", "i")])
def test_it_is_asked_about_one_thing(open_ring: Open, words: tuple[str, ...]) -> None:
    open_ring()
    assert run(*words).exit_code == 2


def test_what_a_stranger_wrote_is_shown_as_it_is(open_ring: Open) -> None:
    ring = open_ring()
    enter(ring, reason="[bold]cheap[/nonsense]", model="[red]")
    assert "stranger [red]: [bold]cheap[/nonsense]" in run(SOL).stdout
    assert "[bold]cheap[/nonsense]" in run("--intent", "stranger.1").stdout


def test_one_exit_is_told_from_its_intent_to_its_fill(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(2))
    ring.settle()
    [one] = [a for a in asked(SYMBOL)["asked"] if a["kind"] == "PARTIAL_25"]
    told = asked("--intent", one["intent_id"])
    assert told["reason"]["code"] == "done"
    assert told["symbol"] == SYMBOL
    assert [said["id"] for said in told["said"]] == [said["id"] for said in one["said"]]
    assert asked("--plan", told["said"][1]["plan_id"])["said"] == told["said"]
    assert "SELL 0.46 at" in run("--intent", one["intent_id"]).stdout


def test_an_id_with_other_content_is_found_among_the_dead_letters(open_ring: Open) -> None:
    """A second close under a name that was decided before: one letter, and the first outcome."""
    ring = open_ring()
    ring.tick(at_r(1))
    ring.settle()
    position_id = asked(SYMBOL)["position"]["position_id"]
    for qty in ("0.1", "0.2"):
        ring.put(full_close(ring, position_id, qty))
    ring.settle()
    ring.tick(at_r(1))
    ring.settle()
    assert [f["code"] for f in asked("--intent", "close.1")["findings"]] == ["done", "dead_letter"]
    letters = [f["text"] for f in asked(SYMBOL)["findings"] if f["code"] == "dead_letter"]
    assert len(letters) == 1
    assert "id_conflict" in letters[0]


def test_a_close_that_is_on_its_way_is_told_though_nothing_is_due(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(1))
    ring.settle()
    ring.put(full_close(ring, asked(SYMBOL)["position"]["position_id"], "1.83"))
    assert reason()[:2] == ("on_its_way", "wait")
    assert "FULL_CLOSE_PROPOSED waits for intent_bridge since" in reason()[2]
    ring.settle()
    assert reason()[:2] == ("at_the_venue", "wait")


def test_of_many_dead_letters_the_newest_are_told(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(1))
    for number in range(8):
        ring.raw("quantum:stream:trade.intent", ["symbol", SYMBOL, "intent_id", f"bad.{number}"])
    ring.settle()
    told = [f["text"] for f in asked(SYMBOL)["findings"] if f["code"] == "dead_letter"]
    assert len(told) == 6
    assert [f"bad.{number}" in told[number - 3] for number in range(3, 8)] == [True] * 5
    assert told[-1] == "3 older dead letters: see `quantum dead list`"


def full_close(ring: SmallRing, position_id: str, qty: str) -> FullCloseIntent:
    at = ring.now()
    return FullCloseIntent(
        timestamp=at,
        produced_at=at,
        source="operator",
        intent_id="close.1",
        intent_type="FULL_CLOSE_PROPOSED",
        symbol=SYMBOL,
        side="SELL",
        reduceOnly=True,
        position_id=position_id,
        qty=D(qty),
    )


def test_a_kill_that_was_not_asked_for_yet_is_told(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick(at_r(1))
    ring.settle()
    call(ring.client, "HSET", harvest_key(SYMBOL), "kill_score", "0.7100")
    code, verdict, text = reason()
    assert (code, verdict) == ("not_asked", "wait")
    assert "FULL_CLOSE_PROPOSED is due (the kill score is 0.71)" in text


# -- what only a real venue does ------------------------------------------------------------------


def apart(ring: SmallRing, *positions: VenuePosition) -> ApplyApart:
    """apply_layer before a venue that says what the test says."""
    venue = ApplyApart(ring.client)
    venue.hear(look(ring.now(), RULES, *positions), ring.now())
    return venue


def live_ring(open_ring: Open) -> SmallRing:
    """A ring whose apply_layer is the test's own."""
    ring = open_ring({})
    ring.stop("apply_layer")
    call(ring.client, "FLUSHALL")
    ring.start(*(daemon for daemon in READERS if daemon != "apply_layer"))
    return ring


def held(ring: SmallRing, past: Past | None = None) -> VenuePosition:
    return VenuePosition(
        symbol=SYMBOL,
        side=PositionSide.LONG,
        qty=D("1.83"),
        entry_price=D("12.32"),
        leverage=10,
        mark_price=D("12.32"),
        opened_at=ring.now() - timedelta(hours=1),
        past=past,
    )


def test_a_position_adopted_without_its_history_says_why_nothing_is_sold(open_ring: Open) -> None:
    ring = live_ring(open_ring)
    opened_at = ring.now() - timedelta(hours=1)
    venue = apart(ring, held(ring, Past(D("1.83"), opened_at, known=False)))
    venue.accept(ring.now())
    ring.tick(at_r(30))
    ring.settle()
    venue.attend()
    told = asked(SYMBOL)
    assert (told["reason"]["code"], told["reason"]["verdict"]) == ("history_unknown", "warn")
    assert "every rung counts as taken" in told["reason"]["text"]
    assert set(states(told).values()) == {"taken"}
    assert all("history is unknown" in rung["why"] for rung in told["rungs"])


def test_a_position_that_harvest_brain_has_not_heard_of_yet_is_told(open_ring: Open) -> None:
    ring = live_ring(open_ring)
    ring.stop("harvest_brain")
    ring.tick(at_r(3))
    apart(ring, held(ring))
    found = {f["code"]: f for f in asked(SYMBOL)["findings"]}
    assert found["not_watched"]["verdict"] == "wait"
    assert "harvest_brain has no record of this position" in found["not_watched"]["text"]
    assert found["stop_missing"]["text"].count("has no answer yet") == 1


def test_an_adopted_position_with_a_history_is_no_such_case(open_ring: Open) -> None:
    ring = live_ring(open_ring)
    past = Past(D("2.44"), ring.now() - timedelta(hours=1), harvested_qty=D("0.61"))
    venue = apart(ring, held(ring, past))
    venue.accept(ring.now())
    ring.tick(at_r(1))
    ring.settle()
    venue.attend()
    told = asked(SYMBOL)
    assert told["reason"]["code"] == "thresholds"
    assert "history_unknown" not in [f["code"] for f in told["findings"]]
    assert [rung["why"] for rung in told["rungs"]][:1] == ["before the streams begin"]


def test_entries_that_the_venue_bars_are_told_with_the_reason(open_ring: Open) -> None:
    ring = live_ring(open_ring)
    venue = apart(ring)
    venue.hear(VenueHealth({"clock": "the clocks differ by 812 ms"}, ring.now()), ring.now())
    ring.tick(at_r(1))
    ring.settle()
    told = [f["text"] for f in asked(SYMBOL)["findings"] if f["code"] == "entries_barred"]
    assert told == ["the venue takes no entries now: clock, the clocks differ by 812 ms"]


def test_an_entry_that_a_barrier_stopped_is_told_with_the_barrier(open_ring: Open) -> None:
    ring = live_ring(open_ring)
    venue = apart(ring)
    venue.hear(VenueHealth({"clock": "the clocks differ by 812 ms"}, ring.now()), ring.now())
    ring.settle()
    ring.tick("12.32")
    ring.settle()
    ring.put(ring.entry(symbol=SYMBOL, entry_price=D("12.32")))
    ring.settle()
    plans = [said.message for said in read_picture(ring.client, SYMBOL, Terms()).plans]
    venue.hear(plans[-1], ring.now())
    venue.attend()
    told = asked(SYMBOL)
    assert [f["code"] for f in told["findings"]] == ["refused", "entries_barred"]
    assert "ENTRY: apply_layer refused with clock at" in told["reason"]["text"]


def test_a_position_that_is_left_alone_is_told_as_such(open_ring: Open) -> None:
    ring = live_ring(open_ring)
    venue = ApplyApart(ring.client, Policy(adopt=False))
    venue.hear(look(ring.now(), RULES, held(ring)), ring.now())
    ring.tick(at_r(3))
    ring.settle()
    code, verdict, text = reason()
    assert (code, verdict) == ("left_alone", "warn")
    assert "the account holds 1.83, which is not ours and left alone" in text


def test_an_order_that_may_have_been_executed_is_the_reason(open_ring: Open) -> None:
    ring = live_ring(open_ring)
    venue = apart(ring, held(ring))
    venue.accept(ring.now())
    ring.tick(at_r(2))
    ring.settle()
    plans = [said.message for said in read_picture(ring.client, SYMBOL, Terms()).plans]
    [plan] = [plan for plan in plans if isinstance(plan, ExitPlan)]
    venue.hear(plan, ring.now())
    name = client_order_id(plan.plan_id, Leg.EXIT, 1)
    venue.hear(OrderInDoubt(name, SYMBOL, "-1007 timeout", ring.now()), ring.now())
    venue.attend()
    told = asked(SYMBOL)
    assert (told["reason"]["code"], told["reason"]["verdict"]) == ("order_unknown", "fail")
    text = told["reason"]["text"]
    assert f"the exit {name} (PARTIAL_25) may have been executed or not" in text
    assert "-1007 timeout" in text
    waits = [f["text"] for f in told["findings"] if f["code"] == "at_the_venue"]
    assert f"its order {name} is unknown" in waits[0]
    # Where apply_layer's own documents may not be read, the record of the venue says it as well.
    forget_orders(ring.client)
    code, _, text = reason()
    assert code == "order_unknown"
    assert f"the order {name} may have been executed or not: {SYMBOL} EXIT" in text


def forget_orders(client: Redis) -> None:
    names = call(client, "HKEYS", "quantum:state:apply_layer")
    call(client, "HDEL", "quantum:state:apply_layer", *(n for n in names if b"orders/" in n))
