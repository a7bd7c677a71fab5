"""What a trade cost, in the quote of its contract, whatever asset it was taken in."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.endpoints import PREMIUM_INDEX, read
from services.apply_layer.binance.listing import Listing
from services.apply_layer.binance.rows import TradeRow
from services.apply_layer.binance.wire import Fee
from shared.log import logger

_KEPT_S = 60.0
_DIGITS = Decimal("0.00000001")
#: Assets that are worth a dollar each, so that a price in one serves for all.
_DOLLARS = ("USDT", "USDC", "BNFCR", "FDUSD", "BUSD", "USD1", "BFUSD", "LDUSDT")


class Fees:
    """Converts by the mark of the moment, which is kept for a minute."""

    def __init__(
        self, client: Client, listing: Listing, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._listing = listing
        self._monotonic = monotonic
        self._prices: dict[str, tuple[Decimal | None, float]] = {}

    def of(self, trade: TradeRow) -> Fee:
        """The fee of a trade; where its asset has no price, 0 in quote, and its own quantity."""
        asset, qty = trade.commission_asset, trade.commission
        quote = self._listing.quote_of(trade.symbol)
        if asset == quote or (asset in _DOLLARS and quote in _DOLLARS) or not qty:
            return Fee(qty, asset, qty)
        price = self._price(asset)
        if price is None:
            logger().warning("fee_without_price", symbol=trade.symbol, asset=asset, qty=str(qty))
            return Fee(Decimal(0), asset, qty)
        return Fee((qty * price).quantize(_DIGITS), asset, qty)

    def _price(self, asset: str) -> Decimal | None:
        kept = self._prices.get(asset)
        now = self._monotonic()
        if kept is not None and now < kept[1] + _KEPT_S:
            return kept[0]
        symbol = f"{asset}USDT"
        price: Decimal | None = None
        try:
            told = read(self._client, PREMIUM_INDEX, {"symbol": symbol}, purpose=Purpose.TRADE)
            price = told.mark_price if told.symbol == symbol and told.mark_price > 0 else None
        except (VenueError, NoAnswer) as error:
            logger().warning("price_not_read", symbol=symbol, reason=str(error))
            price = kept[0] if kept is not None else None
        self._prices[asset] = (price, now)
        return price
