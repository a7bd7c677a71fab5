"""The past of a position, told by its trades alone."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.apply_layer.exchange import OrderFilled, OrderType, Past, VenuePosition
from services.apply_layer.history import past_of
from services.apply_layer.journal import Leg, client_order_id
from shared.sides import PositionSide, Side

from .desk import MARKET, D

ENTRY, RUNG, STOP = (client_order_id("plan", leg, 1) for leg in (Leg.ENTRY, Leg.EXIT, Leg.STOP))


def trade(number: int, side: Side, qty: str | int | Decimal, name: str = "by-hand") -> OrderFilled:
    return OrderFilled(
        client_order_id=name,
        symbol="BTCUSDT",
        order_id=str(number),
        trade_id=str(number),
        side=side,
        type=OrderType.MARKET,
        qty=D(qty),
        price=D(100),
        fee=D("0.01"),
        realized_pnl=D(0) if side is Side.BUY else D(1),
        reduce_only=False,
        done=True,
        at=MARKET + timedelta(minutes=number),
    )


def held(qty: str | int | Decimal, side: PositionSide = PositionSide.LONG) -> VenuePosition:
    return VenuePosition("BTCUSDT", side, D(qty), D(100), 10, D(100), MARKET)


def test_rungs_taken_before_all_was_forgotten_count_as_taken() -> None:
    trades = [
        trade(1, Side.BUY, 1),
        trade(2, Side.SELL, 1),
        trade(3, Side.BUY, 2, ENTRY),
        trade(4, Side.SELL, "0.5", RUNG),
    ]
    past = past_of(held("1.5"), trades)
    assert past == Past(D(2), trades[2].at, D("0.5"), D(1), D("0.02"), known=True)


def test_a_reduction_by_hand_is_no_harvest_and_leaves_q0_as_it_was() -> None:
    past = past_of(held(1), [trade(1, Side.BUY, 2, ENTRY), trade(2, Side.SELL, 1)])
    assert (past.initial_qty, past.harvested_qty) == (D(2), D(0))


def test_what_a_stop_closed_is_no_harvest() -> None:
    past = past_of(held(1), [trade(1, Side.BUY, 2, ENTRY), trade(2, Side.SELL, 1, STOP)])
    assert (past.initial_qty, past.harvested_qty) == (D(2), D(0))


def test_a_position_of_somebody_else_starts_with_what_is_held_now() -> None:
    past = past_of(held(1), [trade(1, Side.BUY, 2), trade(2, Side.SELL, 1)])
    assert (past.initial_qty, past.harvested_qty, past.known) == (D(1), D(0), True)


def test_trades_that_do_not_reach_back_to_the_opening_leave_it_unknown() -> None:
    assert not past_of(held(3), [trade(1, Side.BUY, 2, ENTRY)]).known
    assert not past_of(held(3), []).known


def test_a_trade_that_turned_the_position_round_opened_it() -> None:
    turned = [trade(1, Side.BUY, 2), trade(2, Side.SELL, 3, ENTRY), trade(3, Side.BUY, "0.2", RUNG)]
    past = past_of(held("0.8", PositionSide.SHORT), turned)
    assert (past.known, past.opened_at) == (True, turned[1].at)
    assert (past.initial_qty, past.harvested_qty) == (D(1), D("0.2"))


@given(
    added=st.lists(st.integers(1, 50), min_size=1, max_size=5),
    taken=st.lists(st.integers(1, 5), max_size=5),
    before=st.lists(st.integers(1, 9), max_size=4),
)
def test_the_past_adds_up_whatever_was_traded_before(
    added: list[int], taken: list[int], before: list[int]
) -> None:
    if sum(taken) >= sum(added):
        taken = []
    steps = [(side, qty, "by-hand") for qty in before for side in (Side.BUY, Side.SELL)]
    steps += [(Side.BUY, qty, ENTRY) for qty in added]
    steps += [(Side.SELL, qty, RUNG) for qty in taken]
    trades = [
        trade(number, side, D(qty), name) for number, (side, qty, name) in enumerate(steps, 1)
    ]
    past = past_of(held(D(sum(added) - sum(taken))), trades)
    assert past.known
    assert past.initial_qty == sum(added)
    assert past.harvested_qty == sum(taken)
    assert past.opened_at == trades[2 * len(before)].at
