"""exitbrain: an admitted entry gets its stop and targets, or is skipped with a code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.exitbrain.decider import Policy, State, decide
from shared.contracts import (
    ApplyPlan,
    AwaitingExitsPlan,
    EntryPlan,
    ExitPlan,
    MarketTick,
    Message,
    SkipPlan,
    decode,
    encode,
)
from shared.decisions import Received
from shared.formulas import ExitPolicy, Regime, exit_levels, safe_stop_fraction
from shared.sides import Side

D = Decimal
MARKET = datetime(2025, 6, 1, tzinfo=UTC)
WALL = datetime(2026, 6, 1, tzinfo=UTC)


def awaiting(**changes: Any) -> AwaitingExitsPlan:
    fields: dict[str, Any] = {
        "timestamp": MARKET,
        "produced_at": WALL,
        "source": "intent_bridge",
        "plan_id": "plan.entry.1",
        "intent_id": "entry.1",
        "decision": "AWAITING_EXITS",
        "action": "ENTRY_PROPOSED",
        "symbol": "RIVERUSDT",
        "side": Side.BUY,
        "qty": D("1.83"),
        "leverage": 10,
        "entry_price": D("12.32"),
        "tick_size": D("0.0001"),
        "maintenance_margin_rate": D("0.01"),
        "confidence": D("0.8"),
        "volatility_factor": D(1),
        "exchange_divergence": D(0),
        "funding_rate": D(0),
        "regime": Regime.NORMAL,
    }
    return AwaitingExitsPlan(**(fields | changes))


def outcome(
    plan: Message, policy: Policy | None = None, *, age_s: float = 0
) -> EntryPlan | SkipPlan | None:
    """What exitbrain writes about a plan, as its reader gets it."""
    received = Received(plan, WALL + timedelta(seconds=age_s))
    _, outputs = decide(State(), received, policy or Policy())
    written = [output for output in outputs if isinstance(output, Message)]
    if not written:
        return None
    fields = [(name.encode(), value.encode()) for name, value in encode(written[0])]
    read = decode(ApplyPlan, fields)
    assert isinstance(read, EntryPlan | SkipPlan)
    return read


def executed(plan: AwaitingExitsPlan, policy: Policy | None = None) -> EntryPlan:
    written = outcome(plan, policy)
    assert isinstance(written, EntryPlan)
    return written


def skipped(plan: AwaitingExitsPlan, policy: Policy | None = None, *, age_s: float = 0) -> str:
    written = outcome(plan, policy, age_s=age_s)
    assert isinstance(written, SkipPlan)
    assert written.plan_id == plan.plan_id
    assert written.source == "exitbrain"
    return written.reason


@pytest.mark.parametrize("side", list(Side))
def test_levels_are_those_of_the_formulas_rounded_to_the_tick_toward_the_entry(side: Side) -> None:
    plan = awaiting(side=side, atr_value=D("0.31"), volatility_factor=D("1.3"))
    written = executed(plan)
    exact = exit_levels(
        side=side,
        entry_price=plan.entry_price,
        leverage=plan.leverage,
        atr_value=plan.atr_value,
        volatility_factor=plan.volatility_factor,
        regime=plan.regime,
        policy=ExitPolicy(maintenance_margin_rate=D("0.01")),
    )
    assert not isinstance(exact, str)
    targets = (written.take_profit, written.take_profit_2, written.take_profit_3)
    pairs = zip((written.stop_loss, *targets), (exact.stop_loss, *exact.take_profit), strict=True)  # type: ignore[union-attr]
    for level, unrounded in pairs:
        assert level is not None
        assert level % plan.tick_size == 0
        assert abs(unrounded - plan.entry_price) - abs(level - plan.entry_price) >= 0
        assert abs(unrounded - level) < plan.tick_size


def test_the_two_percent_proxy_and_its_levels_to_the_digit() -> None:
    written = executed(awaiting())
    assert written.lsf == D("0.294299829664")
    assert (written.stop_loss, written.take_profit) == (D("11.9345"), D("12.9810"))
    assert (written.take_profit_2, written.take_profit_3) == (D("13.3158"), D("13.7049"))


def test_every_feature_is_carried_over() -> None:
    plan = awaiting(
        atr_value=D("0.3"),
        volatility_factor=D("1.7"),
        exchange_divergence=D("0.2"),
        funding_rate=D("-0.0003"),
        regime=Regime.BULL,
        model="trend",
        reason="breakout",
    )
    written = executed(plan)
    new = {"decision", "source", "produced_at", "stop_loss", "take_profit"}
    for name in set(AwaitingExitsPlan.model_fields) - new:
        assert getattr(written, name) == getattr(plan, name), name
    assert (written.decision, written.source) == ("EXECUTE", "exitbrain")
    assert written.produced_at == WALL


@pytest.mark.parametrize(("age_s", "code"), [(30, None), (30.01, "stale_plan")])
def test_a_plan_that_is_too_old_is_skipped(age_s: float, code: str | None) -> None:
    if code is None:
        assert isinstance(outcome(awaiting(), age_s=age_s), EntryPlan)
    else:
        assert skipped(awaiting(), age_s=age_s) == code


def test_at_a_leverage_that_leaves_no_room_there_is_no_safe_stop() -> None:
    assert skipped(awaiting(leverage=100)) == "no_safe_stop"
    assert isinstance(outcome(awaiting(leverage=75)), EntryPlan)


def test_the_venue_s_own_maintenance_rate_counts() -> None:
    assert skipped(awaiting(leverage=75, maintenance_margin_rate=D("0.0125"))) == "no_safe_stop"


def test_a_tick_too_coarse_for_a_level_is_refused_and_nothing_is_widened() -> None:
    assert skipped(awaiting(tick_size=D(1))) == "tick_too_coarse"
    own = {"stop_loss": D("12.2"), "take_profit": D(14)}
    assert skipped(awaiting(tick_size=D(1), **own)) == "stop_too_near"


def test_a_producer_s_own_exits_are_kept_on_the_tick() -> None:
    written = executed(awaiting(stop_loss=D("12.00001"), take_profit=D("13.00009")))
    assert (written.stop_loss, written.take_profit) == (D("12.0001"), D("13.0000"))
    assert written.take_profit_2 is written.take_profit_3 is None


def test_a_producer_s_own_stop_past_liquidation_is_refused() -> None:
    own = {"take_profit": D(14), "leverage": 50}
    widest = safe_stop_fraction(50, ExitPolicy(maintenance_margin_rate=D("0.01")))
    just = D("12.32") * (1 - widest)
    assert isinstance(outcome(awaiting(stop_loss=just + D("0.001"), **own)), EntryPlan)
    late = awaiting(stop_loss=just - D("0.001"), **own)
    assert skipped(late) == "stop_beyond_liquidation"


def test_a_symbol_may_have_tunables_of_its_own() -> None:
    narrow = ExitPolicy(stop_max_fraction=D("0.01"))
    own = Policy(overrides={"RIVERUSDT": narrow})
    assert executed(awaiting(), own).stop_loss == D("12.1968")
    assert executed(awaiting(symbol="SOLUSDT"), own).stop_loss == D("11.9345")


def test_what_is_not_its_own_is_left_to_others() -> None:
    plan = awaiting()
    tick = MarketTick(
        timestamp=MARKET, produced_at=WALL, source="market_feed", tick_id="t",
        symbol="RIVERUSDT", mark_price=D(12),
    )  # fmt: skip
    leave = ExitPlan(
        timestamp=MARKET, produced_at=WALL, source="intent_bridge", plan_id="plan.x", intent_id="x",
        symbol="RIVERUSDT", side=Side.SELL, decision="EXECUTE", action="PARTIAL_25", qty=D(1),
        position_id="p", reduceOnly=True,
    )  # fmt: skip
    skip = outcome(awaiting(leverage=100))
    assert skip is not None
    for message in (executed(plan), skip, leave, tick):
        assert outcome(message) is None


def money(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(low), D(high), places=places)


plans = st.builds(
    awaiting,
    side=st.sampled_from(list(Side)),
    leverage=st.integers(1, 125),
    entry_price=money("0.0001", "120000", 6),
    tick_size=st.sampled_from([D("0.00001"), D("0.0001"), D("0.01"), D("0.1"), D(1)]),
    maintenance_margin_rate=money("0.001", "0.2", 4),
    atr_value=st.none() | money("0", "5000", 5),
    volatility_factor=money("0", "20", 2),
    exchange_divergence=money("0", "3", 2),
    funding_rate=money("-1", "1", 4),
    regime=st.sampled_from(list(Regime)),
)


@settings(max_examples=300, deadline=None)
@given(plans)
def test_nothing_is_executed_without_a_stop_that_fires_in_time(plan: AwaitingExitsPlan) -> None:
    written = outcome(plan)
    if isinstance(written, SkipPlan):
        assert written.reason in {"no_safe_stop", "tick_too_coarse"}
        return
    assert isinstance(written, EntryPlan)
    sign, entry = plan.side.sign, plan.entry_price
    distance = sign * (entry - written.stop_loss) / entry
    room = 1 / D(plan.leverage) - plan.maintenance_margin_rate
    assert 0 < distance < room
    targets = [written.take_profit, written.take_profit_2, written.take_profit_3]
    gains = [sign * (target - entry) for target in targets if target is not None]
    assert len(gains) == 3
    assert 0 < gains[0] <= gains[1] <= gains[2]
