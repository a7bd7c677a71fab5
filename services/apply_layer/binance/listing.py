"""What the venue lists: filters, brackets and status of the symbols that the suite deals with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.apply_layer.binance.answers import Meaning
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.endpoints import (
    BALANCE,
    BRACKETS,
    EXCHANGE_INFO,
    LISTED,
    fitted,
    read,
    read_rows,
)
from services.apply_layer.binance.rows import BracketRow, ListedRow
from services.apply_layer.binance.wire import rules_of
from services.apply_layer.exchange import Quarantine, SymbolRules
from shared.contracts.fields import Symbol
from shared.log import logger

_TRADING = "TRADING"
_EVERY_S, _SOONER_S = 600.0, 30.0
_NAME: TypeAdapter[str] = TypeAdapter(Symbol)
_TAKE_OUT = "take it out of apply_layer.symbols, or wait: it is taken up when this has changed"


class Listing:
    """The rules of some symbols, and what keeps others from being traded. `wanted` may grow."""

    def __init__(
        self,
        client: Client,
        symbols: Iterable[str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._wanted = set(symbols)
        self._monotonic = monotonic
        self._listed: dict[str, Any] = {}
        self._brackets: dict[str, tuple[BracketRow, ...]] = {}
        self._rows: dict[str, ListedRow] = {}
        self._read_at: float | None = None
        self.rules: dict[str, SymbolRules] = {}
        #: What keeps a symbol from being traded, and, if it has no rules either, from being kept.
        self.flaws: dict[str, Quarantine] = {}

    def known(self, symbol: str) -> bool:
        """Whether the venue lists it."""
        return symbol in self._listed

    def quote_of(self, symbol: str) -> str:
        """The asset in which a contract's fees, profits and prices are counted."""
        row = self._rows.get(symbol)
        return row.margin_asset if row is not None else "USDT"

    def quotes(self) -> frozenset[str]:
        """The assets that the wanted symbols are margined in."""
        return frozenset(self.quote_of(symbol) for symbol in self._wanted)

    def want(self, symbols: Iterable[str]) -> None:
        """Deal with these as well; one that is new at the venue makes for a new read, in time."""
        new = set(symbols) - self._wanted
        self._wanted |= new
        for symbol in new:
            self._take(symbol)

    def forget(self) -> None:
        """The filters were refused: they are read anew at the next look."""
        self._read_at = None

    def is_due(self) -> bool:
        """Whether it is time to read them again: sooner while something is wrong with a symbol."""
        if self._read_at is None:
            return True
        every_s = _SOONER_S if self.flaws else _EVERY_S
        return self._monotonic() >= self._read_at + every_s

    def learn(self) -> None:
        """Read exchangeInfo and the brackets.

        Raises:
            VenueError, NoAnswer: nothing has changed.
        """
        info = read(self._client, EXCHANGE_INFO, purpose=Purpose.WATCH)
        listed: dict[str, Any] = {}
        for row in info.symbols:
            name = row.get("symbol") if isinstance(row, dict) else None
            if not isinstance(name, str):
                raise NoAnswer(f"{EXCHANGE_INFO.name}: symbols: a row without a name")
            listed[name] = row
        self._client.budget.limited([limit.model_dump(by_alias=True) for limit in info.rate_limits])
        self._read_brackets()
        self._listed, self._read_at = listed, self._monotonic()
        self.rules, self.flaws, self._rows = {}, {}, {}
        for symbol in sorted(self._wanted):
            self._take(symbol)

    def _read_brackets(self) -> None:
        try:
            told = read_rows(self._client, BRACKETS, purpose=Purpose.WATCH)
        except VenueError as error:
            if error.meaning is not Meaning.REFUSED:
                raise
            logger().warning("brackets_refused", reason=str(error))
            return
        self._brackets = {row.symbol: row.brackets for row in told.rows}

    def _take(self, symbol: str) -> None:
        flaw = self._judged(symbol)
        if flaw is not None:
            self.flaws[symbol] = flaw

    def _judged(self, symbol: str) -> Quarantine | None:
        """Learn the rules of a symbol; what keeps it from being traded, if anything does."""
        try:
            _NAME.validate_python(symbol)
        except ValidationError:
            return Quarantine(
                "name_not_held",
                "its messages cannot hold this name: close it in the exchange's app, or protect it"
                " there",
            )
        told = self._listed.get(symbol)
        if told is None:
            return Quarantine("not_listed", f"the venue does not list it: {_TAKE_OUT}")
        try:
            row = fitted(LISTED, told)
        except NoAnswer as error:
            return Quarantine("no_filters", f"{error}: {_TAKE_OUT}")
        brackets = self._brackets.get(symbol, ())
        rules = rules_of(row, brackets)
        if isinstance(rules, str):
            return Quarantine("no_filters", f"{rules}: {_TAKE_OUT}")
        self._rows[symbol], self.rules[symbol] = row, rules
        if row.status != _TRADING:
            return Quarantine("not_trading", f"its status is {row.status}: {_TAKE_OUT}")
        if not brackets:
            return Quarantine("no_bracket", f"the venue states no leverage bracket: {_TAKE_OUT}")
        return None

    def flaws_of(self, symbols: Iterable[str]) -> Mapping[str, Quarantine]:
        """What keeps these from being traded."""
        return {symbol: self.flaws[symbol] for symbol in symbols if symbol in self.flaws}

    def wallet(self, purpose: Purpose) -> Decimal:
        """What the account holds of the assets that its symbols are margined in."""
        told = read_rows(self._client, BALANCE, purpose=purpose)
        counted = self.quotes()
        return sum((row.balance for row in told.rows if row.asset in counted), Decimal(0))
