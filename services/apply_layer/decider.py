"""apply_layer: execute plans, keep every position protected, own the state of positions.

Reads apply.plan (EXECUTE only), what the venue tells, and market.tick for the prices in the
position record. Writes apply.result and `quantum:position:<SYMBOL>`, and asks the venue for
orders, each of them journalled before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.apply_layer.contained import contained, say_what_changed
from services.apply_layer.doubt import (
    Beat,
    Began,
    on_absent,
    on_beat,
    on_began,
    on_clock_set,
    on_in_doubt,
)
from services.apply_layer.exchange import MarksSeen, OrderAbsent, OrderInDoubt, Trades, VenueHealth
from services.apply_layer.facts import FACTS, on_health
from services.apply_layer.fills import protect_what_grew
from services.apply_layer.looked import Looked
from services.apply_layer.marks import on_marks
from services.apply_layer.plans import on_plan
from services.apply_layer.protection import on_look
from services.apply_layer.state import Policy, State
from services.apply_layer.turn import Turn
from services.apply_layer.venue_record import venue_record
from shared.contracts import VENUE_SOURCE, EntryPlan, ExitPlan, MarketTick, MoveStopPlan
from shared.decisions import ClockSet, DeadLetter, Received
from shared.formulas import confirmed, marks_after
from shared.ticks import is_late

#: How long a position's record goes without a price until a price of an older time is taken.
_PRICE_AGE_S = 10.0


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[object]]:
    """Decide one event: a plan, a fact of the venue, a look at it, or a price."""
    event = received.event
    turn = Turn(state, policy, received.received_at, received.mode)
    symbol = _symbol_of(event)
    if symbol is None:
        _take(turn, event)
    else:
        with contained(turn, symbol):
            _take(turn, event)
            protect_what_grew(turn)
    if isinstance(event, EntryPlan | ExitPlan | MoveStopPlan) and event.symbol in turn.failed:
        turn.outputs.append(DeadLetter("symbol_quarantined", turn.failed[event.symbol]))
    if turn.state is not state:
        say_what_changed(turn, state)
        if (record := venue_record(turn.state)) != venue_record(state):
            turn.outputs.append(record)
    return turn.state, turn.outputs


def _symbol_of(event: object) -> str | None:
    """The one symbol that an event is about."""
    if isinstance(event, Trades):
        return event.fills[0].symbol if event.fills else None
    return getattr(event, "symbol", None)


def _take(turn: Turn, event: object) -> None:
    match event:
        case MarketTick() as tick:
            _price(turn, tick)
        case EntryPlan() | ExitPlan() | MoveStopPlan() as plan:
            on_plan(turn, plan)
        case Looked() as looked:
            on_look(turn, looked)
        case Beat() as beat:
            on_beat(turn, beat)
        case Began() as began:
            on_began(turn, began)
        case ClockSet():
            on_clock_set(turn)
        case OrderInDoubt() as fact:
            on_in_doubt(turn, fact)
        case OrderAbsent() as fact:
            on_absent(turn, fact)
        case VenueHealth() as health:
            on_health(turn, health)
        case MarksSeen() as marks:
            on_marks(turn, marks)
        case _ if type(event) in FACTS:
            FACTS[type(event)](turn, event)


def _price(turn: Turn, tick: MarketTick) -> None:
    """Show the confirmed price in the position's record, as often as people can read it.

    A tick that is older than the record is late, unless the record has had no price for a while:
    then its own time was wrong.
    """
    position, now = turn.state.positions.get(tick.symbol), turn.now
    if position is None:
        return
    shown = position.shown_at
    shown_s = None if shown is None or shown > now else (now - shown).total_seconds()
    late = is_late(tick, position.updated_at, now)
    if late and shown_s is not None and shown_s < _PRICE_AGE_S:
        return
    waits = shown_s is not None and shown_s < turn.policy.price_every_s
    if waits and tick.recorded:
        return
    marks = position.marks or (position.current_price,) * 3
    marks = marks_after(marks, tick.mark_price, recorded=tick.recorded)
    heard_at = position.heard_at if tick.source == VENUE_SOURCE else now
    position = replace(position, marks=marks, updated_at=tick.timestamp, heard_at=heard_at)
    if waits:
        # Not shown yet, but the next price is confirmed by it.
        positions = {**turn.state.positions, tick.symbol: position}
        turn.state = replace(turn.state, positions=positions)
        return
    turn.keep(replace(position, current_price=confirmed(marks), shown_at=now))
