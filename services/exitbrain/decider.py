"""exitbrain: give an admitted entry its stop and its three targets.

Reads apply.plan and answers each AWAITING_EXITS with EXECUTE, or with SKIP and a reason code:
the plan is too old, no stop would be safe, or the stop that a producer brought is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.contracts import AwaitingExitsPlan, EntryPlan, SkipPlan
from shared.decisions import Note, Received
from shared.formulas import (
    ExitPolicy,
    NoSafeStop,
    exit_levels,
    leverage_sensitivity_factor,
    round_toward,
    unsafe_exit,
)

_LSF_DIGITS = Decimal("0.000000000001")


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds; `overrides` holds the exit tunables of symbols that have their own."""

    max_intent_age_s: Decimal = Decimal(30)
    exits: ExitPolicy = field(default_factory=ExitPolicy)
    overrides: Mapping[str, ExitPolicy] = field(default_factory=dict)

    def exits_for(self, plan: AwaitingExitsPlan) -> ExitPolicy:
        """The tunables of the plan's symbol, with the venue's own maintenance margin rate."""
        exits = self.overrides.get(plan.symbol, self.exits)
        return replace(exits, maintenance_margin_rate=plan.maintenance_margin_rate)


@dataclass(frozen=True, slots=True)
class State:
    """exitbrain remembers nothing: a plan carries all that it needs."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Prices on the venue's tick."""

    stop_loss: Decimal
    targets: tuple[Decimal | None, Decimal | None, Decimal | None]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an entry cannot have its exits."""

    code: str
    detail: str


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[object]]:
    """Decide one plan; every other event is somebody else's."""
    plan = received.event
    if not isinstance(plan, AwaitingExitsPlan):
        return state, ()
    levels = _levels(plan, received.received_at, policy)
    if isinstance(levels, Refusal):
        skip = _skip(plan, levels, received.received_at)
        refused = {"symbol": plan.symbol, "plan_id": plan.plan_id, "reason": levels.code}
        return state, [skip, Note("skip", {**refused, "detail": levels.detail}, level="warning")]
    execute = EntryPlan.model_validate(
        plan.model_dump()
        | {
            "source": "exitbrain",
            "produced_at": received.received_at,
            "decision": "EXECUTE",
            "stop_loss": levels.stop_loss,
            "take_profit": levels.targets[0],
            "take_profit_2": levels.targets[1],
            "take_profit_3": levels.targets[2],
            "lsf": leverage_sensitivity_factor(plan.leverage).quantize(_LSF_DIGITS),
        }
    )
    story: dict[str, object] = {
        "symbol": plan.symbol,
        "side": plan.side,
        "entry_price": plan.entry_price,
        "stop_loss": levels.stop_loss,
        "take_profit": levels.targets[0],
        "lsf": execute.lsf,
        "intent_id": plan.intent_id,
        "plan_id": plan.plan_id,
    }
    return state, [execute, Note("exits", story)]


def _levels(plan: AwaitingExitsPlan, now: datetime, policy: Policy) -> Levels | Refusal:
    age_s = (now - plan.produced_at).total_seconds()
    if age_s > policy.max_intent_age_s:
        detail = f"it is {age_s:.1f} s old, {policy.max_intent_age_s} are allowed"
        return Refusal("stale_plan", detail)
    exits = policy.exits_for(plan)
    if plan.stop_loss is not None and plan.take_profit is not None:
        return _kept(plan, plan.stop_loss, plan.take_profit, exits)
    computed = exit_levels(
        side=plan.side,
        entry_price=plan.entry_price,
        leverage=plan.leverage,
        atr_value=plan.atr_value,
        volatility_factor=plan.volatility_factor,
        exchange_divergence=plan.exchange_divergence,
        funding_rate=plan.funding_rate,
        regime=plan.regime,
        policy=exits,
    )
    if isinstance(computed, NoSafeStop):
        return Refusal(computed.reason, f"none fits before liquidation at leverage {plan.leverage}")
    stop_loss, *targets = (
        round_toward(price, entry_price=plan.entry_price, tick_size=plan.tick_size)
        for price in (computed.stop_loss, *computed.take_profit)
    )
    if stop_loss is None or None in targets:
        return Refusal("tick_too_coarse", f"no tick of {plan.tick_size} between entry and a level")
    return Levels(stop_loss, (targets[0], targets[1], targets[2]))


def _kept(
    plan: AwaitingExitsPlan, stop_loss: Decimal, take_profit: Decimal, exits: ExitPolicy
) -> Levels | Refusal:
    """A producer's own exits, if both are at a sane distance by the symbol's own tunables."""
    unsafe = unsafe_exit(
        side=plan.side,
        entry_price=plan.entry_price,
        leverage=plan.leverage,
        tick_size=plan.tick_size,
        stop_loss=stop_loss,
        take_profit=take_profit,
        policy=exits,
    )
    if unsafe is not None:
        return Refusal(*unsafe)
    rounded, target = (
        round_toward(price, entry_price=plan.entry_price, tick_size=plan.tick_size)
        for price in (stop_loss, take_profit)
    )
    if rounded is None or target is None:
        return Refusal("tick_too_coarse", f"no tick of {plan.tick_size} between entry and a level")
    return Levels(rounded, (target, None, None))


def _skip(plan: AwaitingExitsPlan, refusal: Refusal, now: datetime) -> SkipPlan:
    return SkipPlan(
        timestamp=plan.timestamp,
        produced_at=now,
        source="exitbrain",
        plan_id=plan.plan_id,
        intent_id=plan.intent_id,
        decision="SKIP",
        action="ENTRY_PROPOSED",
        symbol=plan.symbol,
        side=plan.side,
        reduceOnly=False,
        qty=plan.qty,
        leverage=plan.leverage,
        entry_price=plan.entry_price,
        reason=refusal.code,
        detail=refusal.detail,
    )
