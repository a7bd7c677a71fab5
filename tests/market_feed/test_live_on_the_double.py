"""The live feed against the double of the venue: its process, killed; a second venue beside it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import ccxt
import pytest

from services.apply_layer.double import Bar, Double, DoubleConfig, ccxt_urls
from services.market_feed.binance.candles import Candles, client
from services.market_feed.binance.feed import FeedMetrics, LiveFeed
from services.market_feed.binance.second import SecondVenue
from services.market_feed.events import SecondPrice
from services.market_feed.live import LIVE, Policy
from shared.contracts import HISTORY_SOURCE as HISTORY
from shared.session import Session
from shared.settings import Settings
from shared.streams import MARKET_TICK
from tests.worlds import RedisWorld

from .running import eventually, running

D = Decimal
BTC = "BTCUSDT"
MINUTE_MS = 60_000


@dataclass
class Clock:
    """A venue's clock that a test can set; `ahead_s` is against the clock here."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@contextlib.contextmanager
def double(clock: Clock, price: str = "65000") -> Iterator[Double]:
    config = DoubleConfig(symbols={BTC: D(price)}, clock=clock, mark_every_s=0.1)
    with Double.start(config) as venue:
        yield venue


@contextlib.contextmanager
def process(venue: Double, world: RedisWorld, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon as it is started by hand; killed at the end of the block, if it still lives."""
    config = folder / "quantum.toml"
    config.write_text(
        f"""
        metrics.base_port = 0
        [market_feed]
        source = "binance-usdm"
        symbols = ["{BTC}"]
        [market_feed.live]
        rest_url = "{venue.rest_url}"
        ws_url = "{venue.ws_url}"
        """
    )
    environment = os.environ | {"QUANTUM_CONFIG": str(config), "REDIS_URL": world.url}
    with (folder / "feed.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "services.market_feed"], env=environment, stderr=log
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def await_ticks(
    world: RedisWorld, child: subprocess.Popen[bytes], more_than: int = 0
) -> list[dict[str, str]]:
    def newer() -> list[dict[str, str]]:
        assert child.poll() is None, "the feed ended by itself"
        found = world.entries(MARKET_TICK.key)
        return found if len(found) > more_than else []

    return eventually(newer, f"more than {more_than} ticks", within_s=30)


def test_a_killed_feed_comes_back_and_fills_the_minutes_that_it_missed(
    redis_world: RedisWorld, tmp_path: Path
) -> None:
    clock = Clock(ahead_s=-3_600)
    with double(clock) as venue:
        with process(venue, redis_world, tmp_path) as child:
            before = len(await_ticks(redis_world, child))
        first = redis_world.entries(MARKET_TICK.key)
        # Ten minutes pass at the venue, of which one had a spike.
        clock.ahead_s += 600
        at_ms = int(clock() * 1000) // MINUTE_MS * MINUTE_MS - 5 * MINUTE_MS
        venue.put_bar(BTC, Bar(at_ms, D(65000), D(70000), D(64000), D(65500)))
        with process(venue, redis_world, tmp_path) as child:
            ticks = await_ticks(redis_world, child, more_than=before + 9 * 4)
            child.terminate()
            assert child.wait(15) == 0
    ticks = redis_world.entries(MARKET_TICK.key)
    filled = [tick for tick in ticks if tick["source"] == HISTORY]
    assert len(first) + len(filled) < len(ticks)
    assert {"70000", "64000"} <= {tick["mark_price"] for tick in filled}
    times = [datetime.fromisoformat(tick["timestamp"]) for tick in ticks]
    assert [second.replace(microsecond=0) for second in times] == sorted(
        {second.replace(microsecond=0) for second in times}
    )
    assert max(later - at for at, later in pairwise(times)) <= timedelta(seconds=60)
    assert ticks[-1]["source"] == LIVE
    assert abs(times[-1] - datetime.fromtimestamp(clock(), UTC)) < timedelta(seconds=60)
    assert len({tick["tick_id"] for tick in ticks}) == len(ticks)


def test_a_move_of_the_mark_and_its_funding_rate_reach_the_stream_within_two_seconds(
    redis_world: RedisWorld,
) -> None:
    with (
        double(Clock()) as venue,
        running(redis_world, rest_url=venue.rest_url, ws_url=venue.ws_url) as feed,
    ):
        feed.await_ticks(1)
        venue.mark(BTC, D("66000.5"), funding_rate=D("0.0003"))
        moved = eventually(
            lambda: [tick for tick in feed.ticks() if tick["mark_price"] == "66000.5"],
            "the new price",
            within_s=2,
        )
        assert D(moved[0]["funding_rate"]) == D("0.0003")


def test_a_venue_that_goes_away_and_comes_back_is_found_again(redis_world: RedisWorld) -> None:
    with (
        double(Clock()) as venue,
        running(redis_world, rest_url=venue.rest_url, ws_url=venue.ws_url) as feed,
    ):
        feed.await_ticks(1)
        venue.down("refuse")
        seen = len(feed.ticks())
        venue.up()
        venue.mark(BTC, D("67000"))
        feed.await_ticks(seen + 1)
        feed.await_metric(1, "quantum_feed_reconnects_total")


def second_of(venue: Double, symbols: tuple[str, ...] = (BTC,)) -> tuple[SecondVenue, list[str]]:
    """A second venue that is another double, by ccxt's own client, and what failed of it."""
    exchange = ccxt.binanceusdm({"timeout": 2000, "options": {"fetchCurrencies": False}})
    exchange.urls["api"] = {**exchange.urls["api"], **ccxt_urls(venue.rest_url)}
    failures = list[str]()
    second = SecondVenue(exchange, symbols, lambda: failures.append("one"), threading.Event())
    return second, failures


def test_a_second_venue_gives_its_price_exactly() -> None:
    with double(Clock(), "65123.45") as venue:
        second, failures = second_of(venue, (BTC, "SOLUSDT"))
        assert second.prices() == [SecondPrice(BTC, D("65123.45"))]
        assert failures == []


def test_a_second_venue_that_fails_is_counted_and_asked_again() -> None:
    with double(Clock()) as venue:
        second, failures = second_of(venue)
        venue.down("503")
        assert second.prices() == []
        assert len(failures) == 1
        venue.up()
        assert len(second.prices()) == 1
        venue.down("close")
        assert second.prices() == []
        assert len(failures) == 2


@pytest.mark.parametrize("away", [False, True])
def test_a_feed_tells_how_far_the_second_venue_is_and_does_without(
    away: bool, redis_world: RedisWorld
) -> None:
    with double(Clock(), "65000") as venue, double(Clock(), "65650") as other:
        second, failures = second_of(other)
        if away:
            other.down()

        def body(_settings: Settings, session: Session, stop: threading.Event) -> None:
            LiveFeed(
                session,
                Policy(frozenset({BTC})),
                (BTC,),
                ws_url=venue.ws_url,
                candles=Candles(client("testnet", venue.rest_url, 3.0), stop),
                metrics=FeedMetrics(session.metrics.registry),
                second=second,
                second_every_s=0.1,
            ).run()

        with running(redis_world, rest_url=venue.rest_url, ws_url=venue.ws_url, body=body) as feed:
            feed.await_ticks(3)
            apart = {tick.get("exchange_divergence") for tick in feed.ticks()}
    assert apart - {None} == (set() if away else {"0.010000"})
    assert bool(failures) == away
