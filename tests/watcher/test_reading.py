"""watcher on a real server, as its own user: what it reads, writes and leaves alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from redis import Redis

from services.watcher.__main__ import Watcher, WatchMetrics
from services.watcher.reading import Reader
from services.watcher.settings import WatcherSettings
from services.watcher.sights import Figures, Sample
from shared.bus import RedisBus
from shared.metrics import RunnerMetrics
from shared.session import Session
from shared.settings import Settings
from shared.streams import (
    APPLY_PLAN,
    MARKET_TICK,
    STREAMS,
    TRADE_INTENT,
    WATCH_KEY,
    harvest_key,
    heartbeat_key,
    position_key,
)
from shared.why.picture import Terms
from tests.deploy.redis_users import Guarded, a_guarded_server
from tests.ring.live import call, eventually
from tests.ring.messages import entry_intent, golden, send, tick

from .scene import POSITION, SYMBOL


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with a_guarded_server(tmp_path_factory.mktemp("watcher")) as guarded:
        yield guarded


@pytest.fixture
def tester(guarded: Guarded) -> Iterator[Redis]:
    with guarded.client("tester") as client:
        client.flushall()
        yield client


@pytest.fixture
def reader(guarded: Guarded, tester: Redis) -> Iterator[Reader]:
    reader = Reader(guarded.url("watcher"), lambda _symbol: Terms())
    reader.begin(3600)
    yield reader
    reader.client.close()


def hold(tester: Redis, **changes: str) -> None:
    words = [word for item in (POSITION | changes).items() for word in item]
    call(tester, "HSET", position_key(SYMBOL), *words)


def test_an_intent_is_read_before_what_came_of_it_however_much_there_is(
    tester: Redis, reader: Reader
) -> None:
    intents = [entry_intent("BTCUSDT", "100000", intent_id=f"many.{n}") for n in range(1100)]
    for intent in intents:
        send(tester, golden("apply.plan.skip_entry", intent_id=intent.fields["intent_id"]))
        send(tester, intent)
    read = []
    while (heard := reader.next_page()) is not None:
        read += [(said.message.stream_name, said.message.intent_id) for said in heard.said]
    names = [intent.fields["intent_id"] for intent in intents]
    assert read == [(s.name, name) for s in (TRADE_INTENT, APPLY_PLAN) for name in names]
    assert reader.hear(1) == type(reader.hear(1))()
    send(tester, tick(SYMBOL, "12.32"))
    [said] = reader.hear(1000).said
    assert said.message.symbol == SYMBOL


def test_what_is_older_than_the_window_is_not_read(tester: Redis, reader: Reader) -> None:
    seconds, _ = tester.time()
    old = tick(SYMBOL, "12.32")
    words = [word for pair in old.flat for word in pair]
    call(tester, "XADD", MARKET_TICK.key, f"{(int(seconds) - 3700) * 1000}-0", *words)
    assert reader.next_page() is None


def test_what_cannot_be_read_is_left_to_the_dead_letters(tester: Redis, reader: Reader) -> None:
    send(tester, golden("market.tick.bare", mark_price="NaN"))
    heard = reader.next_page()
    assert heard is not None
    assert (heard.said, heard.letters) == ((), ())
    letter = ["stream", "trade.intent", "id", "1-1", "group", "intent_bridge", "code", "poison"]
    call(tester, "XADD", TRADE_INTENT.dead_key, "*", *letter, "original:intent_id", "lost.1")
    heard = reader.next_page()
    assert heard is not None
    assert [one.fields["intent_id"] for one in heard.letters] == ["lost.1"]


def test_a_look_sees_records_and_takes_of_harvest_brain_nothing_but_the_ladder(
    tester: Redis, reader: Reader
) -> None:
    hold(tester)
    told = {"position_id": POSITION["position_id"], "rungs": "PARTIAL_25@3.00R=ahead",
            "r_max": "99", "risk_per_unit": "7"}  # fmt: skip
    call(tester, "HSET", harvest_key(SYMBOL), *(word for item in told.items() for word in item))
    look = reader.look()
    assert look.held.keys() == {SYMBOL}
    assert look.held[SYMBOL].position == POSITION
    assert look.held[SYMBOL].harvest == {"rungs": "PARTIAL_25@3.00R=ahead"}
    assert look.persistence["aof_enabled"] == "1"
    call(tester, "HSET", harvest_key(SYMBOL), "position_id", "of.another")
    assert reader.look().held[SYMBOL].harvest == {}
    call(tester, "HDEL", position_key(SYMBOL), "entry_price")
    assert reader.look().held.keys() == {SYMBOL}
    call(tester, "DEL", position_key(SYMBOL))
    assert reader.look().held == {}


def test_it_makes_no_group_and_writes_its_record_and_its_heartbeat_alone(
    guarded: Guarded, tester: Redis
) -> None:
    hold(tester, stop_loss="")
    call(tester, "HSET", WATCH_KEY, "daemon_silent.exitbrain", "2026-07-01T00:00:00.000Z old")
    for stream in STREAMS:
        call(tester, "XADD", stream.key, "*", "a", "b")
    before = set(tester.scan_iter())
    settings = Settings({"redis": {"url": guarded.url("watcher")}}, "the test")
    own = WatcherSettings(settle_s=0, stop_within_s=0, look_every_s=0.05)
    stop = threading.Event()
    bus = RedisBus(settings.redis.url, "watcher")
    session = Session(bus, "watcher", metrics=RunnerMetrics(), stop=stop)
    thread = threading.Thread(target=Watcher(own, settings, session, stop).run)
    thread.start()
    try:
        naked = f"position_without_stop.{SYMBOL}"
        record = eventually(
            lambda: (r := _record(tester)).get(naked) and "seen_at" in r and r, "the alarm"
        )
        call(tester, "DEL", heartbeat_key("watcher"))
        eventually(lambda: tester.exists(heartbeat_key("watcher")), "another heartbeat")
        hold(tester)
        eventually(lambda: naked not in _record(tester), "the end of the alarm")
    finally:
        stop.set()
        thread.join()
        bus.close()
    # What an earlier watcher said is judged anew: here nothing beats at all, but for a while.
    assert isinstance(record, dict)
    assert "daemon_silent.exitbrain" not in record
    assert set(tester.scan_iter()) - before == {heartbeat_key("watcher").encode()}
    for stream in STREAMS:
        assert call(tester, "XINFO GROUPS", stream.key) == []
    assert call(tester, "ACL", "LOG") == []


def _record(tester: Redis) -> dict[str, str]:
    flat = call(tester, "HGETALL", WATCH_KEY)
    pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    return {name.decode(): value.decode() for name, value in pairs}


def test_figures_of_a_while_ago_are_none() -> None:
    registry = CollectorRegistry()
    metrics = WatchMetrics(fresh_s=60)
    registry.register(metrics)
    assert registry.get_sample_value("quantum_redis_up") == 0
    assert registry.get_sample_value("quantum_watch_last_look_timestamp_seconds") == 0
    shown = Figures((Sample("quantum_mode", 1, {"mode": "RUN"}),))
    metrics.show(shown)
    assert registry.get_sample_value("quantum_mode", {"mode": "RUN"}) == 1
    metrics.show(Figures(()))
    assert registry.get_sample_value("quantum_mode", {"mode": "RUN"}) is None
    late = WatchMetrics(fresh_s=0)
    late.show(shown)
    assert {family.name for family in late.collect()} == {
        "quantum_redis_up",
        "quantum_watch_last_look_timestamp_seconds",
    }
