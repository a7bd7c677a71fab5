"""apply_layer: positions that somebody else opened are adopted, or left alone and said so."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.apply_layer.exchange import OpenOrder
from services.apply_layer.state import Policy
from shared.sides import PositionSide, Side

from .builders import foreign_stop, held, leave, move_stop, opened
from .desk import SYMBOL, D, Desk


def test_a_position_of_somebody_else_is_adopted_under_a_stop_at_two_percent() -> None:
    desk = Desk(positions=[held()])
    assert desk.statuses == ["ADOPTED", "STOP_MOVED"]
    assert desk.stop_prices() == [D("12.0736")]
    adopted = desk.results[-2]
    assert adopted.position_initial_stop is None
    assert adopted.position_opened_at == held().opened_at
    desk.tick("21.68")
    desk.deliver(leave(desk, "PARTIAL_75", "plan.p75"))
    assert desk.venue_qty() == D("0.46")


@pytest.mark.parametrize(
    ("side", "mark", "stop"),
    [
        (PositionSide.LONG, "11", "10.78"),
        (PositionSide.SHORT, "14", "14.28"),
        (PositionSide.LONG, "12.0736", "11.8321"),
    ],
)
def test_with_the_mark_beyond_two_percent_the_stop_stands_beyond_the_mark(
    side: PositionSide, mark: str, stop: str
) -> None:
    desk = Desk(positions=[held(side=side, mark_price=D(mark))])
    assert desk.stop_prices() == [D(stop)]
    assert desk.venue_qty() == side.sign * D("1.83")


@pytest.mark.parametrize(
    ("price", "initial"), [("11.9", D("11.9")), ("12.4", None)], ids=["losing", "winning"]
)
def test_its_own_stop_is_kept_and_tells_the_risk_if_it_can(
    price: str, initial: Decimal | None
) -> None:
    desk = Desk(positions=[held(mark_price=D(13))], open_orders=[foreign_stop(price)])
    assert desk.statuses == ["ADOPTED"]
    assert [stop.client_order_id for stop in desk.stops()] == ["by-hand-1"]
    assert desk.position.stop_loss == D(price)
    assert desk.position.initial_stop == initial
    desk.tick("13")
    desk.deliver(move_stop(desk, "12.5", "plan.stop"))
    assert desk.stop_prices() == [D("12.5")]


def test_of_its_own_stops_the_tightest_that_covers_it_is_kept() -> None:
    stops = [
        foreign_stop("11.9", name="a"),
        foreign_stop("12.1", name="b"),
        foreign_stop("12.2", qty="1", name="covers-a-part"),
    ]
    desk = Desk(positions=[held()], open_orders=stops)
    assert [stop.client_order_id for stop in desk.stops()] == ["b"]


def test_a_stop_on_the_wrong_side_protects_nothing() -> None:
    sort = foreign_stop("13").type
    wrong = OpenOrder("w", "", SYMBOL, Side.BUY, sort, D("1.83"), True, D(13))
    desk = Desk(positions=[held()], open_orders=[wrong])
    desk.look(after_s=1)
    assert [(s.side, s.trigger_price) for s in desk.stops()] == [(Side.SELL, D("12.0736"))]


def test_a_position_that_is_not_to_be_adopted_is_left_alone_and_said_so_once() -> None:
    desk = Desk(Policy(adopt=False), positions=[held()])
    desk.look(after_s=1)
    desk.look(after_s=1)
    assert desk.statuses == []
    assert desk.stops() == []
    assert desk.record is None
    assert len(desk.noted("left_alone")) == 1


def test_every_symbol_is_stated_at_the_start_with_its_rules() -> None:
    desk = Desk()
    assert {r.symbol for r in desk.results} == set(desk.paper.rules)
    assert {r.status for r in desk.results} == {"POSITION"}
    before = len(desk.results)
    desk.look(after_s=1)
    assert len(desk.results) == before


def test_a_start_states_an_open_position_again() -> None:
    desk = opened()
    desk.restart()
    (stated,) = [r for r in desk.results if r.position_qty and r.status == "POSITION"]
    assert (stated.position_qty, stated.position_stop_loss) == (D("1.83"), D("12.0736"))
    assert stated.position_opened_at == desk.market
