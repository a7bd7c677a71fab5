"""The one live stop of a position: compared with what a view shows, at every look.

| the view shows | then |
|---|---|
| the position's stop | nothing, but for one that would fire only after liquidation: a nearer one |
| another stop of ours or of others that serves as well | it is the position's stop |
| none, and none was accepted that might stand | a stop; past the naked limit a forced close |
| none, while stops were accepted whose end nobody told | the venue denies them: one more, then |
| | slowly more; a forced close only if the mark passed them and the position is still there |
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from services.apply_layer.adoption import live_stops, with_its_stop
from services.apply_layer.exchange import OpenOrder, VenueSnapshot
from services.apply_layer.journal import Leg, Sent, may_protect_again
from services.apply_layer.limits import safe_stop
from services.apply_layer.looked import Looked
from services.apply_layer.positions import ZERO, Position, exposed, protected
from services.apply_layer.refusals import may_send, note_success, refusal_of
from services.apply_layer.sendings import flatten, send_stop
from services.apply_layer.stops_barred import bar_entries
from services.apply_layer.times import age_s
from services.apply_layer.turn import Turn

#: Accepted stops that the venue denies, before the next one is only sent after a while.
_DENIED_MAX, _DENIED_AGAIN_S = 2, 60.0


def protect(turn: Turn, position: Position, looked: Looked) -> None:
    """One live stop for all of it, or a new one, or, past the limit, no position.

    The time during which the daemon was down does not count against a stop: it is tried first.
    """
    snapshot = looked.snapshot
    live = {order.client_order_id for order in live_stops(position, snapshot)}
    waiting = [sent for sent in turn.orders_of(position.symbol, Leg.STOP) if not sent.accepted]
    if position.stop_order in live:
        _stands(turn, position, waiting)
        return
    if is_newer(turn, position, snapshot):
        return
    if not waiting and _rely_on(turn, position, snapshot):
        return
    naked = exposed(position, turn.now)
    turn.keep(naked)
    denied = _denied(turn, naked, snapshot)
    since = naked.unprotected_since or turn.now
    overdue = age_s(turn, since) > turn.policy.naked_limit_s and not looked.starting
    if denied and not _is_past(naked, snapshot, denied) and not (overdue and _refused(turn, naked)):
        _insist(turn, naked, denied, waiting)
        return
    if overdue:
        bar_entries(turn, naked)
        flatten(turn, naked, "no stop could be placed")
    if not overdue or refusal_of(turn, Leg.FLATTEN, position.symbol) is not None:
        _place(turn, turn.state.positions[position.symbol], waiting)


def _stands(turn: Turn, position: Position, waiting: list[Sent]) -> None:
    """The stop was seen: what was said against stops is over; one that fires too late is moved."""
    note_success(turn, Leg.STOP, position.symbol)
    note_success(turn, Leg.FLATTEN, position.symbol)
    sent = turn.state.orders.get(position.stop_order or "")
    if sent is not None and not sent.seen:
        turn.journal(replace(sent, seen=True))
    stop = position.stop_loss or position.wanted_stop
    safe = safe_stop(turn, position, stop)
    if safe != stop and not waiting and may_send(turn, Leg.STOP, position.symbol):
        turn.note("stop_beyond_liquidation", "error", symbol=position.symbol, was=stop, placed=safe)
        send_stop(turn, position, safe)


def _place(turn: Turn, position: Position, waiting: list[Sent]) -> None:
    """Send a stop, if none is under way and the venue has not refused too many lately."""
    if waiting and not may_protect_again(waiting):
        return
    if may_send(turn, Leg.STOP, position.symbol):
        turn.note("stop_missing", "error", symbol=position.symbol, position_id=position.position_id)
        send_stop(turn, position, safe_stop(turn, position, position.wanted_stop))


def _denied(turn: Turn, position: Position, snapshot: VenueSnapshot) -> list[Sent]:
    """The stops that the venue accepted, of whose end it told nothing, and which it does not show.

    A conclusive view never denies anything: what it does not show is gone.
    """
    if snapshot.conclusive:
        return []
    return [
        sent
        for sent in turn.orders_of(position.symbol, Leg.STOP)
        if sent.accepted and (sent.request.close_position or sent.request.qty >= position.qty)
    ]


def _is_past(position: Position, snapshot: VenueSnapshot, denied: list[Sent]) -> bool:
    """Whether the mark has passed every one of the stops and the position is held all the same."""
    found = next((p for p in snapshot.positions if p.symbol == position.symbol), None)
    mark = found.mark_price if found is not None and found.mark_price > 0 else None
    if mark is None:
        mark = position.current_price
    sign = position.side.sign
    return all(sign * (mark - (sent.request.trigger_price or ZERO)) <= 0 for sent in denied)


def _refused(turn: Turn, position: Position) -> bool:
    """Whether new stops are refused as well: then more than denial stands against the position."""
    return refusal_of(turn, Leg.STOP, position.symbol) is not None


def _insist(turn: Turn, position: Position, denied: list[Sent], waiting: list[Sent]) -> None:
    """Place one more beside those that are denied; then only one in a while, lest they pile up."""
    newest = max((s.request.sent_at for s in denied if s.request.sent_at), default=None)
    due = newest is not None and age_s(turn, newest) >= _DENIED_AGAIN_S
    if len(denied) < _DENIED_MAX or due:
        _place(turn, position, waiting)


def is_newer(turn: Turn, position: Position, snapshot: VenueSnapshot) -> bool:
    """Whether the position's stop was placed after this view was read."""
    sent = turn.state.orders.get(position.stop_order or "")
    return sent is not None and is_after(sent, snapshot)


def is_after(sent: Sent, snapshot: VenueSnapshot) -> bool:
    """Whether an order had no answer yet when this view was begun; no clock has a say in it."""
    return not snapshot.conclusive and sent.request.number > snapshot.after_order


def _rely_on(turn: Turn, position: Position, snapshot: VenueSnapshot) -> bool:
    """Whether a stop stands that serves as well as our own would: it protects from now on."""
    sign = position.side.sign

    def tightness(stop: OpenOrder) -> Decimal:
        return sign * (stop.trigger_price or ZERO)

    stop = max(live_stops(position, snapshot), key=tightness, default=None)
    if stop is None or tightness(stop) < sign * position.wanted_stop:
        return False
    if stop.client_order_id in turn.state.orders:
        trigger = stop.trigger_price or position.wanted_stop
        kept = protected(position, stop.client_order_id, trigger, turn.now)
    else:
        kept = with_its_stop(turn, position, stop)
    turn.keep(replace(kept, initial_stop=position.initial_stop))
    return True
