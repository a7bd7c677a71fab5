"""How the paper venue fills, funds, liquidates and states: one sentence for each rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import TypeAdapter

from services.apply_layer.exchange import (
    CancelOrder,
    FundingPaid,
    OpenOrder,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderType,
    PlaceOrder,
    VenueEvent,
    VenuePosition,
)
from services.apply_layer.paper import PaperExchange
from services.apply_layer.paper_account import PaperBook, PaperPolicy, new_account
from services.apply_layer.paper_money import fill
from services.apply_layer.paper_rules import BUILT_IN_RULES, default_rules
from shared.formulas import liquidation_price
from shared.sides import PositionSide, Side

D = Decimal
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RIVER = "RIVERUSDT"
POLICY = PaperPolicy(slippage_bps=D(10), taker_fee=D("0.001"))
BUY = PlaceOrder(
    client_order_id="entry",
    symbol=RIVER,
    side=Side.BUY,
    type=OrderType.MARKET,
    qty=D(10),
    reduce_only=False,
    at=NOON,
    leverage=10,
)


def venue(price: str = "10", policy: PaperPolicy = POLICY) -> PaperExchange:
    exchange = PaperExchange(new_account(policy), policy)
    assert exchange.on_mark(RIVER, D(price), NOON) == []
    return exchange


def later(minutes: int = 1) -> datetime:
    return NOON + timedelta(minutes=minutes)


def fills(events: list[VenueEvent]) -> list[OrderFilled]:
    return [event for event in events if isinstance(event, OrderFilled)]


def conditional(
    order_id: str, order_type: OrderType, side: Side, trigger: str, qty: str = "10"
) -> PlaceOrder:
    return replace(
        BUY,
        client_order_id=order_id,
        type=order_type,
        side=side,
        trigger_price=D(trigger),
        qty=D(qty),
        reduce_only=True,
    )


def test_a_market_order_fills_at_once_at_the_mark_with_slippage_and_fee() -> None:
    exchange = venue()
    accepted, filled = exchange.place(BUY)
    assert accepted == OrderAccepted("entry", RIVER, "RIVERUSDT-1", NOON)
    assert filled == OrderFilled(
        client_order_id="entry",
        symbol=RIVER,
        order_id="RIVERUSDT-1",
        trade_id="RIVERUSDT-t1",
        side=Side.BUY,
        type=OrderType.MARKET,
        qty=D(10),
        price=D("10.01"),
        fee=D("0.1001"),
        realized_pnl=D(0),
        reduce_only=False,
        done=True,
        at=NOON,
    )
    assert exchange.snapshot().wallet == D("9999.8999")
    assert exchange.account.free_wallet == D("9999.8999") - D("10.01")


@pytest.mark.parametrize(
    ("side", "mark", "price"),
    [
        (Side.BUY, "10.0001", "10.0102"),
        (Side.SELL, "10.0001", "9.9900"),
        (Side.BUY, "0.0001", "0.0002"),
        (Side.SELL, "0.0001", "0.0001"),
    ],
)
def test_a_fill_price_is_on_the_tick_against_the_taker(side: Side, mark: str, price: str) -> None:
    exchange = venue(mark, replace(POLICY, initial_wallet=D(1000000)))
    (filled,) = fills(exchange.place(replace(BUY, side=side, qty=D(50000), leverage=1)))
    assert filled.price == D(price)


@pytest.mark.parametrize("ahead", [2, 3600], ids=["of the mark", "of everything"])
def test_a_market_order_decided_ahead_of_the_mark_fills_at_the_next_one(ahead: int) -> None:
    exchange = venue()
    events = exchange.place(replace(BUY, at=later(ahead)))
    assert [type(event) for event in events] == [OrderAccepted]
    (waiting,) = exchange.snapshot().open_orders
    assert (waiting.client_order_id, waiting.trigger_price) == ("entry", None)
    (filled,) = fills(exchange.on_mark(RIVER, D(12), later(1)))
    assert (filled.price, filled.at, filled.done) == (D("12.012"), later(1), True)
    assert exchange.snapshot().open_orders == ()


def test_a_market_order_on_a_symbol_without_a_mark_waits_for_the_first_one() -> None:
    exchange = PaperExchange(new_account(POLICY), POLICY)
    assert len(exchange.place(BUY)) == 1
    assert len(fills(exchange.on_mark(RIVER, D(10), NOON))) == 1


TRIGGERS = [
    (OrderType.STOP_MARKET, Side.BUY, "9.5", "9.5001"),
    (OrderType.STOP_MARKET, Side.SELL, "10.5", "10.4999"),
    (OrderType.TAKE_PROFIT_MARKET, Side.BUY, "10.5", "10.4999"),
    (OrderType.TAKE_PROFIT_MARKET, Side.SELL, "9.5", "9.5001"),
]


@pytest.mark.parametrize(("order_type", "entry", "trigger", "short"), TRIGGERS)
def test_a_conditional_order_rests_until_the_mark_reaches_its_trigger(
    order_type: OrderType, entry: Side, trigger: str, short: str
) -> None:
    exchange = venue()
    exchange.place(replace(BUY, side=entry))
    resting = exchange.place(conditional("protect", order_type, entry.opposite, trigger))
    assert [type(event) for event in resting] == [OrderAccepted]
    assert exchange.on_mark(RIVER, D(short), later(1)) == []
    (filled,) = fills(exchange.on_mark(RIVER, D(trigger), later(2)))
    assert (filled.client_order_id, filled.type) == ("protect", order_type)
    snapshot = exchange.snapshot()
    assert (snapshot.positions, snapshot.open_orders) == ((), ())


def test_a_stop_pays_for_a_gap() -> None:
    exchange = venue()
    exchange.place(BUY)
    exchange.place(conditional("stop", OrderType.STOP_MARKET, Side.SELL, "9.8"))
    (filled,) = fills(exchange.on_mark(RIVER, D("9.3"), later()))
    assert filled.price == D("9.2907")
    assert filled.realized_pnl == (D("9.2907") - D("10.01")) * 10


def test_an_exit_is_clipped_to_the_position_and_is_then_done() -> None:
    exchange = venue()
    exchange.place(BUY)
    exit_order = replace(BUY, client_order_id="exit", side=Side.SELL, qty=D(25), reduce_only=True)
    (filled,) = fills(exchange.place(exit_order))
    assert (filled.qty, filled.done) == (D(10), True)
    snapshot = exchange.snapshot()
    assert (snapshot.positions, snapshot.open_orders) == ((), ())


def test_a_second_stop_finds_no_position_and_ends() -> None:
    exchange = venue()
    exchange.place(BUY)
    exchange.place(conditional("first", OrderType.STOP_MARKET, Side.SELL, "9.8"))
    exchange.place(conditional("second", OrderType.STOP_MARKET, Side.SELL, "9.9"))
    filled, ended = exchange.on_mark(RIVER, D("9.7"), later())
    assert isinstance(filled, OrderFilled)
    assert filled.client_order_id == "first"
    assert ended == OrderEnded("second", RIVER, "reduce_only_no_position", later())


def test_stops_that_share_a_position_close_no_more_than_it() -> None:
    exchange = venue()
    exchange.place(BUY)
    exchange.place(conditional("first", OrderType.STOP_MARKET, Side.SELL, "9.8", "7"))
    exchange.place(conditional("second", OrderType.STOP_MARKET, Side.SELL, "9.8", "7"))
    assert [f.qty for f in fills(exchange.on_mark(RIVER, D("9.8"), later()))] == [7, 3]


def test_a_cancelled_order_is_gone_and_its_id_is_free_again() -> None:
    exchange = venue()
    stop = conditional("stop", OrderType.STOP_MARKET, Side.SELL, "9.8")
    exchange.place(stop)
    assert exchange.cancel(CancelOrder("stop", RIVER, later())) == [
        OrderEnded("stop", RIVER, "cancelled", later())
    ]
    (accepted,) = exchange.place(stop)
    assert isinstance(accepted, OrderAccepted)
    assert accepted.order_id == "RIVERUSDT-2"


def test_an_addition_averages_the_entry_and_takes_over_the_leverage() -> None:
    exchange = venue()
    exchange.place(BUY)
    exchange.on_mark(RIVER, D(13), later())
    exchange.place(replace(BUY, qty=D(5), leverage=4, at=later()))
    (position,) = exchange.snapshot().positions
    assert position.entry_price == D("11.011")
    assert (position.qty, position.leverage) == (D(15), 4)
    assert (position.opened_at, position.mark_price) == (NOON, D(13))


def test_an_opposite_order_that_may_increase_reduces_closes_or_flips() -> None:
    exchange = venue()
    exchange.place(BUY)
    sell = replace(BUY, client_order_id="sell", side=Side.SELL, qty=D(4), leverage=3)
    exchange.place(sell)
    (position,) = exchange.snapshot().positions
    assert (position.side, position.qty) == (PositionSide.LONG, D(6))
    assert (position.entry_price, position.leverage) == (D("10.01"), 10)
    exchange.on_mark(RIVER, D(20), later())
    (filled,) = fills(exchange.place(replace(sell, qty=D(8), at=later())))
    assert filled.realized_pnl == (D("19.98") - D("10.01")) * 6
    (position,) = exchange.snapshot().positions
    assert (position.side, position.qty) == (PositionSide.SHORT, D(2))
    assert (position.entry_price, position.leverage) == (D("19.98"), 3)
    assert position.opened_at == later()


@pytest.mark.parametrize(
    ("side", "price"), [(PositionSide.LONG, D(91)), (PositionSide.SHORT, D(109))]
)
def test_liquidation_is_where_the_loss_eats_the_margin_but_for_the_maintenance(
    side: PositionSide, price: Decimal
) -> None:
    assert liquidation_price(D(100), side, 10, D("0.01")) == price


@pytest.mark.parametrize(
    ("side", "beyond", "price"), [(Side.BUY, "9.0", "9.1091"), (Side.SELL, "10.95", "10.8891")]
)
def test_a_position_beyond_its_liquidation_price_is_closed_at_that_price(
    side: Side, beyond: str, price: str
) -> None:
    exchange = venue()
    exchange.place(replace(BUY, side=side))
    (forced,) = fills(exchange.on_mark(RIVER, D(beyond), later()))
    assert forced.forced
    assert forced.client_order_id == "autoclose-RIVERUSDT-2"
    assert (forced.price, forced.qty, forced.side) == (D(price), D(10), side.opposite)
    assert forced.fee == D(price) * 10 * POLICY.taker_fee
    assert exchange.snapshot().positions == ()


def test_liquidation_begins_at_its_price_and_not_a_tick_before() -> None:
    exchange = venue()
    exchange.place(BUY)
    assert exchange.on_mark(RIVER, D("9.1092"), later(1)) == []
    assert len(fills(exchange.on_mark(RIVER, D("9.1091"), later(2)))) == 1


def test_a_stop_is_tried_before_liquidation_and_a_waiting_entry_after_it() -> None:
    exchange = venue()
    exchange.place(BUY)
    exchange.place(conditional("half", OrderType.STOP_MARKET, Side.SELL, "9.8", "4"))
    exchange.place(replace(BUY, client_order_id="again", at=later()))
    events = exchange.on_mark(RIVER, D(9), later())
    assert [f.client_order_id for f in fills(events)] == ["half", "autoclose-RIVERUSDT-4", "again"]


def test_a_waiting_exit_and_a_target_on_one_mark_close_the_position_once() -> None:
    exchange = venue()
    exchange.place(BUY)
    exchange.place(conditional("target", OrderType.TAKE_PROFIT_MARKET, Side.SELL, "11"))
    exchange.place(
        replace(BUY, client_order_id="exit", side=Side.SELL, reduce_only=True, at=later())
    )
    filled, ended = exchange.on_mark(RIVER, D(11), later())
    assert isinstance(filled, OrderFilled)
    assert filled.client_order_id == "exit"
    assert ended == OrderEnded("target", RIVER, "reduce_only_no_position", later())


@pytest.mark.parametrize(("side", "sign"), [(Side.BUY, -1), (Side.SELL, 1)])
def test_funding_is_settled_at_each_boundary_that_the_marks_cross(side: Side, sign: int) -> None:
    exchange = venue()
    exchange.place(replace(BUY, side=side, leverage=2))
    assert exchange.on_mark(RIVER, D(11), NOON.replace(hour=15), D("0.0001")) == []
    events = exchange.on_mark(RIVER, D(12), NOON + timedelta(hours=20), D("0.001"))
    assert events == [
        FundingPaid(RIVER, D("0.12") * sign, NOON.replace(hour=16)),
        FundingPaid(RIVER, D("0.12") * sign, NOON.replace(day=2, hour=0)),
        FundingPaid(RIVER, D("0.12") * sign, NOON.replace(day=2, hour=8)),
    ]
    book = exchange.account.books[RIVER]
    assert book.funding == D("0.36") * sign
    assert book.funding_at == NOON.replace(day=2, hour=8)
    wallet = exchange.account.wallet
    assert wallet.balance - wallet.initial == book.funding - book.fees


def test_funding_uses_the_last_known_rate_when_a_mark_brings_none() -> None:
    exchange = venue()
    exchange.place(BUY)
    exchange.on_mark(RIVER, D(10), later(), D("0.001"))
    events = exchange.on_mark(RIVER, D(10), NOON.replace(hour=16))
    assert events == [FundingPaid(RIVER, D("-0.1"), NOON.replace(hour=16))]


@pytest.mark.parametrize("policy", [POLICY, replace(POLICY, funding=False)])
def test_no_funding_without_a_rate_and_none_where_it_is_switched_off(policy: PaperPolicy) -> None:
    exchange = venue(policy=policy)
    exchange.place(BUY)
    rate = None if policy.funding else D("0.001")
    assert exchange.on_mark(RIVER, D(10), NOON + timedelta(days=1), rate) == []


def test_a_mark_that_is_not_newer_changes_nothing() -> None:
    exchange = venue()
    exchange.place(BUY)
    exchange.place(conditional("stop", OrderType.STOP_MARKET, Side.SELL, "9.8"))
    before = exchange.account
    assert exchange.on_mark(RIVER, D("9.5"), NOON) == []
    assert exchange.on_mark(RIVER, D("9.5"), NOON - timedelta(seconds=1)) == []
    assert exchange.account is before


def test_a_mark_of_an_unlisted_symbol_is_ignored() -> None:
    exchange = venue()
    before = exchange.account
    assert exchange.on_mark("NOSUCHUSDT", D(1), later()) == []
    assert exchange.account is before


def test_only_the_touched_symbol_changes_identity_and_the_wallet_only_with_money() -> None:
    exchange = venue()
    exchange.on_mark("SOLUSDT", D(150), NOON)
    before = exchange.account
    exchange.on_mark(RIVER, D(11), later())
    after = exchange.account
    assert after.books["SOLUSDT"] is before.books["SOLUSDT"]
    assert after.wallet is before.wallet
    exchange.place(replace(BUY, at=later()))
    assert exchange.account.books["SOLUSDT"] is before.books["SOLUSDT"]
    assert exchange.account.wallet is not before.wallet


def test_margin_of_one_symbol_is_not_free_for_another() -> None:
    exchange = venue(policy=replace(POLICY, initial_wallet=D(25)))
    exchange.on_mark("SOLUSDT", D(100), NOON)
    exchange.place(replace(BUY, leverage=5))
    (rejected,) = exchange.place(replace(BUY, symbol="SOLUSDT", qty=D("0.5"), leverage=10))
    assert getattr(rejected, "code", None) == -2019


def test_a_partial_fill_leaves_the_rest_of_the_order_open() -> None:
    exchange = venue()
    exchange.place(replace(BUY, at=later()))
    book = exchange.account.books[RIVER]
    part, filled = fill(book, book.orders[0], D(4), price=D(10), fee_rate=D("0.001"), at=later())
    assert (filled.qty, filled.done, part.orders[0].qty) == (D(4), False, D(6))
    whole, filled = fill(part, part.orders[0], D(6), price=D(13), fee_rate=D("0.001"), at=later())
    assert (filled.trade_id, filled.done, whole.orders) == ("RIVERUSDT-t2", True, ())
    assert whole.position is not None
    assert (whole.position.qty, whole.position.entry_price) == (D(10), D("11.8"))


SEEDED = VenuePosition(
    symbol=RIVER,
    side=PositionSide.LONG,
    qty=D("1.83"),
    entry_price=D("12.32"),
    leverage=10,
    mark_price=D("21.68"),
    opened_at=NOON - timedelta(days=2),
)
SEEDED_STOP = OpenOrder(
    client_order_id="by-hand",
    order_id="17",
    symbol=RIVER,
    side=Side.SELL,
    type=OrderType.STOP_MARKET,
    qty=D("1.83"),
    reduce_only=True,
    trigger_price=D("12.07365"),
)


def test_a_position_that_someone_else_opened_is_held_priced_and_stopped() -> None:
    exchange = PaperExchange.seed(POLICY, [SEEDED], [SEEDED_STOP])
    snapshot = exchange.snapshot()
    assert snapshot.positions == (SEEDED,)
    assert snapshot.open_orders == (replace(SEEDED_STOP, order_id="RIVERUSDT-1"),)
    assert (snapshot.wallet, snapshot.at) == (D(10000), SEEDED.opened_at)
    assert exchange.on_mark(RIVER, D("21.68"), NOON, D("0.001")) == []
    sell = replace(BUY, client_order_id="rung", side=Side.SELL, qty=D("1.37"), reduce_only=True)
    (rung,) = fills(exchange.place(sell))
    assert rung.realized_pnl == (D("21.6583") - D("12.32")) * D("1.37")
    (stopped,) = fills(exchange.on_mark(RIVER, D("12.0736"), later()))
    assert (stopped.client_order_id, stopped.qty) == ("by-hand", D("0.46"))
    assert exchange.snapshot().positions == ()


@pytest.mark.parametrize(
    ("positions", "orders"),
    [
        ([replace(SEEDED, symbol="NOSUCHUSDT")], []),
        ([SEEDED, SEEDED], []),
        ([replace(SEEDED, qty=D(0))], []),
        ([SEEDED], [SEEDED_STOP, SEEDED_STOP]),
        ([SEEDED], [replace(SEEDED_STOP, trigger_price=None)]),
        ([SEEDED], [replace(SEEDED_STOP, type=OrderType.MARKET)]),
    ],
)
def test_a_seed_that_no_venue_could_hold_is_refused(
    positions: list[VenuePosition], orders: list[OpenOrder]
) -> None:
    with pytest.raises(ValueError, match="cannot be seeded"):
        PaperExchange.seed(POLICY, positions, orders)


def test_an_account_with_a_symbol_that_is_no_longer_listed_is_refused_at_the_start() -> None:
    exchange = venue()
    exchange.place(BUY)
    sol_only = replace(POLICY, rules={"SOLUSDT": default_rules("SOLUSDT")})
    with pytest.raises(ValueError, match="does not list"):
        PaperExchange(exchange.account, sol_only)


def test_the_holder_is_an_exchange_and_states_its_rules() -> None:
    exchange = venue()
    snapshot = exchange.snapshot()
    assert snapshot.at == NOON
    assert snapshot.rules == tuple(BUILT_IN_RULES.values())


def test_a_book_survives_its_document() -> None:
    exchange = venue()
    exchange.place(BUY)
    exchange.place(conditional("stop", OrderType.STOP_MARKET, Side.SELL, "9.8"))
    book = exchange.account.books[RIVER]
    adapter = TypeAdapter(PaperBook)
    document = adapter.dump_json(book)
    assert adapter.validate_json(document) == book
    assert adapter.dump_json(adapter.validate_json(document)) == document
