"""apply_layer: whatever its clock does, a lost stop comes back and no doubt ends early."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.apply_layer.doubt import Began
from services.apply_layer.exchange import (
    CancelOrder,
    OrderAbsent,
    OrderFilled,
    OrderType,
    PlaceOrder,
    VenuePosition,
)
from services.apply_layer.looked import Looked
from services.apply_layer.state import ORDERS, Policy
from shared.sides import PositionSide, Side

from .builders import entry, opened
from .desk import MARKET, SYMBOL, D, Desk

JUMPS = st.sampled_from([-86_400, -3_600, -30, -2, 0, 0, 0, 2, 30, 3_600, 86_400])
POLICY = Policy(doubt_first_s=D(10), doubt_again_s=D(10), max_intent_age_s=D(60))


def jump(desk: Desk, seconds: float) -> None:
    desk.now += timedelta(seconds=seconds)


def lose_the_stop(desk: Desk) -> None:
    for stop in desk.stops():
        desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, desk.market))


@given(
    steps=st.lists(st.tuples(JUMPS, st.sampled_from(["lose", "look", "tick", "restart"]))),
    conclusive=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_lost_stop_is_back_after_the_next_look_whatever_the_clock_does(
    steps: list[tuple[int, str]], conclusive: bool
) -> None:
    desk = opened()
    desk.conclusive = conclusive
    for seconds, doing in steps:
        jump(desk, seconds)
        if doing == "lose":
            lose_the_stop(desk)
        elif doing == "tick":
            desk.tick("12.32")
        elif doing == "restart":
            desk.restart()
        placed = sum(isinstance(r, PlaceOrder) for r in desk.requests_made)
        lost = not desk.stops()
        desk.look(after_s=1)
        (stop,) = desk.stops()
        assert desk.position.stop_order == stop.client_order_id
        assert desk.venue_qty() == D("1.83")
        again = sum(isinstance(r, PlaceOrder) for r in desk.requests_made) - placed
        assert again == (1 if lost else 0), "one stop for one that was lost"


@given(
    steps=st.lists(
        st.tuples(st.sampled_from([0.2, 1, 3, 5]), st.sampled_from(["ask", "die"]), JUMPS),
        max_size=40,
    ),
    unlikely=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_doubt_ends_before_its_time_whatever_the_clock_did_over_restarts(
    steps: list[tuple[float, str, int]], unlikely: bool
) -> None:
    desk = Desk(POLICY)
    desk.tick("12.32")
    desk.unlikely, desk.conclusive = unlikely, False
    desk.silent = lambda _order: True
    desk.deliver(entry(desk))
    desk.silent = lambda _order: False
    (sent,) = desk.state.orders.values()
    truly = 0.0
    for seconds, doing, step in steps:
        truly += seconds
        jump(desk, seconds)
        if doing == "die":
            desk.down_s, truly = 0.5, truly + 0.5
            jump(desk, step)
            desk._boot()
            desk.hear(Began(after_start=True))
        desk.hear(OrderAbsent(sent.request.client_order_id, SYMBOL, desk.market, desk.now))
        if not desk.state.orders or desk.state.proofs:
            assert truly >= (10 if unlikely else 20)
            return


def test_a_clock_that_went_back_over_a_restart_is_said_once() -> None:
    desk = opened()
    lose_the_stop(desk)
    desk.tick("12.33")
    jump(desk, -3600)
    desk.restart()
    assert len(desk.noted("clock_went_back")) == 1
    (told,) = desk.noted("clock_went_back")
    assert float(str(told.fields["by_s"])) == pytest.approx(3597, abs=2)
    for _ in range(3):
        desk.look(after_s=1)
    assert len(desk.noted("clock_went_back")) == 1


def test_a_plan_made_far_ahead_of_the_clock_here_opens_nothing() -> None:
    desk = Desk(POLICY)
    desk.tick("12.32")
    ahead = desk.now + timedelta(seconds=61)
    desk.deliver(entry(desk, produced_at=ahead))
    assert desk.codes == ["ahead_of_time"]


def late_view(desk: Desk, qty: Decimal) -> None:
    """The venue shows the position as before its last trade, and neither book."""
    shown = VenuePosition(
        SYMBOL, PositionSide.LONG, qty, D("12.32"), 10, D("12.32"), MARKET,
        updated_at=MARKET - timedelta(seconds=1),
    )  # fmt: skip
    view = replace(
        desk.snapshot(),
        positions=(shown,),
        open_orders=(),
        conclusive=False,
        after_order=desk.state.numbers[ORDERS],
    )
    desk.hear(Looked(view))


@pytest.mark.parametrize("step", [-3600, 0])
def test_a_position_shown_as_before_its_last_trade_is_believed_after_half_a_minute(
    step: int,
) -> None:
    desk = opened()
    desk.hear(
        OrderFilled(
            "by-hand", SYMBOL, "9", "900", Side.BUY, OrderType.MARKET, D("0.1"), D("12.32"), D(0),
            D(0), reduce_only=False, done=True, at=desk.market,
        )
    )  # fmt: skip
    jump(desk, step)
    before = len(desk.requests_made)
    late_view(desk, D("1.83"))
    assert len(desk.requests_made) == before, "a view of before the trade says nothing of stops"
    jump(desk, 30)
    late_view(desk, D("1.83"))
    sent = [r for r in desk.requests_made[before:] if isinstance(r, PlaceOrder)]
    assert [order.type for order in sent] == [OrderType.STOP_MARKET]
