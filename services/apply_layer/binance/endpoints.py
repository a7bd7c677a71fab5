"""Every endpoint that the adapter reads: its name, its weight, and what its answer must be.

One reader for all of them: what does not fit is no answer, with the field and the reason, and never
a crash. In a list of rows by symbol, a row that does not fit costs only its symbol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer
from services.apply_layer.binance.reading import reason_of
from services.apply_layer.binance.rows import (
    AccountConfig,
    AlgoRow,
    BalanceRow,
    BracketsRow,
    ConfigRow,
    ExchangeInfo,
    FeeBurn,
    IncomeRow,
    ListedRow,
    ListenKey,
    PlacedAlgo,
    PlainRow,
    PositionRow,
    PremiumRow,
    ServerTime,
    TradeRow,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[T]):
    """One endpoint by ccxt's name. `weight_of_all` counts where no symbol is named."""

    name: str
    answer: TypeAdapter[T]
    weight: int = 1
    weight_of_all: int | None = None

    def weighs(self, params: Mapping[str, object]) -> int:
        """What a call costs."""
        if self.weight_of_all is not None and "symbol" not in params:
            return self.weight_of_all
        return self.weight


LISTED = Endpoint("exchangeInfo", TypeAdapter(ListedRow))
TIME = Endpoint("fapiPublicGetTime", TypeAdapter(ServerTime))
EXCHANGE_INFO = Endpoint("fapiPublicGetExchangeInfo", TypeAdapter(ExchangeInfo))
PREMIUM_INDEX = Endpoint("fapiPublicGetPremiumIndex", TypeAdapter(PremiumRow), weight_of_all=10)
BRACKETS = Endpoint("fapiPrivateGetLeverageBracket", TypeAdapter(BracketsRow))
POSITIONS = Endpoint("fapiPrivateV3GetPositionRisk", TypeAdapter(PositionRow), 5)
OPEN_ORDERS = Endpoint("fapiPrivateGetOpenOrders", TypeAdapter(PlainRow), 1, 40)
OPEN_ALGOS = Endpoint("fapiPrivateGetOpenAlgoOrders", TypeAdapter(AlgoRow), 1, 40)
LISTEN_KEY = Endpoint("listenKey", TypeAdapter(ListenKey))
PLACED_ALGO = Endpoint("algoOrder", TypeAdapter(PlacedAlgo))
ORDER = Endpoint("fapiPrivateGetOrder", TypeAdapter(PlainRow))
ALGO_ORDER = Endpoint("fapiPrivateGetAlgoOrder", TypeAdapter(AlgoRow))
ALL_ORDERS = Endpoint("fapiPrivateGetAllOrders", TypeAdapter(PlainRow), 5)
ALL_ALGOS = Endpoint("fapiPrivateGetAllAlgoOrders", TypeAdapter(AlgoRow), 5)
USER_TRADES = Endpoint("fapiPrivateGetUserTrades", TypeAdapter(TradeRow), 5)
BALANCE = Endpoint("fapiPrivateV3GetBalance", TypeAdapter(BalanceRow), 5)
SYMBOL_CONFIG = Endpoint("fapiPrivateGetSymbolConfig", TypeAdapter(ConfigRow), 5)
ACCOUNT_CONFIG = Endpoint("fapiPrivateGetAccountConfig", TypeAdapter(AccountConfig), 5)
INCOME = Endpoint("fapiPrivateGetIncome", TypeAdapter(IncomeRow), 30)
FEE_BURN = Endpoint("fapiPrivateGetFeeBurn", TypeAdapter(FeeBurn), 30)


@dataclass(frozen=True, slots=True)
class Rows(Generic[T]):
    """The rows of a list that fit, and the symbols of those that do not, each with the reason."""

    rows: tuple[T, ...]
    unreadable: Mapping[str, str]


def read(
    client: Client,
    endpoint: Endpoint[T],
    params: Mapping[str, object] | None = None,
    *,
    purpose: Purpose,
) -> T:
    """Call an endpoint that answers with one thing.

    Raises:
        VenueError: refused.
        NoAnswer: nothing came, or nothing that fits.
    """
    return fitted(endpoint, _told(client, endpoint, params, purpose))


def read_rows(
    client: Client,
    endpoint: Endpoint[T],
    params: Mapping[str, object] | None = None,
    *,
    purpose: Purpose,
) -> Rows[T]:
    """Call an endpoint that answers with a list.

    Raises:
        VenueError: refused.
        NoAnswer: nothing came, no list, or a row that does not fit and names no symbol.
    """
    return rows_of(endpoint, _told(client, endpoint, params, purpose))


def _told(
    client: Client, endpoint: Endpoint[Any], params: Mapping[str, object] | None, purpose: Purpose
) -> object:
    asked = params or {}
    told: object = client.call(endpoint.name, asked, weight=endpoint.weighs(asked), purpose=purpose)
    return told


def fitted(endpoint: Endpoint[T], told: object) -> T:
    """An answer as what it must be. Raises NoAnswer."""
    try:
        return endpoint.answer.validate_python(told)
    except ValidationError as error:
        raise NoAnswer(f"{endpoint.name}: {reason_of(error)}") from None


def rows_of(endpoint: Endpoint[T], told: object) -> Rows[T]:
    """A list as its rows. Raises NoAnswer."""
    if not isinstance(told, list):
        raise NoAnswer(f"{endpoint.name}: answer: is no list")
    rows: list[T] = []
    unreadable: dict[str, str] = {}
    for row in told:
        try:
            rows.append(endpoint.answer.validate_python(row))
        except ValidationError as error:
            reason = f"{endpoint.name}: {reason_of(error)}"
            symbol = row.get("symbol") if isinstance(row, dict) else None
            if not isinstance(symbol, str) or not symbol:
                raise NoAnswer(reason) from None
            unreadable[symbol[:64]] = reason
    return Rows(tuple(rows), unreadable)
