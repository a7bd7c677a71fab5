"""What others do, what was missed and what was lost: the venue is the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from services.apply_layer.binance.budget import Purpose
from shared.outside import NotYet
from shared.settings import SettingsError
from shared.sides import PositionSide, Side
from shared.streams import position_key

from .desk import BTC, SOL, D, Desk, desk_at


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_at(tmp_path) as made:
        yield made.ready()


def agree(desk: Desk, symbol: str = BTC) -> None:
    """Record, trades and venue say the same."""
    fills = sum(
        (D(r["filled_qty"]) * (1 if r["side"] == "BUY" else -1))
        for r in desk.results
        if r["symbol"] == symbol and "filled_qty" in r
    )
    held = desk.venue.position(symbol)
    assert fills == held
    record = desk.record(position_key(symbol))
    assert D(record.get("qty", "0")) == abs(held)


def test_a_position_opened_in_the_app_is_adopted_and_under_a_stop_within_two_seconds(
    desk: Desk,
) -> None:
    desk.venue.by_hand(BTC, "BUY", D("0.05"))
    desk.until(desk.holds, 2.0)
    assert desk.statuses[0] == "ADOPTED"
    entry_price = desk.position().entry_price
    assert desk.position().stop_loss == D("0.98") * entry_price // D("0.1") * D("0.1")
    (stop,) = desk.stops()
    assert (D(stop["quantity"]), stop["reduceOnly"]) == (D("0.05"), True)


def test_one_that_was_open_before_the_start_is_adopted_at_the_start(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        desk.venue.by_hand(SOL, "SELL", D(5))
        desk.until(lambda: desk.holds(SOL))
        assert desk.position(SOL).side is PositionSide.SHORT
        assert desk.position(SOL).leverage == desk.venue.leverage_of(SOL)


def test_one_that_is_opened_while_an_order_of_ours_is_in_doubt_is_protected_as_well(
    tmp_path: Path,
) -> None:
    with desk_at(tmp_path, {"doubt_first_s": "30"}) as desk:
        desk.ready()
        desk.venue.faults.script("timed_out_not_executed", method="POST", path="/fapi/v1/order")
        desk.enter()
        assert [s.doubt is not None for s in desk.state.orders.values()] == [True]
        desk.venue.by_hand(BTC, "BUY", D("0.05"))
        desk.until(desk.holds, 2.0)
        assert [D(stop["quantity"]) for stop in desk.stops()] == [D("0.05")]
        assert len(desk.executed("e")) == 0


def test_an_entry_that_comes_late_into_an_adopted_position_is_protected_with_it(
    tmp_path: Path,
) -> None:
    with desk_at(tmp_path, {"recv_window_ms": 4000, "doubt_first_s": "30"}) as desk:
        desk.ready()
        desk.venue.faults.script(
            "late_accept", method="POST", path="/fapi/v1/order", delay_s=1.5, how="close"
        )
        desk.enter()
        desk.venue.by_hand(BTC, "BUY", D("0.05"))
        desk.until(desk.holds, 1.4)
        desk.until(lambda: desk.venue.position(BTC) == D("0.15"))
        desk.until(lambda: [D(s["quantity"]) for s in desk.stops()] == [D("0.15")])
        desk.until(desk.quiet)
        assert desk.position().qty == D("0.15")
        assert desk.posts("e") == 1


def test_one_in_a_symbol_that_is_not_traded_here_is_protected_as_well(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        desk.own["symbols"] = [BTC]
        desk.restart()
        desk.ready()
        desk.venue.by_hand(SOL, "BUY", D(5))
        desk.until(lambda: desk.holds(SOL))


def test_positions_of_others_can_be_left_alone(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        desk.own["adopt"] = False
        desk.restart()
        desk.ready()
        desk.venue.by_hand(BTC, "BUY", D("0.05"))
        desk.until(lambda: BTC in desk.state.left_alone)
        desk.enter()
        assert desk.codes == ["position_of_others"]
        assert desk.lines("order", book="algo") == []


def test_a_position_closed_in_the_app_ends_and_its_stop_is_withdrawn(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.by_hand(BTC, "SELL", D("0.1"))
    desk.until(desk.flat)
    desk.until(lambda: desk.stops() == [] and not desk.state.orders)
    assert desk.statuses == ["FILLED", "STOP_MOVED", "FILLED"]
    agree(desk)


def test_a_position_reduced_in_the_app_keeps_its_q0(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.by_hand(BTC, "SELL", D("0.04"))
    desk.until(lambda: desk.position().qty == D("0.06"))
    assert desk.position().initial_qty == D("0.1")
    assert desk.position().harvested_qty == 0
    assert len(desk.stops()) == 1
    agree(desk)


def test_a_position_added_to_in_the_app_gets_a_stop_for_all_of_it(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.by_hand(BTC, "BUY", D("0.04"))
    desk.until(lambda: [D(s["quantity"]) for s in desk.stops()] == [D("0.14")])
    assert desk.position().initial_qty == D("0.14")
    agree(desk)


def test_what_happened_while_it_was_down_is_applied_at_the_start_once(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.enter(SOL, Side.SELL)
    desk.until(lambda: desk.holds(SOL))
    desk.die()
    desk.venue.mark(BTC, D(63000))
    desk.venue.by_hand(SOL, "BUY", D(4), reduce_only=True)
    desk.start()
    desk.until(lambda: desk.flat() and desk.position(SOL).qty == D(6))
    assert desk.statuses.count("STOPPED_OUT") == 1
    desk.restart()
    desk.ready()
    assert len([r for r in desk.results if "filled_qty" in r]) == 4
    agree(desk)
    agree(desk, SOL)


@pytest.mark.parametrize(
    "kind", ["stream_event_lost", "stream_doubled", "stream_reordered", "stream_dropped"]
)
def test_events_that_are_lost_doubled_or_late_change_nothing(tmp_path: Path, kind: str) -> None:
    with desk_at(tmp_path, {"reconcile_every_s": "0.5"}) as desk:
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        desk.venue.faults.script(kind, times=20)
        desk.venue.by_hand(BTC, "SELL", D("0.03"))
        desk.venue.by_hand(BTC, "SELL", D("0.02"))
        desk.until(lambda: desk.position().qty == D("0.05"))
        desk.venue.by_hand(BTC, "SELL", D("0.05"))
        desk.until(desk.flat)
        desk.until(lambda: not desk.state.orders)
        numbers = [r["result_id"] for r in desk.results if r["result_id"].startswith("fill.")]
        assert len(numbers) == len(set(numbers)) == 4
        agree(desk)


def test_stale_answers_are_not_believed(tmp_path: Path) -> None:
    with desk_at(tmp_path, {"reconcile_every_s": "0.2"}) as desk:
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        desk.venue.faults.script("stale_read", times=30)
        desk.leave()
        desk.for_s(1.0)
        desk.until(lambda: desk.flat() and not desk.state.orders)
        assert "ADOPTED" not in desk.statuses
        # A stop that a stale list lacks is placed once more, and then one of the two goes.
        assert [s for s in desk.statuses if s != "STOP_MOVED"] == ["FILLED", "FILLED"]
        agree(desk)


def test_a_start_that_cannot_see_the_account_takes_nothing_and_says_why(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        desk.venue.down()
        desk.restart()
        with pytest.raises(NotYet):
            list(desk.outside.cycle())
        desk.venue.up()
        desk.ready()
        desk.enter()
        desk.until(desk.holds)


@pytest.mark.parametrize(
    "path", ["/fapi/v3/positionRisk", "/fapi/v1/openAlgoOrders", "/fapi/v1/userTrades"]
)
def test_a_start_whose_first_look_fails_halfway_is_tried_again(tmp_path: Path, path: str) -> None:
    with desk_at(tmp_path) as desk:
        desk.venue.faults.script("http_502", method="GET", path=path, times=2)
        desk.restart()
        desk.ready()
        desk.enter()
        desk.until(desk.holds)


def test_an_account_that_stays_out_of_sight_does_not_use_up_the_budget(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        desk.venue.faults.script(
            "http_502", method="GET", path="/fapi/v3/positionRisk", times=10_000
        )
        desk.venue.by_hand(BTC, "SELL", D("0.01"))
        desk.until(lambda: "venue_unreachable" in desk.state.barriers)
        before = len(desk.lines("request"))
        desk.for_s(3.0)
        assert len(desk.lines("request")) - before < 100
        desk.venue.faults.clear()
        desk.until(lambda: not desk.state.barriers and desk.position().qty == D("0.09"))


@pytest.mark.parametrize("fault", [{"kind": "code", "code": -1000}, {"kind": "http_502"}])
def test_funding_that_cannot_be_read_keeps_nobody_from_seeing_the_account(
    tmp_path: Path, fault: dict[str, Any]
) -> None:
    with desk_at(tmp_path) as desk:
        desk.venue.faults.script(method="GET", path="/fapi/v1/income", times=99, **fault)
        desk.restart()
        desk.ready()
        desk.enter()
        desk.until(desk.holds)


def test_while_the_venue_is_away_no_entry_is_taken_and_protection_is_back_soon_after(
    tmp_path: Path,
) -> None:
    with desk_at(tmp_path, {"reconcile_every_s": "0.2"}) as desk:
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        desk.venue.down()
        desk.until(lambda: "venue_unreachable" in desk.state.barriers)
        desk.enter(SOL)
        assert desk.codes in (["venue_unreachable"], ["user_stream_down"])
        (stop,) = desk.stops()
        desk.venue.cancel_by_hand(stop["clientAlgoId"])
        desk.venue.up()
        desk.until(lambda: desk.stops() and desk.holds(), 10.0)
        assert desk.venue.position(BTC) == D("0.1")


def test_an_expired_listen_key_is_renewed_and_entries_wait_for_a_look(desk: Desk) -> None:
    looks = len(desk.lines("request", path="/fapi/v3/balance"))
    desk.venue.faults.script("listen_key_expired")
    desk.until(lambda: len(desk.lines("request", method="POST", path="/fapi/v1/listenKey")) == 2)
    desk.until(lambda: len(desk.lines("request", path="/fapi/v3/balance")) > looks)
    desk.ready()
    desk.enter()
    desk.until(desk.holds)


def test_hedge_mode_refuses_to_start_and_says_how_to_change_it(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        desk.venue.faults.script("hedge_mode")
        desk.restart()
        with pytest.raises(SettingsError, match="One-way Mode"):
            list(desk.outside.cycle())


def test_an_order_that_comes_in_several_trades_gets_one_stop_for_all_of_it(tmp_path: Path) -> None:
    with desk_at(tmp_path, trades_per_order=4) as desk:
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        assert (len(desk.executed("s")), len(desk.stops())) == (1, 1)
        assert D(desk.stops()[0]["quantity"]) == D("0.1")
        desk.leave("PARTIAL_25")
        desk.until(desk.quiet)
        assert desk.position().harvested_qty == D("0.025")
        assert desk.statuses.count("PARTIALLY_FILLED") == 6
        desk.leave()
        desk.until(desk.flat)
        agree(desk)


def test_an_entry_that_fills_in_part_is_a_protected_position_of_that_part(desk: Desk) -> None:
    desk.venue.faults.script("partial_fill_then_cancel", part=D("0.3"))
    desk.enter()
    desk.until(desk.holds)
    assert desk.position().qty == desk.position().initial_qty == D("0.03")
    assert [D(stop["quantity"]) for stop in desk.stops()] == [D("0.03")]
    assert desk.statuses[0] == "PARTIALLY_FILLED"
    desk.until(lambda: desk.codes == ["expired"] and desk.quiet())
    agree(desk)


def test_an_exit_that_fills_in_part_says_so_and_the_rest_can_be_asked_for_again(
    desk: Desk,
) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.faults.script("partial_fill_then_cancel", part=D("0.6"))
    desk.leave("PARTIAL_50", qty=D("0.05"))
    desk.until(lambda: desk.codes == ["expired"] and desk.quiet())
    assert desk.position().harvested_qty == D("0.03")
    desk.leave("PARTIAL_50", qty=D("0.05"))
    desk.until(lambda: desk.position().harvested_qty == D("0.05"))
    agree(desk)


def from_the_start_of_a_minute() -> Callable[[], float]:
    """A clock for the double that is at the start of a minute, whenever a test begins."""
    began, monotonic = time.time() // 60 * 60 + 1, time.monotonic()
    return lambda: began + time.monotonic() - monotonic


def test_the_rest_of_the_rate_budget_is_kept_for_stops_and_exits(tmp_path: Path) -> None:
    live = {"reconcile_every_s": "0.2", "drift_ms": 70_000}
    clock = from_the_start_of_a_minute()
    with desk_at(tmp_path, live, weight_limit=900, clock=clock) as desk:
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        budget = desk.outside._client.budget

        def use_up_to(share: float) -> None:
            missing = int(share * budget.limit) - budget.used(time.monotonic())
            budget.send(time.monotonic(), weight=missing, orders=0, purpose=Purpose.PROTECT)

        use_up_to(0.65)
        desk.turn()
        rounds = len(desk.lines("request", path="/fapi/v3/balance"))
        desk.for_s(0.6)
        assert len(desk.lines("request", path="/fapi/v3/balance")) == rounds
        use_up_to(0.70)
        desk.enter(SOL)
        assert desk.codes == ["-1015"]
        assert desk.posts("e") == 1
        desk.leave("PARTIAL_25")
        assert desk.position().harvested_qty == D("0.025")
        assert all(line["http"] != 429 for line in desk.lines("request"))


def covered_throughout(desk: Desk) -> bool:
    """Whether, by the ledger alone, the position was under a full stop from the first one on."""
    held, began = D(0), False
    stops: dict[str, Decimal] = {}
    for line in sorted(desk.venue.ledger, key=lambda line: line["n"]):
        if line["kind"] == "order" and line["type"] == "STOP_MARKET":
            stops[line["client_id"]] = D(line["qty"])
            began = True
        elif line["kind"] == "ended" and line["book"] == "algo":
            stops.pop(line["client_id"], None)
        elif line["kind"] == "trade":
            held = D(line["position"])
        if began and held and not any(qty >= held for qty in stops.values()):
            return False
    return began


def test_moves_and_partial_closes_leave_no_naked_moment(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    for mark, action, stop in (
        (67600, "PARTIAL_25", 65200), (70200, "PARTIAL_50", 67000), (72800, "PARTIAL_75", 69000),
    ):  # fmt: skip
        desk.venue.mark(BTC, D(mark))
        desk.leave(action)
        desk.move_stop(D(stop))
        desk.until(lambda: len(desk.stops()) == 1 and desk.quiet())
    assert covered_throughout(desk)
    events = [(e["kind"], e["client_id"]) for e in desk.venue.ledger
              if e["kind"] in ("order", "ended") and e["book"] == "algo"]  # fmt: skip
    names = [name for kind, name in events if kind == "order"]
    for old, new in pairwise(names):
        assert events.index(("order", new)) < events.index(("ended", old))
    agree(desk)


# -- Redis lost altogether ----------------------------------------------------------------------


def lose_redis(desk: Desk) -> None:
    desk.die()
    desk.server.flush()
    desk.start()


def test_all_is_rebuilt_from_the_venue_and_no_rung_is_taken_twice(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.mark(BTC, D(67000))
    desk.leave("PARTIAL_25")
    desk.until(lambda: desk.position().harvested_qty == D("0.025"))
    before = desk.position()
    lose_redis(desk)
    desk.until(desk.holds)
    after = desk.position()
    assert (after.qty, after.initial_qty) == (D("0.075"), D("0.1"))
    assert after.harvested_qty == D("0.025")
    assert (after.initial_stop, after.stop_order) == (before.initial_stop, before.stop_order)
    assert (after.leverage, after.fees) == (before.leverage, before.fees)
    assert abs(after.opened_at - before.opened_at).total_seconds() < 0.01
    desk.leave("PARTIAL_25")
    assert desk.codes == ["already_harvested"]
    desk.leave("PARTIAL_50")
    desk.until(lambda: desk.position().harvested_qty == D("0.05"))
    assert len(desk.stops()) == 1


def test_where_the_history_does_not_reach_all_rungs_count_as_taken(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.forget_trades(BTC)
    lose_redis(desk)
    desk.until(desk.holds)
    assert desk.position().harvested_qty == D("0.075")
    (adopted,) = [r for r in desk.results if r["status"] == "ADOPTED"]
    assert adopted["reason"].startswith("history unknown")
    for action in ("PARTIAL_25", "PARTIAL_50", "PARTIAL_75"):
        desk.leave(action)
    assert desk.codes == ["already_harvested"] * 3
    desk.leave()
    desk.until(desk.flat)


def test_a_stop_of_ours_in_a_flat_symbol_is_withdrawn_when_nothing_remembers_it(
    desk: Desk,
) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.die()
    desk.venue.by_hand(BTC, "SELL", D("0.1"))
    desk.server.flush()
    desk.start()
    desk.until(lambda: desk.stops() == [] and desk.state.rules)


def test_killed_between_journal_and_venue_nothing_is_sent_twice_and_all_is_protected(
    desk: Desk,
) -> None:
    class Killed(Exception):
        pass

    def killed(_request: object) -> Iterator[object]:
        raise Killed

    perform, desk.outside.perform = desk.outside.perform, killed
    with pytest.raises(Killed):
        desk.enter()
    desk.outside.perform = perform
    desk.restart()
    assert desk.lines("order") == []
    desk.until(desk.holds)
    assert len(desk.executed("e")) == 1
    assert [p.verdict for p in desk.state.proofs.values()] == ["absent"]


def test_killed_between_venue_and_reply_the_order_is_found_and_not_sent_again(desk: Desk) -> None:
    class Killed(Exception):
        pass

    perform = desk.outside.perform

    def killed(request: object) -> Iterator[object]:
        list(perform(request))
        raise Killed

    desk.outside.perform = killed
    with pytest.raises(Killed):
        desk.enter()
    desk.restart()
    desk.until(desk.holds)
    assert len(desk.executed("e")) == 1
    assert desk.posts("e") == 1
    assert [p.verdict for p in desk.state.proofs.values()] == ["found"]
    agree(desk)


def test_a_process_that_slept_through_its_window_can_send_nothing(desk: Desk) -> None:
    perform = desk.outside.perform
    slept: list[object] = []

    def late(request: object) -> Iterator[object]:
        slept.append(request)
        return iter(())

    desk.outside.perform = late
    desk.enter()
    (request, *_) = slept
    desk.until(lambda: desk.clock_past(request))
    facts = [type(fact).__name__ for fact in perform(request)]
    assert facts == ["VenueError", "OrderRejected"]
    assert desk.lines("order") == []


def test_a_quiet_account_costs_one_cheap_read_a_second(desk: Desk) -> None:
    before = len(desk.lines("request"))
    desk.for_s(1.0)
    calls = [line["path"] for line in desk.lines("request")[before:]]
    assert set(calls) <= {"/fapi/v3/positionRisk"}
    assert len(calls) <= 2


def test_a_stop_that_went_without_a_word_is_replaced_within_two_seconds(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.for_s(1.2)
    desk.venue.faults.script("stream_event_lost", times=50)
    (stop,) = desk.stops()
    desk.venue.cancel_by_hand(stop["clientAlgoId"])
    desk.until(lambda: desk.stops() and desk.holds(), 2.0)


def test_a_position_that_was_closed_without_a_word_loses_its_stop_soon(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.for_s(1.2)
    desk.venue.faults.script("stream_event_lost", times=50)
    desk.venue.by_hand(BTC, "SELL", D("0.1"))
    desk.until(lambda: desk.flat() and desk.stops() == [], 3.0)


def test_a_position_that_was_opened_without_a_word_is_protected_within_two_seconds(
    desk: Desk,
) -> None:
    desk.for_s(1.2)
    desk.venue.faults.script("stream_event_lost", times=50)
    desk.venue.by_hand(SOL, "SELL", D(4))
    desk.until(lambda: desk.holds(SOL), 2.0)


def test_an_order_in_doubt_is_asked_after_by_the_clock_however_often_the_venue_rings(
    tmp_path: Path,
) -> None:
    with desk_at(tmp_path, {"doubt_first_s": "30", "doubt_again_s": "0.5"}) as desk:
        desk.ready()
        desk.venue.faults.script("timed_out_not_executed", "POST", "/fapi/v1/order", how="close")
        desk.enter()
        desk.until(lambda: any(sent.doubt for sent in desk.state.orders.values()))
        before = len(desk.lines("request"))
        began = time.monotonic()
        while (lasted := time.monotonic() - began) < 1.5:
            desk.outside._stream.ring(BTC)
            desk.turn()
        asked = [
            line
            for line in desk.lines("request")[before:]
            if (line["method"], line["path"]) == ("GET", "/fapi/v1/order")
        ]
        assert 1 <= len(asked) <= lasted / 0.5 + 1


@pytest.mark.parametrize("fault", ["code", "stale_read"])
def test_a_trade_that_cannot_be_read_at_first_is_told_all_the_same(
    tmp_path: Path, fault: str
) -> None:
    """A forced close is told, though its trade is refused or comes late."""
    with desk_at(tmp_path, {"settle_s": "5"}) as desk:
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        desk.for_s(0.3)
        params = {"code": -2022} if fault == "code" else {}
        desk.venue.faults.script(fault, "GET", "/fapi/v1/userTrades", times=3, **params)
        desk.venue.faults.script("liquidation", symbol=BTC)
        desk.until(lambda: "LIQUIDATED" in desk.statuses)
