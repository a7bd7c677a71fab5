"""intent_bridge: an entry is admitted with a size and a place, or refused with a code."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.intent_bridge.state import Policy
from shared.contracts import AwaitingExitsPlan, SkipPlan
from shared.decisions import Mode
from shared.formulas import Regime
from shared.sides import Side

from .bridge import SYMBOL, Bridge, D

OTHERS = ("ADAUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "LTCUSDT")


def test_an_entry_becomes_a_plan_that_awaits_its_exits() -> None:
    bridge = Bridge()
    plan = bridge.hear(bridge.entry())
    assert isinstance(plan, AwaitingExitsPlan)
    assert (plan.plan_id, plan.intent_id) == ("plan.entry.1", "entry.1")
    assert plan.qty == D("8.11")
    assert (plan.tick_size, plan.maintenance_margin_rate) == (D("0.0001"), D("0.01"))
    assert plan.timestamp == bridge.market
    assert plan.produced_at == bridge.now


def test_every_feature_of_the_intent_is_on_the_plan() -> None:
    features: dict[str, Any] = {
        "side": Side.SELL,
        "atr_value": D("0.3"),
        "volatility_factor": D("1.7"),
        "exchange_divergence": D("0.2"),
        "funding_rate": D("-0.0003"),
        "regime": Regime.BEAR,
        "confidence": D("0.55"),
        "leverage": 7,
        "model": "trend",
        "reason": "breakout",
        "stop_loss": D(13),
        "take_profit": D(10),
    }
    bridge = Bridge()
    plan = bridge.hear(bridge.entry(**features))
    assert {name: getattr(plan, name) for name in features} == features


@pytest.mark.parametrize(
    ("size", "qty"),
    [
        ({"position_size_usd": D("123.19")}, "9.99"),
        ({"position_size_usd": D("123.20")}, "10.00"),
        ({"position_size_usd": D("123.3232")}, "10.01"),
        ({"qty": D("8.119")}, "8.11"),
        ({"qty": D("8")}, "8.00"),
    ],
)
def test_the_size_is_cut_down_to_the_lot(size: dict[str, Decimal], qty: str) -> None:
    bridge = Bridge()
    fields: dict[str, Any] = {"position_size_usd": None} | size
    assert bridge.hear(bridge.entry(**fields)).qty == D(qty)


@pytest.mark.parametrize(
    ("policy", "changes", "code"),
    [
        (Policy(symbols=("SOLUSDT",)), {}, "symbol_not_allowed"),
        (Policy(symbols=("SOLUSDT", SYMBOL)), {}, ""),
        (Policy(), {"symbol": "NEWUSDT"}, "rules_unknown"),
        (Policy(), {"leverage": 51}, "leverage_out_of_bracket"),
        (Policy(), {"leverage": 50}, ""),
        (Policy(max_leverage={SYMBOL: 5}), {"leverage": 6}, "leverage_out_of_bracket"),
        (Policy(max_leverage={SYMBOL: 125}), {"leverage": 51}, "leverage_out_of_bracket"),
        (Policy(), {"position_size_usd": D(1)}, "below_min_qty"),
        (Policy(), {"position_size_usd": D("0.01")}, "below_min_qty"),
        (Policy(), {"position_size_usd": D("19.9")}, "below_min_notional"),
        (Policy(), {"position_size_usd": D(1000)}, ""),
        (Policy(), {"position_size_usd": D(1013)}, "order_cap"),
        (Policy(max_exposure=D(99)), {}, "exposure_cap"),
        (Policy(max_exposure=D(100)), {}, ""),
        (Policy(max_open_positions=0), {}, "open_positions_cap"),
    ],
)
def test_each_gate_has_its_code(policy: Policy, changes: dict[str, Any], code: str) -> None:
    assert Bridge(policy).refused(**changes) == code


@pytest.mark.parametrize("mode", [Mode.EXITS_ONLY, Mode.HALT])
def test_no_entry_passes_unless_the_mode_is_run(mode: Mode) -> None:
    bridge = Bridge()
    bridge.mode = mode
    assert bridge.refused() == f"mode_{mode.lower()}"


@pytest.mark.parametrize(
    ("age_s", "code"),
    [(30, ""), (30.001, "stale_intent"), (-2, ""), (-2.001, "intent_from_the_future")],
)
def test_the_age_of_an_entry_is_measured_by_the_wall_clock_at_both_ends(
    age_s: float, code: str
) -> None:
    bridge = Bridge()
    assert bridge.refused(produced_at=bridge.now - timedelta(seconds=age_s)) == code


def test_a_refusal_says_of_what_and_why() -> None:
    bridge = Bridge()
    skip = bridge.hear(bridge.entry(leverage=51))
    assert isinstance(skip, SkipPlan)
    assert (skip.plan_id, skip.intent_id) == ("plan.entry.1", "entry.1")
    assert skip.detail == "51 is more than 50"
    assert not skip.reduceOnly


@pytest.mark.parametrize("price", ["0.000000000001", "0.00000001"])
def test_an_absurd_size_is_refused_and_breaks_nothing(price: str) -> None:
    bridge = Bridge()
    bridge.prices[SYMBOL] = D(price)
    size = D("999999999999999999")
    assert bridge.refused(entry_price=D(price), position_size_usd=size) == "order_cap"


# -- places -----------------------------------------------------------------------------------


def test_an_admitted_entry_holds_its_place_until_its_outcome_is_known() -> None:
    bridge = Bridge()
    plan = bridge.hear(bridge.entry())
    assert bridge.refused(intent_id="entry.2") == "entry_in_flight"
    bridge.hear(bridge.filled(plan))
    assert bridge.refused(intent_id="entry.3") == "position_exists"
    bridge.hear(bridge.ended(plan))
    assert bridge.refused(intent_id="entry.4") == "reentry_cooldown"


@pytest.mark.parametrize("status", ["REJECTED", "EXPIRED"])
def test_an_entry_that_came_to_nothing_frees_its_place(status: str) -> None:
    bridge = Bridge()
    plan = bridge.hear(bridge.entry())
    bridge.hear(bridge.nothing_came_of(plan, status))
    assert bridge.refused(intent_id="entry.2") == ""


def test_an_entry_that_exitbrain_refuses_frees_its_place() -> None:
    bridge = Bridge()
    plan = bridge.hear(bridge.entry())
    bridge.hear(skip_of(plan, source="exitbrain"))
    assert bridge.state.awaited == {}
    assert bridge.refused(intent_id="entry.2") == ""


def test_its_own_refusals_and_those_of_another_plan_free_nothing() -> None:
    bridge = Bridge()
    plan = bridge.hear(bridge.entry())
    bridge.hear(skip_of(plan, source="intent_bridge"))
    bridge.hear(skip_of(plan, source="exitbrain", plan_id="plan.other"))
    bridge.hear(bridge.nothing_came_of(plan.model_copy(update={"plan_id": "plan.other"})))
    assert bridge.refused(intent_id="entry.2") == "entry_in_flight"


def test_an_entry_of_which_a_part_is_filled_keeps_its_place_for_the_rest() -> None:
    bridge = Bridge(Policy(max_exposure=D(150)))
    plan = bridge.hear(bridge.entry())
    part = bridge.holding(D(1), D("12.32"))
    bridge.hear(bridge.filled(plan, "PARTIALLY_FILLED", filled_qty=D(1), **part))
    assert set(bridge.state.awaited) == {SYMBOL}
    assert bridge.state.exposure == D("12.32") + plan.qty * D("12.32")
    bridge.hear(bridge.filled(plan))
    assert bridge.state.awaited == {}


def test_the_cooldown_is_market_time() -> None:
    bridge = Bridge()
    plan = bridge.hear(bridge.entry())
    bridge.hear(bridge.filled(plan))
    bridge.hear(bridge.ended(plan))
    bridge.now += timedelta(days=1)
    assert bridge.refused(intent_id="entry.2") == "reentry_cooldown"
    bridge.market += timedelta(seconds=299)
    assert bridge.refused(intent_id="entry.3") == "reentry_cooldown"
    bridge.market += timedelta(seconds=1)
    assert bridge.refused(intent_id="entry.4") == ""


def test_exposure_counts_what_is_held_and_what_is_awaited() -> None:
    bridge = Bridge(Policy(max_exposure=D(250)), knows=(SYMBOL, *OTHERS))
    held = bridge.hear(bridge.entry())
    bridge.hear(bridge.filled(held))
    bridge.hear(bridge.entry("entry.2", symbol="SOLUSDT"))
    assert bridge.state.exposure == 2 * D("8.11") * D("12.32")
    assert bridge.refused(intent_id="entry.3", symbol="ADAUSDT") == "exposure_cap"
    bridge.hear(bridge.ended(held))
    assert bridge.refused(intent_id="entry.4", symbol="ADAUSDT") == ""


def test_open_positions_are_counted_held_and_awaited() -> None:
    bridge = Bridge(Policy(max_open_positions=2), knows=(SYMBOL, *OTHERS))
    held = bridge.hear(bridge.entry())
    bridge.hear(bridge.filled(held))
    assert bridge.refused(intent_id="entry.2", symbol="SOLUSDT") == ""
    assert bridge.refused(intent_id="entry.3", symbol="ADAUSDT") == "open_positions_cap"


def test_an_adopted_position_counts() -> None:
    bridge = Bridge(Policy(max_open_positions=1), knows=(SYMBOL, *OTHERS))
    adopted = bridge.stated("SOLUSDT", **bridge.holding(D(10), D(150)))
    bridge.hear(adopted.model_copy(update={"status": "ADOPTED"}))
    assert bridge.state.exposure == 1500
    assert bridge.refused() == "open_positions_cap"
    assert bridge.refused(intent_id="entry.2", symbol="SOLUSDT") == "position_exists"


def test_rules_are_learned_from_every_result_and_the_last_ones_hold() -> None:
    bridge = Bridge(knows=())
    bridge.prices[SYMBOL] = D("12.32")
    assert bridge.refused() == "rules_unknown"
    bridge.hear(bridge.stated())
    bridge.hear(bridge.stated(lot_step=D("0.5"), max_leverage=20))
    assert bridge.refused(intent_id="entry.2", leverage=21) == "leverage_out_of_bracket"
    assert bridge.hear(bridge.entry("entry.3")).qty == 8


def skip_of(plan: Any, *, source: str, plan_id: str | None = None) -> SkipPlan:
    return SkipPlan(
        timestamp=plan.timestamp,
        produced_at=plan.produced_at,
        source=source,
        plan_id=plan_id or plan.plan_id,
        intent_id=plan.intent_id,
        decision="SKIP",
        action="ENTRY_PROPOSED",
        symbol=plan.symbol,
        side=plan.side,
        reduceOnly=False,
        reason="no_safe_stop",
    )


def test_a_place_that_nobody_gives_back_is_free_again_once_its_plan_is_long_too_old() -> None:
    bridge = Bridge()
    bridge.hear(bridge.entry())
    bridge.later(90)
    assert bridge.refused(intent_id="entry.2") == "entry_in_flight"
    bridge.later(1)
    assert bridge.refused(intent_id="entry.3") == ""
