"""The live feed as it runs: a socket that fails, minutes that are missing, prices that are none."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.settings import SettingsError
from tests.worlds import RedisWorld

from .running import Running, eventually, running
from .small_venue import MINUTE, SmallVenue, candle_row, ms, small_venue, two_hours_ago

SECOND = timedelta(seconds=1)
BTC, SOL = "BTCUSDT", "SOLUSDT"


@pytest.fixture
def venue() -> Iterator[SmallVenue]:
    with small_venue() as opened:
        yield opened


def feed_on(
    venue: SmallVenue, world: RedisWorld, **more: Any
) -> contextlib.AbstractContextManager[Running]:
    return running(world, rest_url=venue.rest_url, ws_url=venue.ws_url, **more)


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def told(ticks: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(tick["timestamp"], tick["mark_price"]) for tick in ticks]


def four(at: datetime, low: str, high: str) -> list[tuple[str, str]]:
    """What a rising candle from `low` to `high` becomes."""
    return [
        (iso(at), low),
        (iso(at + 20 * SECOND), low),
        (iso(at + 40 * SECOND), high),
        (iso(at + MINUTE - timedelta(milliseconds=1)), high),
    ]


def rising(at: datetime, low: str, high: str) -> list[Any]:
    return candle_row(at, low, high, low, high)


def test_marks_of_the_stream_become_ticks(venue: SmallVenue, redis_world: RedisWorld) -> None:
    at = two_hours_ago()
    with feed_on(venue, redis_world, symbols=(BTC, SOL)) as feed:
        venue.await_listener(1)
        venue.mark(BTC, at, "64123.50000000", "-0.00012500")
        venue.mark(SOL, at, "148.3312", "")
        venue.say({"e": "somethingNew", "s": BTC})
        venue.mark(BTC, at + SECOND, "64124")
        btc, sol, _ = feed.await_ticks(3)
        assert venue.station.paths == [
            "/market/stream?streams=btcusdt@markPrice@1s/btcusdt@kline_1m"
            "/solusdt@markPrice@1s/solusdt@kline_1m"
        ]
        feed.await_metric(3, "quantum_published_total", stream="market.tick")
    assert (btc["symbol"], btc["timestamp"], btc["mark_price"]) == (BTC, iso(at), "64123.50000000")
    assert (btc["tick_id"], btc["funding_rate"]) == (f"BTCUSDT-{ms(at)}", "-0.00012500")
    assert (sol["symbol"], sol["mark_price"]) == (SOL, "148.3312")
    assert "funding_rate" not in sol


def test_a_dropped_connection_comes_back_and_the_minutes_between_are_filled_first(
    venue: SmallVenue, redis_world: RedisWorld
) -> None:
    at = two_hours_ago()
    with feed_on(venue, redis_world) as feed:
        venue.await_listener(1)
        venue.mark(BTC, at + 59 * SECOND, "100")
        feed.await_ticks(1)
        venue.candles = [rising(at + n * MINUTE, f"{100 + n}", f"{200 + n}") for n in range(5)]
        venue.listeners[0].close()
        venue.await_listener(2)
        venue.mark(BTC, at + 3 * MINUTE + 5 * SECOND, "300")
        ticks = feed.await_ticks(10)
        # In the middle of its fourth minute; that candle is not closed.
        assert told(ticks) == [
            (iso(at + 59 * SECOND), "100"),
            *four(at + MINUTE, "101", "201"),
            *four(at + 2 * MINUTE, "102", "202"),
            (iso(at + 3 * MINUTE + 5 * SECOND), "300"),
        ]
        assert {tick["source"] for tick in ticks[1:9]} == {"market_feed.history"}
        feed.await_metric(120, "quantum_feed_gap_seconds_total", symbol=BTC, outcome="filled")
        assert feed.metric("quantum_feed_gap_seconds_total", symbol=BTC, outcome="lost") == 0
        assert feed.metric("quantum_feed_reconnects_total") == 1


def test_a_restarted_feed_fills_what_it_missed_over_many_calls(
    venue: SmallVenue, redis_world: RedisWorld
) -> None:
    at = two_hours_ago() - timedelta(hours=16)
    with feed_on(venue, redis_world) as feed:
        venue.await_listener(1)
        venue.mark(BTC, at, "100")
        feed.await_ticks(1)
    venue.candles = [rising(at + n * MINUTE, f"{100 + n}", f"{2000 + n}") for n in range(1_010)]
    with feed_on(venue, redis_world) as feed:
        venue.await_listener(2)
        venue.mark(BTC, at + 1_005 * MINUTE + SECOND, "99")
        # The first candle has no tick at its opening, as that second is taken.
        ticks = feed.await_ticks(1 + 1_005 * 4 - 1 + 1)
    assert len(venue.asked) == 3
    assert told(ticks)[1] == (iso(at + 20 * SECOND), "100")
    assert told(ticks)[-2][1] == "3004"
    assert told(ticks)[-1] == (iso(at + 1_005 * MINUTE + SECOND), "99")
    times = [tick["timestamp"] for tick in ticks]
    assert times == sorted(set(times))


def test_a_silent_stream_is_replaced_and_its_age_shows(
    venue: SmallVenue, redis_world: RedisWorld
) -> None:
    with feed_on(venue, redis_world, stale_after_s="0.5") as feed:
        venue.await_listener(1)
        venue.mark(BTC, two_hours_ago(), "100")
        feed.await_ticks(1)
        # Nothing is said from here on.
        venue.await_listener(3)
        assert feed.metric("quantum_feed_reconnects_total") >= 1
        assert feed.metric("quantum_feed_age_seconds", symbol=BTC) > 0.5


def test_the_age_of_a_price_grows_until_the_next_one(
    venue: SmallVenue, redis_world: RedisWorld
) -> None:
    at = two_hours_ago()
    with feed_on(venue, redis_world) as feed:

        def age_s() -> float:
            return feed.metric("quantum_feed_age_seconds", symbol=BTC)

        venue.await_listener(1)
        eventually(lambda: age_s() > 0.5, "a price that is old")
        venue.mark(BTC, at, "100")
        eventually(lambda: age_s() < 0.25, "a price that is new")
        eventually(lambda: age_s() > 0.5, "a price that is old again")


def test_a_minute_without_marks_is_found_by_the_candles_of_the_stream(
    venue: SmallVenue, redis_world: RedisWorld
) -> None:
    at = two_hours_ago()
    venue.candles = [rising(at + MINUTE, "101", "201")]
    with feed_on(venue, redis_world) as feed:
        venue.await_listener(1)
        venue.mark(BTC, at + 59.5 * SECOND, "100")
        venue.kline(BTC, at, ended=True)
        venue.kline(BTC, at + MINUTE, ended=False)
        venue.kline(BTC, at + MINUTE, ended=True)
        assert told(feed.await_ticks(5))[1:] == four(at + MINUTE, "101", "201")
    assert len(venue.asked) == 1


NOT_NOW: tuple[int, dict[str, str], Any] = (503, {}, {"code": 0, "msg": "Service unavailable"})


def test_a_call_that_fails_is_made_again(venue: SmallVenue, redis_world: RedisWorld) -> None:
    at = two_hours_ago()
    venue.candles = [rising(at, "100", "200"), rising(at + MINUTE, "101", "201")]
    venue.answers = [NOT_NOW, (200, {}, [["not", "a", "candle"]])]
    with feed_on(venue, redis_world) as feed:
        venue.await_listener(1)
        venue.mark(BTC, at + 58 * SECOND, "100")
        venue.mark(BTC, at + 2 * MINUTE, "102")
        ticks = feed.await_ticks(7)
    assert told(ticks)[1] == (iso(at + MINUTE - timedelta(milliseconds=1)), "200")
    assert told(ticks)[2:6] == four(at + MINUTE, "101", "201")
    assert len(venue.asked) == 3


def test_a_venue_that_has_no_candles_keeps_no_price_back(
    venue: SmallVenue, redis_world: RedisWorld
) -> None:
    at = two_hours_ago()
    venue.answers = [NOT_NOW] * 3
    with feed_on(venue, redis_world) as feed:
        venue.await_listener(1)
        venue.mark(BTC, at, "100")
        venue.mark(BTC, at + 5 * MINUTE, "105")
        assert told(feed.await_ticks(2))[1] == (iso(at + 5 * MINUTE), "105")
        eventually(
            lambda: (
                feed.metric("quantum_feed_gap_seconds_total", symbol=BTC, outcome="lost") == 300
            ),
            "five minutes lost",
        )


@pytest.mark.parametrize("status", [418, 429])
def test_a_venue_that_wants_no_calls_gets_none(
    status: int, venue: SmallVenue, redis_world: RedisWorld
) -> None:
    at = two_hours_ago()
    too_many = {"code": -1003, "msg": "Too many requests"}
    venue.answers = [(status, {"Retry-After": "30"}, too_many)]
    with feed_on(venue, redis_world) as feed:
        venue.await_listener(1)
        for minute in (0, 5, 10):
            venue.mark(BTC, at + minute * MINUTE, "100")
        feed.await_ticks(3)
    assert len(venue.asked) == 1


def test_what_is_no_price_is_refused_and_the_feed_goes_on(
    venue: SmallVenue, redis_world: RedisWorld
) -> None:
    at = two_hours_ago()
    bad = ("0", "-1", "NaN", "1e5", None, 64.5)
    with feed_on(venue, redis_world) as feed:
        listener = venue.await_listener(1)
        for second, price in enumerate(bad):
            venue.mark(BTC, at + second * SECOND, price)
        listener.send("{")
        venue.mark(BTC, at + 9 * SECOND, "101")
        assert told(feed.await_ticks(1)) == [(iso(at + 9 * SECOND), "101")]
        feed.await_metric(len(bad) + 1, "quantum_feed_refused_total")


def test_a_commit_whose_reply_is_lost_publishes_each_tick_once(
    venue: SmallVenue, redis_world: RedisWorld
) -> None:
    at = two_hours_ago()
    bus = redis_world.bus_that_loses_a_reply("market_feed")
    with feed_on(venue, redis_world, bus=bus) as feed:
        venue.await_listener(1)
        for second in range(4):
            venue.mark(BTC, at + second * SECOND, f"10{second}")
        ticks = feed.await_ticks(4)
        feed.await_metric(1, "quantum_bus_failures_total")
    assert told(ticks) == [(iso(at + second * SECOND), f"10{second}") for second in range(4)]


def test_an_error_in_the_sockets_thread_ends_the_daemon(redis_world: RedisWorld) -> None:
    # No port has this number: nothing that a network could do, so a mistake of ours.
    with (
        pytest.raises(ValueError, match="Port out of range"),
        running(redis_world, rest_url="http://127.0.0.1:1", ws_url="ws://[::1]:99999") as feed,
    ):
        eventually(feed.end.done, "the end of the feed")


def test_events_that_come_twice_or_late_give_no_tick(
    venue: SmallVenue, redis_world: RedisWorld
) -> None:
    at = two_hours_ago()
    with feed_on(venue, redis_world) as feed:
        venue.await_listener(1)
        for text in (json.dumps({"result": None, "id": 1}), json.dumps({"e": "ping"})):
            venue.listeners[0].send(text)
        venue.mark(BTC, at, "100")
        venue.mark(BTC, at, "100")
        venue.mark(BTC, at - SECOND, "99")
        venue.mark(BTC, at + SECOND, "101")
        assert told(feed.await_ticks(2)) == [(iso(at), "100"), (iso(at + SECOND), "101")]
        feed.await_metric(1, "quantum_feed_refused_total")


def test_a_second_venue_that_ccxt_does_not_know_is_a_setting_that_cannot_be_used(
    venue: SmallVenue, redis_world: RedisWorld
) -> None:
    with (
        pytest.raises(SettingsError, match="'nowhere' is no exchange id"),
        feed_on(venue, redis_world, second_venue="nowhere") as feed,
    ):
        eventually(feed.end.done, "the end of the feed")
