"""apply_layer: execute plans, keep every position protected, own the state of positions.

Reads apply.plan (EXECUTE only), what the venue tells, and market.tick for the prices in the
position record. Writes apply.result and `quantum:position:<SYMBOL>`, and asks the venue for
orders, each of them journalled before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.apply_layer.doubt import Beat, Began, on_absent, on_beat, on_began, on_in_doubt
from services.apply_layer.exchange import OrderAbsent, OrderInDoubt, VenueHealth
from services.apply_layer.facts import FACTS, on_health
from services.apply_layer.fills import protect_what_grew
from services.apply_layer.looked import Looked
from services.apply_layer.plans import on_plan
from services.apply_layer.protection import on_look
from services.apply_layer.state import Policy, State
from services.apply_layer.times import age_s
from services.apply_layer.turn import Turn
from services.apply_layer.venue_record import venue_record
from shared.contracts import EntryPlan, ExitPlan, MarketTick, MoveStopPlan
from shared.decisions import Received

#: How long a position's record goes without a price until a price of an older time is taken.
_PRICE_AGE_S = 10.0


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[object]]:
    """Decide one event: a plan, a fact of the venue, a look at it, or a price."""
    event = received.event
    if isinstance(event, MarketTick):
        return _price(state, received, event, policy)
    turn = Turn(state, policy, received.received_at, received.mode)
    match event:
        case EntryPlan() | ExitPlan() | MoveStopPlan() as plan:
            on_plan(turn, plan)
        case Looked() as looked:
            on_look(turn, looked)
        case Beat() as beat:
            on_beat(turn, beat)
        case Began() as began:
            on_began(turn, began)
        case OrderInDoubt() as fact:
            on_in_doubt(turn, fact)
        case OrderAbsent() as fact:
            on_absent(turn, fact)
        case VenueHealth() as health:
            on_health(turn, health)
        case _ if type(event) in FACTS:
            FACTS[type(event)](turn, event)
    protect_what_grew(turn)
    if (record := venue_record(turn.state)) != venue_record(state):
        turn.outputs.append(record)
    return turn.state, turn.outputs


def _price(
    state: State, received: Received[Any], tick: MarketTick, policy: Policy
) -> tuple[State, Sequence[object]]:
    """Show the price in the position's record, as often as people can read it.

    A tick that is older than the record is late, unless the record has had no price for a while:
    then its own time was wrong.
    """
    position = state.positions.get(tick.symbol)
    if position is None:
        return state, ()
    turn = Turn(state, policy, received.received_at, received.mode)
    shown = position.shown_at
    if shown is not None and shown <= turn.now and age_s(turn, shown) < policy.price_every_s:
        return state, ()
    late = tick.timestamp <= position.updated_at
    if late and shown is not None and age_s(turn, shown) < _PRICE_AGE_S:
        return state, ()
    turn.keep(
        replace(
            position,
            current_price=tick.mark_price,
            updated_at=tick.timestamp,
            shown_at=received.received_at,
        )
    )
    return turn.state, turn.outputs
