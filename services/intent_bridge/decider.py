"""intent_bridge: admit or refuse an intent, size it and give it a plan.

Reads the streams of producers outside the suite, whose intents it passes on to trade.intent;
market.tick (the mark price, from which sizes and caps are computed), trade.intent,
apply.result (positions and rules) and apply.plan (entries that exitbrain refused, whose place is
then free again). Writes apply.plan: AWAITING_EXITS for an admitted entry, EXECUTE for an exit, SKIP
with a reason code for a refusal. No gate ever stands before an exit of those who may exit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.intent_bridge.entries import Refusal, admit
from services.intent_bridge.learning import freed, with_mark, with_result, without_stale_places
from services.intent_bridge.producers import OWN_SOURCES, decision_id, may_exit, pass_on, plan_id_of
from services.intent_bridge.state import Awaited, Policy, State
from shared.contracts import (
    AwaitingExitsPlan,
    EntryIntent,
    ExitIntent,
    ExitPlan,
    FillResult,
    FullCloseIntent,
    HarvestIntent,
    MarketTick,
    MoveStopIntent,
    MoveStopPlan,
    PositionResult,
    RefusedResult,
    SkipPlan,
    StopMovedResult,
    TradeIntent,
)
from shared.decisions import DeadLetter, Note, Produced, Received
from shared.repeats import Memory, remembered

#: The place in the memory that all symbols without rules share; no symbol is spelled like it.
_ELSEWHERE = "*"


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[object]]:
    """Decide one event; see the module's first lines for what comes of which."""
    match received.event:
        case MarketTick() as tick:
            return with_mark(state, tick, received.received_at), ()
        case Produced() as produced:
            return state, [pass_on(produced)]
        case EntryIntent() | HarvestIntent() | FullCloseIntent() | MoveStopIntent() as intent:
            return _decide_intent(state, received, intent, policy)
        case FillResult() | RefusedResult() | StopMovedResult() | PositionResult() as result:
            return with_result(state, result, received.received_at), ()
        case SkipPlan(source="exitbrain") as refused:
            return freed(state, refused.symbol, refused.plan_id), ()
        case _:
            return state, ()


def _decide_intent(
    state: State, received: Received[Any], intent: TradeIntent, policy: Policy
) -> tuple[State, Sequence[object]]:
    is_own = intent.source in OWN_SOURCES
    seen: Memory | DeadLetter | None = remembered(
        state.seen if is_own else state.seen_of_producers,
        symbol=intent.symbol if intent.symbol in state.rules else _ELSEWHERE,
        id_=decision_id(intent.source, intent.intent_id),
        message=intent,
    )
    if seen is None:
        return state, [Note("repeated_intent", {"intent_id": intent.intent_id})]
    if isinstance(seen, DeadLetter):
        return state, [seen]
    state = replace(state, seen=seen) if is_own else replace(state, seen_of_producers=seen)
    if isinstance(intent, EntryIntent):
        return _decide_entry(state, received, intent, policy)
    return state, _decide_exit(state, received.received_at, intent, policy)


def _head(state: State, intent: EntryIntent | ExitIntent, produced_at: datetime) -> dict[str, Any]:
    """What every plan has. A market time ahead of the market's is cut, so that nothing waits."""
    return {
        "timestamp": min(intent.timestamp, state.market_time(intent.symbol, produced_at)),
        "produced_at": produced_at,
        "source": "intent_bridge",
        "plan_id": plan_id_of(intent.source, intent.intent_id),
        "intent_id": intent.intent_id,
        "symbol": intent.symbol,
        "side": intent.side,
    }


def _decide_exit(
    state: State, now: datetime, intent: ExitIntent, policy: Policy
) -> Sequence[object]:
    head = _head(state, intent, now)
    is_stop = isinstance(intent, MoveStopIntent)
    action = "MOVE_STOP" if is_stop else intent.intent_type.removeprefix("HARVEST_")
    if not may_exit(intent.source, policy):
        skip = SkipPlan(
            decision="SKIP",
            action=action,
            reduceOnly=True,
            position_id=intent.position_id,
            reason="exit_not_allowed",
            detail=f"[intent_bridge.producer.{intent.source}] does not say may_exit = true",
            **head,
        )
        return [skip, Note("skip", {**_story(skip), "detail": skip.detail}, level="warning")]
    head |= {
        "decision": "EXECUTE",
        "position_id": intent.position_id,
        "reduceOnly": True,
        "r_level": intent.r_level,
        "kill_score": intent.kill_score,
        "reason": intent.reason,
    }
    plan: ExitPlan | MoveStopPlan
    if isinstance(intent, MoveStopIntent):
        plan = MoveStopPlan(action="MOVE_STOP", stop_loss=intent.stop_loss, **head)
    else:
        plan = ExitPlan(action=action, qty=intent.qty, **head)
    return [plan, Note("pass", _story(plan))]


def _decide_entry(
    state: State, received: Received[Any], intent: EntryIntent, policy: Policy
) -> tuple[State, Sequence[object]]:
    now = received.received_at
    state = without_stale_places(state, now, policy)
    admitted = admit(state, received, intent, policy)
    common = _head(state, intent, now) | {
        "action": "ENTRY_PROPOSED",
        "reduceOnly": False,
        "leverage": intent.leverage,
    }
    if isinstance(admitted, Refusal):
        skip = SkipPlan(
            decision="SKIP",
            entry_price=intent.entry_price,
            reason=admitted.code,
            detail=admitted.detail,
            **common,
        )
        return state, [skip, Note("skip", {**_story(skip), "detail": admitted.detail})]
    rules = state.rules[intent.symbol]
    plan = AwaitingExitsPlan(
        decision="AWAITING_EXITS",
        qty=admitted.qty,
        entry_price=admitted.price,
        max_notional=admitted.max_notional,
        tick_size=rules.tick_size,
        maintenance_margin_rate=rules.maintenance_margin_rate,
        confidence=intent.confidence,
        atr_value=intent.atr_value,
        volatility_factor=intent.volatility_factor,
        exchange_divergence=intent.exchange_divergence,
        funding_rate=intent.funding_rate,
        regime=intent.regime,
        model=intent.model,
        reason=intent.reason,
        stop_loss=intent.stop_loss,
        take_profit=intent.take_profit,
        **common,
    )
    awaited = Awaited(plan.plan_id, admitted.qty * admitted.price, now, admitted.qty)
    state = replace(state, awaited={**state.awaited, intent.symbol: awaited})
    return state, [plan, Note("admit", {**_story(plan), "qty": admitted.qty})]


def _story(plan: Any) -> dict[str, object]:
    return {
        "symbol": plan.symbol,
        "decision": plan.decision,
        "action": plan.action,
        "intent_id": plan.intent_id,
        "plan_id": plan.plan_id,
        "reason": plan.reason,
    }
