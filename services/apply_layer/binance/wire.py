"""The venue's answers as plain values: filters, positions, orders and trades.

Pure. Numbers arrive as text and become Decimal at once; the few that arrive as JSON numbers are
read from their shortest text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from services.apply_layer.exchange import (
    OpenOrder,
    OrderFilled,
    OrderType,
    SymbolRules,
    VenuePosition,
)
from shared.sides import PositionSide, Side

ZERO = Decimal(0)


def moment(ms: object) -> datetime:
    """Milliseconds since 1970 as an aware time."""
    return datetime.fromtimestamp(int(str(ms)) / 1000, UTC)


def number(value: object) -> Decimal:
    """A number of the venue's; nothing is 0."""
    return Decimal(str(value)) if value not in (None, "") else ZERO


def plain(value: Decimal) -> str:
    """A number as the venue reads it: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def rules_of(info: Mapping[str, Any], brackets: list[Mapping[str, Any]]) -> SymbolRules:
    """A symbol's filters from its exchangeInfo and its leverage brackets.

    Every order here is a market order in the end, so the market lot counts where it is coarser.
    """
    filters = {entry["filterType"]: entry for entry in info["filters"]}
    lot = filters["LOT_SIZE"]
    market = filters.get("MARKET_LOT_SIZE", lot)
    first = min(brackets, key=lambda bracket: int(bracket["bracket"]))
    return SymbolRules(
        symbol=info["symbol"],
        lot_step=max(number(lot["stepSize"]), number(market["stepSize"])).normalize() + ZERO,
        tick_size=number(filters["PRICE_FILTER"]["tickSize"]).normalize() + ZERO,
        min_qty=max(number(lot["minQty"]), number(market["minQty"])),
        max_qty=min(number(lot["maxQty"]), number(market["maxQty"])),
        min_notional=number(filters.get("MIN_NOTIONAL", {}).get("notional")),
        max_leverage=int(first["initialLeverage"]),
        maintenance_margin_rate=number(first["maintMarginRatio"]),
    )


def position_of(told: Mapping[str, Any], leverage: int) -> VenuePosition:
    """An open position from positionRisk."""
    signed = number(told["positionAmt"])
    updated_at = moment(told["updateTime"])
    return VenuePosition(
        symbol=told["symbol"],
        side=PositionSide.LONG if signed > 0 else PositionSide.SHORT,
        qty=abs(signed),
        entry_price=number(told["entryPrice"]),
        leverage=leverage,
        mark_price=number(told["markPrice"]),
        opened_at=updated_at,
        updated_at=updated_at,
    )


def open_conditional(told: Mapping[str, Any]) -> OpenOrder | None:
    """An order of the conditional book, or None for a kind that the suite does not use.

    One that has triggered and came to nothing is no order any more, whatever list it is on.
    """
    if told["orderType"] not in OrderType.__members__ or told["algoStatus"] != "NEW":
        return None
    closes = told.get("closePosition") in (True, "true")
    return OpenOrder(
        client_order_id=told["clientAlgoId"],
        order_id=str(told["algoId"]),
        symbol=told["symbol"],
        side=Side(told["side"]),
        type=OrderType(told["orderType"]),
        qty=number(told.get("quantity")),
        reduce_only=closes or told.get("reduceOnly") in (True, "true"),
        trigger_price=number(told["triggerPrice"]),
        close_position=closes,
    )


def open_plain(told: Mapping[str, Any]) -> OpenOrder | None:
    """An order of the plain book, or None for a kind that the suite does not use."""
    kind = told.get("origType", told["type"])
    if kind not in OrderType.__members__:
        return None
    trigger = number(told.get("stopPrice"))
    closes = told.get("closePosition") in (True, "true")
    return OpenOrder(
        client_order_id=told["clientOrderId"],
        order_id=str(told["orderId"]),
        symbol=told["symbol"],
        side=Side(told["side"]),
        type=OrderType(kind),
        qty=number(told["origQty"]) - number(told["executedQty"]),
        reduce_only=closes or told.get("reduceOnly") in (True, "true"),
        trigger_price=trigger or None,
        close_position=closes,
    )


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What one order of the plain book came to."""

    order_id: str
    client_order_id: str
    type: OrderType
    reduce_only: bool
    status: str
    executed_qty: Decimal

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status not in ("NEW", "PARTIALLY_FILLED")


def order_facts(told: Mapping[str, Any]) -> OrderFacts:
    """An order from its query, its placement or a list."""
    kind = told.get("origType") or told["type"]
    return OrderFacts(
        order_id=str(told["orderId"]),
        client_order_id=told["clientOrderId"],
        type=OrderType(kind) if kind in OrderType.__members__ else OrderType.MARKET,
        reduce_only=told.get("reduceOnly") in (True, "true"),
        status=told["status"],
        executed_qty=number(told["executedQty"]),
    )


def fill_of(trade: Mapping[str, Any], order: OrderFacts, quote: str = "USDT") -> OrderFilled:
    """A trade of userTrades; a fee in another asset than the quote counts as 0 here."""
    in_quote = trade.get("commissionAsset", quote) == quote
    return OrderFilled(
        client_order_id=order.client_order_id,
        symbol=trade["symbol"],
        order_id=order.order_id,
        trade_id=str(trade["id"]),
        side=Side(trade["side"]),
        type=order.type,
        qty=number(trade["qty"]),
        price=number(trade["price"]),
        fee=number(trade["commission"]) if in_quote else ZERO,
        realized_pnl=number(trade["realizedPnl"]),
        reduce_only=order.reduce_only,
        done=order.status == "FILLED" and number(trade["qty"]) == order.executed_qty,
        at=moment(trade["time"]),
    )
