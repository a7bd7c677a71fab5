"""The unmodified client of ccxt trades at the double as it would at the venue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import ccxt
import pytest

from services.apply_layer.double import Double, ccxt_urls

from .raw import BTC, D, config, lines

MARKET = "BTC/USDT:USDT"


@pytest.fixture
def venue() -> Iterator[Double]:
    """ccxt signs by the clock of this machine, so the venue goes by it too."""
    with Double.start(config(clock=time.time)) as running:
        yield running


@pytest.fixture
def client(venue: Double) -> Any:
    made = ccxt.binanceusdm(
        {
            "apiKey": venue.config.api_key,
            "secret": venue.config.api_secret,
            "enableRateLimit": False,
        }
    )
    made.urls["api"] = {**made.urls["api"], **ccxt_urls(venue.rest_url)}
    return made


def test_ccxt_learns_the_markets_and_their_filters(client: Any) -> None:
    market = client.load_markets()[MARKET]
    assert (market["precision"]["amount"], market["precision"]["price"]) == (0.001, 0.1)
    assert market["limits"]["cost"]["min"] == 100
    assert market["limits"]["market"]["max"] == 120
    assert market["swap"]
    assert market["linear"]


def test_ccxt_reads_the_venue_s_time_and_prices(client: Any) -> None:
    assert abs(client.fetch_time() - client.milliseconds()) < 1000
    assert client.fetch_ticker(MARKET)["last"] == 65000
    assert client.fetch_funding_rate(MARKET)["markPrice"] == 65000
    assert [row[4] for row in client.fetch_ohlcv(MARKET, limit=2)] == [65000, 65000]


def test_a_market_order_through_ccxt_is_filled_and_the_position_shows(
    client: Any, venue: Double
) -> None:
    order = client.create_order(MARKET, "market", "buy", 0.1)
    assert (order["status"], order["filled"], order["average"]) == ("closed", 0.1, 65000)
    (position,) = client.fetch_positions()
    assert (position["side"], position["contracts"]) == ("long", 0.1)
    assert venue.position(BTC) == D("0.1")
    (trade,) = client.fetch_my_trades(MARKET)
    assert (trade["order"], trade["fee"]["cost"]) == (order["id"], 3.25)
    assert client.fetch_balance()["USDT"]["total"] == pytest.approx(100_000 - 3.25)


def test_a_stop_through_ccxt_goes_to_the_conditional_book_and_can_be_cancelled(
    client: Any, venue: Double
) -> None:
    client.create_order(MARKET, "market", "buy", 0.1)
    params = {"stopPrice": 64000, "reduceOnly": True, "workingType": "MARK_PRICE"}
    stop = client.create_order(MARKET, "STOP_MARKET", "sell", 0.1, None, params)
    assert stop["triggerPrice"] == 64000
    assert client.fetch_open_orders(MARKET) == []
    (standing,) = client.fetch_open_orders(MARKET, params={"trigger": True})
    assert (standing["id"], standing["reduceOnly"]) == (stop["id"], True)
    client.cancel_order(stop["id"], MARKET, {"trigger": True})
    assert client.fetch_open_orders(MARKET, params={"trigger": True}) == []
    assert [line["status"] for line in lines(venue, "ended", book="algo")] == ["CANCELED"]


def test_leverage_and_brackets_through_ccxt(client: Any, venue: Double) -> None:
    assert int(client.set_leverage(25, MARKET)["leverage"]) == 25
    assert venue.leverage_of(BTC) == 25
    tiers = client.fetch_leverage_tiers([MARKET])[MARKET]
    assert (tiers[0]["maxLeverage"], tiers[0]["maxNotional"]) == (125, 300_000)
    client.set_margin_mode("isolated", MARKET)
    assert client.fetch_margin_mode(MARKET)["marginMode"] == "isolated"


def test_ccxt_raises_what_the_venue_refuses_with_its_code(client: Any) -> None:
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        client.fetch_order(None, MARKET, {"origClientOrderId": "nobody"})
    with pytest.raises(ccxt.ExchangeError, match="-2022"):
        client.create_order(MARKET, "market", "sell", 0.1, None, {"reduceOnly": True})
