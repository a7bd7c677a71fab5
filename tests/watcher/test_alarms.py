"""Queues, prices, daemons, orders, the server: what is an alarm, since when, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.watcher.figures import HELP
from services.watcher.settings import WatcherSettings
from services.watcher.sights import Figures
from services.watcher.state import Policy
from shared.decisions import Record
from shared.overview.values import Venue

from .scene import DURABLE, START, SYMBOL, Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_healthy_ring_has_no_alarm_and_the_record_says_when_it_was_seen(scene: Scene) -> None:
    scene.hold()
    for _ in range(120):
        scene.wait(1)
        scene.price("12.32")
        assert scene.look() == {}
    [record] = [output for output in scene.outputs if isinstance(output, Record)]
    assert record.fields == {"seen_at": "2026-07-01T12:02:00.000Z"}


def test_nothing_is_judged_before_the_ring_had_time_to_answer() -> None:
    scene = Scene(Policy(settle_s=10))
    scene.persistence = {"aof_enabled": "0"}
    scene.say("trade.intent.entry")
    scene.oldest["apply.plan", "apply_layer"] = START - timedelta(hours=1)
    for _ in range(10):
        scene.look()
        assert [type(output) for output in scene.outputs] == [Figures]
        assert scene.figure("quantum_redis_durable") == 0
        scene.wait(1)
    scene.oldest.clear()
    assert scene.look().keys() == {"redis_not_durable"}


def test_after_an_outage_of_the_server_the_ring_has_time_again_and_the_record_stands() -> None:
    scene = Scene(Policy(settle_s=10))
    scene.look()
    scene.wait(10)
    scene.dead["trade.intent"] = 1
    assert scene.look().keys() == {"dead_letters.trade.intent"}
    scene.silent.add("exitbrain")
    scene.wait(60)
    scene.look(after_outage=True)
    scene.wait(9)
    scene.look()
    assert [type(output) for output in scene.outputs] == [Figures]
    assert scene.alarms.keys() == {"dead_letters.trade.intent"}
    scene.silent.clear()
    scene.wait(1)
    assert scene.look().keys() == {"dead_letters.trade.intent"}


def test_a_message_that_waits_is_an_alarm_of_its_reader(scene: Scene) -> None:
    field = "group_lags.apply.plan/apply_layer"
    scene.oldest["apply.plan", "apply_layer"] = START
    scene.wait(9)
    assert scene.look() == {}
    scene.wait(2)
    assert scene.look().keys() == {field}
    # It gets on, but not as fast as more comes: the same alarm, as old as it was.
    scene.oldest["apply.plan", "apply_layer"] = START + timedelta(seconds=5)
    scene.wait(5)
    scene.look()
    text = "apply_layer does not get on with apply.plan: messages wait for it"
    assert scene.alarm(field) == (START, text)
    labels = {"stream": "apply.plan", "group": "apply_layer"}
    assert scene.figure("quantum_group_oldest_seconds", **labels) == 11
    assert scene.figure("quantum_group_lag", **labels) == 1
    scene.oldest.clear()
    assert scene.look() == {}


def test_dead_letters_are_an_alarm_until_none_is_left(scene: Scene) -> None:
    scene.dead["trade.intent"] = 2
    assert scene.look().keys() == {"dead_letters.trade.intent"}
    assert scene.figure("quantum_dead_letters_unhandled", stream="trade.intent") == 2
    scene.wait(100)
    scene.look()
    assert scene.alarm("dead_letters.trade.intent")[0] == START
    scene.dead.clear()
    assert scene.look() == {}


def test_a_symbol_that_the_feed_should_bring_must_have_a_price() -> None:
    scene = Scene(Policy(settle_s=0, symbols=frozenset({"BTCUSDT"})))
    scene.look()
    scene.wait(29)
    assert scene.look() == {}
    scene.wait(1)
    scene.look()
    assert scene.alarm("feed_stale.BTCUSDT") == (START, "there is no price of BTCUSDT")
    scene.price("104000", symbol="BTCUSDT")
    assert scene.look() == {}


def test_a_position_must_have_fresh_prices_and_other_symbols_need_none(scene: Scene) -> None:
    scene.hold()
    scene.price("12.32")
    scene.price("150", symbol="SOLUSDT")
    scene.wait(30)
    assert scene.look().keys() == {f"feed_stale.{SYMBOL}"}
    text = f"there is no new price of {SYMBOL}, which is held"
    assert scene.alarm(f"feed_stale.{SYMBOL}") == (START, text)
    assert scene.figure("quantum_price_age_seconds", symbol=SYMBOL) == 30
    assert scene.figure("quantum_price_age_seconds", symbol="SOLUSDT") is None


def test_a_replay_of_long_ago_is_fresh_while_it_is_produced(scene: Scene) -> None:
    opened = START - timedelta(days=400)
    scene.hold(opened_at=opened.isoformat())
    for minute in range(60):
        scene.price("12.32", timestamp=opened + timedelta(minutes=minute))
        scene.wait(1)
        assert scene.look() == {}


def test_a_price_that_nobody_decides_by_shows_that_the_feed_is_alive(scene: Scene) -> None:
    scene.hold()
    scene.price("12.32")
    scene.wait(29)
    scene.price("12.32", timestamp=START - timedelta(minutes=1))
    scene.wait(5)
    assert scene.look() == {}


def test_an_order_in_doubt_is_an_alarm_of_its_symbol(scene: Scene) -> None:
    in_doubt = dict.fromkeys(("e1-a", "e1-b"), "SOLUSDT ENTRY since 2026-07-01T12:00:00+00:00")
    scene.venue = Venue("barred", {"clock": "it is off"}, in_doubt)
    assert scene.look().keys() == {"unknown_order.SOLUSDT"}
    text = scene.alarm("unknown_order.SOLUSDT")[1]
    assert text == "e1-a, e1-b in SOLUSDT may have been executed or not; it is being asked for"
    assert scene.figure("quantum_unknown_orders") == 2
    assert scene.figure("quantum_entry_barriers") == 1
    scene.venue = Venue("open")
    assert scene.look() == {}
    assert scene.figure("quantum_unknown_orders") == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"aof_enabled": "0"}, "it writes no append-only file"),
        ({"aof_last_write_status": "err"}, "its last write to the append-only file failed"),
        ({"aof_last_bgrewrite_status": "err"}, "it cannot rewrite its append-only file"),
    ],
)
def test_a_server_that_may_lose_what_it_confirmed_is_an_alarm(
    scene: Scene, change: dict[str, str], reason: str
) -> None:
    scene.persistence = DURABLE | change
    assert reason in scene.look()["redis_not_durable"]
    assert scene.figure("quantum_redis_durable") == 0
    scene.persistence = dict(DURABLE)
    assert scene.look() == {}
    assert scene.figure("quantum_redis_durable") == 1


def test_a_daemon_whose_heart_stops_is_an_alarm(scene: Scene) -> None:
    scene.silent.add("exitbrain")
    scene.wait(14)
    assert scene.look() == {}
    scene.wait(1)
    assert scene.look().keys() == {"daemon_silent.exitbrain"}
    text = "exitbrain has gone silent: it hangs, or it does not run"
    assert scene.alarm("daemon_silent.exitbrain") == (START, text)
    assert scene.figure("quantum_heartbeat_age_seconds", daemon="exitbrain") == 15


def test_a_daemon_of_the_ring_that_never_came_is_an_alarm_and_a_companion_is_none(
    scene: Scene,
) -> None:
    overview = scene.sight().overview
    scene.beats = {}
    daemons = tuple(replace(daemon, at=None) for daemon in overview.daemons)
    never = replace(daemons[0], name="notifier", state="off")
    look = replace(scene.sight(), overview=replace(overview, daemons=(daemons[3], never)))
    scene.sight = lambda: replace(look, overview=replace(look.overview, now=scene.now))  # type: ignore[method-assign]
    assert scene.look() == {}
    scene.wait(15)
    assert scene.look().keys() == {"daemon_silent.exitbrain"}
    assert "was never seen" in scene.alarm("daemon_silent.exitbrain")[1]


def test_a_companion_that_ran_and_went_silent_is_an_alarm(scene: Scene) -> None:
    scene.beats["notifier"] = START
    scene.beats["watcher"] = START
    scene.silent |= {"notifier", "watcher"}
    scene.wait(15)
    assert scene.look().keys() == {"daemon_silent.notifier"}


def test_each_figure_is_described_and_each_alarm_is_counted(scene: Scene) -> None:
    scene.hold(stop_loss="")
    scene.price("12.32")
    scene.look()
    scene.wait(3)
    scene.dead = {"trade.intent": 1, "apply.plan": 1}
    scene.look()
    [figures] = [output for output in scene.outputs if isinstance(output, Figures)]
    assert {sample.name for sample in figures.samples} == HELP.keys()
    assert scene.figure("quantum_watch_alarms", alarm="dead_letters") == 2
    assert scene.figure("quantum_watch_alarms", alarm="position_without_stop") == 1
    assert scene.figure("quantum_watch_alarms", alarm="feed_stale") == 0


def test_the_settings_are_what_the_decider_goes_by() -> None:
    own = WatcherSettings(rung_within_s=5, settle_s=0)
    policy = own.policy(["BTCUSDT"])
    assert (policy.rung_within_s, policy.settle_s) == (5, 0)
    assert policy.symbols == {"BTCUSDT"}
    assert replace(WatcherSettings().policy(), terms_of=Policy().terms_of) == Policy()


def test_a_barrier_of_the_venue_is_an_alarm_with_its_words_once_it_stays(scene: Scene) -> None:
    scene.venue = Venue("barred", {"stops_refused": "-4120: Order type not supported"})
    assert scene.look() == {}
    scene.wait(10)
    told = scene.look()["entries_barred.stops_refused"]
    assert told.endswith("the venue takes no entries: -4120: Order type not supported")
    scene.venue = Venue("open")
    assert scene.look() == {}


@pytest.mark.parametrize(
    ("name", "venue"),
    [
        ("symbol_quarantined", Venue("open", quarantined={SYMBOL: "not_listed the venue has it"})),
        ("over_cap", Venue("open", over_cap={SYMBOL: "not_listed the venue has it"})),
    ],
)
def test_what_the_venue_says_of_one_symbol_is_an_alarm_at_once(
    scene: Scene, name: str, venue: Venue
) -> None:
    scene.venue = venue
    assert "not_listed the venue has it" in scene.look()[f"{name}.{SYMBOL}"]
    scene.venue = Venue("open")
    assert scene.look() == {}


def test_a_reader_that_waits_for_the_venue_is_told_with_the_venues_words(scene: Scene) -> None:
    scene.venue = Venue("barred", {"venue_unreachable": "the venue cannot be read"})
    scene.oldest["apply.plan", "apply_layer"] = scene.now - timedelta(minutes=1)
    text = scene.look()["group_lags.apply.plan/apply_layer"]
    assert "the venue: venue_unreachable, the venue cannot be read" in text
