"""Plans, positions and orders with sensible defaults, for a desk to be driven with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.apply_layer.exchange import (
    OpenOrder,
    OrderFilled,
    OrderType,
    PlaceOrder,
    VenuePosition,
)
from services.apply_layer.paper_account import PaperPolicy
from services.apply_layer.state import Policy
from shared.contracts import EntryPlan, ExitPlan, MoveStopPlan
from shared.sides import PositionSide, Side

from .desk import FREE, MARKET, SYMBOL, D, Desk


def entry(desk: Desk, plan_id: str = "plan.entry", **changes: Any) -> EntryPlan:
    """LONG 1.83 at 12.32 with its stop at 12.0736: the reference case, decided now."""
    fields: dict[str, Any] = {
        "timestamp": desk.market,
        "produced_at": desk.now,
        "source": "exitbrain",
        "plan_id": plan_id,
        "intent_id": plan_id.removeprefix("plan."),
        "symbol": SYMBOL,
        "side": Side.BUY,
        "action": "ENTRY_PROPOSED",
        "decision": "EXECUTE",
        "qty": D("1.83"),
        "leverage": 10,
        "entry_price": D("12.32"),
        "tick_size": D("0.0001"),
        "maintenance_margin_rate": D("0.01"),
        "confidence": D("0.8"),
        "volatility_factor": D(1),
        "exchange_divergence": D(0),
        "funding_rate": D(0),
        "regime": "NORMAL",
        "stop_loss": D("12.0736"),
        "take_profit": D("13"),
        "take_profit_2": D("14"),
        "take_profit_3": D("15"),
        "lsf": D("0.2943"),
    }
    return EntryPlan(**(fields | changes))


def short_entry(desk: Desk, plan_id: str = "plan.short", **changes: Any) -> EntryPlan:
    """The reference case's mirror."""
    mirrored = {
        "side": Side.SELL,
        "stop_loss": D("12.5664"),
        "take_profit": D("11.6"),
        "take_profit_2": D("10.6"),
        "take_profit_3": D("9.6"),
    }
    return entry(desk, plan_id, **(mirrored | changes))


def leave(desk: Desk, action: str, plan_id: str, **changes: Any) -> ExitPlan:
    """An exit of the open position; its `qty` is all that there is unless said otherwise."""
    position = next(iter(desk.state.positions.values()), None)
    fields: dict[str, Any] = {
        "timestamp": desk.market,
        "produced_at": desk.now,
        "source": "intent_bridge",
        "plan_id": plan_id,
        "intent_id": plan_id.removeprefix("plan."),
        "symbol": position.symbol if position else SYMBOL,
        "side": position.side.exit if position else Side.SELL,
        "action": action,
        "decision": "EXECUTE",
        "reduceOnly": True,
        "position_id": position.position_id if position else "RIVERUSDT-1",
        "qty": position.qty if position else D(1),
    }
    return ExitPlan(**(fields | changes))


def move_stop(desk: Desk, stop_loss: str, plan_id: str, **changes: Any) -> MoveStopPlan:
    """A new stop for the open position."""
    fields: dict[str, Any] = leave(desk, "FULL_CLOSE_PROPOSED", plan_id).model_dump()
    del fields["qty"], fields["type"]
    return MoveStopPlan(**(fields | {"action": "MOVE_STOP", "stop_loss": D(stop_loss)} | changes))


def opened(policy: Policy | None = None, *, paper: PaperPolicy = FREE, **changes: Any) -> Desk:
    """A desk that holds the reference position, stopped."""
    desk = Desk(policy, paper=paper)
    desk.tick("12.32")
    desk.deliver(entry(desk, **changes))
    return desk


def held(qty: str = "1.83", entry_price: str = "12.32", **changes: Any) -> VenuePosition:
    """A position that somebody else opened an hour ago, marked at its entry."""
    fields: dict[str, Any] = {
        "symbol": SYMBOL,
        "side": PositionSide.LONG,
        "qty": D(qty),
        "entry_price": D(entry_price),
        "leverage": 10,
        "mark_price": D(entry_price),
        "opened_at": MARKET - timedelta(hours=1),
    }
    return VenuePosition(**(fields | changes))


def foreign_stop(price: str, qty: str = "1.83", name: str = "by-hand-1") -> OpenOrder:
    """A stop that somebody else has placed for a LONG."""
    return OpenOrder(name, "", SYMBOL, Side.SELL, OrderType.STOP_MARKET, D(qty), True, D(price))


def order(desk: Desk, side: Side, qty: str, *, reduce_only: bool, name: str) -> PlaceOrder:
    """A market order by somebody else."""
    return PlaceOrder(name, SYMBOL, side, OrderType.MARKET, D(qty), reduce_only, desk.market)


def foreign_fill(desk: Desk, side: Side, qty: str, price: str) -> OrderFilled:
    """The venue tells of a trade by somebody else."""
    return OrderFilled(
        client_order_id="by-hand",
        symbol=SYMBOL,
        order_id="9",
        trade_id="by-hand-1000",
        side=side,
        type=OrderType.MARKET,
        qty=D(qty),
        price=D(price),
        fee=D(0),
        realized_pnl=D(0),
        reduce_only=False,
        done=True,
        at=desk.market,
    )
