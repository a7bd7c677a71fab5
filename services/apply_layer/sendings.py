"""The orders that a position needs for its own protection, journalled and sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from services.apply_layer.exchange import CancelOrder, OrderType
from services.apply_layer.journal import Cause, Leg, Sent, may_protect_again, reducing
from services.apply_layer.positions import Position
from services.apply_layer.refusals import may_send
from services.apply_layer.turn import Turn
from shared.contracts import ExitPlan, MoveStopPlan


def cause_of(plan: ExitPlan | MoveStopPlan) -> Cause:
    """What a plan's orders are sent for."""
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


def withdraw(turn: Turn, sent: Sent) -> None:
    """Ask the venue to cancel an order."""
    request = sent.request
    conditional = request.type is not OrderType.MARKET
    turn.outputs.append(
        CancelOrder(request.client_order_id, request.symbol, request.at, conditional)
    )


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
    cause = cause_of(plan) if plan else own_cause(turn, position, "PROTECT")
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
    """Close a position that cannot have a stop, at the market, as soon as the venue takes it."""
    if not may_send(turn, Leg.FLATTEN, position.symbol):
        return
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
