"""intent_bridge believes no number of a producer: each is bounded against what we know."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.exitbrain import decider as exitbrain
from services.intent_bridge.decider import decide
from services.intent_bridge.state import Policy, State
from shared.contracts import (
    HISTORY_SOURCE,
    REPLAY_SOURCE,
    AwaitingExitsPlan,
    EntryIntent,
    EntryPlan,
    Message,
)
from shared.contracts.trade_intent import ExitIntent
from shared.decisions import Received
from shared.formulas import ExitPolicy, Regime, safe_stop_fraction
from shared.sides import Side

from .bridge import SYMBOL, Bridge, D

MARK = D("12.32")


def test_a_slipped_decimal_point_in_the_price_is_refused() -> None:
    bridge = Bridge()
    assert bridge.refused(entry_price=D("0.1232"), qty=D(100)) == "price_deviates"


@pytest.mark.parametrize(
    ("price", "code"),
    [
        ("12.5664", ""),
        ("12.0736", ""),
        ("12.5665", "price_deviates"),
        ("12.0735", "price_deviates"),
    ],
)
def test_an_entry_price_is_within_two_percent_of_the_mark(price: str, code: str) -> None:
    assert Bridge().refused(entry_price=D(price)) == code


def test_size_caps_and_exits_come_from_the_mark_and_not_from_the_entry_price() -> None:
    bridge = Bridge()
    plan = bridge.hear(bridge.entry(entry_price=D("12.5")))
    assert isinstance(plan, AwaitingExitsPlan)
    assert (plan.entry_price, plan.qty) == (MARK, D("8.11"))
    assert bridge.state.exposure == D("8.11") * MARK
    at_the_cap = {"entry_price": D("12.1"), "qty": D("81.17")}
    assert Bridge(Policy(max_order_notional=D(1000))).refused(**at_the_cap) == "order_cap"


def test_a_plan_says_what_the_position_may_be_worth_at_most() -> None:
    bridge = Bridge(Policy(max_order_notional=D(400), max_exposure=D(500)), knows=(SYMBOL, "B2"))
    assert bridge.hear(bridge.entry(qty=D(20))).max_notional == 400
    assert bridge.hear(bridge.entry("entry.2", symbol="B2")).max_notional == 500 - 20 * MARK


def test_without_a_fresh_mark_nothing_enters() -> None:
    bridge = Bridge()
    bridge.silent = True
    assert bridge.refused() == "no_fresh_mark"
    bridge.hear(bridge.tick())
    bridge.later(30)
    assert bridge.refused(intent_id="entry.2") == ""


@pytest.mark.parametrize("clock_s", [30.001, 3600, -2.001, -3600])
def test_a_mark_is_old_or_ahead_by_the_wall_clock_and_the_next_one_mends_it(clock_s: float) -> None:
    bridge = Bridge()
    bridge.hear(bridge.tick())
    bridge.silent = True
    bridge.now += timedelta(seconds=clock_s)
    assert bridge.refused() == "no_fresh_mark"
    bridge.market += timedelta(seconds=1)
    bridge.hear(bridge.tick())
    assert bridge.refused(intent_id="entry.2") == ""


def test_a_price_that_was_asked_for_afterwards_is_no_mark() -> None:
    bridge = Bridge()
    bridge.silent = True
    bridge.hear(bridge.tick(source=HISTORY_SOURCE))
    assert bridge.refused() == "no_fresh_mark"


def test_a_late_price_is_no_mark_and_one_that_was_dated_ahead_holds_nothing_up() -> None:
    bridge = Bridge()
    bridge.silent = True
    bridge.hear(bridge.tick())
    bridge.hear(bridge.tick(timestamp=bridge.market - timedelta(seconds=1), mark_price=D(99)))
    assert bridge.state.marks[SYMBOL].price == MARK
    ahead = bridge.now + timedelta(hours=23)
    bridge.hear(bridge.tick(timestamp=ahead))
    bridge.later(1)
    bridge.hear(bridge.tick(mark_price=D("12.4")))
    bridge.later(1)
    bridge.hear(bridge.tick(mark_price=D("12.4")))
    assert bridge.state.marks[SYMBOL].price == D("12.4")


@pytest.mark.parametrize("factor", ["1.25", "0.75", "10", "0.1"])
def test_one_wrong_price_is_no_mark(factor: str) -> None:
    bridge = Bridge()
    bridge.silent = True
    bridge.hear(bridge.tick())
    bridge.later(1)
    wrong = MARK * D(factor)
    bridge.hear(bridge.tick(mark_price=wrong))
    assert bridge.refused(entry_price=wrong) == "price_deviates"
    assert bridge.hear(bridge.entry("entry.2")).entry_price == MARK


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"atr_value": D("6.16")}, ""),
        ({"atr_value": D("6.17")}, "atr_out_of_range"),
        ({"atr_value": D(0)}, ""),
        ({"volatility_factor": D(10)}, ""),
        ({"volatility_factor": D("10.01")}, "volatility_out_of_range"),
        ({"exchange_divergence": D(1)}, ""),
        ({"exchange_divergence": D("1.01")}, "divergence_out_of_range"),
        ({"funding_rate": D("-0.1")}, ""),
        ({"funding_rate": D("-0.11")}, "funding_out_of_range"),
        ({"funding_rate": D("0.11")}, "funding_out_of_range"),
        ({"stop_loss": D("12.3"), "take_profit": D(13)}, ""),
        ({"stop_loss": D("12.31"), "take_profit": D(13)}, "stop_too_near"),
        ({"stop_loss": D("11.5"), "take_profit": D(13)}, ""),
        ({"stop_loss": D("11.4"), "take_profit": D(13)}, "stop_beyond_liquidation"),
        ({"stop_loss": D("12.0"), "take_profit": D("12.33")}, "target_too_near"),
        ({"stop_loss": D("12.0"), "take_profit": D("23.41")}, "target_too_far"),
        (
            {"stop_loss": D("12.4"), "take_profit": D(13), "entry_price": D("12.5")},
            "wrong_side_stop",
        ),
        (
            {"stop_loss": D(12), "take_profit": D("12.3"), "entry_price": D("12.2")},
            "wrong_side_target",
        ),
    ],
)
def test_each_number_has_its_bound_and_each_bound_its_code(
    changes: dict[str, Any], code: str
) -> None:
    assert Bridge().refused(**changes) == code


#: Words that say against what a number is bounded: what we know, a range, or that it is told.
_BOUNDS = (
    "mark price", "bracket", "max_", "from 0 to", "-0.1 to 0.1", "told", "held", "tighter",
)  # fmt: skip
INTENTS = (EntryIntent, *get_args(ExitIntent))


@pytest.mark.parametrize("model", INTENTS)
def test_every_number_of_an_intent_says_against_what_it_is_bounded(model: type[Message]) -> None:
    """The next field that a producer may fill cannot be forgotten."""
    schema = model.model_json_schema()["properties"]
    for name in numbers_of(model):
        said = schema[name]["description"]
        assert any(words in said for words in _BOUNDS), f"{name}: {said}"


def test_every_number_of_an_entry_is_tried_beyond_its_bound() -> None:
    """Each number is either refused when it is absurd, by a code or by the contract, or told."""
    told = {"confidence"}
    for name in numbers_of(EntryIntent) - told:
        absurd = {name: 999_999_999 if name == "leverage" else D(999_999_999)}
        if name in ("stop_loss", "take_profit"):
            absurd = {"stop_loss": D("0.01"), "take_profit": D(999_999_999)}
        sized = {"position_size_usd": None} if name == "qty" else {}
        try:
            code = Bridge().refused(**absurd, **sized)
        except ValidationError:
            continue
        assert code, name


def numbers_of(model: type[Message]) -> set[str]:
    """The fields of a message that hold a number."""
    found = {n for n, field in model.model_fields.items() if is_number(field.annotation)}
    assert found
    return found


def is_number(kind: Any) -> bool:
    return kind in (Decimal, int) or any(is_number(part) for part in get_args(kind))


PRICES = st.decimals("0.000000000001", 999_999_999, places=12)
NUMBERS = st.one_of(
    st.decimals("0.000000000001", 10**17, places=12),
    st.decimals("0.01", 3000, places=2),
)
SIZES = st.one_of(
    NUMBERS.map(lambda n: {"qty": n}), NUMBERS.map(lambda n: {"position_size_usd": n})
)


@st.composite
def entries(draw: st.DrawFn, mark: Decimal) -> dict[str, Any]:
    near = st.decimals("0.9", "1.1", places=4).map(lambda f: (mark * f).quantize(D("1E-12")))
    price = st.one_of(near, PRICES).filter(lambda p: D("1E-12") <= p < 10**9)
    side = draw(st.sampled_from(Side))
    fields: dict[str, Any] = {
        "side": side,
        "entry_price": draw(price),
        "leverage": draw(st.integers(1, 125)),
        "atr_value": draw(st.none() | st.decimals(0, 10**9, places=6)),
        "volatility_factor": draw(st.decimals(0, 20, places=2)),
        "exchange_divergence": draw(st.decimals(0, 2, places=2)),
        "funding_rate": draw(st.decimals(-1, 1, places=4)),
        "regime": draw(st.sampled_from(Regime)),
        "position_size_usd": None,
        **draw(SIZES),
    }
    if draw(st.booleans()):
        fields |= {"stop_loss": draw(price), "take_profit": draw(price)}
    return fields


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_an_entry_says_it_costs_no_more_than_its_caps_and_its_stop_is_sane(
    data: st.DataObject,
) -> None:
    mark = data.draw(st.sampled_from([D("0.000001234"), D("0.07"), MARK, D(60000)]))
    bridge = Bridge(Policy(max_order_notional=D(2000), max_exposure=D(3000)), knows=())
    known = (SYMBOL, "B2", "C3")
    for symbol in known:
        bridge.hear(
            bridge.stated(symbol, lot_step=D("0.001"), tick_size=D("1E-9"), max_leverage=125)
        )
        bridge.prices[symbol] = mark
    for number, symbol in enumerate(known):
        try:
            intent = bridge.entry(f"e.{number}", symbol=symbol, **data.draw(entries(mark)))
        except ValidationError:
            continue
        plan = bridge.hear(intent)
        if not isinstance(plan, AwaitingExitsPlan):
            continue
        assert abs(intent.entry_price - mark) <= D("0.02") * mark
        assert plan.entry_price == mark
        assert plan.max_notional is not None
        assert plan.qty * mark <= plan.max_notional <= 2000
        assert bridge.state.exposure <= 3000
        _, outputs = exitbrain.decide(
            exitbrain.State(), Received(plan, bridge.now), exitbrain.Policy()
        )
        for executed in (output for output in outputs if isinstance(output, EntryPlan)):
            assert executed.max_notional == plan.max_notional
            distance = abs(executed.stop_loss - mark) / mark
            safe = safe_stop_fraction(
                plan.leverage, ExitPolicy(maintenance_margin_rate=plan.maintenance_margin_rate)
            )
            assert 0 < distance <= safe


def test_exposure_counts_what_is_held_at_the_larger_of_entry_and_mark() -> None:
    bridge = Bridge(Policy(max_exposure=D(250)), knows=(SYMBOL, "SOLUSDT"))
    plan = bridge.hear(bridge.entry())
    bridge.hear(bridge.filled(plan))
    bridge.later(1)
    bridge.hear(bridge.tick(mark_price=D(20), source=REPLAY_SOURCE))
    assert bridge.state.exposure == plan.qty * 20
    assert bridge.refused(intent_id="entry.2", symbol="SOLUSDT") == "exposure_cap"
    bridge.later(1)
    bridge.hear(bridge.tick(mark_price=D(6), source=REPLAY_SOURCE))
    assert bridge.state.exposure == plan.qty * MARK


def test_a_price_that_came_before_the_rules_is_a_mark() -> None:
    bridge = Bridge(knows=())
    bridge.hear(bridge.tick())
    bridge.hear(bridge.stated())
    assert bridge.refused() == ""


def test_prices_of_symbols_that_the_venue_does_not_list_leave_a_bounded_number_of_marks() -> None:
    state, bridge = State(), Bridge()
    for number in range(2_000):
        tick = bridge.tick(f"X{number}")
        state, _ = decide(state, Received(tick, bridge.now), bridge.policy)
    assert len(state.marks) == 500
    assert f"X{1_999}" in state.marks
