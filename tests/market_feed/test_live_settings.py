"""`[market_feed]` for a live venue: what may be said, and what is refused before it starts."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from services.market_feed.__main__ import body
from services.market_feed.settings import MarketFeedSettings
from shared.bus import MemoryBus, MemoryServer
from shared.metrics import RunnerMetrics
from shared.session import Session
from shared.settings import Settings, SettingsError


def read(**feed: Any) -> MarketFeedSettings:
    return Settings({"market_feed": feed}, "test").section("market_feed", MarketFeedSettings)


def start(**feed: Any) -> None:
    """Start the daemon; for settings with which it does not come to that."""
    stop = threading.Event()
    bus = MemoryBus(MemoryServer(), "market_feed")
    session = Session(bus, "market_feed", metrics=RunnerMetrics(), stop=stop)
    body(Settings({"market_feed": feed}, "test"), session, stop)


def test_a_feed_is_a_replay_and_live_is_the_testnet_unless_said_otherwise() -> None:
    own = read()
    assert own.source == "replay"
    assert (own.live.network, own.live.second_venue, own.live.ws_url) == ("testnet", "", None)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8788", "http://localhost:1/", "http://[::1]:9"])
def test_a_double_on_this_machine_may_stand_for_the_venue(url: str) -> None:
    own = read(live={"rest_url": url, "ws_url": url.replace("http", "ws")})
    assert own.live.rest_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://127.0.0.1.example.com:80",
        "http://127.0.0.1@example.com",
        "http://127.0.0.1:80/path",
        "https://127.0.0.1:80",
        "ws://127.0.0.1:80",
        "http://127.0.0.1:80\n",
        "",
    ],
)
def test_no_other_address_may(url: str) -> None:
    with pytest.raises(SettingsError, match=r"market_feed\.live\.rest_url"):
        read(live={"rest_url": url, "ws_url": "ws://127.0.0.1:80"})


@pytest.mark.parametrize(
    ("live", "path"),
    [
        ({"rest_url": "http://127.0.0.1:80"}, "market_feed.live: .*go together"),
        ({"ws_url": "ws://127.0.0.1:80"}, "market_feed.live: .*go together"),
        ({"network": "mainnet"}, "market_feed.live.network"),
        ({"stale_after_s": 0}, "market_feed.live.stale_after_s"),
        ({"stale_after_s": 61}, "market_feed.live.stale_after_s"),
        ({"divergence_every_s": "0.5"}, "market_feed.live.divergence_every_s"),
        ({"api_key": "k"}, "market_feed.live.api_key"),
    ],
    ids=str,
)
def test_a_live_setting_that_cannot_be_used_is_named(live: dict[str, Any], path: str) -> None:
    with pytest.raises(SettingsError, match=path):
        read(live=live)


@pytest.mark.parametrize("symbol", ["btcusdt", "BTC/USDT", "BTCUSDT\n", "", "B" * 51])
def test_a_symbol_that_is_none_is_refused(symbol: str) -> None:
    with pytest.raises(SettingsError, match=r"market_feed\.symbols\.0"):
        read(symbols=[symbol])


def test_a_replay_needs_files_and_a_live_feed_needs_symbols() -> None:
    with pytest.raises(SettingsError, match=r"market_feed\.files: name candle files"):
        start()
    with pytest.raises(SettingsError, match=r"market_feed\.symbols: name the symbols"):
        start(source="binance-usdm")
