"""Both books of open orders: few symbols are asked for one by one, many in one call each."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from services.apply_layer.binance.answers import Meaning
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, VenueError
from services.apply_layer.binance.endpoints import OPEN_ALGOS, OPEN_ORDERS, Endpoint, read_rows
from services.apply_layer.binance.pace import ONE_BY_ONE
from services.apply_layer.binance.quarantine import SymbolUnread
from services.apply_layer.binance.rows import AlgoRow, PlainRow
from services.apply_layer.binance.wire import open_conditional, open_plain
from services.apply_layer.exchange import OpenOrder, Quarantine

R = TypeVar("R", PlainRow, AlgoRow)


@dataclass(slots=True)
class Book:
    """Open orders of some symbols, and the symbols whose orders could not be read."""

    orders: list[OpenOrder] = field(default_factory=list)
    unread: dict[str, Quarantine] = field(default_factory=dict)


def conditional_book(client: Client, symbols: Collection[str], purpose: Purpose) -> Book:
    """The conditional orders of some symbols. Raises VenueError, NoAnswer."""
    rows, unread = _read(client, OPEN_ALGOS, symbols, purpose)
    return Book([order for row in rows if (order := open_conditional(row)) is not None], unread)


def plain_book(client: Client, symbols: Collection[str], purpose: Purpose) -> Book:
    """The plain orders of some symbols. Raises VenueError, NoAnswer."""
    rows, unread = _read(client, OPEN_ORDERS, symbols, purpose)
    return Book([order for row in rows if (order := open_plain(row)) is not None], unread)


def _read(
    client: Client, endpoint: Endpoint[R], symbols: Collection[str], purpose: Purpose
) -> tuple[list[R], dict[str, Quarantine]]:
    if len(symbols) > ONE_BY_ONE:
        told = read_rows(client, endpoint, purpose=purpose)
        unread = {s: why for s, why in told.unreadable.items() if s in symbols}
        return [row for row in told.rows if row.symbol in symbols], _unreadable(unread)
    rows: list[R] = []
    refused: dict[str, Quarantine] = {}
    for symbol in sorted(symbols):
        try:
            told = read_rows(client, endpoint, {"symbol": symbol}, purpose=purpose)
        except VenueError as error:
            refused[symbol] = of_one_symbol(error)
        else:
            rows += [row for row in told.rows if row.symbol == symbol]
            for why in told.unreadable.values():
                refused |= _unreadable({symbol: why})
    return rows, refused


def _unreadable(reasons: dict[str, str]) -> dict[str, Quarantine]:
    return {symbol: Quarantine("unreadable", why) for symbol, why in reasons.items()}


def of_one_symbol(error: VenueError) -> Quarantine:
    """Why a read of one symbol was refused; raises the error again where it concerns them all."""
    if error.meaning is not Meaning.REFUSED:
        raise error
    return Quarantine(
        "read_refused",
        f"the venue refuses to tell of it: {error}. It is asked again every half minute; look at it"
        " in the exchange's app",
    )


def both_books(client: Client, symbol: str) -> list[OpenOrder]:
    """Both books of one symbol, for what a stop or an exit waits for.

    Raises:
        VenueError, NoAnswer: and SymbolUnread where only this symbol could not be read.
    """
    books = [read(client, (symbol,), Purpose.PROTECT) for read in (plain_book, conditional_book)]
    for why in (why for book in books for why in book.unread.values()):
        raise SymbolUnread(symbol, why.code, why.reason)
    return [order for book in books for order in book.orders]


def ids_by_symbol(orders: Iterable[OpenOrder]) -> dict[str, frozenset[str]]:
    """The client ids of some orders, by symbol."""
    ids: dict[str, set[str]] = {}
    for order in orders:
        ids.setdefault(order.symbol, set()).add(order.client_order_id)
    return {symbol: frozenset(names) for symbol, names in ids.items()}
