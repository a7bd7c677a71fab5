"""Orders that close a whole position, whatever it is when they trigger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.apply_layer.exchange import (
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderRejected,
    OrderType,
    PlaceOrder,
    VenueEvent,
)
from services.apply_layer.paper import PaperExchange
from services.apply_layer.paper_account import PaperPolicy, new_account
from shared.sides import Side

from .desk import D

BTC = "BTCUSDT"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Market:
    """A paper venue whose mark is moved step by step."""

    def __init__(self) -> None:
        policy = PaperPolicy(initial_wallet=D(100_000))
        self.venue = PaperExchange(new_account(policy), policy)
        self.at = START
        self.mark(65_000)

    def mark(self, price: int) -> list[VenueEvent]:
        self.at += timedelta(seconds=1)
        return self.venue.on_mark(BTC, D(price), self.at)

    def place(self, name: str, side: Side = Side.BUY, **changes: Any) -> list[VenueEvent]:
        fields: dict[str, Any] = {
            "client_order_id": name, "symbol": BTC, "side": side, "type": OrderType.MARKET,
            "qty": D("0.1"), "reduce_only": False, "at": self.at, "leverage": 10,
        }  # fmt: skip
        return self.venue.place(PlaceOrder(**(fields | changes)))

    def close_at(self, name: str, trigger: int, **changes: Any) -> list[VenueEvent]:
        kind = {
            "type": OrderType.STOP_MARKET, "trigger_price": D(trigger), "qty": D(0),
            "close_position": True,
        }  # fmt: skip
        return self.place(name, Side.SELL, **(kind | changes))

    @property
    def resting(self) -> list[str]:
        return [order.client_order_id for order in self.venue.snapshot().open_orders]


def test_it_closes_what_is_held_when_it_triggers_not_what_was_held_when_it_was_placed() -> None:
    market = Market()
    market.place("e1")
    assert isinstance(market.close_at("s1", 64_000)[0], OrderAccepted)
    (standing,) = market.venue.snapshot().open_orders
    assert (standing.close_position, standing.reduce_only) == (True, True)
    market.place("e2")
    (filled,) = market.mark(63_900)
    assert isinstance(filled, OrderFilled)
    assert (filled.qty, filled.done) == (D("0.2"), True)
    assert market.venue.snapshot().positions == ()


def test_it_may_be_larger_than_the_largest_order() -> None:
    market = Market()
    market.place("e1")
    assert isinstance(market.close_at("s1", 64_000, qty=D(100_000))[0], OrderAccepted)


def test_there_is_one_stop_and_one_target_of_a_side_that_close_the_position() -> None:
    market = Market()
    market.place("e1")
    market.close_at("s1", 64_000)
    (refused,) = market.close_at("s2", 63_000)
    assert isinstance(refused, OrderRejected)
    assert refused.code == -4130
    target = {"type": OrderType.TAKE_PROFIT_MARKET}
    assert isinstance(market.close_at("t1", 66_000, **target)[0], OrderAccepted)
    assert market.resting == ["s1", "t1"]


def test_they_expire_with_the_position_however_it_was_closed() -> None:
    market = Market()
    market.place("e1")
    market.close_at("s1", 64_000)
    market.close_at("t1", 66_000, type=OrderType.TAKE_PROFIT_MARKET)
    market.place("rests", Side.SELL, type=OrderType.STOP_MARKET, trigger_price=D(63_000),
                 reduce_only=True)  # fmt: skip
    facts = market.place("x1", Side.SELL, reduce_only=True)
    ended = [(f.client_order_id, f.reason) for f in facts if isinstance(f, OrderEnded)]
    assert ended == [("s1", "expired"), ("t1", "expired")]
    assert market.resting == ["rests"]


def test_two_that_are_due_at_one_mark_close_once() -> None:
    market = Market()
    market.place("e1")
    market.place("s0", Side.SELL, type=OrderType.STOP_MARKET, trigger_price=D(64_500),
                 reduce_only=True)  # fmt: skip
    market.close_at("s1", 64_000)
    kinds = [(type(f).__name__, f.client_order_id) for f in market.mark(63_000)]  # type: ignore[union-attr]
    assert kinds == [("OrderFilled", "s0"), ("OrderEnded", "s1")]


def test_a_market_order_closes_no_position_by_that_name() -> None:
    market = Market()
    market.place("e1")
    (refused,) = market.place("x1", Side.SELL, close_position=True)
    assert isinstance(refused, OrderRejected)
    assert refused.code == -4136
