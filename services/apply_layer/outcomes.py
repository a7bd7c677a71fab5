"""How an order that was not executed ends: refused with a code, sent again, or in smaller parts."""

from __future__ import annotations

from datetime import datetime

from services.apply_layer.journal import Cause, Leg, Sent, reducing
from services.apply_layer.times import out_of_time
from services.apply_layer.turn import Turn
from shared.decisions import Mode
from shared.formulas import floor_to_step

#: An order cut in two gets two numbers made from its own; twice is enough.
_CUT_BELOW, _CUT_FACTOR = 10_000, 100


def refuse(
    turn: Turn, sent: Sent, *, at: datetime, code: str, reason: str, status: str = "REJECTED"
) -> None:
    """Say that an order came to nothing; of a plan in slices the last one says it, once."""
    turn.forget(sent.request.client_order_id)
    symbol = sent.request.symbol
    if any(other.plan_id == sent.plan_id for other in turn.orders_of(symbol, sent.leg)):
        turn.note(
            "slice_refused", "warning", symbol=symbol, plan_id=sent.plan_id, code=code,
            reason=reason,
        )  # fmt: skip
        return
    say_refused(turn, sent, at=at, code=code, reason=reason, status=status)


def say_refused(
    turn: Turn, sent: Sent, *, at: datetime, code: str, reason: str, status: str = "REJECTED"
) -> None:
    """Publish that the plan behind an order came to nothing."""
    turn.refused(
        symbol=sent.request.symbol,
        plan_id=sent.plan_id,
        intent_id=sent.intent_id,
        side=sent.request.side,
        reduce_only=sent.request.reduce_only,
        at=at,
        code=code,
        reason=reason,
        status=status,
    )


def send_or_refuse(turn: Turn, sent: Sent, at: datetime) -> None:
    """What the venue certainly does not have is sent now, or told to have come to nothing."""
    why = _why_not_now(turn, sent)
    if why is None:
        turn.note("sent_again", plan_id=sent.plan_id, leg=sent.leg.name)
        turn.send(sent)
    elif asked_for(sent):
        code, reason = why
        status = "EXPIRED" if code == "stale_plan" else "REJECTED"
        reason = f"it never reached the venue: {reason}"
        at = max(sent.request.at, at)
        refuse(turn, sent, at=at, code=code, reason=reason, status=status)
    else:
        turn.forget(sent.request.client_order_id)


def asked_for(sent: Sent) -> bool:
    """Whether a plan waits for this order's outcome; what only protects has none of its own."""
    return sent.leg in (Leg.ENTRY, Leg.EXIT) or sent.action == "MOVE_STOP"


def _why_not_now(turn: Turn, sent: Sent) -> tuple[str, str] | None:
    """Why an order must not leave any more; what protects an open position always may."""
    if sent.leg is Leg.ENTRY:
        if turn.mode is not Mode.RUN:
            return f"mode_{turn.mode.lower()}", f"the mode is {turn.mode}"
        return out_of_time(turn, sent.produced_at)
    if sent.superseded:
        return "superseded", "a later exit took its place"
    if sent.request.symbol not in turn.state.positions:
        return "no_such_position", "the position is closed"
    if asked_for(sent) and turn.mode is Mode.HALT:
        return "mode_halt", "the mode is HALT"
    return None


def send_halves(turn: Turn, sent: Sent) -> bool:
    """Send an exit that is too much at once in two parts; False where it cannot be cut further."""
    request = sent.request
    rules = turn.state.rules[request.symbol]
    position = turn.state.positions.get(request.symbol)
    number = int(request.client_order_id[1:].partition("-")[0])
    half = floor_to_step(request.qty / 2, rules.lot_step)
    if position is None or number >= _CUT_BELOW or half < max(rules.min_qty, rules.lot_step):
        return False
    turn.forget(request.client_order_id)
    turn.note("cut_in_two", "error", symbol=request.symbol, plan_id=sent.plan_id, qty=request.qty)
    cause = Cause(sent.plan_id, sent.intent_id, sent.action, request.at, sent.produced_at)
    for part, qty in enumerate((half, request.qty - half), start=1):
        parts_number = number * _CUT_FACTOR + part
        turn.send(reducing(position, sent.leg, cause, number=parts_number, qty=qty))
    return True
