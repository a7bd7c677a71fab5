"""The user stream's events and the ledger's lines, in the shapes of the venue. Pure.

Times are milliseconds since 1970 by the venue's clock; numbers are text without an exponent.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from services.apply_layer.double.books import ZERO, AlgoRecord, Books, OrderRecord, TradeRecord
from services.apply_layer.double.ledger import plain


def order_event(
    order: OrderRecord, execution: str, now: int, trade: TradeRecord | None = None
) -> dict[str, Any]:
    """ORDER_TRADE_UPDATE: `execution` is what happened, NEW, TRADE, CANCELED or EXPIRED."""
    told: dict[str, Any] = {
        "s": order.symbol,
        "c": order.client_id,
        "S": order.side.value,
        "o": order.type,
        "f": "GTC",
        "q": plain(order.qty),
        "p": "0",
        "ap": plain(order.average),
        "sp": plain(order.trigger),
        "x": execution,
        "X": order.status,
        "i": order.order_id,
        "l": plain(trade.qty) if trade else "0",
        "z": plain(order.executed),
        "L": plain(trade.price) if trade else "0",
        "T": trade.at_ms if trade else order.update_ms,
        "t": trade.trade_id if trade else 0,
        "b": "0",
        "a": "0",
        "m": False,
        "R": order.reduce_only,
        "wt": order.working_type,
        "ot": order.original_type or order.type,
        "ps": "BOTH",
        "cp": order.close_position,
        "rp": plain(trade.realized) if trade else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": "0",
    }
    if trade is not None:
        told |= {"n": plain(trade.fee), "N": trade.fee_asset}
    return {"e": "ORDER_TRADE_UPDATE", "E": now, "T": order.update_ms, "o": told}


def account_event(
    books: Books,
    symbols: Iterable[str],
    now: int,
    *,
    reason: str = "ORDER",
    change: Decimal = ZERO,
    asset: str = "USDT",
) -> dict[str, Any]:
    """ACCOUNT_UPDATE: the wallet and the positions that changed."""
    wallet = plain(books.account.wallet.balance)
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now,
        "T": now,
        "a": {
            "m": reason,
            "B": [{"a": asset, "wb": wallet, "cw": wallet, "bc": plain(change)}],
            "P": [_position(books, symbol) for symbol in symbols],
        },
    }


def _position(books: Books, symbol: str) -> dict[str, Any]:
    book = books.account.book(symbol)
    position = book.position
    isolated = books.margin_type.get(symbol) == "ISOLATED"
    return {
        "s": symbol,
        "pa": plain(position.qty) if position else "0",
        "ep": plain(position.entry_price) if position else "0",
        "bep": plain(position.entry_price) if position else "0",
        "cr": plain(book.realized_pnl),
        "up": plain(unrealized(books, symbol)),
        "mt": "isolated" if isolated else "cross",
        "iw": plain(position.margin) if position and isolated else "0",
        "ps": "BOTH",
    }


def unrealized(books: Books, symbol: str) -> Decimal:
    """What closing the position at the mark would bring, before fees."""
    position = books.position(symbol)
    if position is None:
        return ZERO
    return ((books.mark(symbol) - position.entry_price) * position.qty).quantize(Decimal("1E-8"))


def config_event(now: int, **changed: dict[str, Any]) -> dict[str, Any]:
    """ACCOUNT_CONFIG_UPDATE: `ac` is a symbol's leverage, `ai` the account's multi-assets mode."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": now, "T": now, **changed}


def algo_event(algo: AlgoRecord, now: int) -> dict[str, Any]:
    """ALGO_UPDATE: a conditional order's status, and once it triggered the order that it became."""
    return {
        "e": "ALGO_UPDATE",
        "T": algo.update_ms,
        "E": now,
        "o": {
            "caid": algo.client_id,
            "aid": algo.algo_id,
            "at": "CONDITIONAL",
            "o": algo.type,
            "s": algo.symbol,
            "S": algo.side.value,
            "ps": "BOTH",
            "f": "GTC",
            "q": plain(algo.qty),
            "X": algo.status,
            "ai": str(algo.order_id or ""),
            "ap": plain(algo.average),
            "aq": plain(algo.executed),
            "act": "MARKET" if algo.order_id else "0",
            "tp": plain(algo.trigger),
            "p": "0",
            "V": "EXPIRE_MAKER",
            "wt": algo.working_type,
            "pm": "NONE",
            "cp": algo.close_position,
            "pP": False,
            "R": algo.reduce_only,
            "tt": algo.triggered_ms,
            "gtd": 0,
            "rm": algo.reason,
        },
    }


def key_expired_event(key: str, now: int) -> dict[str, Any]:
    """listenKeyExpired: nothing more comes on that key."""
    return {"e": "listenKeyExpired", "E": now, "listenKey": key}


def ended_line(order: OrderRecord) -> dict[str, Any]:
    """The ledger's line for an order of the plain book that is over."""
    return {
        "book": "orders",
        "order_id": order.order_id,
        "client_id": order.client_id,
        "symbol": order.symbol,
        "status": order.status,
        "executed_qty": order.executed,
    }


def ended_algo_line(algo: AlgoRecord) -> dict[str, Any]:
    """The ledger's line for a conditional order that stands no more."""
    return {
        "book": "algo",
        "order_id": algo.algo_id,
        "client_id": algo.client_id,
        "symbol": algo.symbol,
        "status": algo.status,
        "executed_qty": algo.executed,
    }
