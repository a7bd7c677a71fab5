"""What apply_layer makes of trades: fills become positions, and positions get their stop."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from services.apply_layer.exchange import Forced, OrderFilled, Trades
from services.apply_layer.history import is_harvest
from services.apply_layer.journal import Leg, Sent, reducing
from services.apply_layer.limits import reduce_to_cap, safe_stop
from services.apply_layer.positions import Position, added_to, reduced_by
from services.apply_layer.sendings import own_cause, send_stop, withdraw
from services.apply_layer.state import LastTrade, TakeProfitMode
from services.apply_layer.turn import Turn
from shared.formulas import floor_to_step, harvest_scheme
from shared.symbols import slug


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
    if fact.forced is not None:
        turn.note("closed_by_venue", "error", symbol=fact.symbol, by=fact.client_order_id)
    if fact.forced is not None and fact.forced is not Forced.DELEVERAGED:
        turn.state = replace(turn.state, forced={**turn.state.forced, fact.symbol: turn.now})
    return True


def _grown(turn: Turn, fact: OrderFilled, position: Position, sent: Sent | None) -> None:
    """Somebody else has added to the position: its stop covers that as well, no cap counts it."""
    position = added_to(position, fact)
    if position.max_notional is not None:
        cap = position.max_notional + fact.qty * fact.price
        position = replace(position, max_notional=cap)
    turn.keep(position)
    turn.filled(fact, "FILLED" if fact.done else "PARTIALLY_FILLED", position, sent)
    turn.needs_stop[fact.symbol] = None


def _status(turn: Turn, fact: OrderFilled, sent: Sent | None) -> str:
    if fact.forced is not None:
        return fact.forced.value
    if sent is not None and sent.leg is Leg.STOP:
        return "STOPPED_OUT"
    more = sent is not None and any(
        other.plan_id == sent.plan_id for other in turn.orders_of(fact.symbol, sent.leg)
    )
    return "FILLED" if fact.done and not more else "PARTIALLY_FILLED"


def _entered(turn: Turn, fact: OrderFilled, sent: Sent) -> None:
    position = turn.state.positions.get(fact.symbol)
    position = _opened(turn, fact, sent) if position is None else added_to(position, fact)
    position = replace(position, unprotected_since=position.unprotected_since or turn.now)
    turn.keep(position)
    turn.filled(fact, "FILLED" if fact.done else "PARTIALLY_FILLED", position, sent)
    turn.needs_stop[fact.symbol] = None
    if fact.done and turn.policy.take_profit_mode is not TakeProfitMode.HARVEST:
        _send_targets(turn, turn.state.positions[fact.symbol])


def _opened(turn: Turn, fact: OrderFilled, sent: Sent) -> Position:
    """The position of an entry's first trade; its risk is measured to where its stop will be."""
    position = _as_planned(fact, sent)
    stop = safe_stop(turn, position, position.wanted_stop)
    if stop == position.wanted_stop:
        return position
    turn.note(
        "stop_beyond_liquidation", "error", symbol=fact.symbol, plan_id=sent.plan_id,
        planned=position.wanted_stop, placed=stop,
    )  # fmt: skip
    return replace(position, wanted_stop=stop, initial_stop=stop)


def _as_planned(fact: OrderFilled, sent: Sent) -> Position:
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
        max_notional=sent.terms.max_notional,
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


def protect_what_grew(turn: Turn) -> None:
    """One stop for all that the fills of this decision have added, and no more than the cap."""
    for symbol in turn.needs_stop:
        position = turn.state.positions.get(symbol)
        if position is not None:
            send_stop(turn, position, safe_stop(turn, position, position.wanted_stop))
            reduce_to_cap(turn, turn.state.positions[symbol])
    turn.needs_stop.clear()
