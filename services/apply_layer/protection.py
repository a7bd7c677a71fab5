"""Protection as a level: what the venue holds is compared with what must be, again and again.

At every start and every look: each position has one live stop that covers it, what is flat has no
order left, and an order that was journalled but never reached the venue is sent, unless it is too
old by now.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from services.apply_layer.adoption import in_flight, take_over
from services.apply_layer.contained import contained, try_again
from services.apply_layer.doubt import ask
from services.apply_layer.exchange import (
    CancelOrder,
    OrderAccepted,
    OrderType,
    SymbolRules,
    VenuePosition,
    VenueSnapshot,
)
from services.apply_layer.facts import on_accepted
from services.apply_layer.journal import RESTING, RESTING_ID
from services.apply_layer.limits import reduce_to_cap
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
    """Bring venue and records together, symbol by symbol, and each position under a stop."""
    heal(turn)
    snapshot = looked.snapshot
    for rules in snapshot.rules:
        with contained(turn, rules.symbol):
            _learn_rules(turn, rules, looked)
    for symbol in _told_of(turn, snapshot):
        with contained(turn, symbol):
            if _is_late(turn, symbol, snapshot):
                continue
        view = replace(looked, snapshot=snapshot.of(symbol))
        for step in (_bring_together, _protect):
            with contained(turn, symbol):
                step(turn, symbol, view)
        with contained(turn, symbol):
            try_again(turn, symbol, snapshot.at)
    prove_stops(turn)


def _told_of(turn: Turn, snapshot: VenueSnapshot) -> list[str]:
    """The symbols that view or state say anything about, as far as the view covers them."""
    state = turn.state
    told = {found.symbol for found in snapshot.positions}
    told |= {order.symbol for order in snapshot.open_orders}
    told |= {sent.request.symbol for sent in state.orders.values()}
    told |= snapshot.last_trades.keys() | state.positions.keys() | state.left_alone.keys()
    told |= state.late.keys() | state.unexplained.keys() | state.quarantine.keys()
    return sorted(symbol for symbol in told if snapshot.covers(symbol))


def _bring_together(turn: Turn, symbol: str, looked: Looked) -> None:
    """What the venue holds of a symbol and what we do: the same, or a doubt, or somebody else's."""
    snapshot = looked.snapshot
    _learn_trades(turn, snapshot)
    _learn_what_stands(turn, snapshot)
    if not snapshot.conclusive:
        _ask_after_what_is_gone(turn, symbol, snapshot)
    position = turn.state.positions.get(symbol)
    if position is not None and not in_flight(turn, symbol, snapshot):
        found = snapshot.positions[0] if snapshot.positions else None
        _reconcile(turn, position, found, snapshot)
    take_over(turn, snapshot)
    if snapshot.conclusive:
        _send_what_never_left(turn, symbol, snapshot)


def _protect(turn: Turn, symbol: str, looked: Looked) -> None:
    position = turn.state.positions.get(symbol)
    if position is not None:
        reduce_to_cap(turn, position)
        protect(turn, turn.state.positions[symbol], looked)
    _tidy(turn, looked.snapshot)


def _is_late(turn: Turn, symbol: str, snapshot: VenueSnapshot) -> bool:
    """Whether a position is shown as before its last trade, both by the venue's own times.

    A view that is late says nothing, unless it has been so for long.
    """
    last = turn.state.trades.get(symbol)
    late = last is not None and any(
        found.symbol == symbol and found.updated_at is not None and found.updated_at < last.at
        for found in snapshot.positions
    )
    since = turn.state.late.get(symbol)
    if late and since is None:
        turn.state = replace(turn.state, late={**turn.state.late, symbol: turn.now})
    elif not late and since is not None:
        rest = {s: at for s, at in turn.state.late.items() if s != symbol}
        turn.state = replace(turn.state, late=rest)
    return late and age_s(turn, since or turn.now) < _LATE_S


def _learn_trades(turn: Turn, snapshot: VenueSnapshot) -> None:
    """Where nothing was applied yet, what the view already includes never will be."""
    for symbol, (number, at) in snapshot.last_trades.items():
        if symbol not in turn.state.trades:
            trades = {**turn.state.trades, symbol: LastTrade(number, at)}
            turn.state = replace(turn.state, trades=trades)


def _learn_rules(turn: Turn, rules: SymbolRules, looked: Looked) -> None:
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
        if position.max_notional is not None:
            # What somebody else has added is no excess of ours.
            cap = position.max_notional + added * found.entry_price
            changed = replace(changed, max_notional=cap)
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


def _send_what_never_left(turn: Turn, symbol: str, snapshot: VenueSnapshot) -> None:
    """A crash may fall between the journal and the venue; what the venue lacks is sent now."""
    standing = {order.client_order_id for order in snapshot.open_orders}
    for sent in turn.orders_of(symbol):
        if not sent.accepted and sent.request.client_order_id not in standing:
            send_or_refuse(turn, sent, snapshot.at)


def _ask_after_what_is_gone(turn: Turn, symbol: str, snapshot: VenueSnapshot) -> None:
    """An order that was accepted and is on no list was filled, withdrawn or refused: ask which."""
    standing = {order.client_order_id for order in snapshot.open_orders}
    for sent in turn.orders_of(symbol):
        gone = sent.accepted and sent.request.client_order_id not in standing
        if gone and not is_after(sent, snapshot):
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
