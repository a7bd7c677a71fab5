"""harvest_brain: take the profit. R, the ladder, the profit lock and the kill score.

Reads market.tick and apply.result. Writes trade.intent (reduce-only) and
`quantum:harvest:<SYMBOL>`. At each price, in this order: the kill score, the ladder, the lock.
A rung is due from the moment that its R was reached, wherever the price goes before it is taken.
A refused exit is asked again under a new name, with backoff, for as long as it is due.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.harvest_brain.exits import FULL_CLOSE, MOVE_STOP, RUNG, act, short
from services.harvest_brain.positions import Asked, Backoff, Held, Policy, opened, updated
from services.harvest_brain.report import View, harvest_record
from shared.contracts import (
    ApplyResult,
    FillResult,
    MarketTick,
    PositionResult,
    RefusedResult,
    StopMovedResult,
)
from shared.decisions import Note, Received, Record
from shared.formulas import (
    MarketState,
    Marks,
    confirmed,
    kill_parts,
    marks_after,
    observe_close,
    observe_regime,
)
from shared.streams import harvest_key
from shared.ticks import believable, is_late

_NEUTRAL_TS = 0.3
_REFUSALS_COUNTED_MAX = 10


@dataclass(frozen=True, slots=True)
class Price:
    """The last confirmed price of a symbol; its minute closes when the next one begins.

    `marks` are what it was confirmed from, and None if that is not known.
    """

    mark_price: Decimal
    at: datetime
    marks: Marks | None = None


@dataclass(frozen=True, slots=True)
class State:
    """All by symbol."""

    prices: Mapping[str, Price] = field(default_factory=dict)
    markets: Mapping[str, MarketState] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[object]]:
    """Decide one event: a price, or what apply_layer says became of a plan."""
    match received.event:
        case MarketTick() as tick:
            state, fresh = _observe(state, tick, received.received_at)
            if not fresh or tick.symbol not in state.held:
                return state, ()
            return _evaluate(state, tick.symbol, tick.timestamp, received, policy)
        case FillResult() | RefusedResult() | StopMovedResult() | PositionResult() as result:
            return _learn(state, result, received, policy)
        case _:
            return state, ()


def _observe(state: State, tick: MarketTick, now: datetime) -> tuple[State, bool]:
    """Take over a price; when it begins a new minute, the one before it is a close."""
    symbol, before = tick.symbol, state.prices.get(tick.symbol)
    if before is not None and is_late(tick, before.at, now):
        return state, False
    last = None if before is None else before.marks or (before.mark_price,) * 3
    marks = marks_after(last, tick.mark_price, recorded=tick.recorded)
    prices = {**state.prices, symbol: Price(confirmed(marks), tick.timestamp, marks)}
    if before is None or _minute(tick.timestamp) == _minute(before.at):
        return State(prices, state.markets, state.held), True
    market = observe_close(state.markets.get(symbol, MarketState()), before.mark_price)
    held = state.held.get(symbol)
    positions = state.held
    if held is not None:
        watched = replace(held, watch=observe_regime(held.watch, market, held.side))
        positions = {**state.held, symbol: watched}
    return State(prices, {**state.markets, symbol: market}, positions), True


def _minute(at: datetime) -> tuple[int, int]:
    return at.toordinal(), at.hour * 60 + at.minute


def _learn(
    state: State, result: ApplyResult, received: Received[Any], policy: Policy
) -> tuple[State, Sequence[object]]:
    """Take over the position that a result states, and settle what was asked for."""
    symbol = result.symbol
    before = state.held.get(symbol)
    if not result.position_qty:
        if before is None:
            return state, ()
        others = {name: held for name, held in state.held.items() if name != symbol}
        story = {"symbol": symbol, "position_id": before.position_id, "r_max": short(before.r_max)}
        return replace(state, held=others), [
            Record(harvest_key(symbol), None),
            Note("ended", story),
        ]
    outputs: list[object] = []
    own = policy.of(symbol)
    if before is None or before.position_id != result.position_id:
        held = opened(result, own)
        outputs.append(_tell_of_plan(held))
    else:
        held = _settle(updated(before, result, own), result, received.received_at, own, outputs)
    state = replace(state, held={**state.held, symbol: held})
    new = before is None or before.position_id != held.position_id
    state, speaks = _price_of(state, held, result, new=new)
    if not speaks:
        at = believable(received.received_at, result.timestamp)
        view = _view(state, held, held.entry_price, policy, at=at, now=received.received_at)
        return state, [*outputs, harvest_record(view)]
    at = believable(received.received_at, state.prices[symbol].at, result.timestamp)
    state, more = _evaluate(state, symbol, at, received, policy, settled=True)
    return state, [*outputs, *more]


def _price_of(state: State, held: Held, result: ApplyResult, *, new: bool) -> tuple[State, bool]:
    """The state with a price for a position, and whether it says anything of the position.

    What was last heard may be older than the position. Then the first price that comes is
    confirmed by the one that it was opened at, and by nothing that was before.
    """
    price = state.prices.get(held.symbol)
    if price is not None and not (new and price.at < result.timestamp):
        return state, True
    entry = (held.entry_price,) * 3
    if price is None:
        price = Price(held.entry_price, result.timestamp)
    prices = {**state.prices, held.symbol: replace(price, marks=entry)}
    return replace(state, prices=prices), False


def _tell_of_plan(held: Held) -> Note:
    """Say from the start how the position will be harvested, and which rungs are too small."""
    merged = [planned.rung.name for planned in held.plan if planned.merged]
    return Note(
        "watching",
        {
            "symbol": held.symbol,
            "position_id": held.position_id,
            "risk_per_unit": held.risk_per_unit,
            "rungs": {p.rung.name: str(p.target_qty) for p in held.plan if not p.merged},
            "merged_because_too_small": merged,
        },
        level="warning" if merged else "info",
    )


def _settle(
    held: Held, result: ApplyResult, now: datetime, policy: Policy, outputs: list[object]
) -> Held:
    """Match a result with what was asked; a refusal sets the time of the next attempt."""
    if result.intent_id is None:
        return held
    if held.stop_asked is not None and held.stop_asked.intent_id == result.intent_id:
        wish = MOVE_STOP
        held = replace(held, stop_asked=None)
    elif (
        held.exit_asked is not None
        and held.exit_asked.intent_id == result.intent_id
        and result.status != "PARTIALLY_FILLED"
    ):
        wish = FULL_CLOSE if held.exit_asked.action == FULL_CLOSE else RUNG
        held = replace(held, exit_asked=None)
    else:
        return held
    others = {name: backoff for name, backoff in held.backoffs.items() if name != wish}
    if not isinstance(result, RefusedResult):
        return replace(held, backoffs=others)
    refusals = held.backoffs[wish].refusals if wish in held.backoffs else 0
    delay_s = min(policy.retry_first_s * 2**refusals, policy.retry_longest_s)
    outputs.append(
        Note(
            "exit_refused",
            {"symbol": held.symbol, "intent_id": result.intent_id, "code": result.error_code,
             "reason": result.reason, "retry_in_s": delay_s},
            level="error",
        )
    )  # fmt: skip
    backoff = Backoff(
        refusals=min(refusals + 1, _REFUSALS_COUNTED_MAX),
        retry_at=believable(now, result.timestamp) + timedelta(seconds=float(delay_s)),
    )
    return replace(held, backoffs={**others, wish: backoff})


def _evaluate(
    state: State,
    symbol: str,
    at: datetime,
    received: Received[Any],
    policy: Policy,
    *,
    settled: bool = False,
) -> tuple[State, Sequence[object]]:
    """Look at one position once: kill score, ladder, lock; and show what was seen.

    `settled` says that a result came: what it changed is shown at once.
    """
    before, own, now = state.held[symbol], policy.of(symbol), received.received_at
    # A position was not opened after the price that it is looked at by.
    held = replace(before, opened_at=at) if before.opened_at > at else before
    view = _view(state, held, state.prices[symbol].mark_price, policy, at=at, now=now)
    if view.r > held.r_max:
        held = replace(held, r_max=view.r)
    held = _give_up_waiting(held, now, own)
    view = replace(view, held=held)
    held, outputs = act(view)
    if outputs or settled or _standing(held) != _standing(before) or _is_due(held, now, own):
        held = replace(held, shown_at=now)
        outputs.append(harvest_record(replace(view, held=held)))
    if held is before:
        return state, outputs
    return replace(state, held={**state.held, symbol: held}), outputs


def _view(
    state: State, held: Held, mark_price: Decimal, policy: Policy, *, at: datetime, now: datetime
) -> View:
    """What a position looks like at a price."""
    own = policy.of(held.symbol)
    market = state.markets.get(held.symbol, MarketState())
    parts = kill_parts(
        regime_flip=held.watch.flipped,
        sigma_ratio=market.sigma_ratio,
        ts_aligned=_NEUTRAL_TS if market.ts is None else held.side.sign * market.ts,
        age_s=max((at - held.opened_at).total_seconds(), 0.0),
    )
    r = held.r_net(mark_price, own.cost_bps)
    return View(held, mark_price, at, now, r, parts, own)


def _standing(held: Held) -> tuple[object, ...]:
    """What the record shows besides the figures that move with every price."""
    reached = sum(held.r_max >= planned.rung.r_level for planned in held.plan)
    asked = (held.exit_asked, held.stop_asked, held.backoffs)
    return held.qty, held.harvested_qty, held.risk_per_unit, held.plan, reached, asked


def _is_due(held: Held, now: datetime, policy: Policy) -> bool:
    """Whether the figures are to be shown again; a time ahead of the clock here is none."""
    shown = held.shown_at
    return shown is None or not 0 <= (now - shown).total_seconds() < policy.show_every_s


def _give_up_waiting(held: Held, now: datetime, policy: Policy) -> Held:
    """Nothing answered in time: stop waiting, so that what is still due is asked again."""
    return (
        replace(
            held,
            exit_asked=_still_awaited(held.exit_asked, now, policy),
            stop_asked=_still_awaited(held.stop_asked, now, policy),
        )
        if held.exit_asked or held.stop_asked
        else held
    )


def _still_awaited(asked: Asked | None, now: datetime, policy: Policy) -> Asked | None:
    if asked is None or (now - asked.at).total_seconds() > policy.answer_within_s:
        return None
    # The clock went back over a restart: the wait is counted from here.
    return replace(asked, at=now) if asked.at > now else asked
