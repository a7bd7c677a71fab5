"""What apply_layer makes of the venue's facts: fills become positions, positions get their stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.apply_layer.exchange import (
    CancelOrder,
    FundingPaid,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderRejected,
)
from services.apply_layer.journal import Leg, Sent, reducing
from services.apply_layer.plans import flatten, own_cause, send_stop
from services.apply_layer.positions import (
    Position,
    added_to,
    exposed,
    protected,
    reduced_by,
)
from services.apply_layer.turn import TakeProfitMode, Turn
from shared.formulas import floor_to_step, harvest_scheme

_PRICE_IS_PAST_THE_STOP = (-2021, -4142)
_UNKNOWN_ORDER = -2011
_ID_IS_OPEN = -4116
#: How an order ends that the venue has nothing against.
_WITHDRAWN = ("cancelled", "expired")


def on_accepted(turn: Turn, fact: OrderAccepted) -> None:
    """An order stands. A stop that stands replaces the one before it, which is then withdrawn."""
    sent = turn.state.orders.get(fact.client_order_id)
    if sent is None:
        return
    sent = replace(sent, accepted=True, order_id=fact.order_id)
    turn.journal(sent)
    if sent.leg is not Leg.STOP:
        return
    position = turn.state.positions.get(fact.symbol)
    if position is None:
        if sent.action == "MOVE_STOP":
            _say(turn, sent, at=fact.at, code="no_such_position", reason="it ended meanwhile")
        withdraw(turn, sent)
        return
    for older in turn.orders_of(fact.symbol, Leg.STOP):
        if older.accepted and older.request.client_order_id != fact.client_order_id:
            withdraw(turn, older)
    trigger = sent.request.trigger_price or position.wanted_stop
    position = protected(position, fact.client_order_id, trigger, turn.now)
    turn.keep(position)
    turn.stop_moved(position, sent, fact.at)


def withdraw(turn: Turn, sent: Sent) -> None:
    """Ask the venue to cancel an order."""
    request = sent.request
    turn.outputs.append(CancelOrder(request.client_order_id, request.symbol, request.at))


def on_filled(turn: Turn, fact: OrderFilled) -> None:
    """One trade: the position after it, what is published of it, and what it makes necessary."""
    sent = turn.state.orders.get(fact.client_order_id)
    if sent is not None and fact.done:
        turn.forget(fact.client_order_id)
    position = turn.state.positions.get(fact.symbol)
    adds = position is None or fact.side is position.side.entry
    if sent is not None and sent.leg is Leg.ENTRY and adds:
        _entered(turn, fact, sent)
        return
    if position is None:
        turn.note("fill_without_position", "error", symbol=fact.symbol, trade_id=fact.trade_id)
        return
    if adds:
        _grown(turn, fact, position, sent)
        return
    harvest = sent is not None and (
        sent.leg is Leg.TARGET or (sent.leg is Leg.EXIT and sent.action.startswith("PARTIAL"))
    )
    position = reduced_by(position, fact, harvest=harvest)
    if not position.qty:
        position = replace(position, stop_loss=None, stop_order=None)
    turn.keep(position)
    turn.filled(fact, _status(turn, fact, sent), position, sent)
    if not position.qty:
        for left in turn.orders_of(fact.symbol):
            withdraw(turn, left)


def _grown(turn: Turn, fact: OrderFilled, position: Position, sent: Sent | None) -> None:
    """Somebody else has added to the position; its stop has to cover that as well."""
    position = added_to(position, fact)
    turn.keep(position)
    turn.filled(fact, "FILLED" if fact.done else "PARTIALLY_FILLED", position, sent)
    send_stop(turn, position, position.wanted_stop)


def _status(turn: Turn, fact: OrderFilled, sent: Sent | None) -> str:
    if fact.liquidation:
        return "LIQUIDATED"
    if sent is not None and sent.leg is Leg.STOP:
        return "STOPPED_OUT"
    more = sent is not None and any(
        other.plan_id == sent.plan_id for other in turn.orders_of(fact.symbol, sent.leg)
    )
    return "FILLED" if fact.done and not more else "PARTIALLY_FILLED"


def _entered(turn: Turn, fact: OrderFilled, sent: Sent) -> None:
    position = turn.state.positions.get(fact.symbol)
    position = _opened(fact, sent) if position is None else added_to(position, fact)
    position = replace(position, unprotected_since=position.unprotected_since or turn.now)
    turn.keep(position)
    turn.filled(fact, "FILLED" if fact.done else "PARTIALLY_FILLED", position, sent)
    send_stop(turn, position, position.wanted_stop)
    if fact.done and turn.policy.take_profit_mode is not TakeProfitMode.HARVEST:
        _send_targets(turn, turn.state.positions[fact.symbol])


def _opened(fact: OrderFilled, sent: Sent) -> Position:
    if sent.terms is None:
        raise ValueError(f"the entry {fact.client_order_id} was journalled without its terms")
    side = fact.side.position
    stop = sent.terms.stop_loss
    # A gap may fill the entry past its own stop; there is then no risk to measure R in.
    meaningful = side.sign * (fact.price - stop) > 0
    trade = fact.trade_id.rpartition("-")[2]
    return Position(
        # The trade tells apart two positions that were opened at the same mark.
        position_id=f"{fact.symbol}-{int(fact.at.timestamp() * 1000)}-{trade}",
        plan_id=sent.plan_id,
        intent_id=sent.intent_id,
        symbol=fact.symbol,
        side=side,
        qty=fact.qty,
        initial_qty=fact.qty,
        entry_price=fact.price,
        leverage=sent.request.leverage,
        opened_at=fact.at,
        updated_at=fact.at,
        current_price=fact.price,
        initial_stop=stop if meaningful else None,
        wanted_stop=stop,
        targets=sent.terms.targets,
        fees=fact.fee,
        realized_pnl=fact.realized_pnl,
    )


def _send_targets(turn: Turn, position: Position) -> None:
    """Rest the targets: one for all of it, or three by the harvest scheme."""
    shares: tuple[Decimal, ...] = (Decimal(1),)
    if turn.policy.take_profit_mode is TakeProfitMode.SCHEME:
        shares = harvest_scheme(position.leverage)
    step = turn.state.rules[position.symbol].lot_step
    cause = own_cause(turn, position, "TARGET")
    left = position.qty
    for number, (share, price) in enumerate(zip(shares, position.targets, strict=False), start=1):
        last = number == len(shares)
        qty = left if last else floor_to_step(share * position.qty, step)
        left -= qty
        if price is not None and qty > 0:
            turn.send(
                reducing(position, Leg.TARGET, cause, number=number, qty=qty, trigger_price=price)
            )


def on_rejected(turn: Turn, fact: OrderRejected) -> None:
    """The venue refused: say so, and never leave a position naked for it."""
    sent = turn.state.orders.get(fact.client_order_id)
    if sent is None:
        turn.note("rejected", "warning", symbol=fact.symbol, code=fact.code, reason=fact.reason)
        return
    if fact.code == _ID_IS_OPEN:
        # An earlier attempt succeeded: the next look finds the order and takes it for accepted.
        turn.note("stands_already", "warning", symbol=fact.symbol, leg=sent.leg.name)
        return
    turn.forget(fact.client_order_id)
    if fact.code == _UNKNOWN_ORDER and sent.accepted:
        return
    if sent.leg in (Leg.ENTRY, Leg.EXIT) or sent.action == "MOVE_STOP":
        refuse(turn, sent, at=fact.at, code=str(fact.code), reason=fact.reason)
    else:
        turn.note(
            "rejected", "error", symbol=fact.symbol, leg=sent.leg.name, code=fact.code,
            reason=fact.reason,
        )  # fmt: skip
    position = turn.state.positions.get(fact.symbol)
    if position and sent.leg is Leg.STOP and fact.code in _PRICE_IS_PAST_THE_STOP:
        flatten(turn, position, "the price is already past the stop")


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
    _say(turn, sent, at=at, code=code, reason=reason, status=status)


def _say(
    turn: Turn, sent: Sent, *, at: datetime, code: str, reason: str, status: str = "REJECTED"
) -> None:
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


def on_ended(turn: Turn, fact: OrderEnded) -> None:
    """An order is gone without a fill; a position whose stop went is protected again at once."""
    sent = turn.state.orders.get(fact.client_order_id)
    if sent is None:
        return
    turn.forget(fact.client_order_id)
    if sent.leg in (Leg.ENTRY, Leg.EXIT):
        status = "EXPIRED" if fact.reason in _WITHDRAWN else "REJECTED"
        refuse(turn, sent, at=fact.at, code=fact.reason, reason="the order ended", status=status)
    position = turn.state.positions.get(fact.symbol)
    if position and position.stop_order == fact.client_order_id:
        position = exposed(position, turn.now)
        turn.keep(position)
        send_stop(turn, position, position.wanted_stop)


def on_funding(turn: Turn, fact: FundingPaid) -> None:
    """Funding settled: part of the position's story, and of the wallet."""
    position = turn.state.positions.get(fact.symbol)
    if position is not None:
        turn.keep(replace(position, funding=position.funding + fact.amount))
        turn.note("funding", symbol=fact.symbol, amount=fact.amount)


FACTS: dict[type, Callable[[Turn, Any], None]] = {
    OrderAccepted: on_accepted,
    OrderFilled: on_filled,
    OrderRejected: on_rejected,
    OrderEnded: on_ended,
    FundingPaid: on_funding,
}
