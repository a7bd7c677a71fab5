"""Orders in doubt: nobody may send again what may have been executed, until there is proof.

A doubt ends in one of two ways, and the proof is kept in the state: the venue shows the order
(its acceptance, a trade of it, its end), or it knows nothing of it at two times that are late
enough and far enough apart. An order carries the moment that it was journalled, and the venue takes
it only within the receive window after that, so an answer after the window is final.

What only protects (a stop, a forced close) does not wait for proof: it is reduce-only, so that a
second one does no harm, while none may.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from services.apply_layer.exchange import AskOrder, LookAgain, OrderAbsent, OrderInDoubt, OrderType
from services.apply_layer.journal import Doubt, Leg, Sent
from services.apply_layer.outcomes import asked_for, refuse, send_or_refuse
from services.apply_layer.stops_barred import prove_stops
from services.apply_layer.turn import Turn

#: Questions asked in one beat: each costs the venue's budget.
_ASKED_MAX = 20


@dataclass(frozen=True, slots=True)
class Beat:
    """A second has passed; for what is due by the clock and not by any news."""


@dataclass(frozen=True, slots=True)
class Began:
    """A venue whose answers may be late is seen again, after a start of the daemon or an outage."""

    after_start: bool = False


def on_beat(turn: Turn, _beat: Beat) -> None:
    """Ask after every order in doubt, and look at whatever is not settled."""
    unsettled = {symbol for symbol, p in turn.state.positions.items() if p.stop_order is None}
    unsettled |= turn.state.unexplained.keys() | turn.state.late.keys()
    asked = 0
    for sent in turn.state.orders.values():
        if sent.doubt is not None and asked < _ASKED_MAX:
            asked += 1
            ask(turn, sent)
        if sent.doubt is not None or (sent.accepted and sent.request.type is OrderType.MARKET):
            unsettled.add(sent.request.symbol)
    if unsettled:
        turn.outputs.append(LookAgain(frozenset(unsettled)))
    prove_stops(turn)


def ask(turn: Turn, sent: Sent) -> None:
    """Ask the venue what became of an order."""
    request = sent.request
    conditional = request.type is not OrderType.MARKET
    turn.outputs.append(
        AskOrder(request.client_order_id, request.symbol, conditional, request.at, turn.now)
    )


def on_began(turn: Turn, began: Began) -> None:
    """What was journalled and has no answer may have been sent, or not; said before any news.

    How long the daemon was down nobody knows for certain, so a start begins every count anew.
    """
    if began.after_start:
        turn.state = replace(turn.state, unexplained={})
    for sent in tuple(turn.state.orders.values()):
        if sent.doubt is not None and began.after_start:
            doubt = replace(sent.doubt, since=turn.now, absent_at=())
            turn.journal(replace(sent, doubt=doubt))
        if not sent.accepted and sent.doubt is None:
            _doubt(turn, sent, "no answer was recorded", unlikely=False)


def on_clock_set(turn: Turn) -> None:
    """The clock was put right: nobody knows how old a doubt is, so its count begins anew."""
    turn.state = replace(turn.state, unexplained={})
    for sent in tuple(turn.state.orders.values()):
        if sent.doubt is not None:
            turn.journal(replace(sent, doubt=replace(sent.doubt, since=turn.now, absent_at=())))


def on_in_doubt(turn: Turn, fact: OrderInDoubt) -> None:
    """Remember the doubt and ask at once: to be found, an order need not be old."""
    sent = turn.state.orders.get(fact.client_order_id)
    if sent is None or sent.accepted:
        return
    if sent.doubt is None:
        _doubt(turn, sent, fact.reason, unlikely=fact.unlikely)
    turn.outputs.append(LookAgain(frozenset((fact.symbol,))))


def _doubt(turn: Turn, sent: Sent, reason: str, *, unlikely: bool) -> None:
    doubt = Doubt(turn.now, reason, proofs_needed=1 if unlikely else 2)
    sent = replace(sent, doubt=doubt)
    turn.journal(sent)
    turn.note(
        "order_unknown", "error", symbol=sent.request.symbol, leg=sent.leg.name, reason=reason,
        client_order_id=sent.request.client_order_id, plan_id=sent.plan_id,
    )  # fmt: skip
    ask(turn, sent)


def on_absent(turn: Turn, fact: OrderAbsent) -> None:
    """The venue knows nothing of an order; enough of that, late enough, is proof."""
    sent = turn.state.orders.get(fact.client_order_id)
    if sent is None:
        return
    if sent.doubt is None:
        # It was accepted once; that the venue denies it now has to be as certain as the rest.
        _doubt(turn, sent, "the venue no longer knows it", unlikely=False)
        return
    doubt = replace(sent.doubt, not_found=sent.doubt.not_found + 1)
    if _counts(turn, doubt, fact.asked_at):
        doubt = replace(doubt, absent_at=(*doubt.absent_at, turn.now))
    sent = replace(sent, doubt=doubt)
    turn.journal(sent)
    if len(doubt.absent_at) < doubt.proofs_needed or _might_stand(turn, sent):
        return
    turn.proved(sent, "absent", f"asked {doubt.not_found} times, in no book, history or trade")
    sent = replace(sent, doubt=None)
    if sent.accepted and asked_for(sent):
        refuse(turn, sent, at=fact.at, code="order_lost", reason="accepted, then denied")
    elif sent.leg in (Leg.ENTRY, Leg.EXIT, Leg.TARGET):
        send_or_refuse(turn, sent, fact.at)
    elif sent.action == "MOVE_STOP":
        refuse(turn, sent, at=fact.at, code="not_executed", reason="it never reached the venue")
    else:
        # What protects is judged anew at the next look, which is due now.
        turn.forget(sent.request.client_order_id)
        turn.outputs.append(LookAgain(frozenset((fact.symbol,))))


def _might_stand(turn: Turn, sent: Sent) -> bool:
    """Whether this is an accepted stop of a position that has no other one.

    No denial proves its end as long as the venue may deny every stop that there is.
    """
    position = turn.state.positions.get(sent.request.symbol)
    if position is None or not sent.accepted or sent.leg is not Leg.STOP:
        return False
    return position.stop_order in (None, sent.request.client_order_id)


def _counts(turn: Turn, doubt: Doubt, asked_at: datetime | None) -> bool:
    """Whether a question was asked late enough for its answer to say anything."""
    if asked_at is None or asked_at < doubt.since + _seconds(turn.policy.doubt_first_s):
        return False
    last: datetime | None = doubt.absent_at[-1] if doubt.absent_at else None
    return last is None or asked_at >= last + _seconds(turn.policy.doubt_again_s)


def _seconds(amount: Decimal) -> timedelta:
    return timedelta(seconds=float(amount))
