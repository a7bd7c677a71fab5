"""A second venue's price of the same perpetuals, by ccxt's public ticker.

Reads REST, in a thread of its own. It is a witness and no more: whatever goes wrong here is told
and counted, and costs the feed nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import ccxt
from ccxt.base.errors import BaseError

from services.market_feed.events import SecondPrice
from shared.contracts.values import parse_price
from shared.log import logger

#: ccxt's own errors, and what its parsers and ours raise over an answer that is not expected.
_ITS_FAILURES = (BaseError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_TIMEOUT_MS = 5_000


def exchange_of(name: str) -> Any:
    """ccxt's client of a venue by its id, None if ccxt knows no such venue."""
    if name not in ccxt.exchanges:
        return None
    return getattr(ccxt, name)({"timeout": _TIMEOUT_MS})


class SecondVenue:
    """Asks for one price a symbol each round. `failed` is called for each that could not be had;
    `stop` ends a round."""

    def __init__(
        self,
        exchange: Any,
        symbols: Iterable[str],
        failed: Callable[[], None],
        stop: threading.Event,
    ) -> None:
        self._exchange = exchange
        # Prices stay text: none passes through a float.
        self._exchange.number = str
        self._symbols = tuple(symbols)
        self._failed = failed
        self._stop = stop
        self._names: dict[str, str] | None = None

    def prices(self) -> list[SecondPrice]:
        """What the venue says now, of the symbols for which it says something."""
        try:
            if self._names is None:
                self._names = self._its_names()
        except _ITS_FAILURES as error:
            self._tell("", error)
            return []
        found = []
        for symbol, name in self._names.items():
            if self._stop.is_set():
                break
            try:
                ticker = self._exchange.fetch_ticker(name)
                price = parse_price(ticker.get("markPrice") or ticker.get("last"))
            except _ITS_FAILURES as error:
                self._tell(symbol, error)
            else:
                found.append(SecondPrice(symbol, price))
        return found

    def _its_names(self) -> dict[str, str]:
        """By our symbols, ccxt's names of the linear perpetuals of the same pair."""
        names = {
            f"{market['base']}{market['quote']}": market["symbol"]
            for market in self._exchange.load_markets().values()
            if market["swap"] and market["linear"] and market["settle"] == market["quote"]
        }
        missing = [symbol for symbol in self._symbols if symbol not in names]
        if missing:
            logger().warning("second_venue_lacks", venue=self._exchange.id, symbols=missing)
        return {symbol: names[symbol] for symbol in self._symbols if symbol in names}

    def _tell(self, symbol: str, error: Exception) -> None:
        self._failed()
        logger().warning(
            "second_venue_failed",
            venue=self._exchange.id,
            symbol=symbol,
            reason=f"{type(error).__name__}: {str(error)[:200]}",
        )
