"""What apply_layer does about a plan: each is refused with a code or becomes journalled orders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from services.apply_layer.exchange import OrderType, PlaceOrder
from services.apply_layer.journal import (
    Cause,
    EntryTerms,
    Leg,
    Sent,
    client_order_id,
    may_protect_again,
    reducing,
)
from services.apply_layer.positions import Position
from services.apply_layer.times import age_s, out_of_time
from services.apply_layer.turn import Turn
from shared.contracts import EntryPlan, ExitPlan, MoveStopPlan
from shared.decisions import DeadLetter, Mode
from shared.formulas import (
    DEFAULT_LADDER,
    ceil_to_step,
    floor_to_step,
    is_tighter,
    target_qty,
)
from shared.repeats import remembered
from shared.sides import PositionSide

Plan = EntryPlan | ExitPlan | MoveStopPlan
_SHARES = {rung.name: rung.share for rung in DEFAULT_LADDER}


def on_plan(turn: Turn, plan: Plan) -> None:
    """Decide one plan, once: the same plan again changes nothing."""
    if plan.symbol not in turn.state.rules:
        detail = f"the venue does not list {plan.symbol}"
        turn.outputs.append(DeadLetter("symbol_not_listed", detail))
        return
    seen = remembered(turn.state.seen, symbol=plan.symbol, id_=plan.plan_id, message=plan)
    if seen is None:
        turn.note("repeated_plan", plan_id=plan.plan_id)
        return
    if isinstance(seen, DeadLetter):
        turn.outputs.append(seen)
        return
    turn.state = replace(turn.state, seen=seen)
    if turn.mode is Mode.HALT:
        _refuse(turn, plan, "mode_halt", "the mode is HALT: no order is sent")
    elif isinstance(plan, EntryPlan):
        _enter(turn, plan)
    else:
        _leave(turn, plan)


def _refuse(turn: Turn, plan: Plan, code: str, reason: str, status: str = "REJECTED") -> None:
    turn.refused(
        symbol=plan.symbol,
        plan_id=plan.plan_id,
        intent_id=plan.intent_id,
        side=plan.side,
        reduce_only=plan.reduceOnly,
        at=plan.timestamp,
        code=code,
        reason=reason,
        status=status,
    )


def _enter(turn: Turn, plan: EntryPlan) -> None:
    rules = turn.state.rules[plan.symbol]
    if turn.mode is not Mode.RUN:
        _refuse(turn, plan, "mode_exits_only", f"the mode is {turn.mode}")
    elif late := out_of_time(turn, plan.produced_at):
        code, reason = late
        status = "EXPIRED" if code == "stale_plan" else "REJECTED"
        _refuse(turn, plan, code, reason, status)
    elif plan.symbol in turn.state.positions:
        _refuse(turn, plan, "position_exists", "there is one position a symbol")
    elif plan.symbol in turn.state.left_alone:
        _refuse(turn, plan, "position_of_others", "it holds a position that is left alone")
    elif any(sent.doubt for sent in turn.orders_of(plan.symbol)):
        _refuse(turn, plan, "order_unknown", "an order in this symbol may have been executed")
    elif any(turn.orders_of(plan.symbol, Leg.ENTRY)):
        _refuse(turn, plan, "entry_in_flight", "an entry in this symbol has no outcome yet")
    elif plan.symbol in turn.state.unexplained:
        _refuse(turn, plan, "not_reconciled", "the venue states what its trades do not explain")
    elif turn.state.barriers:
        code, why = min(turn.state.barriers.items())
        _refuse(turn, plan, code, why)
    elif _forced_lately(turn, plan.symbol):
        _refuse(turn, plan, "closed_by_venue", "the venue forced a position closed here")
    elif plan.leverage > rules.max_leverage:
        _refuse(turn, plan, "leverage_out_of_bracket", f"at most {rules.max_leverage}")
    else:
        request = PlaceOrder(
            client_order_id=client_order_id(plan.plan_id, Leg.ENTRY, 1),
            symbol=plan.symbol,
            side=plan.side,
            type=OrderType.MARKET,
            qty=plan.qty,
            reduce_only=False,
            at=plan.timestamp,
            leverage=plan.leverage,
        )
        targets = (plan.take_profit, plan.take_profit_2, plan.take_profit_3)
        turn.send(
            Sent(
                request=request,
                leg=Leg.ENTRY,
                action=plan.action,
                plan_id=plan.plan_id,
                intent_id=plan.intent_id,
                produced_at=plan.produced_at,
                terms=EntryTerms(plan.stop_loss, targets),
            )
        )


def _forced_lately(turn: Turn, symbol: str) -> bool:
    at = turn.state.forced.get(symbol)
    return at is not None and age_s(turn, at) < turn.policy.no_reentry_s


def _leave(turn: Turn, plan: ExitPlan | MoveStopPlan) -> None:
    position = turn.state.positions.get(plan.symbol)
    if position is None or position.position_id != plan.position_id:
        _refuse(turn, plan, "no_such_position", f"{plan.position_id} is not open")
    elif plan.side is not position.side.exit:
        _refuse(turn, plan, "wrong_side", f"a {position.side} is reduced by {position.side.exit}")
    elif isinstance(plan, MoveStopPlan):
        _move_stop(turn, plan, position)
    elif any(turn.orders_of(plan.symbol, Leg.EXIT, Leg.FLATTEN)):
        _refuse(turn, plan, "exit_in_flight", "an exit of this position has no outcome yet")
    else:
        _reduce(turn, plan, position)


def _reduce(turn: Turn, plan: ExitPlan, position: Position) -> None:
    """Close what the plan asks for, never more than its rung has left, in slices that fit."""
    rules = turn.state.rules[plan.symbol]
    qty = position.qty
    if plan.action in _SHARES:
        rung_target = target_qty(_SHARES[plan.action], position.initial_qty, rules.lot_step)
        qty = min(plan.qty, qty, rung_target - position.harvested_qty)
        qty = floor_to_step(max(qty, Decimal(0)), rules.lot_step)
    if qty <= 0:
        reason = f"{position.harvested_qty} of {position.initial_qty} is harvested already"
        _refuse(turn, plan, "already_harvested", reason)
        return
    for number, part in enumerate(slices(qty, rules.max_qty), start=1):
        turn.send(reducing(position, Leg.EXIT, _cause(plan), number=number, qty=part))


def _cause(plan: ExitPlan | MoveStopPlan) -> Cause:
    return Cause(plan.plan_id, plan.intent_id, plan.action, plan.timestamp, plan.produced_at)


def own_cause(turn: Turn, position: Position, action: str) -> Cause:
    """What a position does for its own protection, in the name of the plan that opened it."""
    return Cause(position.plan_id, position.intent_id, action, position.updated_at, turn.now)


def slices(qty: Decimal, max_qty: Decimal) -> Iterator[Decimal]:
    """Cut a quantity into orders that the venue takes."""
    while qty > 0:
        part = min(qty, max_qty)
        yield part
        qty -= part


def _move_stop(turn: Turn, plan: MoveStopPlan, position: Position) -> None:
    """Place the new stop; the old one is withdrawn once the new one stands."""
    tick = turn.state.rules[plan.symbol].tick_size
    # Rounded away from the mark: a tick less tight, never a tick past what was asked for.
    onto_tick = floor_to_step if position.side is PositionSide.LONG else ceil_to_step
    stop_loss = onto_tick(plan.stop_loss, tick)
    current = position.stop_loss or position.wanted_stop
    if not is_tighter(position.side, stop_loss, current):
        _refuse(turn, plan, "stop_not_tighter", f"it stands at {current}")
    elif any(sent for sent in turn.orders_of(plan.symbol, Leg.STOP) if not sent.accepted):
        _refuse(turn, plan, "stop_in_flight", "a stop of this position has no outcome yet")
    elif position.qty > turn.state.rules[plan.symbol].max_qty:
        # The venue holds one such stop, so the old one would have to go first.
        _refuse(turn, plan, "stop_cannot_move", "it closes more than one order may hold")
    else:
        send_stop(turn, position, stop_loss, plan=plan)


def send_stop(
    turn: Turn, position: Position, stop_loss: Decimal, *, plan: MoveStopPlan | None = None
) -> None:
    """Journal and place a stop for the whole position, for a plan or to protect what is naked.

    A stop names the whole quantity: several may stand, so that the new one is placed before the
    old one goes, and after a partial close it still covers what is left. Only a position larger
    than one order may be gets a stop that closes whatever is held, of which the venue takes one.
    """
    number = position.protective_orders + 1
    turn.keep(replace(position, protective_orders=number))
    cause = _cause(plan) if plan else own_cause(turn, position, "PROTECT")
    turn.send(
        reducing(
            position,
            Leg.STOP,
            cause,
            number=number,
            qty=position.qty,
            trigger_price=stop_loss,
            close_position=position.qty > turn.state.rules[position.symbol].max_qty,
        )
    )


def flatten(turn: Turn, position: Position, reason: str) -> None:
    """Close a position that cannot have a stop, at the market, now."""
    standing = list(turn.orders_of(position.symbol, Leg.FLATTEN))
    if standing and not may_protect_again(standing):
        return
    turn.note(
        "flatten", "error", symbol=position.symbol, position_id=position.position_id, reason=reason
    )
    cause = own_cause(turn, position, "FLATTEN")
    number = position.protective_orders
    for part in slices(position.qty, turn.state.rules[position.symbol].max_qty):
        number += 1
        turn.send(reducing(position, Leg.FLATTEN, cause, number=number, qty=part))
    turn.keep(replace(position, protective_orders=number))
