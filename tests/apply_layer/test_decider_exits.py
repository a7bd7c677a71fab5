"""apply_layer: exits reduce, never beyond their rung, never twice, and never flip."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.apply_layer.exchange import CancelOrder, OrderType, PlaceOrder
from services.apply_layer.journal import Leg
from services.apply_layer.paper_account import PaperPolicy
from services.apply_layer.paper_rules import default_rules
from shared.contracts import FillResult
from shared.decisions import Mode
from shared.sides import Side

from .builders import entry, foreign_fill, leave, move_stop, opened, short_entry
from .desk import SYMBOL, D, Desk

SMALL_ORDERS = PaperPolicy(
    slippage_bps=D(0),
    taker_fee=D(0),
    brackets={},
    rules={SYMBOL: replace(default_rules(SYMBOL), max_qty=D("0.5"))},
)


def fills(desk: Desk) -> list[tuple[str, Decimal]]:
    return [
        (r.status, r.filled_qty) for r in desk.results if isinstance(r, FillResult) and r.reduceOnly
    ]


@pytest.mark.parametrize(
    ("action", "taken"), [("PARTIAL_25", "0.46"), ("PARTIAL_50", "0.92"), ("PARTIAL_75", "1.37")]
)
def test_a_rung_takes_its_cumulative_share_of_the_initial_quantity(action: str, taken: str) -> None:
    desk = opened()
    desk.deliver(leave(desk, action, "plan.rung"))
    assert fills(desk) == [("FILLED", D(taken))]
    assert desk.position.harvested_qty == D(taken)
    assert desk.venue_qty() == D("1.83") - D(taken)


def test_a_rung_asked_twice_under_two_names_is_taken_once() -> None:
    desk = opened()
    desk.deliver(leave(desk, "PARTIAL_50", "plan.first"))
    desk.deliver(leave(desk, "PARTIAL_50", "plan.second"))
    desk.deliver(leave(desk, "PARTIAL_25", "plan.lower"))
    assert fills(desk) == [("FILLED", D("0.92"))]
    assert desk.codes == ["already_harvested"] * 2


def test_climbing_ends_where_jumping_does() -> None:
    climbing, jumping = opened(), opened()
    for action in ("PARTIAL_25", "PARTIAL_50", "PARTIAL_75"):
        climbing.deliver(leave(climbing, action, f"plan.{action}"))
    jumping.deliver(leave(jumping, "PARTIAL_75", "plan.jump"))
    assert climbing.position.harvested_qty == jumping.position.harvested_qty == D("1.37")
    assert climbing.venue_qty() == jumping.venue_qty()


def test_a_rung_closes_no_more_than_its_plan_says() -> None:
    desk = opened()
    desk.deliver(leave(desk, "PARTIAL_75", "plan.part", qty=D("0.305")))
    assert fills(desk) == [("FILLED", D("0.30"))]


def test_a_full_close_closes_whatever_is_left_and_its_stop() -> None:
    desk = opened()
    close = leave(desk, "FULL_CLOSE_PROPOSED", "plan.close")
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25"))
    desk.deliver(close)
    assert desk.venue_qty() == 0
    assert desk.snapshot().open_orders == ()
    assert desk.record is None
    assert desk.state.positions == {}
    assert desk.state.orders == {}
    last = desk.results[-1]
    assert (last.status, last.position_qty, last.position_id) == ("FILLED", 0, close.position_id)


def test_a_full_close_is_no_harvest() -> None:
    desk = opened()
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.results[-1].position_harvested_qty == 0


def test_an_exit_of_a_position_that_is_gone_is_refused() -> None:
    desk = opened()
    late = leave(desk, "PARTIAL_25", "plan.late")
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    desk.deliver(late)
    assert desk.codes == ["no_such_position"]
    desk.tick("12.4")
    desk.deliver(entry(desk, "plan.next"))
    desk.deliver(leave(desk, "PARTIAL_25", "plan.other", position_id=late.position_id))
    assert desk.codes == ["no_such_position"] * 2
    assert desk.venue_qty() == D("1.83")


def test_an_exit_on_the_wrong_side_never_adds() -> None:
    desk = opened()
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25", side=Side.BUY))
    assert desk.codes == ["wrong_side"]
    assert desk.venue_qty() == D("1.83")


def test_exits_pass_when_entries_do_not_and_however_old() -> None:
    desk = opened()
    desk.mode = Mode.EXITS_ONLY
    plan = leave(desk, "PARTIAL_25", "plan.p25")
    desk.now += timedelta(days=3)
    desk.deliver(plan)
    desk.deliver(move_stop(desk, "12.2", "plan.stop"))
    assert desk.statuses[2:] == ["FILLED", "STOP_MOVED"]


def test_halt_stops_even_an_exit_and_says_so() -> None:
    desk = opened()
    desk.mode = Mode.HALT
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    desk.deliver(move_stop(desk, "12.2", "plan.stop"))
    assert desk.codes == ["mode_halt"] * 2
    assert desk.venue_qty() == D("1.83")
    assert desk.stop_prices() == [D("12.0736")]


def test_a_repeated_exit_and_an_id_with_other_content() -> None:
    desk = opened()
    plan = leave(desk, "PARTIAL_25", "plan.p25")
    desk.deliver(plan)
    desk.deliver(plan)
    desk.deliver(plan.model_copy(update={"qty": D(1)}))
    assert fills(desk) == [("FILLED", D("0.46"))]
    assert [letter.code for letter in desk.dead] == ["id_conflict"]


def waiting_exit() -> tuple[Desk, PlaceOrder]:
    """A desk whose exit waits for a mark that has not come yet."""
    desk = opened()
    later = desk.market + timedelta(seconds=30)
    desk.deliver(leave(desk, "PARTIAL_25", "plan.p25", timestamp=later))
    (sent,) = (s for s in desk.state.orders.values() if s.leg is Leg.EXIT)
    return desk, sent.request


def test_a_second_exit_waits_for_the_first() -> None:
    desk, _ = waiting_exit()
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.codes == ["exit_in_flight"]
    desk.tick("12.4", after_s=60)
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.again"))
    assert fills(desk) == [("FILLED", D("0.46")), ("FILLED", D("1.37"))]


def test_a_position_that_grows_while_an_exit_waits_is_covered_as_well() -> None:
    desk, _ = waiting_exit()
    grow(desk, "1")
    assert [stop.qty for stop in desk.stops()] == [D("2.83")]
    desk.tick("12.4", after_s=60)
    assert desk.venue_qty() == desk.position.qty == D("2.37")


def test_an_exit_whose_position_was_stopped_meanwhile_has_one_outcome() -> None:
    desk, _ = waiting_exit()
    desk.tick("12.0", after_s=60)
    assert desk.statuses[2:] == ["STOPPED_OUT", "REJECTED"]
    assert desk.codes == ["reduce_only_no_position"]
    assert desk.venue_qty() == 0
    assert desk.state.orders == {}


def test_a_stop_that_fires_leaves_nothing() -> None:
    desk = opened()
    desk.tick("12.05")
    assert desk.statuses[-1] == "STOPPED_OUT"
    assert desk.results[-1].avg_price == D("12.05")
    assert desk.venue_qty() == 0
    assert desk.snapshot().open_orders == ()
    assert desk.record is None
    assert desk.state.orders == {}


def test_a_liquidation_ends_the_position_and_its_orders() -> None:
    desk = opened(leverage=50, stop_loss=D("12.0"))
    (stop,) = desk.stops()
    desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))
    desk.tick("12.05")
    assert desk.statuses[-1] == "LIQUIDATED"
    assert desk.venue_qty() == 0
    desk.look(after_s=1)
    assert desk.snapshot().open_orders == ()
    assert desk.record is None


def test_a_close_above_the_maximum_leaves_in_slices() -> None:
    desk = Desk(paper=SMALL_ORDERS)
    desk.tick("12.32")
    desk.deliver(entry(desk, qty=D("0.5")))
    grow(desk, "1.5")
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert fills(desk) == [
        ("PARTIALLY_FILLED", D("0.5")),
        ("PARTIALLY_FILLED", D("0.5")),
        ("PARTIALLY_FILLED", D("0.5")),
        ("FILLED", D("0.5")),
    ]
    assert desk.venue_qty() == 0
    assert desk.state.orders == {}


def test_slices_that_the_venue_refuses_are_one_refusal() -> None:
    desk = Desk(paper=SMALL_ORDERS)
    desk.tick("12.32")
    desk.deliver(entry(desk, qty=D("0.5")))
    grow(desk, "1.5")
    desk.refuse = lambda order: -1111 if order.type is OrderType.MARKET else None
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.codes == ["-1111"]
    assert len(desk.noted("slice_refused")) == 3


def test_a_refused_slice_says_nothing_while_the_others_may_fill() -> None:
    desk = Desk(paper=SMALL_ORDERS)
    desk.tick("12.32")
    desk.deliver(entry(desk, qty=D("0.5")))
    grow(desk, "0.5")
    desk.refuse = lambda order: -1111 if order.client_order_id.startswith("x1-") else None
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.codes == []
    assert fills(desk) == [("FILLED", D("0.5"))]
    assert desk.venue_qty() == D("0.5")


def test_a_fill_of_somebody_else_on_its_own_side_adds_and_widens_the_stop() -> None:
    desk = opened()
    grow(desk, "1", price="12.42", told=True)
    assert desk.position.qty == desk.position.initial_qty == D("2.83")
    assert desk.position.entry_price == D("12.355335689046")
    desk.look(after_s=1)
    assert [stop.qty for stop in desk.stops()] == [D("2.83")]


def test_a_fill_of_somebody_else_beyond_the_position_ends_it_without_a_flip() -> None:
    desk = opened()
    desk.hear(foreign_fill(desk, Side.SELL, "5", "12.4"))
    assert desk.state.positions == {}
    assert desk.results[-1].position_qty == 0


def test_a_short_is_harvested_and_closed_by_buying() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.deliver(short_entry(desk))
    desk.tick("10")
    desk.deliver(leave(desk, "PARTIAL_75", "plan.p75"))
    assert desk.venue_qty() == D("-0.46")
    desk.tick("13")
    assert desk.statuses[-1] == "STOPPED_OUT"
    assert desk.venue_qty() == 0


def grow(desk: Desk, qty: str, *, price: str = "12.32", told: bool = False) -> None:
    """Somebody adds to the position, in pieces that the venue takes; `told` says we hear of it."""
    left = D(qty)
    most = desk.paper.rules[SYMBOL].max_qty
    number = 0
    while left:
        number += 1
        part = min(left, most)
        left -= part
        order = PlaceOrder(
            f"by-hand-{number}", SYMBOL, Side.BUY, OrderType.MARKET, part, False, desk.market,
            leverage=10,
        )  # fmt: skip
        desk.behind_its_back(order)
    if told:
        desk.hear(foreign_fill(desk, Side.BUY, qty, price))
    else:
        desk.look(after_s=1)


def test_two_positions_opened_at_one_mark_have_ids_of_their_own() -> None:
    desk = opened()
    first = desk.state.positions[SYMBOL].position_id
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    desk.deliver(entry(desk, "plan.again"))
    assert desk.state.positions[SYMBOL].opened_at == desk.market
    assert desk.state.positions[SYMBOL].position_id != first
