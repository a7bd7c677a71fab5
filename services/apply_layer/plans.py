"""What apply_layer does about a plan: each is refused with a code or becomes journalled orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from services.apply_layer.exchange import OrderType, PlaceOrder
from services.apply_layer.journal import EntryTerms, Leg, Sent, client_order_id, reducing
from services.apply_layer.limits import guard_of
from services.apply_layer.positions import Position
from services.apply_layer.refusals import may_send, refusal_of
from services.apply_layer.sendings import cause_of, send_stop, slices, withdraw
from services.apply_layer.times import age_s, out_of_time
from services.apply_layer.turn import Turn
from services.apply_layer.venue_record import barriers_of
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
    against = _against_entry(turn, plan)
    if against is not None:
        code, reason = against
        status = "EXPIRED" if code == "stale_plan" else "REJECTED"
        _refuse(turn, plan, code, reason, status)
        return
    request = PlaceOrder(
        client_order_id=client_order_id(plan.plan_id, Leg.ENTRY, 1),
        symbol=plan.symbol,
        side=plan.side,
        type=OrderType.MARKET,
        qty=plan.qty,
        reduce_only=False,
        at=plan.timestamp,
        leverage=plan.leverage,
        guard=guard_of(plan, turn.policy.max_price_deviation),
    )
    targets = (plan.take_profit, plan.take_profit_2, plan.take_profit_3)
    cap = plan.max_notional or plan.qty * plan.entry_price
    turn.send(
        Sent(
            request=request,
            leg=Leg.ENTRY,
            action=plan.action,
            plan_id=plan.plan_id,
            intent_id=plan.intent_id,
            produced_at=plan.produced_at,
            terms=EntryTerms(plan.stop_loss, targets, cap),
        )
    )


def _against_entry(turn: Turn, plan: EntryPlan) -> tuple[str, str] | None:
    """The first reason, with its code, why a plan may not open anything now."""
    if turn.mode is not Mode.RUN:
        return "mode_exits_only", f"the mode is {turn.mode}"
    return (
        out_of_time(turn, plan.produced_at)
        or _against_symbol(turn, plan)
        or min(barriers_of(turn.state).items(), default=None)
        or _against_venue_s_limits(turn, plan)
    )


def _against_symbol(turn: Turn, plan: EntryPlan) -> tuple[str, str] | None:
    """Why this symbol takes no entry as it stands."""
    symbol = plan.symbol
    if (found := turn.state.quarantine.get(symbol)) is not None:
        return "symbol_quarantined", f"{found.code} {found.reason}"
    if symbol in turn.state.positions:
        return "position_exists", "there is one position a symbol"
    if symbol in turn.state.left_alone:
        return "position_of_others", "it holds a position that is left alone"
    if any(sent.doubt for sent in turn.orders_of(symbol)):
        return "order_unknown", "an order in this symbol may have been executed"
    if any(turn.orders_of(symbol, Leg.ENTRY)):
        return "entry_in_flight", "an entry in this symbol has no outcome yet"
    if symbol in turn.state.unexplained:
        return "not_reconciled", "the venue states what its trades do not explain"
    return None


def _against_venue_s_limits(turn: Turn, plan: EntryPlan) -> tuple[str, str] | None:
    """What the venue would refuse, or has refused lately."""
    rules = turn.state.rules[plan.symbol]
    if _forced_lately(turn, plan.symbol):
        return "closed_by_venue", "the venue forced a position closed here"
    if plan.leverage > rules.max_leverage:
        return "leverage_out_of_bracket", f"at most {rules.max_leverage}"
    if not may_send(turn, Leg.ENTRY, plan.symbol):
        refused = refusal_of(turn, Leg.ENTRY, plan.symbol)
        return "refused_lately", f"{refused.code} {refused.reason}" if refused else ""
    return None


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
    elif waiting := _still_waited_for(turn, plan.symbol):
        name, until = waiting
        _refuse(turn, plan, "exit_in_flight", f"{name} has waited for until {until}")
    else:
        _reduce(turn, plan, position)


def _still_waited_for(turn: Turn, symbol: str) -> tuple[str, str] | None:
    """An exit that may still come to its outcome soon, and until when the next one waits for it."""
    limit_s = float(turn.policy.exit_limit_s)
    for sent in turn.orders_of(symbol, Leg.EXIT, Leg.FLATTEN):
        sent_at = sent.request.sent_at
        if sent_at is not None and age_s(turn, sent_at) < limit_s:
            until = (sent_at + timedelta(seconds=limit_s)).isoformat(timespec="seconds")
            return sent.request.client_order_id, until
    return None


def _reduce(turn: Turn, plan: ExitPlan, position: Position) -> None:
    """Close what the plan asks for, never more than its rung has left, in slices that fit.

    Exits before it that have been waited for long enough are superseded: those that rest are
    withdrawn, and what any of them may still fill is not sold again for a rung. A full close is for
    all that is held: reduce-only, it takes what the others leave.
    """
    rules = turn.state.rules[plan.symbol]
    stuck = list(turn.orders_of(plan.symbol, Leg.EXIT, Leg.FLATTEN))
    qty = position.qty
    if plan.action in _SHARES:
        pending = sum((s.request.qty - s.filled_qty for s in stuck), Decimal(0))
        rung_target = target_qty(_SHARES[plan.action], position.initial_qty, rules.lot_step)
        left = min(qty, rung_target - position.harvested_qty) - pending
        qty = floor_to_step(max(min(plan.qty, left), Decimal(0)), rules.lot_step)
    if qty <= 0 and stuck:
        reason = "what it asks for may still be filled by the exit before it"
        _refuse(turn, plan, "exit_in_flight", reason)
        return
    if qty <= 0:
        reason = f"{position.harvested_qty} of {position.initial_qty} is harvested already"
        _refuse(turn, plan, "already_harvested", reason)
        return
    for sent in stuck:
        turn.note(
            "exit_superseded", "error", symbol=plan.symbol, plan_id=sent.plan_id, by=plan.plan_id
        )
        turn.journal(replace(sent, superseded=True))
        if sent.accepted:
            withdraw(turn, sent)
    for number, part in enumerate(slices(qty, rules.max_qty), start=1):
        turn.send(reducing(position, Leg.EXIT, cause_of(plan), number=number, qty=part))


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
