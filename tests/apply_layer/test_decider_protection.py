"""apply_layer: every position has one live stop that covers it, whoever opened or changed it."""

from __future__ import annotations

import pytest

from services.apply_layer.exchange import (
    CancelOrder,
    OrderEnded,
    OrderType,
    PlaceOrder,
)
from shared.decisions import Mode
from shared.sides import PositionSide, Side

from .builders import entry, leave, move_stop, opened, order, short_entry
from .desk import SYMBOL, D, Desk


def is_stop(request: PlaceOrder) -> bool:
    return request.type is OrderType.STOP_MARKET


# -- moving a stop ----------------------------------------------------------------------------


def test_a_stop_moves_by_placing_the_new_one_before_the_old_is_cancelled() -> None:
    desk = opened()
    desk.tick("13")
    before = len(desk.requests_made)
    desk.deliver(move_stop(desk, "12.3446", "plan.stop"))
    assert [type(r) for r in desk.requests_made[before:]] == [PlaceOrder, CancelOrder]
    assert desk.stop_prices() == [D("12.3446")]
    moved = desk.results[-1]
    assert (moved.status, moved.plan_id) == ("STOP_MOVED", "plan.stop")
    assert moved.position_stop_loss == D("12.3446")
    assert moved.position_initial_stop == D("12.0736")


@pytest.mark.parametrize("stop", ["12.0736", "12.07361", "12.0", "0.00001"])
def test_a_stop_only_ever_tightens(stop: str) -> None:
    desk = opened()
    desk.deliver(move_stop(desk, stop, "plan.stop"))
    assert desk.codes == ["stop_not_tighter"]
    assert desk.stop_prices() == [D("12.0736")]


def test_a_short_s_stop_tightens_downwards_and_rounds_away_from_the_mark() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.deliver(short_entry(desk))
    desk.tick("11")
    desk.deliver(move_stop(desk, "12.60", "plan.wider"))
    desk.deliver(move_stop(desk, "12.29531", "plan.tighter"))
    assert desk.codes == ["stop_not_tighter"]
    assert desk.stop_prices() == [D("12.2954")]


def test_a_stop_at_a_price_that_is_already_past_closes_the_position() -> None:
    desk = opened()
    desk.deliver(move_stop(desk, "12.35", "plan.stop"))
    assert desk.codes == ["-2021"]
    assert desk.venue_qty() == 0
    assert desk.snapshot().open_orders == ()
    assert desk.statuses[-1] == "FILLED"


def test_a_stop_follows_after_a_part_was_closed() -> None:
    desk = opened()
    desk.deliver(leave(desk, "PARTIAL_75", "plan.p75"))
    desk.tick("13")
    desk.deliver(move_stop(desk, "12.3446", "plan.stop"))
    assert [stop.qty for stop in desk.stops()] == [D("0.46")]


# -- a stop that cannot be placed -------------------------------------------------------------


def test_a_stop_that_the_venue_refuses_is_tried_again_and_then_the_position_is_closed() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.refuse = lambda request: -4045 if is_stop(request) else None
    desk.deliver(entry(desk))
    assert desk.statuses == ["FILLED"]
    assert desk.stops() == []
    for _ in range(2):
        desk.look(after_s=1)
        assert desk.venue_qty() == D("1.83")
    desk.look(after_s=1)
    assert desk.venue_qty() == 0
    assert desk.results[-1].position_unprotected_s == 3


def test_a_stop_that_stands_at_the_second_attempt_ends_the_exposure() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.refuse = lambda request: -4045 if is_stop(request) else None
    desk.deliver(entry(desk))
    desk.refuse = lambda _request: None
    desk.look(after_s=1)
    assert desk.stop_prices() == [D("12.0736")]
    assert desk.position.unprotected_since is None
    assert desk.position.unprotected_s == 1
    desk.look(after_s=10)
    assert desk.venue_qty() == D("1.83")


def test_a_forced_close_that_is_refused_is_tried_at_every_look() -> None:
    desk = Desk()
    desk.tick("12.32")
    desk.refuse = lambda request: -1008 if request.reduce_only else None
    desk.deliver(entry(desk))
    for _ in range(5):
        desk.look(after_s=1)
    assert desk.venue_qty() == D("1.83")
    desk.refuse = lambda request: -1008 if is_stop(request) else None
    desk.look(after_s=1)
    assert desk.venue_qty() == 0
    assert desk.state.orders == {}


def test_halt_does_not_take_a_position_s_protection_away() -> None:
    desk = opened()
    desk.mode = Mode.HALT
    (stop,) = desk.stops()
    desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))
    desk.look(after_s=1)
    assert desk.stop_prices() == [D("12.0736")]


# -- what others do ---------------------------------------------------------------------------


def test_a_stop_that_was_cancelled_behind_its_back_is_placed_again() -> None:
    desk = opened()
    (stop,) = desk.stops()
    desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))
    desk.look(after_s=1)
    (again,) = desk.stops()
    assert again.trigger_price == D("12.0736")
    assert again.client_order_id != stop.client_order_id
    assert len(desk.noted("stop_missing")) == 1
    assert [sent.request.client_order_id for sent in desk.state.orders.values()] == [
        again.client_order_id
    ]


def test_a_stop_of_which_the_venue_says_that_it_is_gone_is_placed_again_at_once() -> None:
    desk = opened()
    desk.look(after_s=1)
    (stop,) = desk.stops()
    desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))
    desk.hear(OrderEnded(stop.client_order_id, SYMBOL, "cancelled", desk.market))
    assert desk.stop_prices() == [D("12.0736")]


def test_why_the_venue_refuses_a_stop_stands_in_its_record_until_one_stands() -> None:
    desk = opened()
    (stop,) = desk.stops()
    desk.refuse = lambda order: -4045 if order.type is OrderType.STOP_MARKET else None
    desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))
    desk.look(after_s=1)
    told = desk.records["quantum:venue"]
    assert told is not None
    assert told[f"stop_refused.{SYMBOL}"] == (
        "stop refused by the venue: -4045 refused by the test"
    )
    desk.refuse = lambda _order: None
    desk.look(after_s=1)
    assert desk.stop_prices() == [D("12.0736")]
    assert desk.records["quantum:venue"] == {"entries": "open"}


def test_of_two_stops_one_is_left() -> None:
    desk = opened()
    extra = PlaceOrder(
        "by-hand", SYMBOL, Side.SELL, OrderType.STOP_MARKET, D("1.83"), True, desk.market, D("12.1")
    )
    desk.behind_its_back(extra)
    assert len(desk.stops()) == 2
    desk.look(after_s=1)
    assert desk.stop_prices() == [D("12.0736")]


def test_a_position_closed_elsewhere_ends_here_with_its_id_and_without_orders() -> None:
    desk = opened()
    position_id = desk.position.position_id
    desk.behind_its_back(order(desk, Side.SELL, "1.83", reduce_only=True, name="by-hand"))
    desk.look(after_s=1)
    last = desk.results[-1]
    assert (last.status, last.position_id, last.position_qty) == ("POSITION", position_id, 0)
    assert last.position_stop_loss is None
    assert desk.record is None
    assert desk.snapshot().open_orders == ()


def test_a_position_reduced_elsewhere_keeps_its_initial_quantity() -> None:
    desk = opened()
    desk.behind_its_back(order(desk, Side.SELL, "1", reduce_only=True, name="by-hand"))
    desk.look(after_s=1)
    assert (desk.position.qty, desk.position.initial_qty) == (D("0.83"), D("1.83"))
    assert desk.position.harvested_qty == 0
    assert len(desk.stops()) == 1
    desk.deliver(leave(desk, "PARTIAL_75", "plan.p75"))
    assert desk.venue_qty() == 0
    assert desk.snapshot().open_orders == ()


def test_a_position_that_grew_elsewhere_is_what_the_venue_says_under_one_stop_for_all() -> None:
    desk = opened()
    desk.tick("12.5")
    desk.behind_its_back(order(desk, Side.BUY, "1", reduce_only=False, name="by-hand"))
    desk.look(after_s=1)
    (found,) = desk.snapshot().positions
    assert desk.position.qty == desk.position.initial_qty == found.qty == D("2.83")
    assert desk.position.entry_price == found.entry_price
    assert [(s.qty, s.trigger_price) for s in desk.stops()] == [(D("2.83"), D("12.0736"))]


def test_a_position_turned_around_elsewhere_ends_and_the_new_one_is_adopted_at_once() -> None:
    desk = opened()
    desk.behind_its_back(order(desk, Side.SELL, "3", reduce_only=False, name="by-hand"))
    desk.look(after_s=1)
    assert desk.statuses[-2:] == ["ADOPTED", "STOP_MOVED"]
    assert desk.position.side is PositionSide.SHORT
    (stop,) = desk.stops()
    assert (stop.side, stop.qty) == (Side.BUY, D("1.17"))


def test_a_price_shows_in_the_record_at_most_once_a_second() -> None:
    desk = opened()
    desk.tick("12.4")
    for price in ("12.5", "12.6", "12.7"):
        desk.tick(price, wall_s=0.3)
    assert desk.record is not None
    assert desk.record["current_price"] == "12.4"
    desk.tick("12.8", wall_s=0.1)
    assert desk.record["current_price"] == "12.8"
    assert desk.record["unrealized_pnl"] == "0.8784"
    assert desk.record["r_net"] == "1.8981"
