"""Protection as a level: what the venue holds is compared with what must be, again and again.

At every start and every cycle: each position has one live stop that covers it, what is flat has no
order left, a position of somebody else is adopted, and an order that was journalled but never
reached the venue is sent, unless it is too old by now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from services.apply_layer.doubt import ask, doubt_what_was_not_answered
from services.apply_layer.exchange import (
    CancelOrder,
    OpenOrder,
    OrderAccepted,
    OrderType,
    Past,
    PlaceOrder,
    VenuePosition,
    VenueSnapshot,
)
from services.apply_layer.facts import on_accepted, withdraw
from services.apply_layer.journal import RESTING_ID, Leg, Sent, may_protect_again
from services.apply_layer.outcomes import send_or_refuse
from services.apply_layer.plans import flatten, send_stop
from services.apply_layer.positions import ZERO, Position, exposed, protected
from services.apply_layer.turn import LastTrade, Turn, Unexplained
from shared.formulas import (
    DEFAULT_LADDER,
    ceil_to_step,
    floor_to_step,
    risk_per_unit,
    target_qty,
)
from shared.sides import PositionSide

#: How often an unexplained quantity must have been seen before it is believed.
_LOOKS_MIN = 3


@dataclass(frozen=True, slots=True)
class Looked:
    """The venue as it stands. `starting` is True once, when the daemon has just begun."""

    snapshot: VenueSnapshot
    starting: bool = False


def on_look(turn: Turn, looked: Looked) -> None:
    """Bring the venue and the records together, and every position under a stop."""
    snapshot = _believable(turn, looked.snapshot)
    looked = replace(looked, snapshot=snapshot)
    _learn_rules(turn, looked)
    _learn_trades(turn, snapshot)
    _learn_what_stands(turn, snapshot)
    if not snapshot.conclusive:
        if looked.starting:
            doubt_what_was_not_answered(turn)
        _ask_after_what_is_gone(turn, snapshot)
    held = {position.symbol: position for position in snapshot.positions}
    for position in _covered(turn, snapshot):
        if not _in_flight(turn, position.symbol, snapshot):
            _reconcile(turn, position, held.get(position.symbol), snapshot)
    _take_over(turn, snapshot)
    if snapshot.conclusive:
        _send_what_never_left(turn, snapshot)
    for position in _covered(turn, snapshot):
        _protect(turn, position, looked)
    _tidy(turn, snapshot)


def _covered(turn: Turn, snapshot: VenueSnapshot) -> list[Position]:
    return [p for p in turn.state.positions.values() if snapshot.covers(p.symbol)]


def _believable(turn: Turn, snapshot: VenueSnapshot) -> VenueSnapshot:
    """The view without the symbols whose position is older than a trade that we have applied."""
    late = {
        found.symbol
        for found in snapshot.positions
        if found.updated_at is not None
        and found.symbol in turn.state.trades
        and found.updated_at < turn.state.trades[found.symbol].at
    }
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
        if (order.side, order.qty, order.trigger_price) == (
            asked.side,
            asked.qty,
            asked.trigger_price,
        ):
            name = order.client_order_id
            on_accepted(turn, OrderAccepted(name, order.symbol, order.order_id, asked.at))


def _in_flight(turn: Turn, symbol: str, snapshot: VenueSnapshot) -> bool:
    """Whether an order may have changed the position without our having heard of it.

    An exit that the venue still holds whole has not.
    """
    standing = {order.client_order_id for order in snapshot.open_orders}
    return any(
        sent.leg is Leg.ENTRY or sent.request.client_order_id not in standing
        for sent in turn.orders_of(symbol, Leg.ENTRY, Leg.EXIT, Leg.FLATTEN)
    )


def _live_stops(position: Position, snapshot: VenueSnapshot) -> list[OpenOrder]:
    return [
        order
        for order in snapshot.open_orders
        if order.symbol == position.symbol
        and order.type is OrderType.STOP_MARKET
        and order.reduce_only
        and order.side is position.side.exit
        and (order.close_position or order.qty >= position.qty)
    ]


def _take_over(turn: Turn, snapshot: VenueSnapshot) -> None:
    """Adopt the positions of others, or, where that is not wanted, remember to stay away."""
    others = {p.symbol: p for p in snapshot.positions if p.symbol not in turn.state.positions}
    for symbol, found in others.items():
        if turn.policy.adopt:
            _adopt(turn, found, snapshot)
        elif symbol not in turn.state.left_alone:
            turn.note("left_alone", "warning", symbol=symbol, side=found.side, qty=found.qty)
    alone = {s: qty for s, qty in turn.state.left_alone.items() if not snapshot.covers(s)}
    if not turn.policy.adopt:
        alone |= {symbol: found.qty for symbol, found in others.items()}
    if alone != turn.state.left_alone:
        turn.state = replace(turn.state, left_alone=alone)


def _adopt(turn: Turn, found: VenuePosition, snapshot: VenueSnapshot) -> None:
    """Take over a position that the suite did not open: its own stop if it has one, 2 % if not."""
    if _in_flight(turn, found.symbol, snapshot):
        return
    past = found.past or Past(found.qty, found.opened_at)
    opened_ms = int(past.opened_at.timestamp() * 1000)
    position_id = f"{found.symbol}-{opened_ms}"
    sign = found.side.sign
    default = found.entry_price - sign * risk_per_unit(found.entry_price, None)
    position = Position(
        position_id=position_id,
        plan_id=f"adopted.{position_id}",
        intent_id=None,
        symbol=found.symbol,
        side=found.side,
        qty=found.qty,
        initial_qty=past.initial_qty,
        harvested_qty=past.harvested_qty if past.known else _all_rungs(turn, found),
        entry_price=found.entry_price,
        leverage=found.leverage,
        opened_at=past.opened_at,
        realized_pnl=past.realized_pnl,
        fees=past.fees,
        updated_at=snapshot.at,
        current_price=found.mark_price,
        initial_stop=None,
        wanted_stop=default,
        unprotected_since=turn.now,
    )
    stops = _live_stops(position, snapshot)
    if stops:
        tightest = max(stops, key=lambda stop: sign * (stop.trigger_price or default))
        position = _with_its_stop(turn, position, tightest)
    else:
        position = replace(position, wanted_stop=_beyond_the_mark(turn, position, default))
    turn.keep(position)
    turn.stated("ADOPTED", found.symbol, snapshot.at)
    turn.note(
        "adopted", symbol=found.symbol, side=found.side, qty=found.qty,
        entry_price=found.entry_price, stop_loss=position.stop_loss, position_id=position_id,
    )  # fmt: skip
    if not past.known:
        turn.note(
            "history_unknown", "error", symbol=found.symbol, position_id=position_id,
            reason="its trades reach too far back: its rungs count as taken, its stop and the"
            " kill score hold",
        )  # fmt: skip


def _all_rungs(turn: Turn, found: VenuePosition) -> Decimal:
    """What counts as harvested where nobody can tell: the whole ladder, so nothing goes twice."""
    return target_qty(DEFAULT_LADDER[-1].share, found.qty, turn.state.rules[found.symbol].lot_step)


def _with_its_stop(turn: Turn, position: Position, stop: OpenOrder) -> Position:
    """Keep a stop that stands; it tells the initial risk if it stands on the losing side."""
    trigger = stop.trigger_price or position.wanted_stop
    request = PlaceOrder(
        client_order_id=stop.client_order_id,
        symbol=stop.symbol,
        side=stop.side,
        type=stop.type,
        qty=stop.qty,
        reduce_only=True,
        at=position.updated_at,
        trigger_price=trigger,
        leverage=position.leverage,
    )
    turn.journal(
        Sent(
            request, Leg.STOP, "ADOPTED", position.plan_id, None, turn.now,
            accepted=True, order_id=stop.order_id,
        )
    )  # fmt: skip
    losing_side = position.side.sign * (position.entry_price - trigger) > 0
    position = protected(position, stop.client_order_id, trigger, turn.now)
    return replace(position, initial_stop=trigger if losing_side else None)


def _beyond_the_mark(turn: Turn, position: Position, stop: Decimal) -> Decimal:
    """The stop on the tick, and where the mark has passed it, as far beyond the mark instead."""
    sign = position.side.sign
    if sign * (position.current_price - stop) <= 0:
        stop = position.current_price - sign * risk_per_unit(position.current_price, None)
    onto_tick = floor_to_step if position.side is PositionSide.LONG else ceil_to_step
    return onto_tick(stop, turn.state.rules[position.symbol].tick_size)


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
    stood_s = (turn.now - now.since).total_seconds()
    return now.looks >= _LOOKS_MIN and stood_s >= turn.policy.settle_s


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
        if gone and snapshot.covers(sent.request.symbol):
            ask(turn, sent)


def _protect(turn: Turn, position: Position, looked: Looked) -> None:
    """One live stop for all of it, or a new one, or, past the limit, no position.

    The time during which the daemon was down does not count against a stop: it is tried first.
    """
    live = {order.client_order_id for order in _live_stops(position, looked.snapshot)}
    waiting = [sent for sent in turn.orders_of(position.symbol, Leg.STOP) if not sent.accepted]
    if position.stop_order in live:
        return
    if position.stop_order is None and live and not waiting:
        _rely_on(turn, position, looked.snapshot)
        return
    naked = exposed(position, turn.now)
    turn.keep(naked)
    since = naked.unprotected_since or turn.now
    overdue = (turn.now - since).total_seconds() > turn.policy.naked_limit_s
    if overdue and not looked.starting:
        flatten(turn, naked, "no stop could be placed")
    elif not waiting or may_protect_again(waiting):
        turn.note("stop_missing", "error", symbol=position.symbol, position_id=position.position_id)
        send_stop(turn, naked, naked.wanted_stop)


def _rely_on(turn: Turn, position: Position, snapshot: VenueSnapshot) -> None:
    """Nothing of ours stands, but a stop that covers the position does: it protects from now on."""
    sign = position.side.sign
    stop = max(_live_stops(position, snapshot), key=lambda s: sign * (s.trigger_price or ZERO))
    kept = _with_its_stop(turn, position, stop)
    turn.keep(replace(kept, initial_stop=position.initial_stop))


def _tidy(turn: Turn, snapshot: VenueSnapshot) -> None:
    """Withdraw what protects nothing: orders of ours in a flat symbol, and stops too many."""
    for order in snapshot.open_orders:
        sent = turn.state.orders.get(order.client_order_id)
        position = turn.state.positions.get(order.symbol)
        if position is None and sent is not None and sent.leg in (Leg.STOP, Leg.TARGET):
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
        ):
            turn.outputs.append(CancelOrder(order.client_order_id, order.symbol, snapshot.at))
