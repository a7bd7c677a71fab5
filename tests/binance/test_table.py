"""Each row of the table of the venue's answers, through real ccxt, judged by the venue's ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.apply_layer.exchange import OrderRejected, OrderType, PlaceOrder
from shared.sides import Side

from .desk import BTC, SOL, D, Desk, desk_at


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_at(tmp_path) as made:
        yield made.ready()


ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
UNKNOWN = {
    "-1006": {"kind": "code", "code": -1006},
    "-1007": {"kind": "code", "code": -1007},
    "408": {"kind": "http_408"},
    "502": {"kind": "http_502"},
    "504": {"kind": "http_504"},
    "503_unknown": {"kind": "http_503_unknown"},
    "socket_timeout": {"kind": "timed_out_not_executed"},
}
EXECUTED = {
    "503_unknown_executed": {"kind": "http_503_unknown", "executed": True},
    "timed_out_after_execution": {"kind": "executed_then_timed_out"},
    "late_accept": {"kind": "late_accept", "delay_s": 0.2},
}


def script(desk: Desk, path: str, fault: dict[str, Any], times: int = 1) -> None:
    rest = {name: value for name, value in fault.items() if name != "kind"}
    desk.venue.faults.script(fault["kind"], method="POST", path=path, times=times, **rest)


def proofs(desk: Desk, leg: str) -> list[str]:
    return [p.verdict for name, p in desk.state.proofs.items() if name.startswith(leg)]


@pytest.mark.parametrize("fault", UNKNOWN.values(), ids=UNKNOWN)
def test_1006_1007_408_502_504_503_timeout_not_executed_is_sent_again_only_after_proof(
    desk: Desk, fault: dict[str, Any]
) -> None:
    script(desk, ORDER, fault)
    desk.enter()
    assert desk.posts("e") == 1
    assert [s.doubt is not None for s in desk.state.orders.values()] == [True]
    desk.until(desk.holds)
    assert proofs(desk, "e") == ["absent"]
    assert (len(desk.executed("e")), desk.posts("e")) == (1, 2)
    assert desk.venue.position(BTC) == D("0.1")


@pytest.mark.parametrize("fault", EXECUTED.values(), ids=EXECUTED)
def test_1006_1007_503_timeout_executed_is_found_and_adopted_and_never_sent_again(
    desk: Desk, fault: dict[str, Any]
) -> None:
    script(desk, ORDER, fault)
    desk.enter()
    desk.until(desk.holds)
    assert proofs(desk, "e") == ["found"]
    desk.for_s(1.0)
    assert (len(desk.executed("e")), desk.posts("e")) == (1, 1)
    assert desk.venue.position(BTC) == D("0.1")
    assert desk.statuses == ["FILLED", "STOP_MOVED"]


@pytest.mark.parametrize("fault", EXECUTED.values(), ids=EXECUTED)
def test_an_exit_that_timed_out_after_execution_is_taken_once(
    desk: Desk, fault: dict[str, Any]
) -> None:
    desk.enter()
    desk.until(desk.holds)
    script(desk, ORDER, fault)
    desk.leave("PARTIAL_25", qty=D("0.025"))
    desk.until(desk.quiet)
    desk.for_s(0.8)
    assert len(desk.executed("x")) == 1
    assert desk.position().harvested_qty == D("0.025")
    assert desk.venue.position(BTC) == D("0.075")


@pytest.mark.parametrize(
    "fault", [*UNKNOWN.values(), *EXECUTED.values()], ids=[*UNKNOWN, *EXECUTED]
)
def test_a_stop_in_doubt_never_leaves_the_position_naked(desk: Desk, fault: dict[str, Any]) -> None:
    script(desk, ALGO, fault)
    desk.enter()
    desk.until(lambda: desk.stops() and desk.holds())
    assert desk.position().unprotected_s < 2
    desk.until(lambda: len(desk.stops()) == 1 and desk.quiet())
    assert desk.venue.position(BTC) == D("0.1")


@pytest.mark.parametrize(
    "fault",
    [{"kind": "http_503_internal"}, {"kind": "http_503_service_unavailable"}],
    ids=["1001", "503_unavailable"],
)
def test_1001_503_internal_one_question_then_the_same_id(desk: Desk, fault: dict[str, Any]) -> None:
    script(desk, ORDER, fault)
    desk.enter()
    desk.until(desk.holds)
    first, again = (
        line["params"]["newClientOrderId"]
        for line in desk.lines("request", method="POST", path=ORDER)
    )
    assert first == again
    assert len(desk.executed("e")) == 1


def test_1008_entries_back_off_and_exits_are_sent(desk: Desk) -> None:
    desk.enter(SOL)
    desk.until(lambda: desk.holds(SOL))
    script(desk, ORDER, {"kind": "code", "code": -1008, "http": 503, "entries_only": True}, 99)
    desk.enter()
    assert desk.codes == ["-1008"]
    desk.for_s(0.3)
    desk.enter()
    assert desk.codes[1:] == ["overloaded"]
    desk.leave(symbol=SOL)
    desk.until(lambda: desk.flat(SOL))


def test_4116_an_earlier_send_succeeded_and_is_adopted(desk: Desk) -> None:
    script(desk, ALGO, {"kind": "executed_then_code", "code": -4116})
    desk.enter()
    desk.until(desk.holds)
    assert len(desk.stops()) == 1
    assert desk.posts("s") == 1


def test_4015_1100_an_id_that_the_venue_would_not_take_is_never_sent(desk: Desk) -> None:
    bad = PlaceOrder(
        "é" * 40, BTC, Side.BUY, OrderType.MARKET, D(1), reduce_only=False, at=datetime.now(UTC)
    )
    before = len(desk.lines("request"))
    (fact,) = desk.outside.perform(bad)
    assert isinstance(fact, OrderRejected)
    assert fact.code == -4015
    assert len(desk.lines("request")) == before


@pytest.mark.parametrize("code", [-2021, -4142])
def test_2021_4142_a_stop_that_the_price_has_passed_becomes_a_market_close(
    desk: Desk, code: int
) -> None:
    script(desk, ALGO, {"kind": "code", "code": code}, 5)
    desk.enter()
    desk.until(desk.flat)
    assert len(desk.executed("f")) == 1
    assert desk.executed("f")[0]["reduce_only"] is True
    assert desk.stops() == []


def test_4130_a_stop_that_closes_the_position_exists_and_is_verified_by_listing(
    tmp_path: Path,
) -> None:
    with desk_at(tmp_path, max_market_qty={BTC: D("0.06")}) as desk:
        desk.ready()
        desk.venue.by_hand(BTC, "BUY", D("0.05"))
        desk.venue.by_hand(BTC, "BUY", D("0.05"))
        desk.until(desk.holds)
        (stop,) = desk.stops()
        assert stop["closePosition"] in (True, "true")
        desk.venue.mark(BTC, D(66000))
        desk.move_stop(D(65500))
        assert desk.codes == ["stop_cannot_move"]
        desk.venue.cancel_by_hand(stop["clientAlgoId"])
        desk.until(lambda: desk.stops() and desk.holds())
        assert desk.venue.position(BTC) == D("0.1")


def test_4120_what_is_conditional_goes_to_the_algo_book_alone(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    sent = [line["params"].get("type") for line in desk.lines("request", path=ORDER, method="POST")]
    assert sent == ["MARKET"]
    (stop,) = desk.executed("s")
    assert (stop["book"], stop["working_type"]) == ("algo", "MARK_PRICE")


def test_2013_a_known_stop_that_the_venue_denies_gets_one_more_and_no_third(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    (stop,) = desk.stops()
    desk.venue.forget_algo_order(stop["clientAlgoId"])
    desk.until(lambda: desk.stops() and desk.holds())
    desk.until(desk.quiet)
    assert len(desk.executed("s")) == 2
    assert len(desk.stops()) == 1


@pytest.mark.parametrize("kind", ["stop_rejected_at_trigger", "stop_stuck_triggering"])
def test_algo_update_rejected_or_stuck_with_a_position_open_is_closed_within_2_s(
    desk: Desk, kind: str
) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.faults.script(kind)
    desk.venue.mark(BTC, D(63000))
    assert desk.venue.position(BTC) == D("0.1")
    desk.until(desk.flat, 2.0)
    assert len(desk.executed("f")) == 1


def test_algo_update_expired_with_a_position_open_is_placed_again(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    (stop,) = desk.stops()
    desk.venue.cancel_by_hand(stop["clientAlgoId"])
    desk.until(lambda: desk.stops() and desk.holds(), 2.0)
    assert desk.stops()[0]["clientAlgoId"] != stop["clientAlgoId"]


@pytest.mark.parametrize("code", [-2022, -4118])
def test_2022_4118_the_books_are_reconciled_and_nothing_is_sent_without_reduce_only(
    desk: Desk, code: int
) -> None:
    desk.enter()
    desk.until(desk.holds)
    script(desk, ORDER, {"kind": "code", "code": code})
    looks = len(desk.lines("request", path="/fapi/v3/positionRisk"))
    desk.leave()
    assert desk.codes == [str(code)]
    assert len(desk.lines("request", path="/fapi/v3/positionRisk")) > looks
    assert desk.venue.position(BTC) == D("0.1")
    assert all(line["reduce_only"] for line in desk.lines("order") if line["side"] == "SELL")


@pytest.mark.parametrize("code", [-2011, -2013])
def test_2011_2013_on_cancel_it_may_be_filled_so_it_is_asked_for(desk: Desk, code: int) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.mark(BTC, D(66000))
    desk.venue.faults.script("code", method="DELETE", path=ALGO, code=code)
    desk.move_stop(D(65100))
    desk.until(lambda: len(desk.stops()) == 1 and desk.quiet())
    assert desk.position().stop_loss == D(65100)
    assert desk.lines("request", method="GET", path=ALGO)


@pytest.mark.parametrize("code", [-1111, -4014, -4023, -4003, -4004, -4005])
def test_1111_4014_4023_4003_4004_4005_the_filters_are_read_anew_and_the_order_refused(
    desk: Desk, code: int
) -> None:
    script(desk, ORDER, {"kind": "code", "code": code})
    reads = len(desk.lines("request", path="/fapi/v1/exchangeInfo"))
    desk.enter()
    assert desk.codes == [str(code)]
    desk.until(lambda: len(desk.lines("request", path="/fapi/v1/exchangeInfo")) > reads)
    assert desk.lines("order") == []


def test_4005_a_close_is_sliced_to_the_largest_order(tmp_path: Path) -> None:
    with desk_at(tmp_path, max_market_qty={BTC: D("0.04")}) as desk:
        desk.ready()
        for _ in range(3):
            desk.venue.by_hand(BTC, "BUY", D("0.03"))
        desk.until(desk.holds)
        desk.until(lambda: desk.position().qty == D("0.09"))
        desk.leave()
        desk.until(desk.flat)
        assert [D(line["qty"]) for line in desk.executed("x")] == [D("0.04"), D("0.04"), D("0.01")]


def test_4164_a_small_entry_is_refused_and_a_small_exit_is_not(desk: Desk) -> None:
    desk.enter(qty=D("0.001"))
    assert desk.codes == ["-4164"]
    desk.enter()
    desk.until(desk.holds)
    desk.leave("PARTIAL_25", qty=D("0.001"))
    desk.until(lambda: desk.position().harvested_qty == D("0.001"))


@pytest.mark.parametrize("code", [-2019, -2027, -4028])
def test_2019_2027_4028_an_entry_is_refused_once_and_not_resized(desk: Desk, code: int) -> None:
    script(desk, ORDER, {"kind": "code", "code": code}, 9)
    desk.enter()
    desk.for_s(0.4)
    assert desk.codes == [str(code)]
    assert desk.posts("e") == 1


@pytest.mark.parametrize("code", [-4131, -4016, -4024])
def test_4131_4016_4024_an_exit_is_cut_and_retried_and_an_entry_refused(
    desk: Desk, code: int
) -> None:
    desk.enter()
    desk.until(desk.holds)
    script(desk, ORDER, {"kind": "code", "code": code})
    desk.leave()
    desk.until(desk.flat)
    assert [D(line["qty"]) for line in desk.executed("x")] == [D("0.05"), D("0.05")]
    assert desk.codes == []
    script(desk, ORDER, {"kind": "code", "code": code})
    desk.enter(SOL)
    assert desk.codes == [str(code)]


@pytest.mark.parametrize("code", [-1021, -5028])
def test_1021_5028_the_clock_is_measured_and_the_same_id_sent_once_more(
    desk: Desk, code: int
) -> None:
    script(desk, ORDER, {"kind": "code", "code": code})
    reads = len(desk.lines("request", path="/fapi/v1/time"))
    desk.enter()
    desk.until(desk.holds)
    assert len(desk.lines("request", path="/fapi/v1/time")) > reads
    names = {
        line["params"]["newClientOrderId"]
        for line in desk.lines("request", method="POST", path=ORDER)
    }
    assert (len(names), desk.posts("e"), len(desk.executed("e"))) == (1, 2, 1)


def test_1021_a_drift_of_more_than_500_ms_stops_entries_and_no_exits(desk: Desk) -> None:
    desk.enter(SOL)
    desk.until(lambda: desk.holds(SOL))
    desk.venue.faults.script("clock_skew", offset_ms=1500)
    desk.venue.faults.script("code", method="POST", path=ORDER, code=-1021)
    desk.enter()
    desk.until(lambda: "clock_drift" in desk.state.barriers)
    desk.enter()
    assert desk.codes[-1] == "clock_drift"
    desk.leave(symbol=SOL)
    desk.until(lambda: desk.flat(SOL))


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "rate_limited_429", "retry_after_s": 1},
        {"kind": "code", "code": -1015, "http": 429, "retry_after_s": 1},
    ],
    ids=["429", "1015"],
)
def test_429_1003_1015_nothing_is_called_before_the_time_and_the_exit_then_goes(
    tmp_path: Path, fault: dict[str, Any]
) -> None:
    with desk_at(tmp_path, {"reconcile_every_s": "0.2"}) as desk:
        desk.ready()
        _slowed_down(desk, fault)


def _slowed_down(desk: Desk, fault: dict[str, Any]) -> None:
    desk.enter()
    desk.until(desk.holds)
    script(desk, ORDER, fault)
    desk.leave()
    asked_at = desk.lines("request")[-1]["t"]
    assert len(desk.codes) == 1
    desk.enter(SOL)
    assert desk.codes[1:] != []
    desk.until(lambda: desk.lines("request")[-1]["t"] > asked_at)
    assert desk.lines("request")[-1]["t"] - asked_at >= 0.95
    desk.leave()
    desk.until(desk.flat)


def test_418_no_call_is_made_until_it_expires(tmp_path: Path) -> None:
    with desk_at(tmp_path, {"reconcile_every_s": "0.2"}) as desk:
        desk.ready()
        _banned(desk)


def _banned(desk: Desk) -> None:
    script(desk, ORDER, {"kind": "banned_418", "retry_after_s": 2})
    desk.enter()
    banned_at = desk.lines("request")[-1]["t"]
    desk.until(lambda: "banned" in desk.state.barriers)
    desk.until(lambda: desk.lines("request")[-1]["t"] > banned_at)
    assert desk.lines("request")[-1]["t"] - banned_at >= 1.95
    assert desk.lines("order") == []


@pytest.mark.parametrize("code", [-1022, -2014, -2015, -4087, -4088, -4192, -4400, -4401])
def test_1022_2014_2015_4087_4088_4192_4400_4401_entries_stop_and_exits_go(
    desk: Desk, code: int
) -> None:
    desk.enter(SOL)
    desk.until(lambda: desk.holds(SOL))
    script(desk, ORDER, {"kind": "code", "code": code})
    desk.enter()
    desk.until(lambda: "credentials" in desk.state.barriers)
    sent = desk.posts("e")
    desk.enter()
    assert desk.codes == [str(code), "credentials"]
    assert desk.posts("e") == sent
    desk.leave(symbol=SOL)
    desk.until(lambda: desk.flat(SOL))


def test_4046_4059_what_is_so_already_is_success(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.leave()
    desk.until(desk.flat)
    desk.restart()
    desk.ready()
    desk.enter()
    desk.until(desk.holds)
    codes = [line["code"] for line in desk.lines("request", path="/fapi/v1/marginType")]
    assert -4046 in codes


@pytest.mark.parametrize(
    ("kind", "prefix", "status"),
    [("liquidation", "autoclose-", "LIQUIDATED"), ("adl", "adl_autoclose", "DELEVERAGED")],
)
def test_autoclose_and_adl_fills_are_applied_by_their_names_and_the_stops_go(
    desk: Desk, kind: str, prefix: str, status: str
) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.faults.script(kind, symbol=BTC)
    desk.until(desk.flat)
    desk.until(lambda: desk.stops() == [])
    last = next(r for r in reversed(desk.results) if r["status"] == status)
    assert last["client_order_id"].startswith(prefix)
    desk.enter()
    assert desk.codes == (["closed_by_venue"] if status == "LIQUIDATED" else [])
