"""Every refusal of the paper venue by its code: one row each, and the account is as it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.apply_layer.exchange import (
    CancelOrder,
    OrderEnded,
    OrderFilled,
    OrderRejected,
    OrderType,
    PlaceOrder,
    SymbolRules,
)
from services.apply_layer.paper import cancel, on_mark, place
from services.apply_layer.paper_account import PaperAccount, PaperPolicy, new_account
from services.apply_layer.paper_rules import LeverageBracket, default_rules
from shared.sides import Side

D = Decimal
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULES = SymbolRules(
    symbol="RIVERUSDT",
    lot_step=D("0.01"),
    tick_size=D("0.0001"),
    min_qty=D("0.05"),
    max_qty=D(500),
    min_notional=D(5),
    max_leverage=50,
    maintenance_margin_rate=D("0.01"),
    reduce_only_min_notional=D(1),
)
BRACKETS = (
    LeverageBracket(D(2000), 50, D("0.01")),
    LeverageBracket(D(100000), 10, D("0.05")),
)
POLICY = PaperPolicy(
    initial_wallet=D(1000), rules={"RIVERUSDT": RULES}, brackets={"RIVERUSDT": BRACKETS}
)
ENTRY = PlaceOrder(
    client_order_id="entry",
    symbol="RIVERUSDT",
    side=Side.BUY,
    type=OrderType.MARKET,
    qty=D(10),
    reduce_only=False,
    at=NOW,
    leverage=5,
)
STOP = replace(
    ENTRY,
    client_order_id="stop",
    side=Side.SELL,
    type=OrderType.STOP_MARKET,
    reduce_only=True,
    trigger_price=D("9.5"),
)
TARGET = replace(
    STOP, client_order_id="target", type=OrderType.TAKE_PROFIT_MARKET, trigger_price=D(12)
)
LONG_STOP_ENTRY = replace(STOP, side=Side.BUY, reduce_only=False, trigger_price=D(11))
EXIT = replace(ENTRY, client_order_id="exit", side=Side.SELL, reduce_only=True)


def marked(price: str = "10", policy: PaperPolicy = POLICY) -> PaperAccount:
    return on_mark(new_account(policy), policy, "RIVERUSDT", D(price), NOW)[0]


def holding(side: Side = Side.BUY) -> PaperAccount:
    """A position of 10 from about 10, and an open stop."""
    account, events = place(marked(), POLICY, replace(ENTRY, side=side))
    assert isinstance(events[-1], OrderFilled)
    stop = replace(STOP, side=side.opposite, trigger_price=D(10) - side.sign * D("0.5"))
    return place(account, POLICY, stop)[0]


def code_of(account: PaperAccount, order: PlaceOrder, policy: PaperPolicy = POLICY) -> int | str:
    after, events = place(account, policy, order)
    (rejected,) = events
    assert isinstance(rejected, OrderRejected)
    assert after is account
    assert (rejected.client_order_id, rejected.symbol) == (order.client_order_id, order.symbol)
    assert rejected.at == order.at
    assert rejected.reason
    return rejected.code


REQUESTS = [
    (-1121, replace(ENTRY, symbol="NOSUCHUSDT")),
    (-1121, replace(ENTRY, symbol="riverusdt")),
    (-4015, replace(ENTRY, client_order_id="")),
    (-4015, replace(ENTRY, client_order_id="x" * 37)),
    (-4015, replace(ENTRY, client_order_id="two words")),
    (-4015, replace(ENTRY, client_order_id="entry\n")),
    (-4015, replace(ENTRY, client_order_id="entré")),
    (-4015, replace(ENTRY, client_order_id="autoclose-RIVERUSDT-1")),
    (-4003, replace(ENTRY, qty=D(0))),
    (-4003, replace(ENTRY, qty=D(-1))),
    (-4003, replace(ENTRY, qty=D("NaN"))),
    (-4003, replace(ENTRY, qty=D("Infinity"))),
    (-4005, replace(ENTRY, qty=D("500.01"))),
    (-4005, replace(ENTRY, qty=D("1e40"))),
    (-4005, replace(EXIT, qty=D("500.01"))),
    (-4004, replace(ENTRY, qty=D("0.04"))),
    (-1111, replace(ENTRY, qty=D("10.001"))),
    (-1111, replace(ENTRY, qty=D("10.0100000000000000000000000000000001"))),
    (-1111, replace(STOP, qty=D("1.835"))),
    (-1102, replace(STOP, trigger_price=None)),
    (-1106, replace(ENTRY, trigger_price=D(9))),
    (-4006, replace(STOP, trigger_price=D(0))),
    (-4006, replace(STOP, trigger_price=D("NaN"))),
    (-4014, replace(STOP, trigger_price=D("9.50005"))),
    (-4014, replace(TARGET, trigger_price=D("1e30"))),
    (-4028, replace(ENTRY, leverage=0)),
    (-4028, replace(ENTRY, leverage=51)),
    (-4028, replace(LONG_STOP_ENTRY, leverage=51)),
    (-4164, replace(ENTRY, qty=D("0.49"))),
    (-4164, replace(STOP, qty=D("0.1"), trigger_price=D("9.5"))),
    (-2021, replace(STOP, trigger_price=D(10))),
    (-2021, replace(STOP, trigger_price=D("10.5"))),
    (-2021, replace(STOP, side=Side.BUY, trigger_price=D(10))),
    (-2021, replace(TARGET, trigger_price=D(10))),
    (-2021, replace(TARGET, side=Side.BUY, trigger_price=D("10.5"))),
    (-2022, EXIT),
    (-2019, replace(ENTRY, qty=D(500), leverage=5)),
    (-2027, replace(ENTRY, qty=D(210), leverage=11)),
]


@pytest.mark.parametrize(("code", "order"), REQUESTS)
def test_a_request_that_breaks_a_rule_is_refused_with_its_code(
    code: int, order: PlaceOrder
) -> None:
    assert code_of(marked(), order) == code


IN_A_POSITION = [
    (-4116, Side.BUY, STOP),
    (-4116, Side.BUY, replace(ENTRY, client_order_id="stop")),
    (-2022, Side.BUY, replace(EXIT, side=Side.BUY)),
    (-2022, Side.SELL, EXIT),
    (-4164, Side.BUY, replace(EXIT, qty=D("0.09"))),
    (-2027, Side.BUY, replace(ENTRY, qty=D(195), leverage=20)),
    (-2019, Side.BUY, replace(ENTRY, qty=D(490), leverage=5)),
    (-2019, Side.BUY, replace(EXIT, qty=D(500), reduce_only=False, leverage=4)),
]


@pytest.mark.parametrize(("code", "side", "order"), IN_A_POSITION)
def test_a_request_that_the_position_forbids_is_refused_with_its_code(
    code: int, side: Side, order: PlaceOrder
) -> None:
    assert code_of(holding(side), order) == code


def test_a_refusal_on_a_symbol_without_a_book_leaves_no_book() -> None:
    after, _ = place(new_account(POLICY), POLICY, replace(ENTRY, leverage=0))
    assert not after.books


def test_an_exit_is_refused_neither_for_leverage_nor_for_margin() -> None:
    account, events = place(holding(), POLICY, replace(EXIT, leverage=0))
    assert isinstance(events[-1], OrderFilled)
    assert account.books["RIVERUSDT"].position is None


def test_a_reduce_only_order_of_any_size_is_let_through_where_the_venue_exempts_them() -> None:
    exempt = replace(RULES, reduce_only_min_notional=D(0))
    policy = replace(POLICY, rules={"RIVERUSDT": exempt})
    events = place(holding(), policy, replace(EXIT, qty=D("0.05")))[1]
    assert isinstance(events[-1], OrderFilled)


def test_margin_is_enough_at_the_last_cent_and_short_one_below_it() -> None:
    policy = replace(POLICY, slippage_bps=D(0))
    needed = D(10) * 10 / 5 + D(10) * 10 * policy.taker_fee
    enough = replace(policy, initial_wallet=needed)
    short = replace(policy, initial_wallet=needed - D("1E-8"))
    events = place(marked(policy=enough), enough, ENTRY)[1]
    assert isinstance(events[-1], OrderFilled)
    assert code_of(marked(policy=short), ENTRY, short) == -2019


def test_leverage_that_leaves_no_room_before_liquidation_is_refused() -> None:
    tight = (LeverageBracket(D("Infinity"), 100, D("0.01")),)
    policy = replace(POLICY, brackets={"RIVERUSDT": tight}, slippage_bps=D(2))
    assert code_of(marked(), replace(ENTRY, leverage=100), policy) == -2019
    assert isinstance(place(marked(), policy, replace(ENTRY, leverage=99))[1][-1], OrderRejected)
    assert isinstance(place(marked(), policy, replace(ENTRY, leverage=90))[1][-1], OrderFilled)


def test_the_number_of_conditional_orders_has_a_limit_that_never_stops_a_market_exit() -> None:
    policy = replace(POLICY, max_conditional_orders=1)
    account = holding()
    assert code_of(account, TARGET, policy) == -4045
    assert isinstance(place(account, policy, EXIT)[1][-1], OrderFilled)


def test_without_a_mark_a_conditional_order_is_accepted_unseen_and_ends_where_it_must() -> None:
    account, events = place(new_account(POLICY), POLICY, replace(STOP, trigger_price=D(99)))
    assert len(events) == 1
    assert account.books["RIVERUSDT"].order("stop")
    account, events = on_mark(account, POLICY, "RIVERUSDT", D(10), NOW)
    assert events == (OrderEnded("stop", "RIVERUSDT", "reduce_only_no_position", NOW),)
    assert account.books["RIVERUSDT"].orders == ()


def test_a_waiting_entry_that_its_mark_finds_too_small_or_too_dear_ends_unfilled() -> None:
    later = NOW + timedelta(minutes=1)
    waiting, _ = place(marked(), POLICY, replace(ENTRY, qty=D(490), leverage=8, at=later))
    after, events = on_mark(waiting, POLICY, "RIVERUSDT", D(20), later)
    assert events == (OrderEnded("entry", "RIVERUSDT", "margin_insufficient", later),)
    assert after.wallet.balance == POLICY.initial_wallet
    assert after.books["RIVERUSDT"].orders == ()


@pytest.mark.parametrize("symbol", ["RIVERUSDT", "NOSUCHUSDT"])
def test_a_cancel_of_an_unknown_order_is_refused(symbol: str) -> None:
    account = marked()
    after, (rejected,) = cancel(account, CancelOrder("nobody", symbol, NOW))
    assert isinstance(rejected, OrderRejected)
    assert (rejected.code, after is account) == (-2011, True)


def test_a_time_without_a_zone_and_a_price_that_is_none_are_refused_loudly() -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(ValueError, match="zone"):
        place(marked(), POLICY, replace(ENTRY, at=naive))
    with pytest.raises(ValueError, match="zone"):
        cancel(marked(), CancelOrder("stop", "RIVERUSDT", naive))
    with pytest.raises(ValueError, match="zone"):
        on_mark(new_account(POLICY), POLICY, "RIVERUSDT", D(1), naive)
    for price in ("0", "-1", "NaN", "Infinity"):
        with pytest.raises(ValueError, match="positive and finite"):
            on_mark(marked(), POLICY, "RIVERUSDT", D(price), NOW)


@pytest.mark.parametrize(
    "wrong",
    [{"taker_fee": D(-1)}, {"slippage_bps": D(10000)}, {"brackets": {"X": ()}}],
)
def test_a_policy_without_meaning_is_refused(wrong: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match=r"taker_fee|brackets"):
        PaperPolicy(**wrong)  # type: ignore[arg-type]


def test_the_built_in_filters_are_consistent() -> None:
    policy = PaperPolicy()
    for symbol, rules in policy.rules.items():
        assert rules.symbol == symbol
        assert rules.min_qty % rules.lot_step == 0
        assert rules.max_qty % rules.lot_step == 0
        largest, *rest = policy.brackets_of(symbol)
        assert largest.max_leverage == rules.max_leverage
        assert largest.maintenance_margin_rate == rules.maintenance_margin_rate
        for bracket in (largest, *rest):
            assert bracket.maintenance_margin_rate * bracket.max_leverage < 1
    river = policy.rules["RIVERUSDT"]
    assert (river.lot_step, river.tick_size) == (D("0.01"), D("0.0001"))
    assert (river.min_qty, river.min_notional) == (D("0.01"), D(5))
    assert default_rules("RIVERUSDT") is river
    assert default_rules("OTHERUSDT").symbol == "OTHERUSDT"
