"""Public reads: marks, candles, tickers, and what the venue lists.

Every function is given the account, its candles and the parameters of the call. Raises Refused as
the venue refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.apply_layer.double import market
from services.apply_layer.double.account import Account
from services.apply_layer.double.market import Bars
from services.apply_layer.double.order_reads import Look

Public = Callable[[Account, Mapping[str, Bars], Mapping[str, str]], Any]


def _symbols(account: Account, asked: Mapping[str, str]) -> list[str]:
    return Look(account, account.books, asked).symbols


def _each(one: Callable[[Account, Mapping[str, Bars], str], dict[str, Any]]) -> Public:
    """One symbol, or a list of all where none is named."""

    def read(account: Account, bars: Mapping[str, Bars], asked: Mapping[str, str]) -> Any:
        told = [one(account, bars, symbol) for symbol in _symbols(account, asked)]
        return told[0] if asked.get("symbol") else told

    return read


def _klines(account: Account, bars: Mapping[str, Bars], asked: Mapping[str, str]) -> Any:
    named = {**asked, "symbol": asked.get("symbol") or asked.get("pair", "")}
    symbol = Look(account, account.books, named).symbol
    return market.klines(bars[symbol], asked, account.now_ms())


def _price(account: Account, _bars: Mapping[str, Bars], symbol: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "price": format(account.contract[symbol], "f"),
        "time": account.now_ms(),
    }


def _funding_history(account: Account, _bars: Mapping[str, Bars], asked: Mapping[str, str]) -> Any:
    now = account.now_ms() // market.FUNDING_MS * market.FUNDING_MS
    rates = (market.premium_index(account, symbol) for symbol in _symbols(account, asked))
    return [
        {
            "symbol": rate["symbol"],
            "fundingRate": rate["lastFundingRate"],
            "fundingTime": now,
            "markPrice": rate["markPrice"],
        }
        for rate in rates
    ]


def _funding_info(account: Account, _bars: Mapping[str, Bars], asked: Mapping[str, str]) -> Any:
    return [
        {
            "symbol": symbol,
            "adjustedFundingRateCap": "0.02",
            "adjustedFundingRateFloor": "-0.02",
            "fundingIntervalHours": 8,
            "disclaimer": False,
        }
        for symbol in _symbols(account, asked)
    ]


PUBLIC: dict[str, Public] = {
    "/fapi/v1/ping": lambda _account, _bars, _asked: {},
    "/fapi/v1/time": lambda account, _bars, _asked: {"serverTime": account.now_ms()},
    "/fapi/v1/exchangeInfo": lambda account, _bars, _asked: market.exchange_info(account),
    "/fapi/v1/premiumIndex": _each(lambda a, _bars, symbol: market.premium_index(a, symbol)),
    "/fapi/v1/fundingRate": _funding_history,
    "/fapi/v1/fundingInfo": _funding_info,
    "/fapi/v1/klines": _klines,
    "/fapi/v1/markPriceKlines": _klines,
    "/fapi/v1/continuousKlines": _klines,
    "/fapi/v1/ticker/price": _each(_price),
    "/fapi/v2/ticker/price": _each(_price),
    "/fapi/v1/ticker/bookTicker": _each(lambda a, _bars, symbol: market.book_ticker(a, symbol)),
    "/fapi/v1/ticker/24hr": _each(
        lambda a, bars, symbol: market.ticker_24h(a, bars[symbol], symbol)
    ),
}
