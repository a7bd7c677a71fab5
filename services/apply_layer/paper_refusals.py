"""Why the paper venue refuses an order: the table of codes, and the checks in their order.

The codes are those of Binance USD-M. A check before acceptance looks at the request and the book;
the last one looks at the account as the fill would leave it, so that a flip, an addition and a
fresh entry are judged alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from services.apply_layer.exchange import OrderType, PlaceOrder, SymbolRules
from services.apply_layer.paper_account import PaperAccount, PaperBook, PaperPolicy
from services.apply_layer.paper_money import (
    closable_qty,
    is_liquidated,
    is_multiple,
    is_triggered,
    liquidation_of,
    notional_cap,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A venue's numeric code, and the reason in one word for logs and results."""

    code: int
    reason: str


TRIGGER_MISSING = Refusal(-1102, "trigger_price_missing")
TRIGGER_NOT_WANTED = Refusal(-1106, "trigger_price_on_a_market_order")
QTY_OFF_STEP = Refusal(-1111, "qty_off_lot_step")
UNKNOWN_SYMBOL = Refusal(-1121, "unknown_symbol")
UNKNOWN_ORDER = Refusal(-2011, "unknown_order")
MARGIN_INSUFFICIENT = Refusal(-2019, "margin_insufficient")
TRIGGERS_AT_ONCE = Refusal(-2021, "would_trigger_at_once")
REDUCE_ONLY_NO_POSITION = Refusal(-2022, "reduce_only_no_position")
NOTIONAL_OVER_BRACKET = Refusal(-2027, "notional_over_bracket")
QTY_NOT_POSITIVE = Refusal(-4003, "qty_not_positive")
QTY_UNDER_MIN = Refusal(-4004, "qty_under_min")
QTY_OVER_MAX = Refusal(-4005, "qty_over_max")
TRIGGER_NOT_POSITIVE = Refusal(-4006, "trigger_price_not_positive")
TRIGGER_OFF_TICK = Refusal(-4014, "trigger_price_off_tick")
CLIENT_ORDER_ID_INVALID = Refusal(-4015, "client_order_id_invalid")
LEVERAGE_OUT_OF_RANGE = Refusal(-4028, "leverage_out_of_range")
TOO_MANY_CONDITIONAL_ORDERS = Refusal(-4045, "too_many_conditional_orders")
CLIENT_ORDER_ID_OPEN = Refusal(-4116, "client_order_id_open")
CLOSE_POSITION_ORDER_OPEN = Refusal(-4130, "close_position_order_open")
CLOSE_POSITION_NOT_CONDITIONAL = Refusal(-4136, "close_position_on_a_market_order")
NOTIONAL_UNDER_MIN = Refusal(-4164, "notional_under_min")

# The venue keeps `autoclose-` for the orders that it forces, which are told apart by it.
CLIENT_ORDER_ID = re.compile(r"(?!autoclose-)[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)


def refusal_before_acceptance(
    account: PaperAccount, policy: PaperPolicy, order: PlaceOrder
) -> Refusal | None:
    """The first reason not to accept the order, apart from what its fill would do."""
    rules = policy.rules.get(order.symbol)
    if rules is None:
        return UNKNOWN_SYMBOL
    book = account.book(order.symbol)
    if not CLIENT_ORDER_ID.fullmatch(order.client_order_id):
        return CLIENT_ORDER_ID_INVALID
    if book.order(order.client_order_id):
        return CLIENT_ORDER_ID_OPEN
    if order.close_position and order.type is OrderType.MARKET:
        return CLOSE_POSITION_NOT_CONDITIONAL
    return (
        _qty_refusal(rules, order)
        or _trigger_refusal(rules, order)
        or _leverage_refusal(policy, order)
        or _notional_refusal(rules, book, order)
        or _state_refusal(account, policy, book, order)
    )


def _qty_refusal(rules: SymbolRules, order: PlaceOrder) -> Refusal | None:
    """What closes a whole position has no quantity of its own."""
    if order.close_position:
        return None
    if not order.qty.is_finite() or order.qty <= 0:
        return QTY_NOT_POSITIVE
    if order.qty > rules.max_qty:
        return QTY_OVER_MAX
    if not is_multiple(order.qty, rules.lot_step):
        return QTY_OFF_STEP
    return QTY_UNDER_MIN if order.qty < rules.min_qty else None


def _trigger_refusal(rules: SymbolRules, order: PlaceOrder) -> Refusal | None:
    trigger = order.trigger_price
    if order.type is OrderType.MARKET:
        return None if trigger is None else TRIGGER_NOT_WANTED
    if trigger is None:
        return TRIGGER_MISSING
    if not trigger.is_finite() or trigger <= 0:
        return TRIGGER_NOT_POSITIVE
    return None if is_multiple(trigger, rules.tick_size) else TRIGGER_OFF_TICK


def _leverage_refusal(policy: PaperPolicy, order: PlaceOrder) -> Refusal | None:
    """An exit has no leverage of its own: it is never refused for one."""
    if order.reduce_only:
        return None
    most = max(bracket.max_leverage for bracket in policy.brackets_of(order.symbol))
    return None if 1 <= order.leverage <= most else LEVERAGE_OUT_OF_RANGE


def _notional_refusal(rules: SymbolRules, book: PaperBook, order: PlaceOrder) -> Refusal | None:
    """Judged at the trigger, or else at the mark; not at all while the symbol has no price."""
    if order.close_position:
        return None
    price = order.trigger_price or book.mark_price
    least = rules.reduce_only_min_notional if order.reduce_only else rules.min_notional
    if price is None or order.qty * price >= least:
        return None
    return NOTIONAL_UNDER_MIN


def _state_refusal(
    account: PaperAccount, policy: PaperPolicy, book: PaperBook, order: PlaceOrder
) -> Refusal | None:
    if order.trigger_price is None:
        exits_nothing = order.reduce_only and not closable_qty(book.position, order.side)
        return REDUCE_ONLY_NO_POSITION if exits_nothing else None
    if book.mark_price is not None and is_triggered(
        order.type, order.side, order.trigger_price, book.mark_price
    ):
        return TRIGGERS_AT_ONCE
    if order.close_position and any(
        held.close_position and (held.side, held.type) == (order.side, order.type)
        for held in book.orders
    ):
        return CLOSE_POSITION_ORDER_OPEN
    resting = sum(
        held.type is not OrderType.MARKET for each in account.books.values() for held in each.orders
    )
    return TOO_MANY_CONDITIONAL_ORDERS if resting >= policy.max_conditional_orders else None


def refusal_of_exposure(
    account: PaperAccount, policy: PaperPolicy, symbol: str, price: Decimal
) -> Refusal | None:
    """Why a fill at `price` that added exposure in `symbol` may not leave the account like this.

    The last test refuses leverage that leaves no room between the mark and liquidation.
    """
    book = account.books[symbol]
    position, mark = book.position, book.mark_price
    if position is None or mark is None:
        return None
    brackets = policy.brackets_of(symbol)
    if abs(position.qty) * price > notional_cap(brackets, position.leverage):
        return NOTIONAL_OVER_BRACKET
    if account.free_wallet < 0:
        return MARGIN_INSUFFICIENT
    liquidation = liquidation_of(position, brackets)
    return MARGIN_INSUFFICIENT if is_liquidated(position, liquidation, mark) else None
