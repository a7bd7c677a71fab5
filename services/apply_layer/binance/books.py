"""Both books of open orders: few symbols are asked for one by one, many in one call each."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from services.apply_layer.binance.answers import Meaning
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.endpoints import (
    OPEN_ALGOS,
    OPEN_ORDERS,
    Endpoint,
    Rows,
    read_rows,
)
from services.apply_layer.binance.pace import ONE_BY_ONE
from services.apply_layer.binance.quarantine import SymbolUnread
from services.apply_layer.binance.rows import AlgoRow, PlainRow
from services.apply_layer.binance.wire import open_conditional, open_plain
from services.apply_layer.exchange import OpenOrder, Quarantine

_Call = tuple[Endpoint[Any], str | None]
_Answer = Rows[Any] | VenueError | NoAnswer
#: Refusals that speak of what was asked for, not of whoever asks too often or at a wrong time.
_OF_ONE_SYMBOL = (Meaning.REFUSED, Meaning.LOCKED_OUT, Meaning.NO_SUCH_ORDER)


@dataclass(slots=True)
class Book:
    """Open orders of some symbols, and the symbols whose orders could not be read."""

    orders: list[OpenOrder] = field(default_factory=list)
    unread: dict[str, Quarantine] = field(default_factory=dict)


class Books:
    """Reads open orders, several calls side by side: each takes its time, and a stop may wait."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pool = ThreadPoolExecutor(2 * ONE_BY_ONE, thread_name_prefix="books")

    def read(
        self, plain: Collection[str], conditional: Collection[str], purpose: Purpose
    ) -> tuple[Book, Book]:
        """The plain orders of some symbols and the conditional ones of some.

        Raises:
            VenueError, NoAnswer: and what concerns one symbol alone is in its book as unread.
        """
        calls: list[_Call] = [*_calls(OPEN_ORDERS, plain), *_calls(OPEN_ALGOS, conditional)]
        told = list(self._pool.map(lambda call: self._told(call, purpose), calls))
        seen = any(isinstance(answer, Rows) for answer in told)
        books = Book(), Book()
        for call, answer in zip(calls, told, strict=True):
            book, wanted = (books[0], plain) if call[0] is OPEN_ORDERS else (books[1], conditional)
            _take(book, call[1], wanted, answer, seen=seen)
        return books

    def _told(self, call: _Call, purpose: Purpose) -> _Answer:
        endpoint, symbol = call
        params = {} if symbol is None else {"symbol": symbol}
        try:
            return read_rows(self._client, endpoint, params, purpose=purpose)
        except (VenueError, NoAnswer) as error:
            return error

    def of(self, symbol: str) -> list[OpenOrder]:
        """Both books of one symbol, for what a stop or an exit waits for.

        Raises:
            VenueError, NoAnswer: and SymbolUnread where only this symbol could not be read.
        """
        books = self.read((symbol,), (symbol,), Purpose.PROTECT)
        for why in (why for book in books for why in book.unread.values()):
            raise SymbolUnread(symbol, why.code, why.reason)
        return [order for book in books for order in book.orders]


def _calls(endpoint: Endpoint[Any], symbols: Collection[str]) -> list[_Call]:
    if len(symbols) > ONE_BY_ONE:
        return [(endpoint, None)]
    return [(endpoint, symbol) for symbol in sorted(symbols)]


def _take(
    book: Book, symbol: str | None, wanted: Collection[str], answer: _Answer, *, seen: bool
) -> None:
    """Take an answer into a book; `seen` says that others were answered at the same time."""
    if isinstance(answer, Rows):
        asked = wanted if symbol is None else (symbol,)
        found = (_order_of(row) for row in answer.rows if row.symbol in asked)
        book.orders += [order for order in found if order is not None]
        for name, reason in answer.unreadable.items():
            if symbol is not None or name in wanted:
                book.unread[symbol or name] = Quarantine("unreadable", reason)
    elif symbol is None:
        raise answer
    elif isinstance(answer, VenueError):
        book.unread[symbol] = of_one_symbol(answer)
    else:
        book.unread[symbol] = unanswered(answer, seen=seen)


def _order_of(row: PlainRow | AlgoRow) -> OpenOrder | None:
    return open_plain(row) if isinstance(row, PlainRow) else open_conditional(row)


def of_one_symbol(error: VenueError) -> Quarantine:
    """Why a read of one symbol was refused; raises the error again where it concerns them all.

    The account's own reads were just answered with the same keys.
    """
    if error.meaning not in _OF_ONE_SYMBOL:
        raise error
    return Quarantine(
        "read_refused",
        f"the venue refuses to tell of it: {error}. It is asked again every half minute; look at it"
        " in the exchange's app",
    )


def unanswered(error: NoAnswer, *, seen: bool) -> Quarantine:
    """Why a read of one symbol had no answer; raises the error again where the venue is silent."""
    if isinstance(error, SymbolUnread):
        return error.why
    if error.waited or not seen:
        raise error
    return Quarantine(
        "no_answer",
        f"what the venue answers cannot be used: {error}. It is asked again every half minute; look"
        " at it in the exchange's app",
    )


def ids_by_symbol(orders: Iterable[OpenOrder]) -> dict[str, frozenset[str]]:
    """The client ids of some orders, by symbol."""
    ids: dict[str, set[str]] = {}
    for order in orders:
        ids.setdefault(order.symbol, set()).add(order.client_order_id)
    return {symbol: frozenset(names) for symbol, names in ids.items()}
