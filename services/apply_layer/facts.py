"""What apply_layer makes of the venue's facts about orders and about the account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.apply_layer.adoption import on_past_known
from services.apply_layer.exchange import (
    FundingPaid,
    LookAgain,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderRejected,
    PastKnown,
    Quarantined,
    Trades,
    VenueHealth,
)
from services.apply_layer.fills import on_filled, on_trades
from services.apply_layer.journal import Leg, Sent
from services.apply_layer.outcomes import (
    asked_for,
    refuse,
    say_refused,
    send_halves,
    send_or_refuse,
)
from services.apply_layer.positions import Position, exposed, protected
from services.apply_layer.refusals import (
    forget_states_that_changed,
    note_refusal,
    note_success,
)
from services.apply_layer.sendings import flatten, send_stop, withdraw
from services.apply_layer.state import INCONSISTENT
from services.apply_layer.stops_barred import on_probe_refused, on_stop_accepted
from services.apply_layer.turn import Turn
from shared.streams import STARTING

_PRICE_IS_PAST_THE_STOP = (-2021, -4142)
_CLOCKS_DIFFER = (-1021, -5028)
#: A market order would move the price too far, or the price is outside its band.
_TOO_MUCH_AT_ONCE = (-4131, -4016, -4024)
#: The venue's view of position or orders is another than ours.
_BOOKS_DIFFER = (-2022, -4118, -4130)
_UNKNOWN_ORDER = -2011
_ID_IS_OPEN = -4116
#: How an order ends that the venue has nothing against.
_WITHDRAWN = ("cancelled", "expired")


def on_accepted(turn: Turn, fact: OrderAccepted) -> None:
    """An order stands. A stop that stands replaces the one before it, which is then withdrawn."""
    sent = turn.state.orders.get(fact.client_order_id)
    if sent is None:
        return
    known = sent.accepted
    turn.proved(sent, "found", "the venue holds it")
    sent = replace(sent, accepted=True, order_id=fact.order_id, doubt=None)
    turn.journal(sent)
    if sent.leg is not Leg.STOP:
        # A stop that is accepted may be gone at once; it counts when it is seen to stand.
        note_success(turn, sent.leg, fact.symbol)
    if sent.leg in (Leg.STOP, Leg.PROBE) and not known:
        on_stop_accepted(turn, sent)
    if sent.leg is Leg.PROBE:
        withdraw(turn, sent)
    if sent.leg is not Leg.STOP:
        return
    position = turn.state.positions.get(fact.symbol)
    if known and position is not None:
        _still_stands(turn, position, sent)
        return
    if position is None:
        if sent.action == "MOVE_STOP":
            say_refused(
                turn, sent, at=fact.at, code="no_such_position", reason="it ended meanwhile"
            )
        withdraw(turn, sent)
        return
    for older in turn.orders_of(fact.symbol, Leg.STOP):
        if older.accepted and older.request.client_order_id != fact.client_order_id:
            withdraw(turn, older)
    trigger = sent.request.trigger_price or position.wanted_stop
    position = protected(position, fact.client_order_id, trigger, turn.now)
    turn.keep(position)
    turn.stop_moved(position, sent, fact.at)


def _still_stands(turn: Turn, position: Position, sent: Sent) -> None:
    """A stop that was missed in a list stands after all."""
    covers = sent.request.close_position or sent.request.qty >= position.qty
    if position.stop_order is None and covers:
        trigger = sent.request.trigger_price or position.wanted_stop
        turn.keep(protected(position, sent.request.client_order_id, trigger, turn.now))


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
    if fact.code in _CLOCKS_DIFFER and not sent.retried:
        send_or_refuse(turn, replace(sent, retried=True), fact.at)
        return
    exit_order = sent.leg in (Leg.EXIT, Leg.FLATTEN)
    if fact.code in _TOO_MUCH_AT_ONCE and exit_order and send_halves(turn, sent):
        return
    turn.forget(fact.client_order_id)
    if fact.code == _UNKNOWN_ORDER and sent.accepted:
        return
    if asked_for(sent):
        refuse(turn, sent, at=fact.at, code=str(fact.code), reason=fact.reason)
    else:
        turn.note(
            "rejected", "error", symbol=fact.symbol, leg=sent.leg.name, code=fact.code,
            reason=fact.reason,
        )  # fmt: skip
    _draw_consequences(turn, fact, sent)


def _draw_consequences(turn: Turn, fact: OrderRejected, sent: Sent) -> None:
    """What a refusal means for the next order of its kind, and for what is left unprotected."""
    position = turn.state.positions.get(fact.symbol)
    past_the_stop = sent.leg is Leg.STOP and fact.code in _PRICE_IS_PAST_THE_STOP
    if sent.leg is Leg.PROBE:
        on_probe_refused(turn, fact)
    elif sent.leg in (Leg.STOP, Leg.FLATTEN, Leg.ENTRY) and not past_the_stop:
        note_refusal(turn, sent.leg, fact)
    if position and past_the_stop:
        flatten(turn, position, "the price is already past the stop")
    elif fact.code in _BOOKS_DIFFER:
        turn.outputs.append(LookAgain(frozenset((fact.symbol,))))


def on_ended(turn: Turn, fact: OrderEnded) -> None:
    """An order is gone without a fill; a position whose stop went is protected again at once.

    One that was never seen to stand is left to the next look: the venue may end each one at once.
    """
    sent = turn.state.orders.get(fact.client_order_id)
    if sent is None:
        return
    turn.proved(sent, "found", f"it ended: {fact.reason}")
    turn.forget(fact.client_order_id)
    if sent.leg in (Leg.ENTRY, Leg.EXIT):
        status = "EXPIRED" if fact.reason in _WITHDRAWN else "REJECTED"
        refuse(turn, sent, at=fact.at, code=fact.reason, reason="the order ended", status=status)
    position = turn.state.positions.get(fact.symbol)
    if position and position.stop_order == fact.client_order_id:
        position = exposed(position, turn.now)
        turn.keep(position)
        if sent.seen:
            send_stop(turn, position, position.wanted_stop)


def on_funding(turn: Turn, fact: FundingPaid) -> None:
    """Funding settled: part of the position's story, and of the wallet."""
    position = turn.state.positions.get(fact.symbol)
    if position is not None:
        turn.keep(replace(position, funding=position.funding + fact.amount))
        turn.note("funding", symbol=fact.symbol, amount=fact.amount)


def on_health(turn: Turn, health: VenueHealth) -> None:
    """Remember why no entry may be made now, and say so when it changes."""
    if health.barriers != turn.state.barriers:
        turn.state = replace(turn.state, barriers=dict(health.barriers))
        level = "error" if health.barriers.keys() - {STARTING} else "info"
        turn.note("entries_barred" if health.barriers else "entries_free", level, **health.barriers)
        forget_states_that_changed(turn)


def on_quarantined(turn: Turn, fact: Quarantined) -> None:
    """Remember which symbols the venue's side cannot read, name or trade, beside our own."""
    own = {s: q for s, q in turn.state.quarantine.items() if q.code == INCONSISTENT}
    quarantine = {**own, **fact.symbols}
    if quarantine != turn.state.quarantine:
        turn.state = replace(turn.state, quarantine=quarantine)


FACTS: dict[type, Callable[[Turn, Any], None]] = {
    OrderAccepted: on_accepted,
    OrderFilled: on_filled,
    Trades: on_trades,
    OrderRejected: on_rejected,
    OrderEnded: on_ended,
    FundingPaid: on_funding,
    Quarantined: on_quarantined,
    PastKnown: on_past_known,
}
