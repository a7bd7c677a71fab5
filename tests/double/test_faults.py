"""Each fault does what its name says, to the answer and to the ledger."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from services.apply_layer.double import DRAWN_KINDS, KINDS, Double
from services.apply_layer.double.fault_kinds import Fault
from services.apply_layer.double.faults import Faults

from .raw import ALGO, BTC, ORDER, D, Raw, config, lines

NO_ANSWER = (OSError, http.client.HTTPException)
RISK = "/fapi/v3/positionRisk"


def eventually(condition: Callable[[], object], within_s: float = 3.0) -> None:
    """Wait until another thread has brought something about."""
    deadline, tick = time.monotonic() + within_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        tick.wait(0.005)


def struck(venue: Double, kind: str) -> dict[str, Any]:
    """The one request that a fault struck, and a line that says so."""
    assert [line["fault"] for line in lines(venue, "fault")] == [kind]
    (line,) = lines(venue, "request", fault=kind)
    return line


@pytest.mark.parametrize("how", ["silence", "close"])
def test_executed_then_timed_out_executes_and_never_answers(raw: Raw, how: str) -> None:
    raw.timeout_s = 0.2
    raw.venue.faults.script("executed_then_timed_out", path=ORDER, how=how)
    with pytest.raises(NO_ANSWER):
        raw.market()
    assert raw.venue.position(BTC) == D("0.1")
    assert struck(raw.venue, "executed_then_timed_out")["http"] == 0


@pytest.mark.parametrize("how", ["silence", "close"])
def test_timed_out_not_executed_does_nothing_and_never_answers(raw: Raw, how: str) -> None:
    raw.timeout_s = 0.2
    raw.venue.faults.script("timed_out_not_executed", how=how)
    with pytest.raises(NO_ANSWER):
        raw.market()
    assert lines(raw.venue, "order") == []
    assert struck(raw.venue, "timed_out_not_executed")["http"] == 0
    assert raw.market().code == 0


def test_executed_then_code_executes_and_answers_a_refusal(raw: Raw) -> None:
    raw.venue.faults.script("executed_then_code", code=-4116)
    assert raw.stop(clientAlgoId="s1").code == -4116
    assert [o["clientAlgoId"] for o in raw.venue.open_algo_orders()] == ["s1"]


@pytest.mark.parametrize("how", ["503", "close"])
def test_late_accept_executes_after_its_answer(raw: Raw, how: str) -> None:
    raw.venue.faults.script("late_accept", delay_s=0.05, how=how)
    if how == "503":
        assert raw.market().status == 503
    else:
        with pytest.raises(NO_ANSWER):
            raw.market()
    assert lines(raw.venue, "order") == []
    eventually(lambda: raw.venue.position(BTC) == D("0.1"))


def test_late_accept_is_dropped_when_the_window_of_the_request_is_over(raw: Raw) -> None:
    raw.venue.faults.script("late_accept", delay_s=0.15)
    assert raw.market(recvWindow=50).status == 503
    raw.venue.faults.script("late_accept", delay_s=0.16)
    assert raw.stop(recvWindow=5000, symbol="SOLUSDT", triggerPrice="140").status == 503
    eventually(lambda: lines(raw.venue, "order") != [])
    assert raw.venue.position(BTC) == 0


def test_late_accept_of_an_unsigned_call_knows_no_window(raw: Raw) -> None:
    raw.venue.faults.script("late_accept", path="/fapi/v1/listenKey", delay_s=0.0)
    assert raw.plain("POST", "/fapi/v1/listenKey", key=True).status == 503
    put = ("PUT", "/fapi/v1/listenKey")
    eventually(lambda: raw.plain(*put, key=True).status == 200)


@pytest.mark.parametrize("executed", [True, False])
def test_503_unknown_says_so_and_may_have_executed(raw: Raw, executed: bool) -> None:
    raw.venue.faults.script("http_503_unknown", executed=executed)
    answer = raw.market()
    assert answer.status == 503
    assert answer.json["msg"].startswith("Unknown error, please check your request")
    assert len(lines(raw.venue, "order")) == executed


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("http_503_service_unavailable", 0, "Service Unavailable"),
        ("http_503_internal", -1001, "Internal error"),
    ],
)
def test_503_of_the_other_wordings_executes_nothing(
    raw: Raw, kind: str, code: int, words: str
) -> None:
    raw.venue.faults.script(kind)
    answer = raw.market()
    assert (answer.status, answer.code) == (503, code)
    assert words in answer.json["msg"]
    assert lines(raw.venue, "order") == []


@pytest.mark.parametrize("http_status", [408, 502, 504])
def test_408_502_504_are_pages_of_a_gateway(raw: Raw, http_status: int) -> None:
    raw.venue.faults.script(f"http_{http_status}")
    answer = raw.market()
    assert (answer.status, answer.text[:6]) == (http_status, "<html>")
    assert lines(raw.venue, "order") == []
    assert struck(raw.venue, f"http_{http_status}")["code"] == 0


@pytest.mark.parametrize("code", [-1006, -1007])
@pytest.mark.parametrize("executed", [True, False])
def test_1006_1007_put_an_order_in_doubt(raw: Raw, code: int, executed: bool) -> None:
    raw.venue.faults.script("order_in_doubt", code=code, executed=executed)
    assert raw.market().code == code
    assert len(lines(raw.venue, "order")) == executed


def test_any_code_executes_nothing_and_strikes_as_often_as_told(raw: Raw) -> None:
    raw.venue.faults.script("code", "POST", ORDER, 2, code=-4131)
    assert raw.stop("60000").code == 0
    assert [raw.market().code for _ in range(3)] == [-4131, -4131, 0]
    raw.venue.faults.script("code", code=-1015, http=429, retry_after_s=7)
    answer = raw.market()
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


def test_1008_may_strike_entries_alone(raw: Raw) -> None:
    raw.market()
    raw.venue.faults.script("code", path=ORDER, code=-1008, entries_only=True)
    assert raw.market("SELL", reduceOnly="true", qty="0.05").code == 0
    answer = raw.market()
    assert (answer.status, answer.code) == (503, -1008)


def test_429_lasts_as_long_as_it_says_and_418_bans(raw: Raw) -> None:
    raw.venue.faults.script("rate_limited_429", path=RISK, retry_after_s=30)
    first = raw.signed("GET", RISK)
    assert (first.status, first.code, first.headers["retry-after"]) == (429, -1003, "30")
    assert raw.get("/fapi/v1/ping").status == 429
    raw.venue.pardon()
    raw.venue.faults.script("banned_418", retry_after_s=60)
    assert raw.market().status == 418
    assert raw.get("/fapi/v1/ping").status == 418
    raw.venue.pardon()
    assert raw.market().status == 200


def test_stale_reads_answer_as_of_before_the_last_change(raw: Raw) -> None:
    raw.market(newClientOrderId="e1")
    raw.venue.faults.script("stale_read", times=3)
    assert raw.signed("GET", RISK).json == []
    assert raw.signed("GET", "/fapi/v1/userTrades", symbol=BTC).json == []
    assert raw.signed("GET", ORDER, symbol=BTC, origClientOrderId="e1").code == -2013
    assert len(raw.signed("GET", RISK).json) == 1
    raw.stop()
    raw.venue.faults.script("stale_read")
    assert raw.signed("GET", "/fapi/v1/openAlgoOrders").json == []
    assert len(raw.signed("GET", "/fapi/v1/openAlgoOrders").json) == 1


def test_partial_fill_then_cancel_leaves_the_rest_expired(raw: Raw) -> None:
    raw.venue.faults.script("partial_fill_then_cancel", part="0.3")
    told = raw.market().json
    assert (told["status"], told["executedQty"], told["origQty"]) == ("EXPIRED", "0.030", "0.1")
    assert raw.venue.position(BTC) == D("0.03")
    (ended,) = lines(raw.venue, "ended")
    assert (ended["status"], ended["executed_qty"]) == ("EXPIRED", "0.030")


@pytest.mark.parametrize(
    ("kind", "status"),
    [("stop_rejected_at_trigger", "REJECTED"), ("stop_stuck_triggering", "TRIGGERING")],
)
def test_a_stop_that_is_rejected_or_stuck_at_its_trigger_leaves_the_position_open(
    raw: Raw, kind: str, status: str
) -> None:
    raw.market()
    raw.stop(clientAlgoId="s1")
    raw.venue.faults.script(kind)
    raw.venue.mark(BTC, D(64_500))
    assert raw.algo("s1")["algoStatus"] == "NEW"
    raw.venue.mark(BTC, D(63_900))
    assert raw.algo("s1")["algoStatus"] == status
    assert raw.venue.position(BTC) == D("0.1")
    assert [line["status"] for line in lines(raw.venue, "ended", book="algo")] == [status]
    raw.venue.mark(BTC, D(63_800))
    assert raw.venue.position(BTC) == D("0.1")
    assert raw.signed("DELETE", ALGO, clientAlgoId="s1").code == -2011


def test_a_stop_by_the_last_price_is_not_rejected_at_a_mark_that_does_not_trigger_it(
    raw: Raw,
) -> None:
    raw.market()
    raw.stop(clientAlgoId="by-last", workingType="CONTRACT_PRICE")
    raw.venue.faults.script("stop_rejected_at_trigger")
    raw.venue.mark(BTC, D(63_900), contract=D(64_500))
    assert raw.algo("by-last")["algoStatus"] == "NEW"


@pytest.mark.parametrize(
    ("kind", "prefix"), [("liquidation", "autoclose-"), ("adl", "adl_autoclose")]
)
def test_forced_closes_carry_the_venue_s_client_ids_and_know_no_largest_order(
    kind: str, prefix: str
) -> None:
    with Double.start(config(max_market_qty={BTC: D("0.1")})) as venue:
        venue.by_hand(BTC, "SELL", D("0.1"))
        venue.by_hand(BTC, "SELL", D("0.1"))
        venue.faults.script(kind, symbol=BTC)
        assert venue.position(BTC) == 0
        (forced,) = lines(venue, "trade", side="BUY")
        assert forced["client_id"].startswith(prefix)
        assert forced["qty"] == "0.2"


def test_clock_skew_moves_the_venue_s_time(raw: Raw) -> None:
    raw.venue.faults.script("clock_skew", offset_ms=-2000)
    told = raw.get("/fapi/v1/time").json["serverTime"]
    assert -2100 < told - raw.venue.config.clock() * 1000 < -1900
    assert raw.market().code == -1021
    assert raw.market(timestamp=told).code == 0


def test_hedge_mode_is_on_when_told(raw: Raw) -> None:
    raw.venue.faults.script("hedge_mode")
    assert raw.signed("GET", "/fapi/v1/positionSide/dual").json["dualSidePosition"] is True


@pytest.mark.parametrize("how", ["503", "close", "refuse"])
def test_the_venue_is_away_and_back_on_the_same_port(raw: Raw, how: str) -> None:
    raw.market()
    raw.venue.down(how)
    if how == "503":
        assert raw.get("/fapi/v1/ping").status == 503
    else:
        with pytest.raises(NO_ANSWER):
            raw.get("/fapi/v1/ping")
    raw.venue.up()
    assert raw.get("/fapi/v1/ping").status == 200
    assert raw.venue.position(BTC) == D("0.1")
    kinds = [line["kind"] for line in raw.venue.ledger if line["kind"] in ("down", "up")]
    assert kinds == ["down", "up"]


def test_an_unknown_fault_is_refused(venue: Double) -> None:
    with pytest.raises(ValueError, match="no fault"):
        venue.faults.script("bad_luck")
    with pytest.raises(ValueError, match="no fault"):
        venue.set_fault_rate(0.1, ("bad_luck",))
    assert set(DRAWN_KINDS) < set(KINDS)


def drawn(seed: int, calls: int = 400) -> list[Fault | None]:
    faults = Faults(seed, lambda _fault: None, rate=0.2)
    paths = (ORDER, ALGO)
    return [faults.strike("POST", paths[n % 2], {}) for n in range(calls)]


def test_draws_come_from_the_seed_and_the_calls_alone() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert 0.1 < sum(fault is not None for fault in drawn(7)) / 400 < 0.3


def test_a_draw_does_not_depend_on_calls_of_another_kind() -> None:
    first, second = (Faults(3, lambda _fault: None, rate=0.3) for _ in range(2))
    alone = [first.strike("POST", ORDER, {}) for _ in range(60)]
    mixed = []
    for _ in range(60):
        second.strike("GET", RISK, {})
        mixed.append(second.strike("POST", ORDER, {}))
    requests = [f for f in mixed if f is None or f.kind not in ("stop_stuck_triggering",)]
    assert alone == requests


def test_every_drawn_kind_meets_some_call() -> None:
    at_once: list[str] = []
    faults = Faults(1, lambda fault: at_once.append(fault.kind), rate=1.0)
    calls = (("POST", ORDER), ("POST", ALGO), ("GET", RISK), ("DELETE", ALGO))
    met = {f.kind for _ in range(200) for call in calls if (f := faults.strike(*call, {}))}
    waiting = {kind for kind in DRAWN_KINDS if faults.take(kind)}
    assert met | waiting | set(at_once) == set(DRAWN_KINDS)
