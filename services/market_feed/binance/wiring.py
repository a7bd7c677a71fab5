"""The live feed put together from its settings."""

from __future__ import annotations

from datetime import timedelta

from services.market_feed.binance.candles import Candles, client
from services.market_feed.binance.feed import FeedMetrics, LiveFeed
from services.market_feed.binance.second import SecondVenue, exchange_of
from services.market_feed.live import Policy
from services.market_feed.settings import MarketFeedSettings
from shared.log import logger
from shared.session import Session
from shared.settings import SettingsError

#: Market streams are below /market there; the addresses without it connect and stay silent.
_STREAMS = {
    "testnet": "wss://demo-fstream.binance.com",
    "production": "wss://fstream.binance.com",
}
_CALL_S = 3.0


def live_feed(own: MarketFeedSettings, session: Session) -> LiveFeed:
    """The feed of the settings.

    Raises:
        SettingsError: ccxt knows no such second venue.
    """
    live, symbols = own.live, tuple(dict.fromkeys(own.symbols))
    stale_after_s = float(live.stale_after_s)
    metrics = FeedMetrics(session.metrics.registry)
    second = None
    if live.second_venue:
        exchange = exchange_of(live.second_venue)
        if exchange is None:
            raise SettingsError(
                f"market_feed.live.second_venue: {live.second_venue!r} is no exchange id of ccxt"
            )
        second = SecondVenue(exchange, symbols, metrics.second_failures.inc, session.stop)
    where = live.ws_url or live.network
    logger().info("live_feed", where=where, symbols=list(symbols), second=live.second_venue)
    return LiveFeed(
        session,
        Policy(frozenset(symbols), hold=timedelta(seconds=stale_after_s)),
        symbols,
        ws_url=live.ws_url or _STREAMS[live.network],
        candles=Candles(client(live.network, live.rest_url, _CALL_S), session.stop),
        metrics=metrics,
        second=second,
        second_every_s=float(live.divergence_every_s),
        stale_after_s=stale_after_s,
    )
