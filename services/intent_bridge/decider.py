"""intent_bridge: admit or refuse an intent, size it and give it a plan.

Reads trade.intent, apply.result (positions and rules) and apply.plan (entries that exitbrain
refused, whose place is then free again). Writes apply.plan: AWAITING_EXITS for an admitted entry,
EXECUTE for an exit, SKIP with a reason code for a refusal. No gate ever stands before an exit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from shared.contracts import (
    ApplyResult,
    AwaitingExitsPlan,
    EntryIntent,
    ExitIntent,
    ExitPlan,
    FillResult,
    FullCloseIntent,
    HarvestIntent,
    MoveStopIntent,
    MoveStopPlan,
    PositionResult,
    RefusedResult,
    SkipPlan,
    StopMovedResult,
    TradeIntent,
)
from shared.decisions import DeadLetter, Mode, Note, Received
from shared.formulas import floor_to_step
from shared.repeats import Seen, remembered

SEEN_KEPT = 256
#: Past this a quantity is no quantity, and arithmetic on the lot grid loses its exactness.
_QTY_MAX = Decimal(10) ** 15
#: What leaves a part of an entry still to come.
_NOT_FINAL = ("PARTIALLY_FILLED", "STOP_MOVED")


@dataclass(frozen=True, slots=True)
class Policy:
    """Money in quote units, times in seconds. `symbols=None` allows every symbol with rules."""

    symbols: tuple[str, ...] | None = None
    max_intent_age_s: Decimal = Decimal(30)
    max_ahead_s: Decimal = Decimal(2)
    max_order_notional: Decimal = Decimal(1000)
    max_exposure: Decimal = Decimal(5000)
    max_open_positions: int = 5
    cooldown_s: Decimal = Decimal(300)
    max_leverage: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the venue demands of an order in one symbol, as apply_layer last stated it."""

    lot_step: Decimal
    tick_size: Decimal
    min_qty: Decimal
    min_notional: Decimal
    max_leverage: int
    maintenance_margin_rate: Decimal


@dataclass(frozen=True, slots=True)
class Held:
    """An open position's share of the exposure, at its entry price."""

    position_id: str
    notional: Decimal


@dataclass(frozen=True, slots=True)
class Awaited:
    """An admitted entry whose outcome is not known yet; it holds its place in every cap.

    `at` is when it was admitted, by the wall clock.
    """

    plan_id: str
    notional: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """All by symbol. `closed` is the market time at which the last position ended."""

    rules: Mapping[str, Rules] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)
    awaited: Mapping[str, Awaited] = field(default_factory=dict)
    closed: Mapping[str, datetime] = field(default_factory=dict)
    seen: Mapping[str, tuple[Seen, ...]] = field(default_factory=dict)

    @property
    def exposure(self) -> Decimal:
        """Notional held and on its way."""
        held = sum((position.notional for position in self.held.values()), Decimal(0))
        return held + sum((entry.notional for entry in self.awaited.values()), Decimal(0))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an entry is not admitted."""

    code: str
    detail: str


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[object]]:
    """Decide one event; see the module's first lines for what comes of which."""
    match received.event:
        case EntryIntent() | HarvestIntent() | FullCloseIntent() | MoveStopIntent() as intent:
            return _decide_intent(state, received, intent, policy)
        case FillResult() | RefusedResult() | StopMovedResult() | PositionResult() as result:
            return _learn(state, result), ()
        case SkipPlan(source="exitbrain") as refused:
            return _free(state, refused.symbol, refused.plan_id), ()
        case _:
            return state, ()


def _decide_intent(
    state: State, received: Received[Any], intent: TradeIntent, policy: Policy
) -> tuple[State, Sequence[object]]:
    seen = remembered(state.seen, symbol=intent.symbol, id_=intent.intent_id, message=intent)
    if seen is None:
        return state, [Note("repeated_intent", {"intent_id": intent.intent_id})]
    if isinstance(seen, DeadLetter):
        return state, [seen]
    state = replace(state, seen=seen)
    if isinstance(intent, EntryIntent):
        return _decide_entry(state, received, intent, policy)
    plan = _exit_plan(intent, received.received_at)
    return state, [plan, Note("pass", _story(plan))]


def plan_id_of(intent_id: str) -> str:
    """The one plan of an intent, by name."""
    return f"plan.{intent_id}"


def _exit_plan(intent: ExitIntent, produced_at: datetime) -> ExitPlan | MoveStopPlan:
    common: dict[str, Any] = {
        "timestamp": intent.timestamp,
        "produced_at": produced_at,
        "source": "intent_bridge",
        "plan_id": plan_id_of(intent.intent_id),
        "intent_id": intent.intent_id,
        "decision": "EXECUTE",
        "symbol": intent.symbol,
        "side": intent.side,
        "position_id": intent.position_id,
        "reduceOnly": True,
        "r_level": intent.r_level,
        "kill_score": intent.kill_score,
        "reason": intent.reason,
    }
    if isinstance(intent, MoveStopIntent):
        return MoveStopPlan(action="MOVE_STOP", stop_loss=intent.stop_loss, **common)
    action = intent.intent_type.removeprefix("HARVEST_")
    return ExitPlan(action=action, qty=intent.qty, **common)


def _decide_entry(
    state: State, received: Received[Any], intent: EntryIntent, policy: Policy
) -> tuple[State, Sequence[object]]:
    state = _without_stale_places(state, received.received_at, policy)
    admitted = _admit(state, received, intent, policy)
    common: dict[str, Any] = {
        "timestamp": intent.timestamp,
        "produced_at": received.received_at,
        "source": "intent_bridge",
        "plan_id": plan_id_of(intent.intent_id),
        "intent_id": intent.intent_id,
        "action": "ENTRY_PROPOSED",
        "symbol": intent.symbol,
        "side": intent.side,
        "reduceOnly": False,
        "leverage": intent.leverage,
        "entry_price": intent.entry_price,
    }
    if isinstance(admitted, Refusal):
        skip = SkipPlan(decision="SKIP", reason=admitted.code, detail=admitted.detail, **common)
        return state, [skip, Note("skip", {**_story(skip), "detail": admitted.detail})]
    rules = state.rules[intent.symbol]
    plan = AwaitingExitsPlan(
        decision="AWAITING_EXITS",
        qty=admitted,
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
    awaited = Awaited(plan.plan_id, admitted * intent.entry_price, received.received_at)
    state = replace(state, awaited={**state.awaited, intent.symbol: awaited})
    return state, [plan, Note("admit", {**_story(plan), "qty": admitted})]


def _without_stale_places(state: State, now: datetime, policy: Policy) -> State:
    """Take back the places of plans that nobody will execute any more and nobody told of.

    exitbrain and apply_layer each refuse a plan that is older than the limit when they read it.
    """
    limit_s = 3 * policy.max_intent_age_s
    stale = {s for s, e in state.awaited.items() if (now - e.at).total_seconds() > limit_s}
    if not stale:
        return state
    return replace(state, awaited={s: e for s, e in state.awaited.items() if s not in stale})


def _admit(
    state: State, received: Received[Any], intent: EntryIntent, policy: Policy
) -> Decimal | Refusal:
    """The quantity to enter with, or the first reason against it."""
    for code, detail in _gates(state, received, intent, policy):
        return Refusal(code, detail)
    rules = state.rules[intent.symbol]
    wanted = intent.qty or (intent.position_size_usd or Decimal(0)) / intent.entry_price
    if wanted > _QTY_MAX:
        return Refusal("order_cap", f"more than {_QTY_MAX:,} units of anything")
    qty = floor_to_step(wanted, rules.lot_step)
    notional = qty * intent.entry_price
    if qty <= 0 or qty < rules.min_qty:
        return Refusal("below_min_qty", f"{qty} is less than the venue's {rules.min_qty}")
    if notional < rules.min_notional:
        return Refusal("below_min_notional", f"{notional} is less than {rules.min_notional}")
    if notional > policy.max_order_notional:
        return Refusal("order_cap", f"{notional} is more than {policy.max_order_notional}")
    if state.exposure + notional > policy.max_exposure:
        detail = f"{state.exposure} is held, {notional} more passes {policy.max_exposure}"
        return Refusal("exposure_cap", detail)
    return qty


def _gates(
    state: State, received: Received[Any], intent: EntryIntent, policy: Policy
) -> Iterator[tuple[str, str]]:
    """Every reason against an entry that does not depend on its size, the gravest first."""
    symbol = intent.symbol
    age_s = (received.received_at - intent.produced_at).total_seconds()
    if received.mode is not Mode.RUN:
        yield f"mode_{received.mode.lower()}", f"the mode is {received.mode}"
    if policy.symbols is not None and symbol not in policy.symbols:
        yield "symbol_not_allowed", f"{symbol} is not among the allowed symbols"
    if age_s > policy.max_intent_age_s:
        yield "stale_intent", f"it is {age_s:.1f} s old, {policy.max_intent_age_s} are allowed"
    if age_s < -policy.max_ahead_s:
        yield "intent_from_the_future", f"it is {-age_s:.1f} s ahead of the clock here"
    if symbol not in state.rules:
        yield "rules_unknown", f"apply_layer has not stated the venue's rules for {symbol}"
        return
    most = state.rules[symbol].max_leverage
    limit = min(policy.max_leverage.get(symbol, most), most)
    if intent.leverage > limit:
        yield "leverage_out_of_bracket", f"{intent.leverage} is more than {limit}"
    if symbol in state.held:
        yield "position_exists", f"{state.held[symbol].position_id} is open"
    if symbol in state.awaited:
        yield "entry_in_flight", f"{state.awaited[symbol].plan_id} has no outcome yet"
    if len(state.held) + len(state.awaited) >= policy.max_open_positions:
        yield "open_positions_cap", f"{policy.max_open_positions} are allowed"
    closed = state.closed.get(symbol)
    if closed is not None and intent.timestamp < closed + timedelta(
        seconds=float(policy.cooldown_s)
    ):
        yield "reentry_cooldown", f"the last position ended {closed.isoformat()}"


def _learn(state: State, result: ApplyResult) -> State:
    """Take over the rules and the position that a result states, and free what was awaited."""
    rules = Rules(
        lot_step=result.lot_step,
        tick_size=result.tick_size,
        min_qty=result.min_qty,
        min_notional=result.min_notional,
        max_leverage=result.max_leverage,
        maintenance_margin_rate=result.maintenance_margin_rate,
    )
    symbol = result.symbol
    if state.rules.get(symbol) != rules:
        state = replace(state, rules={**state.rules, symbol: rules})
    if result.plan_id is not None and result.status not in _NOT_FINAL:
        state = _free(state, symbol, result.plan_id)
    if result.position_qty:
        notional = result.position_qty * (result.position_entry_price or Decimal(0))
        held = Held(result.position_id or "", notional)
        return replace(state, held={**state.held, symbol: held})
    if symbol in state.held:
        remaining = {name: held for name, held in state.held.items() if name != symbol}
        closed = {**state.closed, symbol: result.timestamp}
        return replace(state, held=remaining, closed=closed)
    return state


def _free(state: State, symbol: str, plan_id: str) -> State:
    awaited = state.awaited.get(symbol)
    if awaited is None or awaited.plan_id != plan_id:
        return state
    others = {name: entry for name, entry in state.awaited.items() if name != symbol}
    return replace(state, awaited=others)


def _story(plan: Any) -> dict[str, object]:
    return {
        "symbol": plan.symbol,
        "decision": plan.decision,
        "action": plan.action,
        "intent_id": plan.intent_id,
        "plan_id": plan.plan_id,
        "reason": plan.reason,
    }
