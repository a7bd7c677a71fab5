"""The barrier after a forced close for want of a stop, and the probe that takes it away.

While the venue takes no stop, each entry would be closed at once and cost fees and the spread
twice. Entries go on when a stop that was sent later is accepted: for any position, or the probe.
The probe is a STOP_MARKET with `closePosition`, half the price away, in the flat symbol, which is
withdrawn when it stands. It cannot open anything, and nothing is held that it could close.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from services.apply_layer.exchange import OrderRejected, OrderType, PlaceOrder
from services.apply_layer.journal import Leg, Sent, client_order_id
from services.apply_layer.positions import Position
from services.apply_layer.refusals import refusal_of
from services.apply_layer.state import ACCOUNT, ORDERS, StopsBarred
from services.apply_layer.times import age_s
from services.apply_layer.turn import Turn
from shared.formulas import floor_to_step

#: The wait before the first probe in seconds, twice as long before each next one, and the longest.
_FIRST_S, _LONGEST_S = 5.0, 600.0
#: How far from the price the probe is, as a fraction of it.
_AWAY = Decimal("0.5")


def bar_entries(turn: Turn, position: Position) -> None:
    """A position is closed because it could not get a stop: no entry until a stop is accepted."""
    if ACCOUNT in turn.state.stops_barred:
        return
    refused = refusal_of(turn, Leg.STOP, position.symbol)
    said = f"{refused.code} {refused.reason}" if refused else "no answer"
    words = f"{position.symbol} was closed for want of a stop, the venue said: {said}"
    barred = StopsBarred(
        symbol=position.symbol,
        words=words,
        side=position.side,
        price=position.current_price,
        number=turn.state.numbers.get(ORDERS, 0),
        since=turn.now,
        probed_at=turn.now,
    )
    turn.state = replace(turn.state, stops_barred={ACCOUNT: barred})
    turn.note("entries_barred", "error", stops_refused=words)


def prove_stops(turn: Turn) -> None:
    """Send the next probe when it is due."""
    barred = turn.state.stops_barred.get(ACCOUNT)
    rules = turn.state.rules.get(barred.symbol) if barred else None
    if barred is None or rules is None or barred.symbol in turn.state.positions:
        return
    if any(turn.orders_of(barred.symbol, Leg.PROBE)):
        return
    if age_s(turn, barred.probed_at) < min(_FIRST_S * 2.0 ** min(barred.probes, 10), _LONGEST_S):
        return
    number = barred.probes + 1
    barred = replace(barred, probes=number, probed_at=turn.now)
    turn.state = replace(turn.state, stops_barred={ACCOUNT: barred})
    plan_id = f"probe.{int(barred.since.timestamp() * 1000)}"
    away = 1 - barred.side.sign * _AWAY
    request = PlaceOrder(
        client_order_id=client_order_id(plan_id, Leg.PROBE, number),
        symbol=barred.symbol,
        side=barred.side.exit,
        type=OrderType.STOP_MARKET,
        qty=rules.min_qty,
        reduce_only=True,
        at=turn.now,
        trigger_price=floor_to_step(barred.price * away, rules.tick_size),
        close_position=True,
    )
    turn.send(Sent(request, Leg.PROBE, "PROBE", plan_id, None, turn.now))


def on_probe_refused(turn: Turn, fact: OrderRejected) -> None:
    """The venue takes no stop yet: its newest words stand in the barrier."""
    barred = turn.state.stops_barred.get(ACCOUNT)
    if barred is not None:
        words = f"{barred.symbol} was closed for want of a stop, the venue says: "
        barred = replace(barred, words=f"{words}{fact.code} {fact.reason}")
        turn.state = replace(turn.state, stops_barred={ACCOUNT: barred})


def on_stop_accepted(turn: Turn, sent: Sent) -> None:
    """A stop is possible again, if this one was sent after the barrier was raised."""
    barred = turn.state.stops_barred.get(ACCOUNT)
    if barred is not None and sent.request.number > barred.number:
        turn.state = replace(turn.state, stops_barred={})
        turn.note("entries_free", stop_accepted=sent.request.client_order_id)
