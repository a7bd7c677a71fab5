"""Public market data as the venue tells it: filters, marks, tickers and one-minute candles.

Candles come from the marks that the double had; minutes without one hold the close before. Times
are milliseconds since 1970, prices USDT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.apply_layer.double.account import Account
from services.apply_layer.double.codes import Refused, missing
from services.apply_layer.double.ledger import plain
from services.apply_layer.paper_account import PaperPolicy

MINUTE_MS = 60_000
FUNDING_MS = 8 * 60 * MINUTE_MS
_INTERVALS = {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": 1440}
_PAGE, _PAGE_MAX = 500, 1500


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle of prices, by its opening time."""

    open_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal

    def with_price(self, price: Decimal) -> Bar:
        """The candle after one more price."""
        return replace(self, high=max(self.high, price), low=min(self.low, price), close=price)


class Bars:
    """The one-minute candles of one symbol."""

    def __init__(self, price: Decimal, now_ms: int) -> None:
        self._first = price
        start = now_ms // MINUTE_MS * MINUTE_MS
        self._bars = {start: Bar(start, price, price, price, price)}

    def add(self, price: Decimal, now_ms: int) -> None:
        """A price; also one that says only that the minute began with the close before."""
        start = now_ms // MINUTE_MS * MINUTE_MS
        bar = self._bars.get(start)
        if bar is None:
            before = self.at(start - MINUTE_MS).close
            bar = Bar(start, before, before, before, before)
        self._bars[start] = bar.with_price(price)

    def put(self, bar: Bar) -> None:
        """A candle of the past, or of what is to come."""
        self._bars[bar.open_ms] = bar

    def at(self, start: int) -> Bar:
        """The candle of a minute."""
        found = self._bars.get(start)
        if found is not None:
            return found
        known = max((at for at in self._bars if at < start), default=None)
        price = self._first if known is None else self._bars[known].close
        return Bar(start, price, price, price, price)

    def over(self, start: int, minutes: int) -> Bar:
        """Several minutes as one candle."""
        bars = [self.at(start + n * MINUTE_MS) for n in range(minutes)]
        return Bar(
            start, bars[0].open, max(b.high for b in bars), min(b.low for b in bars), bars[-1].close
        )


def kline_row(bar: Bar, minutes: int) -> list[Any]:
    """A candle as a row of the klines endpoints; nothing is known of volumes."""
    prices = [plain(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    end = bar.open_ms + minutes * MINUTE_MS - 1
    return [bar.open_ms, *prices, "0", end, "0", minutes, "0", "0", "0"]


def klines(bars: Bars, asked: Mapping[str, str], now_ms: int) -> list[list[Any]]:
    """Candles up to the one of now, the latest or those from `startTime` on."""
    if "interval" not in asked:
        raise missing("interval")
    minutes = _INTERVALS.get(asked["interval"])
    if minutes is None:
        raise Refused(-1120)
    step = minutes * MINUTE_MS
    limit = min(int(asked.get("limit", _PAGE)), _PAGE_MAX)
    last = min(int(asked.get("endTime", now_ms)), now_ms) // step * step
    if "startTime" in asked:
        first = -(-int(asked["startTime"]) // step) * step
    else:
        first = last - (limit - 1) * step
    starts = range(first, last + 1, step)[:limit]
    return [kline_row(bars.over(start, minutes), minutes) for start in starts]


def next_funding_ms(now_ms: int) -> int:
    """When funding is settled next."""
    return (now_ms // FUNDING_MS + 1) * FUNDING_MS


def premium_index(account: Account, symbol: str) -> dict[str, Any]:
    """Mark price and funding rate."""
    now, book = account.now_ms(), account.books.account.book(symbol)
    mark = plain(account.switches.told_marks.get(symbol, account.books.mark(symbol)))
    return {
        "symbol": symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": plain(book.funding_rate or Decimal(0)),
        "interestRate": "0.00010000",
        "nextFundingTime": next_funding_ms(now),
        "time": now,
    }


def ticker_24h(account: Account, bars: Bars, symbol: str) -> dict[str, Any]:
    """What the last minute of prices tells of a day."""
    now, last = account.now_ms(), account.contract[symbol]
    bar = bars.at(now // MINUTE_MS * MINUTE_MS)
    change = last - bar.open
    return {
        "symbol": symbol,
        "priceChange": plain(change),
        "priceChangePercent": plain((change / bar.open * 100).quantize(Decimal("0.001"))),
        "weightedAvgPrice": plain(last),
        "lastPrice": plain(last),
        "lastQty": "1",
        "openPrice": plain(bar.open),
        "highPrice": plain(bar.high),
        "lowPrice": plain(bar.low),
        "volume": "0",
        "quoteVolume": "0",
        "openTime": now - 1440 * MINUTE_MS,
        "closeTime": now,
        "firstId": 0,
        "lastId": 0,
        "count": 0,
    }


def book_ticker(account: Account, symbol: str) -> dict[str, Any]:
    """Best bid and offer: the last price, one tick apart."""
    last, tick = account.contract[symbol], account.policy.rules[symbol].tick_size
    return {
        "symbol": symbol,
        "bidPrice": plain(last - tick),
        "bidQty": "100",
        "askPrice": plain(last),
        "askQty": "100",
        "time": account.now_ms(),
        "lastUpdateId": account.now_ms(),
    }


def exchange_info(account: Account) -> dict[str, Any]:
    """Every symbol with its filters, and the limits."""
    config = account.config

    def limit(kind: str, interval: str, number: int, most: int) -> dict[str, Any]:
        return {
            "rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": most,
        }  # fmt: skip

    return {
        "timezone": "UTC",
        "serverTime": account.now_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": [
            limit("REQUEST_WEIGHT", "MINUTE", 1, config.weight_limit),
            limit("ORDERS", "MINUTE", 1, config.order_limit_1m),
            limit("ORDERS", "SECOND", 10, config.order_limit_10s),
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [
            _listed(account, symbol)
            for symbol in config.symbols
            if not account.switches.lacks(symbol, "exchangeInfo")
        ],
    }


def _delivery_ms(symbol: str) -> int | None:
    """When a contract such as ETHUSDT_260327 is delivered; None for one that never is."""
    _, _, date = symbol.partition("_")
    try:
        return int(datetime.strptime(f"{date}08+0000", "%y%m%d%H%z").timestamp() * 1000)
    except ValueError:
        return None


def _listed(account: Account, symbol: str) -> dict[str, Any]:
    rules, market = account.config.rules_of(symbol), account.policy.rules[symbol]
    lot = {"minQty": plain(rules.min_qty), "stepSize": plain(rules.lot_step)}
    quote, delivery_ms = account.config.quote_of(symbol), _delivery_ms(symbol)
    pair = symbol if delivery_ms is None else symbol.partition("_")[0]
    return {
        "symbol": rules.symbol,
        "pair": pair,
        "contractType": "PERPETUAL" if delivery_ms is None else "CURRENT_QUARTER",
        "deliveryDate": delivery_ms or 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": account.switches.status_of(symbol),
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": pair.removesuffix(quote),
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": _places(rules.tick_size),
        "quantityPrecision": _places(rules.lot_step),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.010000",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": plain(rules.tick_size),
                "maxPrice": "4529764",
                "tickSize": plain(rules.tick_size),
            },
            {"filterType": "LOT_SIZE", "maxQty": plain(rules.max_qty), **lot},
            {"filterType": "MARKET_LOT_SIZE", "maxQty": plain(market.max_qty), **lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": plain(rules.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": [
            "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }  # fmt: skip


def _places(step: Decimal) -> int:
    return max(0, -int(step.normalize().as_tuple().exponent))


def brackets(policy: PaperPolicy, symbol: str) -> dict[str, Any]:
    """The leverage brackets of a symbol; the last one has no cap and is told with a large one."""
    rows, floor = [], Decimal(0)
    for number, bracket in enumerate(policy.brackets_of(symbol), 1):
        cap = bracket.notional_cap if bracket.notional_cap.is_finite() else Decimal(10**12)
        rows.append(
            {
                "bracket": number,
                "initialLeverage": bracket.max_leverage,
                "notionalCap": int(cap),
                "notionalFloor": int(floor),
                "maintMarginRatio": _json_number(bracket.maintenance_margin_rate),
                "cum": 0,
            }
        )
        floor = cap
    return {"symbol": symbol, "notionalCoef": 1, "brackets": rows}


def _json_number(value: Decimal) -> float:
    # The venue tells this ratio as a JSON number; its shortest text is the Decimal again.
    return float(value)
