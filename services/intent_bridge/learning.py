"""What intent_bridge learns from prices and outcomes. Pure.

A price gives a symbol its mark; a result its rules, what is held, and that an awaited entry has
come to something; a refusal of exitbrain that it has come to nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.intent_bridge.state import Held, Mark, Policy, Rules, State
from shared.contracts import HISTORY_SOURCE, ApplyResult, MarketTick
from shared.formulas import marks_after
from shared.ticks import believable, is_late

#: What leaves a part of an entry still to come.
_NOT_FINAL = ("PARTIALLY_FILLED", "STOP_MOVED")


#: Marks kept of symbols without rules: at a start prices come before the rules do.
_STRANGERS_MAX = 500


def with_mark(state: State, tick: MarketTick, now: datetime) -> State:
    """Take over a price; one that was asked for afterwards is none."""
    if tick.source == HISTORY_SOURCE:
        return state
    before = state.marks.get(tick.symbol)
    if before is not None and is_late(tick, before.at, now):
        return state
    known = None if before is None else before.marks
    marks = marks_after(known, tick.mark_price, recorded=tick.recorded)
    mark = Mark(marks, tick.timestamp, tick.produced_at)
    marks_kept = {**state.marks, tick.symbol: mark}
    if tick.symbol not in state.rules:
        strangers = [symbol for symbol in marks_kept if symbol not in state.rules]
        for symbol in strangers[:-_STRANGERS_MAX]:
            del marks_kept[symbol]
    return replace(state, marks=marks_kept)


def with_result(state: State, result: ApplyResult, now: datetime) -> State:
    """Take over the rules and the position that a result states, and free what was awaited."""
    symbol = result.symbol
    rules = Rules(
        lot_step=result.lot_step,
        tick_size=result.tick_size,
        min_qty=result.min_qty,
        min_notional=result.min_notional,
        max_leverage=result.max_leverage,
        maintenance_margin_rate=result.maintenance_margin_rate,
    )
    if state.rules.get(symbol) != rules:
        state = replace(state, rules={**state.rules, symbol: rules})
    if result.plan_id is not None and result.status not in _NOT_FINAL:
        state = freed(state, symbol, result.plan_id)
    if result.position_qty:
        notional = result.position_qty * (result.position_entry_price or 0)
        held = Held(result.position_id or "", notional, result.position_qty)
        return replace(state, held={**state.held, symbol: held})
    if symbol in state.held:
        remaining = {name: held for name, held in state.held.items() if name != symbol}
        ended = believable(now, result.timestamp)
        return replace(state, held=remaining, closed={**state.closed, symbol: ended})
    return state


def freed(state: State, symbol: str, plan_id: str) -> State:
    """Without the place that a plan held, if it is the one that holds it."""
    awaited = state.awaited.get(symbol)
    if awaited is None or awaited.plan_id != plan_id:
        return state
    others = {name: entry for name, entry in state.awaited.items() if name != symbol}
    return replace(state, awaited=others)


def without_stale_places(state: State, now: datetime, policy: Policy) -> State:
    """Take back the places of plans that nobody will execute any more and nobody told of.

    exitbrain and apply_layer each refuse a plan that is older than the limit when they read it.
    A place that is dated ahead, because the clock went back, is counted from now on.
    """
    limit = timedelta(seconds=float(3 * policy.max_intent_age_s))
    kept = {
        symbol: entry if entry.at <= now else replace(entry, at=now)
        for symbol, entry in state.awaited.items()
        if now - entry.at <= limit
    }
    if all(kept.get(symbol) is entry for symbol, entry in state.awaited.items()):
        return state
    return replace(state, awaited=kept)
