"""A position as apply_layer keeps it: the sum of its fills, and the stop that protects it.

Quantities in base units, prices and money in quote units, times aware; `qty` is positive and
`side` says which way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from services.apply_layer.exchange import OrderFilled, SymbolRules
from shared.decisions import Record
from shared.formulas import Marks, r_multiple, risk_per_unit
from shared.sides import PositionSide
from shared.streams import position_key

ZERO = Decimal(0)
_PRICE_DIGITS = Decimal("0.000000000001")
_SHOWN_DIGITS = Decimal("0.0001")

Targets = tuple[Decimal | None, Decimal | None, Decimal | None]


@dataclass(frozen=True, slots=True)
class Position:
    """`wanted_stop` is where the stop belongs; `stop_loss` and `stop_order` name the live one.

    `stop_order` is its client order id, None while there is none. `unprotected_s` is the longest
    time without a live stop so far, in seconds of wall clock; `unprotected_since` starts it.
    `protective_orders` counts the stops and forced closes sent, so that each has an id of its own.
    `shown_at` is when the record last got a price, by the wall clock, and `marks` are the last ones
    heard, from which the next price is confirmed. `max_notional` is what the owner's caps let it be
    worth, None where it is not ours. `liquidation_price` is as the venue states it, None where it
    does not. `history_known` is False until its trades from its opening on were read.
    """

    position_id: str
    plan_id: str
    intent_id: str | None
    symbol: str
    side: PositionSide
    qty: Decimal
    initial_qty: Decimal
    entry_price: Decimal
    leverage: int
    opened_at: datetime
    updated_at: datetime
    current_price: Decimal
    initial_stop: Decimal | None
    wanted_stop: Decimal
    targets: Targets = (None, None, None)
    harvested_qty: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    stop_loss: Decimal | None = None
    stop_order: str | None = None
    unprotected_since: datetime | None = None
    unprotected_s: Decimal = ZERO
    protective_orders: int = 0
    shown_at: datetime | None = None
    marks: Marks | None = None
    max_notional: Decimal | None = None
    liquidation_price: Decimal | None = None
    history_known: bool = True

    @property
    def unrealized_pnl(self) -> Decimal:
        """What closing at the current price would realise, before fees."""
        return self.side.sign * (self.current_price - self.entry_price) * self.qty

    @property
    def r_net(self) -> Decimal:
        """The R-multiple at the current price, net of round-trip costs."""
        return r_multiple(
            side=self.side,
            entry_price=self.entry_price,
            mark_price=self.current_price,
            risk_per_unit=risk_per_unit(self.entry_price, self.initial_stop),
        )


def added_to(position: Position, fill: OrderFilled) -> Position:
    """The position after one more fill on its own side; the entry price is the average."""
    qty = position.qty + fill.qty
    cost = position.entry_price * position.qty + fill.price * fill.qty
    return replace(
        position,
        qty=qty,
        initial_qty=position.initial_qty + fill.qty,
        entry_price=(cost / qty).quantize(_PRICE_DIGITS, ROUND_HALF_EVEN).normalize(),
        fees=position.fees + fill.fee,
        realized_pnl=position.realized_pnl + fill.realized_pnl,
        current_price=fill.price,
        updated_at=fill.at,
    )


def reduced_by(position: Position, fill: OrderFilled, *, harvest: bool) -> Position:
    """The position after a fill against it; only a rung's or a target's share is a harvest.

    What a trade of somebody else takes beyond it is no part of it any more.
    """
    closed = min(fill.qty, position.qty)
    return replace(
        position,
        qty=position.qty - closed,
        harvested_qty=position.harvested_qty + (closed if harvest else ZERO),
        fees=position.fees + fill.fee,
        realized_pnl=position.realized_pnl + fill.realized_pnl,
        current_price=fill.price,
        updated_at=fill.at,
    )


def exposed(position: Position, now: datetime) -> Position:
    """The position at a moment without a live stop; the count starts if it has not."""
    since = position.unprotected_since or now
    return replace(
        position,
        stop_loss=None,
        stop_order=None,
        unprotected_since=since,
        unprotected_s=_longest(position, since, now),
    )


def protected(position: Position, client_order_id: str, stop: Decimal, now: datetime) -> Position:
    """The position once a stop stands at `stop`."""
    since = position.unprotected_since or now
    return replace(
        position,
        stop_loss=stop,
        stop_order=client_order_id,
        wanted_stop=stop,
        unprotected_since=None,
        unprotected_s=_longest(position, since, now),
    )


def _longest(position: Position, since: datetime, now: datetime) -> Decimal:
    naked_s = Decimal(str(round((now - since).total_seconds(), 3)))
    return max(position.unprotected_s, naked_s)


def position_block(position: Position | None, rules: SymbolRules) -> dict[str, Any]:
    """The part that every apply.result shares: the position after it and the symbol's rules."""
    block: dict[str, Any] = {
        "symbol": rules.symbol,
        "position_qty": ZERO,
        "lot_step": rules.lot_step,
        "tick_size": rules.tick_size,
        "min_qty": rules.min_qty,
        "min_notional": rules.min_notional,
        "reduce_only_min_notional": rules.reduce_only_min_notional,
        "max_leverage": rules.max_leverage,
        "maintenance_margin_rate": rules.maintenance_margin_rate,
    }
    if position is None:
        return block
    return block | {
        "position_id": position.position_id,
        "position_side": position.side,
        "position_qty": position.qty,
        "position_initial_qty": position.initial_qty,
        "position_harvested_qty": position.harvested_qty,
        "position_entry_price": position.entry_price,
        "position_initial_stop": position.initial_stop,
        "position_stop_loss": position.stop_loss,
        "position_leverage": position.leverage,
        "position_realized_pnl": position.realized_pnl,
        "position_fees": position.fees,
        "position_opened_at": position.opened_at,
        "position_unprotected_s": position.unprotected_s,
    }


def position_record(position: Position) -> Record:
    """`quantum:position:<SYMBOL>`; a closed position has none."""
    key = position_key(position.symbol)
    if not position.qty:
        return Record(key, None)
    targets = dict(
        zip(("take_profit", "take_profit_2", "take_profit_3"), position.targets, strict=True)
    )
    fields: dict[str, Any] = {
        "position_id": position.position_id,
        "symbol": position.symbol,
        "side": position.side.value,
        "qty": position.qty,
        "initial_qty": position.initial_qty,
        "harvested_qty": position.harvested_qty,
        "entry_price": position.entry_price,
        "initial_stop": position.initial_stop,
        "stop_loss": position.stop_loss,
        **targets,
        "leverage": position.leverage,
        "current_price": position.current_price,
        "unrealized_pnl": position.unrealized_pnl,
        "realized_pnl": position.realized_pnl,
        "fees": position.fees,
        "funding": position.funding,
        "r_net": position.r_net.quantize(_SHOWN_DIGITS),
        "unprotected_s": position.unprotected_s,
        "opened_at": position.opened_at.isoformat(timespec="milliseconds"),
        "updated_at": position.updated_at.isoformat(timespec="milliseconds"),
    }
    return Record(
        key,
        {
            name: format(value, "f") if isinstance(value, Decimal) else str(value)
            for name, value in fields.items()
            if value is not None
        },
    )
