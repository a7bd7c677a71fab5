"""Positions of somebody else: taken over with their stop, or a stop at 2 %, or left alone."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from services.apply_layer.exchange import (
    OpenOrder,
    OrderType,
    Past,
    PastKnown,
    PlaceOrder,
    VenuePosition,
    VenueSnapshot,
)
from services.apply_layer.journal import Leg, Sent
from services.apply_layer.positions import Position, protected
from services.apply_layer.turn import Turn
from shared.formulas import DEFAULT_LADDER, ceil_to_step, floor_to_step, risk_per_unit, target_qty
from shared.sides import PositionSide
from shared.symbols import slug


def in_flight(turn: Turn, symbol: str, snapshot: VenueSnapshot) -> bool:
    """Whether an order may have changed the position without our having heard of it.

    An exit that the venue still holds whole has not.
    """
    standing = {order.client_order_id for order in snapshot.open_orders}
    return any(
        sent.leg is Leg.ENTRY or sent.request.client_order_id not in standing
        for sent in turn.orders_of(symbol, Leg.ENTRY, Leg.EXIT, Leg.FLATTEN)
    )


def live_stops(position: Position, snapshot: VenueSnapshot) -> list[OpenOrder]:
    """The stops that stand and cover a position, whoever placed them."""
    return [
        order
        for order in snapshot.open_orders
        if order.symbol == position.symbol
        and order.type is OrderType.STOP_MARKET
        and order.reduce_only
        and order.side is position.side.exit
        and (order.close_position or order.qty >= position.qty)
    ]


def take_over(turn: Turn, snapshot: VenueSnapshot) -> None:
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
    if in_flight(turn, found.symbol, snapshot) and not _is_of_others(turn, found):
        return
    past = found.past or Past(found.qty, found.opened_at)
    opened_ms = int(past.opened_at.timestamp() * 1000)
    position_id = f"{slug(found.symbol)}-{opened_ms}"
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
        history_known=past.known,
    )
    stops = live_stops(position, snapshot)
    if stops:
        tightest = max(stops, key=lambda stop: sign * (stop.trigger_price or default))
        position = with_its_stop(turn, position, tightest)
    else:
        position = replace(position, wanted_stop=_beyond_the_mark(turn, position, default))
    turn.keep(position)
    unknown = "" if past.known else "history unknown: its rungs count as taken"
    turn.stated("ADOPTED", found.symbol, snapshot.at, unknown)
    turn.note(
        "adopted", symbol=found.symbol, side=found.side, qty=found.qty,
        entry_price=found.entry_price, stop_loss=position.stop_loss, position_id=position_id,
    )  # fmt: skip
    if not past.known:
        turn.note(
            "history_unknown", "error", symbol=found.symbol, position_id=position_id,
            reason="its trades from its opening on were not read yet, or reach too far back: its"
            " rungs count as taken, its stop and the kill score hold",
        )  # fmt: skip


def on_past_known(turn: Turn, fact: PastKnown) -> None:
    """The past of an adopted position was read: what was taken of it, and what is still to take."""
    position, past = turn.state.positions.get(fact.symbol), fact.past
    if position is None or position.history_known:
        return
    if (position.side, position.qty) != (fact.side, fact.qty):
        # It has changed since; what it is now is read anew.
        return
    turn.keep(
        replace(
            position,
            initial_qty=past.initial_qty,
            harvested_qty=past.harvested_qty,
            opened_at=past.opened_at,
            realized_pnl=past.realized_pnl,
            fees=past.fees,
            history_known=True,
        )
    )
    turn.stated("POSITION", fact.symbol, fact.at, "its history was read")
    turn.note(
        "history_known", symbol=fact.symbol, position_id=position.position_id,
        initial_qty=past.initial_qty, harvested_qty=past.harvested_qty,
    )  # fmt: skip


def _is_of_others(turn: Turn, found: VenuePosition) -> bool:
    """Whether trades that we have seen explain a position, none of which opened one of ours.

    An order that is only in doubt must not keep a position of somebody else without a stop. Should
    it have been executed after all, its trade adds to what was adopted.
    """
    last = turn.state.trades.get(found.symbol)
    in_doubt = all(sent.doubt for sent in turn.orders_of(found.symbol) if not sent.accepted)
    explained = last is not None and found.updated_at is not None and found.updated_at <= last.at
    return in_doubt and explained


def _all_rungs(turn: Turn, found: VenuePosition) -> Decimal:
    """What counts as harvested where nobody can tell: the whole ladder, so nothing goes twice."""
    return target_qty(DEFAULT_LADDER[-1].share, found.qty, turn.state.rules[found.symbol].lot_step)


def with_its_stop(turn: Turn, position: Position, stop: OpenOrder) -> Position:
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
