"""One wrong price raises no alarm, and no clock that is set back keeps one from being raised."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.watcher.reading import Reader
from services.watcher.state import Policy
from shared.contracts import encode
from shared.streams import MARKET_TICK
from shared.why.picture import Terms
from tests.jumps import JUMPS_S, WRONG
from tests.worlds import RedisWorld

from .scene import SYMBOL, Scene, at_r

LIVE = "market_feed"
OVERDUE = f"rung_not_taken.{SYMBOL}"
AHEAD = st.integers(6, 86_400).map(lambda ahead_s: timedelta(seconds=ahead_s))


def watched(stop_loss: str = "12.0736") -> Scene:
    """A scene with the reference position and a live feed."""
    scene = Scene(Policy(settle_s=5, symbols=frozenset([SYMBOL])))
    scene.hold(stop_loss=stop_loss)
    live(scene, "12.32", seconds=8)
    return scene


def live(scene: Scene, price: Decimal | str, seconds: int = 1) -> dict[str, str]:
    """The same price for some seconds, with a look at each; returns the alarms then."""
    for _ in range(seconds):
        scene.wait(1)
        scene.price(price, source=LIVE)
        scene.look()
    return scene.alarms


@pytest.mark.parametrize("factor", WRONG)
def test_one_wrong_price_reaches_no_rung(factor: str) -> None:
    scene = watched()
    live(scene, Decimal("12.32") * Decimal(factor))

    assert live(scene, "12.32", seconds=70) == {}
    assert scene.state.held[SYMBOL].reached == {}


def test_the_second_price_at_a_rung_reaches_it() -> None:
    scene = watched()
    live(scene, at_r("2"), seconds=2)

    assert list(scene.state.held[SYMBOL].reached) == ["PARTIAL_25"]


@given(AHEAD)
def test_a_price_from_ahead_of_time_that_was_taken_makes_deaf_for_no_minute(
    ahead: timedelta,
) -> None:
    scene = watched()
    scene.price("12.32", source=LIVE, timestamp=scene.now + ahead, produced_at=scene.now + ahead)

    assert OVERDUE in live(scene, at_r("2"), seconds=75)


@given(AHEAD)
def test_a_position_from_ahead_of_time_has_its_rungs_watched(ahead: timedelta) -> None:
    scene = Scene(Policy(settle_s=5))
    scene.hold(opened_at=(scene.now + ahead).isoformat())

    assert OVERDUE in live(scene, at_r("2"), seconds=80)


@given(st.lists(st.tuples(st.integers(0, 5), JUMPS_S), min_size=1, max_size=4))
def test_however_the_servers_clock_jumps_what_is_wrong_is_an_alarm_within_two_minutes(
    jumps: list[tuple[int, int]],
) -> None:
    scene = watched(stop_loss="")
    scene.say("trade.intent.entry", symbol=SYMBOL)
    live(scene, at_r("2"), seconds=3)
    for after, by_s in jumps:
        live(scene, at_r("2"), seconds=after)
        scene.now += timedelta(seconds=by_s)
    scene.silent.add("exitbrain")
    alarms = live(scene, at_r("2"), seconds=100)

    kinds = {name.partition(".")[0] for name in alarms}
    assert kinds >= {"rung_not_taken", "position_without_stop", "intent_without_outcome"}
    assert "daemon_silent.exitbrain" in alarms


@given(st.integers(-86_400, -60))
def test_a_feed_that_dies_as_the_clock_is_set_back_is_an_alarm(by_s: int) -> None:
    scene = watched()
    scene.now += timedelta(seconds=by_s)
    for _ in range(40):
        scene.wait(1)
        scene.look()

    assert f"feed_stale.{SYMBOL}" in scene.alarms


def test_a_feed_whose_own_clock_is_an_hour_behind_is_alive() -> None:
    scene = watched()
    for _ in range(60):
        scene.wait(1)
        old = scene.now - timedelta(hours=1)
        scene.price("12.32", source=LIVE, produced_at=old)
        scene.look()

    assert scene.alarms == {}


def test_a_tick_from_ahead_of_time_is_not_heard(redis_world: RedisWorld, redis_url: str) -> None:
    scene = Scene()
    reader = Reader(redis_url, lambda _symbol: Terms())
    reader.begin(600)
    seconds, _ = redis_world.client.time()
    for ahead in (0, 82_800, 0):
        at = scene.now.fromtimestamp(seconds + ahead, tz=scene.now.tzinfo)
        tick = scene.tick("12.32", timestamp=at, produced_at=at)
        redis_world.add(MARKET_TICK.key, dict(encode(tick)))
    said = reader.hear(1).said
    reader.client.close()

    assert [one.message.timestamp.timestamp() for one in said] == [seconds, seconds]
