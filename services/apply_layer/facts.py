"""What apply_layer makes of the venue's facts: fills become positions, positions get their stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from services.apply_layer.exchange import (
    CancelOrder,
    FundingPaid,
    LookAgain,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderRejected,
    OrderType,
    Trades,
    VenueHealth,
)
from services.apply_layer.history import is_harvest
from services.apply_layer.journal import Leg, Sent, reducing
from services.apply_layer.outcomes import (
    asked_for,
    refuse,
    say_refused,
    send_halves,
    send_or_refuse,
)
from services.apply_layer.plans import flatten, own_cause, send_stop
from services.apply_layer.positions import (
    Position,
    added_to,
    exposed,
    protected,
    reduced_by,
)
from services.apply_layer.state import LastTrade, TakeProfitMode
from services.apply_layer.turn import Turn
from shared.formulas import floor_to_step, harvest_scheme
from shared.symbols import slug

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


def withdraw(turn: Turn, sent: Sent) -> None:
    """Ask the venue to cancel an order."""
    request = sent.request
    conditional = request.type is not OrderType.MARKET
    turn.outputs.append(
        CancelOrder(request.client_order_id, request.symbol, request.at, conditional)
    )


def on_filled(turn: Turn, fact: OrderFilled) -> None:
    """One trade: the position after it, what is published of it, and what it makes necessary."""
    if not _is_news(turn, fact):
        return
    sent = turn.state.orders.get(fact.client_order_id)
    if sent is not None:
        turn.proved(sent, "found", f"trade {fact.trade_id}")
        filled = sent.filled_qty + fact.qty
        fact = replace(fact, done=fact.done or filled >= sent.request.qty)
        sent = replace(sent, accepted=True, doubt=None, filled_qty=filled)
        if fact.done:
            turn.forget(fact.client_order_id)
        else:
            turn.journal(sent)
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
    position = reduced_by(position, fact, harvest=_is_harvest(fact, sent))
    if not position.qty:
        position = replace(position, stop_loss=None, stop_order=None)
    turn.keep(position)
    turn.filled(fact, _status(turn, fact, sent), position, sent)
    if not position.qty:
        for left in turn.orders_of(fact.symbol):
            withdraw(turn, left)


def _is_harvest(fact: OrderFilled, sent: Sent | None) -> bool:
    """Whether a trade took profit for a rung.

    An order of ours that the journal does not know was sent after the state that was restored; what
    it took must not be taken again.
    """
    if sent is None:
        return is_harvest(fact.client_order_id)
    return sent.leg is Leg.TARGET or (sent.leg is Leg.EXIT and sent.action.startswith("PARTIAL"))


def on_trades(turn: Turn, fact: Trades) -> None:
    """Several trades at once; what they make necessary is sent once for all of them."""
    for fill in fact.fills:
        on_filled(turn, fill)


def _is_news(turn: Turn, fact: OrderFilled) -> bool:
    """Whether this trade was not applied before: a venue may tell of one twice, or late."""
    last = turn.state.trades.get(fact.symbol)
    if last is not None and fact.trade_number <= last.number:
        turn.note("repeated_trade", symbol=fact.symbol, trade_id=fact.trade_id)
        return False
    trades = {**turn.state.trades, fact.symbol: LastTrade(fact.trade_number, fact.at)}
    turn.state = replace(turn.state, trades=trades)
    if fact.forced:
        turn.state = replace(turn.state, forced={**turn.state.forced, fact.symbol: turn.now})
        turn.note("closed_by_venue", "error", symbol=fact.symbol, by=fact.client_order_id)
    return True


def _grown(turn: Turn, fact: OrderFilled, position: Position, sent: Sent | None) -> None:
    """Somebody else has added to the position; its stop has to cover that as well."""
    position = added_to(position, fact)
    turn.keep(position)
    turn.filled(fact, "FILLED" if fact.done else "PARTIALLY_FILLED", position, sent)
    turn.needs_stop[fact.symbol] = None


def _status(turn: Turn, fact: OrderFilled, sent: Sent | None) -> str:
    if fact.forced:
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
    turn.needs_stop[fact.symbol] = None
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
        position_id=f"{slug(fact.symbol)}-{int(fact.at.timestamp() * 1000)}-{trade}",
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
    position = turn.state.positions.get(fact.symbol)
    if position and position.stop_order is None and sent.leg in (Leg.STOP, Leg.FLATTEN):
        order = "stop" if sent.leg is Leg.STOP else "forced close"
        words = f"{order} refused by the venue: {fact.code} {fact.reason}"
        refusals = {**turn.state.stops_refused, fact.symbol: words}
        turn.state = replace(turn.state, stops_refused=refusals)
    if position and sent.leg is Leg.STOP and fact.code in _PRICE_IS_PAST_THE_STOP:
        flatten(turn, position, "the price is already past the stop")
    elif fact.code in _BOOKS_DIFFER:
        turn.outputs.append(LookAgain(frozenset((fact.symbol,))))


def on_ended(turn: Turn, fact: OrderEnded) -> None:
    """An order is gone without a fill; a position whose stop went is protected again at once."""
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
        level = "error" if health.barriers else "info"
        turn.note("entries_barred" if health.barriers else "entries_free", level, **health.barriers)


def protect_what_grew(turn: Turn) -> None:
    """One stop for all that the fills of this decision have added."""
    for symbol in turn.needs_stop:
        position = turn.state.positions.get(symbol)
        if position is not None:
            send_stop(turn, position, position.wanted_stop)
    turn.needs_stop.clear()


FACTS: dict[type, Callable[[Turn, Any], None]] = {
    OrderAccepted: on_accepted,
    OrderFilled: on_filled,
    Trades: on_trades,
    OrderRejected: on_rejected,
    OrderEnded: on_ended,
    FundingPaid: on_funding,
}
