"""Protection as a level: what the venue holds is compared with what must be, again and again.

At every start and every look: each position has one live stop that covers it, what is flat has no
order left, and an order that was journalled but never reached the venue is sent, unless it is too
old by now.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from services.apply_layer.adoption import in_flight, take_over
from services.apply_layer.doubt import ask
from services.apply_layer.exchange import (
    CancelOrder,
    OrderAccepted,
    OrderType,
    VenuePosition,
    VenueSnapshot,
)
from services.apply_layer.facts import on_accepted
from services.apply_layer.journal import RESTING, RESTING_ID
from services.apply_layer.looked import Looked
from services.apply_layer.outcomes import send_or_refuse
from services.apply_layer.positions import Position
from services.apply_layer.sendings import withdraw
from services.apply_layer.state import LastTrade, Unexplained
from services.apply_layer.stops import is_after, is_newer, protect
from services.apply_layer.stops_barred import prove_stops
from services.apply_layer.times import age_s, heal
from services.apply_layer.turn import Turn

#: How often an unexplained quantity must have been seen before it is believed.
_LOOKS_MIN = 3
#: How long a position may be shown as before its last trade until it is believed, in seconds.
_LATE_S = 30.0


def on_look(turn: Turn, looked: Looked) -> None:
    """Bring the venue and the records together, and every position under a stop."""
    heal(turn)
    snapshot = _believable(turn, looked.snapshot)
    looked = replace(looked, snapshot=snapshot)
    _learn_rules(turn, looked)
    _learn_trades(turn, snapshot)
    _learn_what_stands(turn, snapshot)
    if not snapshot.conclusive:
        _ask_after_what_is_gone(turn, snapshot)
    held = {position.symbol: position for position in snapshot.positions}
    for position in _covered(turn, snapshot):
        if not in_flight(turn, position.symbol, snapshot):
            _reconcile(turn, position, held.get(position.symbol), snapshot)
    take_over(turn, snapshot)
    if snapshot.conclusive:
        _send_what_never_left(turn, snapshot)
    for position in _covered(turn, snapshot):
        protect(turn, position, looked)
    _tidy(turn, snapshot)
    prove_stops(turn)


def _covered(turn: Turn, snapshot: VenueSnapshot) -> list[Position]:
    return [p for p in turn.state.positions.values() if snapshot.covers(p.symbol)]


def _believable(turn: Turn, snapshot: VenueSnapshot) -> VenueSnapshot:
    """The view without the symbols whose position is older than a trade that we have applied."""
    late = {found.symbol for found in snapshot.positions if _is_late(turn, found)}
    since = {symbol: turn.state.late.get(symbol, turn.now) for symbol in late}
    unseen = {s: at for s, at in turn.state.late.items() if not snapshot.covers(s)}
    if since | unseen != turn.state.late:
        turn.state = replace(turn.state, late=since | unseen)
    late = {symbol for symbol in late if age_s(turn, since[symbol]) < _LATE_S}
    if not late:
        return snapshot
    told = {p.symbol for p in snapshot.positions} | turn.state.positions.keys()
    told |= {sent.request.symbol for sent in turn.state.orders.values()}
    told |= {order.symbol for order in snapshot.open_orders}
    kept = {symbol for symbol in told if snapshot.covers(symbol)} - late
    return replace(
        snapshot,
        symbols=frozenset(kept),
        positions=tuple(p for p in snapshot.positions if p.symbol not in late),
        open_orders=tuple(o for o in snapshot.open_orders if o.symbol not in late),
    )


def _is_late(turn: Turn, found: VenuePosition) -> bool:
    """Whether a position is shown as before its last trade, both by the venue's own times."""
    last = turn.state.trades.get(found.symbol)
    return last is not None and found.updated_at is not None and found.updated_at < last.at


def _learn_trades(turn: Turn, snapshot: VenueSnapshot) -> None:
    """Where nothing was applied yet, what the view already includes never will be."""
    for symbol, (number, at) in snapshot.last_trades.items():
        if symbol not in turn.state.trades:
            trades = {**turn.state.trades, symbol: LastTrade(number, at)}
            turn.state = replace(turn.state, trades=trades)


def _learn_rules(turn: Turn, looked: Looked) -> None:
    for rules in looked.snapshot.rules:
        if looked.starting or turn.state.rules.get(rules.symbol) != rules:
            known = {**turn.state.rules, rules.symbol: rules}
            turn.state = replace(turn.state, rules=known)
            turn.stated("POSITION", rules.symbol, looked.snapshot.at)


def _learn_what_stands(turn: Turn, snapshot: VenueSnapshot) -> None:
    """An order that stands was accepted, even if the answer that said so was lost."""
    for order in snapshot.open_orders:
        sent = turn.state.orders.get(order.client_order_id)
        if sent is None or sent.accepted:
            continue
        asked = sent.request
        same_qty = order.qty == asked.qty or (order.close_position and asked.close_position)
        if same_qty and (order.side, order.trigger_price) == (asked.side, asked.trigger_price):
            name = order.client_order_id
            on_accepted(turn, OrderAccepted(name, order.symbol, order.order_id, asked.at))


def _reconcile(
    turn: Turn, position: Position, found: VenuePosition | None, snapshot: VenueSnapshot
) -> None:
    """Where somebody else changed a position, the venue is right; Q0 only ever grows."""
    qty = found.qty if found is not None and found.side is position.side else Decimal(0)
    if qty == position.qty:
        _explained(turn, position.symbol)
        return
    if not snapshot.conclusive and not _lasts(turn, position.symbol, qty):
        return
    _explained(turn, position.symbol)
    turn.note(
        "changed_elsewhere", "warning", symbol=position.symbol, was=position.qty, is_now=qty,
        position_id=position.position_id,
    )  # fmt: skip
    added = qty - position.qty
    changed = replace(position, qty=qty, updated_at=max(position.updated_at, snapshot.at))
    if found is not None and added > 0:
        changed = replace(
            changed, initial_qty=position.initial_qty + added, entry_price=found.entry_price
        )
    if not qty:
        changed = replace(changed, stop_loss=None, stop_order=None)
    turn.keep(changed)
    turn.changed_elsewhere(changed, snapshot.at)


def _lasts(turn: Turn, symbol: str, qty: Decimal) -> bool:
    """Whether the venue has stated this quantity, which no trade explains, for long enough."""
    before = turn.state.unexplained.get(symbol)
    if before is None or before.qty != qty:
        before = Unexplained(qty, turn.now, 0)
    now = replace(before, looks=before.looks + 1)
    unexplained = {**turn.state.unexplained, symbol: now}
    turn.state = replace(turn.state, unexplained=unexplained)
    return now.looks >= _LOOKS_MIN and age_s(turn, now.since) >= turn.policy.settle_s


def _explained(turn: Turn, symbol: str) -> None:
    if symbol in turn.state.unexplained:
        rest = {s: u for s, u in turn.state.unexplained.items() if s != symbol}
        turn.state = replace(turn.state, unexplained=rest)


def _send_what_never_left(turn: Turn, snapshot: VenueSnapshot) -> None:
    """A crash may fall between the journal and the venue; what the venue lacks is sent now."""
    standing = {order.client_order_id for order in snapshot.open_orders}
    for sent in tuple(turn.state.orders.values()):
        if not sent.accepted and sent.request.client_order_id not in standing:
            send_or_refuse(turn, sent, snapshot.at)


def _ask_after_what_is_gone(turn: Turn, snapshot: VenueSnapshot) -> None:
    """An order that was accepted and is on no list was filled, withdrawn or refused: ask which."""
    standing = {order.client_order_id for order in snapshot.open_orders}
    for sent in turn.state.orders.values():
        gone = sent.accepted and sent.request.client_order_id not in standing
        if gone and snapshot.covers(sent.request.symbol) and not is_after(sent, snapshot):
            ask(turn, sent)


def _tidy(turn: Turn, snapshot: VenueSnapshot) -> None:
    """Withdraw what protects nothing: orders of ours in a flat symbol, and stops too many."""
    for order in snapshot.open_orders:
        sent = turn.state.orders.get(order.client_order_id)
        position = turn.state.positions.get(order.symbol)
        if position is None and sent is not None and sent.leg in RESTING:
            withdraw(turn, sent)
        elif position is None and sent is None and RESTING_ID.fullmatch(order.client_order_id):
            # One of ours that came to stand after it had been given up.
            turn.outputs.append(CancelOrder(order.client_order_id, order.symbol, snapshot.at))
        elif (
            position is not None
            and order.type is OrderType.STOP_MARKET
            and order.reduce_only
            and position.stop_order is not None
            and order.client_order_id != position.stop_order
            and not is_newer(turn, position, snapshot)
        ):
            turn.outputs.append(CancelOrder(order.client_order_id, order.symbol, snapshot.at))
