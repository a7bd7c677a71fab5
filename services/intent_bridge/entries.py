"""Whether an entry is admitted, and how large. Pure.

Sizes, caps and exposure are computed from the mark price, never from what a producer says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from typing import Any

from services.intent_bridge.bounds import out_of_bounds
from services.intent_bridge.state import Mark, Policy, State
from shared.contracts import EntryIntent
from shared.decisions import Mode, Received
from shared.formulas import floor_to_step
from shared.ticks import is_ahead

#: Past this a quantity is no quantity, and arithmetic on the lot grid loses its exactness.
_MOST = Decimal(10) ** 15
_MONEY_STEP = Decimal("1E-12")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an entry is not admitted."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """How large an entry may be, at which mark price, and what it may be worth at most."""

    qty: Decimal
    price: Decimal
    max_notional: Decimal


def admit(
    state: State, received: Received[Any], intent: EntryIntent, policy: Policy
) -> Admitted | Refusal:
    """The size to enter with, or the first reason against it."""
    for code, detail in _gates(state, received, intent, policy):
        return Refusal(code, detail)
    mark = state.marks[intent.symbol].price
    for code, detail in out_of_bounds(intent, mark, state.rules[intent.symbol], policy):
        return Refusal(code, detail)
    return _sized(state, intent, mark, policy)


def _sized(state: State, intent: EntryIntent, mark: Decimal, policy: Policy) -> Admitted | Refusal:
    rules = state.rules[intent.symbol]
    wanted = intent.qty or (intent.position_size_usd or Decimal(0)) / mark
    if wanted > _MOST:
        return Refusal("order_cap", f"more than {_MOST:,} units of anything")
    qty = floor_to_step(wanted, rules.lot_step)
    notional = qty * mark
    if qty <= 0 or qty < rules.min_qty:
        return Refusal("below_min_qty", f"{qty} is less than the venue's {rules.min_qty}")
    if notional < rules.min_notional:
        return Refusal("below_min_notional", f"{notional} is less than {rules.min_notional}")
    if notional > policy.max_order_notional:
        return Refusal("order_cap", f"{notional} is more than {policy.max_order_notional}")
    room = policy.max_exposure - state.exposure
    if notional > room:
        detail = f"{state.exposure} is held, {notional} more passes {policy.max_exposure}"
        return Refusal("exposure_cap", detail)
    most = min(policy.max_order_notional, room, _MOST)
    return Admitted(qty, mark, most.quantize(_MONEY_STEP, ROUND_UP))


def _gates(
    state: State, received: Received[Any], intent: EntryIntent, policy: Policy
) -> Iterator[tuple[str, str]]:
    """Every reason against an entry that lies not in its numbers, the gravest first."""
    symbol, now = intent.symbol, received.received_at
    age_s = (now - intent.produced_at).total_seconds()
    ahead_s = (max(intent.produced_at, intent.timestamp) - now).total_seconds()
    if received.mode is not Mode.RUN:
        yield f"mode_{received.mode.lower()}", f"the mode is {received.mode}"
    if policy.symbols is not None and symbol not in policy.symbols:
        yield "symbol_not_allowed", f"{symbol} is not among the allowed symbols"
    if age_s > policy.max_intent_age_s:
        yield "stale_intent", f"it is {age_s:.1f} s old, {policy.max_intent_age_s} are allowed"
    if ahead_s > policy.max_ahead_s:
        yield "intent_from_the_future", f"it is {ahead_s:.1f} s ahead of the clock here"
    if symbol not in state.rules:
        yield "rules_unknown", f"apply_layer has not stated the venue's rules for {symbol}"
        return
    if symbol in state.held:
        yield "position_exists", f"{state.held[symbol].position_id} is open"
    if symbol in state.awaited:
        yield "entry_in_flight", f"{state.awaited[symbol].plan_id} has no outcome yet"
    if len(state.held) + len(state.awaited) >= policy.max_open_positions:
        yield "open_positions_cap", f"{policy.max_open_positions} are allowed"
    closed = state.closed.get(symbol)
    if closed is not None and _is_cooling(state, intent, closed, now, policy):
        yield "reentry_cooldown", f"the last position ended {closed.isoformat()}"
    yield from _against_mark(state.marks.get(symbol), symbol, now, policy)


def _is_cooling(
    state: State, intent: EntryIntent, closed: datetime, now: datetime, policy: Policy
) -> bool:
    """Whether the last position ended too lately; an end that lies ahead of the clock never was."""
    at = min(intent.timestamp, state.market_time(intent.symbol, now))
    return not is_ahead(closed, now) and at < closed + timedelta(seconds=float(policy.cooldown_s))


def _against_mark(
    mark: Mark | None, symbol: str, now: datetime, policy: Policy
) -> Iterator[tuple[str, str]]:
    """No price is believed without a mark, nor by one that is old or told of ahead of the clock."""
    if mark is None:
        yield "no_fresh_mark", f"no price of {symbol} was told of since the start"
        return
    age_s = (now - mark.produced_at).total_seconds()
    if not -policy.max_ahead_s <= age_s <= policy.max_mark_age_s:
        yield "no_fresh_mark", f"the last price of {symbol} is {age_s:.1f} s old"
