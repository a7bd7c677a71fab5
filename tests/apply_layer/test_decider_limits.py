"""apply_layer: an entry costs no more than its plan's cap, its stop fires before liquidation."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.apply_layer.exchange import EntryGuard, OrderFilled, OrderType, PlaceOrder
from shared.formulas import liquidation_price, stop_before_liquidation
from shared.sides import PositionSide, Side

from .builders import entry, held, leave, opened, short_entry
from .desk import SYMBOL, D, Desk

LOT = D("0.01")


def filled(desk: Desk, plan_id: str, qty: str, price: str, number: int) -> None:
    """The venue tells that the entry of a plan was filled at a price of its own."""
    (sent,) = [s for s in desk.state.orders.values() if s.plan_id == plan_id and s.terms]
    desk.hear(
        OrderFilled(
            sent.request.client_order_id, SYMBOL, "9", str(number), sent.request.side,
            OrderType.MARKET, D(qty), D(price), D(0), D(0), reduce_only=False,
            done=D(qty) == sent.request.qty, at=desk.market,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mark", "changes", "code"),
    [
        ("60000", {"entry_price": D(600), "stop_loss": D(580), "take_profit": D(700),
                   "take_profit_2": None, "take_profit_3": None, "qty": D(3)}, "price_deviates"),
        ("12.57", {}, "price_deviates"),
        ("12.07", {}, "price_deviates"),
        ("12.32", {"qty": D(5), "max_notional": D(60)}, "order_cap"),
    ],
)  # fmt: skip
def test_an_entry_is_refused_at_the_venue_s_own_mark(
    mark: str, changes: dict[str, Any], code: str
) -> None:
    desk = Desk()
    desk.tick(mark)
    desk.deliver(entry(desk, **changes))
    assert desk.codes == [code]
    assert desk.venue_qty() == 0
    assert desk.state.orders == {}


def test_no_entry_is_made_where_the_venue_has_no_mark() -> None:
    desk = Desk()
    desk.deliver(entry(desk))
    assert desk.codes == ["no_mark"]


def test_what_only_reduces_has_no_guard() -> None:
    desk = opened()
    desk.tick("99")
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    assert desk.venue_qty() == 0
    orders = [r for r in desk.requests_made if isinstance(r, PlaceOrder)]
    assert all((order.guard is None) is order.reduce_only for order in orders)


@given(
    qty=st.decimals("0.001", "1000", places=3),
    price=st.decimals("0.01", "100000", places=2),
    mark=st.none() | st.decimals("0", "200000", places=2, allow_nan=False),
    cap=st.decimals("1", "100000", places=2),
)
def test_whatever_passes_the_guard_is_within_the_cap_and_near_the_price(
    qty: Decimal, price: Decimal, mark: Decimal | None, cap: Decimal
) -> None:
    if EntryGuard(price, D("0.02"), cap).refusal(qty, mark) is None:
        assert mark is not None
        assert qty * mark <= cap
        assert abs(mark - price) <= D("0.02") * price


def waiting(desk: Desk, **changes: Any) -> None:
    """An entry that is accepted and has not been filled."""
    desk.tick("12.32")
    desk.deliver(entry(desk, timestamp=desk.market + timedelta(seconds=1), **changes))


def test_a_fill_far_above_every_mark_is_cut_to_the_cap_and_said() -> None:
    desk = Desk()
    waiting(desk)
    filled(desk, "plan.entry", "1.83", "18.48", 1)
    (cut,) = desk.noted("over_cap")
    assert cut.fields["closing"] == D("0.61")
    closing = [r for r in desk.requests_made if isinstance(r, PlaceOrder) and r.reduce_only]
    assert [(r.type, r.qty) for r in closing] == [
        (OrderType.STOP_MARKET, D("1.83")), (OrderType.MARKET, D("0.61")),
    ]  # fmt: skip
    told = desk.records["quantum:venue"]
    assert told is not None
    assert f"over_cap.{SYMBOL}" in told


@given(
    qty=st.integers(1, 5000),
    cap=st.decimals("20", "200", places=2) | st.none(),
    jump=st.decimals("0.5", "2", places=3),
    side=st.sampled_from(list(Side)),
)
@settings(max_examples=60, deadline=None)
def test_whatever_a_plan_says_what_is_held_in_the_end_is_within_its_cap(
    qty: int, cap: Decimal | None, jump: Decimal, side: Side
) -> None:
    """The mark moves between the sending and the fill by any factor."""
    desk = Desk()
    desk.tick("12.32")
    make = entry if side is Side.BUY else short_entry
    plan = make(
        desk, qty=qty * LOT, leverage=1, max_notional=cap,
        timestamp=desk.market + timedelta(seconds=1),
    )  # fmt: skip
    desk.deliver(plan)
    desk.tick((D("12.32") * jump).quantize(D("0.0001")))
    for _ in range(4):
        desk.look(after_s=1)
    most = (cap or plan.qty * plan.entry_price) * D("1.02")
    for position in desk.state.positions.values():
        assert position.qty * position.entry_price <= most
        assert abs(desk.venue_qty()) == position.qty
        assert len(desk.stops()) == 1


def test_a_position_that_an_entry_was_cut_from_is_harvested_by_what_is_left() -> None:
    desk = Desk()
    waiting(desk)
    desk.tick("18.48")
    assert desk.venue_qty() == D("1.22")
    assert desk.position.initial_qty == D("1.22")
    desk.deliver(leave(desk, "PARTIAL_50", "plan.p50"))
    assert desk.venue_qty() == D("0.61")


# -- liquidation ------------------------------------------------------------------------------


def test_a_stop_beyond_liquidation_is_placed_before_it() -> None:
    desk = opened(leverage=50, stop_loss=D("11.5"))
    (stop,) = desk.stops()
    liquidation = liquidation_price(D("12.32"), PositionSide.LONG, 50, D("0.01"))
    assert stop.trigger_price is not None
    assert liquidation < stop.trigger_price < D("12.32")
    assert desk.position.initial_stop == stop.trigger_price
    assert len(desk.noted("stop_beyond_liquidation")) == 1


def test_an_adopted_position_s_stop_fires_before_liquidation() -> None:
    desk = Desk(positions=[held(leverage=50)])
    liquidation = liquidation_price(D("12.32"), PositionSide.LONG, 50, D("0.01"))
    (price,) = desk.stop_prices()
    assert price is not None
    assert price > liquidation


@given(
    entry_price=st.decimals("0.01", "100000", places=4),
    leverage=st.integers(1, 150),
    rate=st.decimals("0", "0.2", places=4),
    distance=st.decimals("0.0001", "0.9999", places=4),
    side=st.sampled_from(list(PositionSide)),
)
def test_every_stop_fires_before_liquidation_where_there_is_room(
    entry_price: Decimal, leverage: int, rate: Decimal, distance: Decimal, side: PositionSide
) -> None:
    stop = entry_price * (1 - side.sign * distance)
    liquidation = liquidation_price(entry_price, side, leverage, rate)
    safe = stop_before_liquidation(
        stop, side=side, entry_price=entry_price, liquidation=liquidation
    )
    if side.sign * (entry_price - liquidation) > 0:
        assert side.sign * (safe - liquidation) > 0
        assert side.sign * (entry_price - safe) > 0
    else:
        assert safe == stop
