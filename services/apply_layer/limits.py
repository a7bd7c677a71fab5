"""What a position may be worth and where its stop must be: checked at sending and after each fill.

An entry is guarded by the venue's own mark at the moment of sending. What is held afterwards may
still be more than the plan's cap, because a fill may be far from every mark; the excess is closed
at once. A stop that would fire only after liquidation is placed before it.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from services.apply_layer.exchange import EntryGuard
from services.apply_layer.journal import Leg, reducing
from services.apply_layer.positions import ZERO, Position
from services.apply_layer.sendings import own_cause, slices
from services.apply_layer.turn import Turn
from shared.contracts import EntryPlan
from shared.formulas import (
    ceil_to_step,
    floor_to_step,
    liquidation_price,
    stop_before_liquidation,
)
from shared.sides import PositionSide


def guard_of(plan: EntryPlan, max_price_deviation: Decimal) -> EntryGuard:
    """The plan's cap is for its own price; as far as the mark may differ, the worth may, too."""
    cap = plan.max_notional or plan.qty * plan.entry_price
    most = cap * (1 + max_price_deviation)
    return EntryGuard(plan.entry_price, max_price_deviation, most)


def safe_stop(turn: Turn, position: Position, stop: Decimal) -> Decimal:
    """The stop, or the price on the tick at which it fires before liquidation."""
    rules = turn.state.rules[position.symbol]
    liquidation = position.liquidation_price or liquidation_price(
        position.entry_price, position.side, position.leverage, rules.maintenance_margin_rate
    )
    if position.side.sign * (position.current_price - liquidation) <= 0:
        # It is held all the same: it has another margin than its own, and another liquidation.
        return stop
    safe = stop_before_liquidation(
        stop, side=position.side, entry_price=position.entry_price, liquidation=liquidation
    )
    if safe == stop:
        return stop
    # Towards the entry, so that rounding does not bring it back to where it was.
    onto_tick = ceil_to_step if position.side is PositionSide.LONG else floor_to_step
    safe = onto_tick(safe, rules.tick_size)
    return safe if position.side.sign * (position.entry_price - safe) > 0 else stop


def reduce_to_cap(turn: Turn, position: Position) -> None:
    """Close what is held beyond the plan's cap, by the price that was paid; say so."""
    excess = _excess(turn, position)
    if not excess or any(turn.orders_of(position.symbol, Leg.EXIT, Leg.FLATTEN)):
        return
    worth = position.qty * position.entry_price
    words = f"{worth:f} was opened, the plan allows {position.max_notional:f}: reduced to that"
    over_cap = {**turn.state.over_cap, position.symbol: words}
    turn.state = replace(turn.state, over_cap=over_cap)
    turn.note(
        "over_cap", "error", symbol=position.symbol, position_id=position.position_id,
        plan_id=position.plan_id, worth=worth, allowed=position.max_notional, closing=excess,
    )  # fmt: skip
    cause = own_cause(turn, position, "REDUCE_TO_CAP")
    number = position.protective_orders
    for part in slices(excess, turn.state.rules[position.symbol].max_qty):
        number += 1
        turn.send(reducing(position, Leg.FLATTEN, cause, number=number, qty=part))
    turn.keep(replace(position, protective_orders=number))


def _excess(turn: Turn, position: Position) -> Decimal:
    """What has to go; nothing as long as the worth differs by no more than prices may."""
    cap = position.max_notional
    if cap is None:
        return ZERO
    if position.qty * position.entry_price <= cap * (1 + turn.policy.max_price_deviation):
        return ZERO
    step = turn.state.rules[position.symbol].lot_step
    return position.qty - floor_to_step(cap / position.entry_price, step)
