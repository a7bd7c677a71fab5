"""Reading an overview from a real server with a real ring on it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from redis import Redis

from shared.bus.client import call
from shared.cli.story import reader
from shared.contracts.values import format_timestamp
from shared.decisions import Mode
from shared.overview.document import as_json
from shared.overview.read import read_overview
from shared.overview.values import Group, Overview
from shared.streams import (
    APPLY_PLAN,
    COMPANIONS,
    DAEMONS,
    MARKET_TICK,
    MODE_KEY,
    STREAMS,
    TRADE_INTENT,
    WATCH_KEY,
    heartbeat_key,
    position_key,
)
from tests.cli.asking import SHOWN_AT_ONCE, Open
from tests.cli.small_ring import SYMBOL, SmallRing, at_r, seed

D = Decimal


@pytest.fixture
def ring(open_ring: Open) -> SmallRing:
    """A ring whose one position is at 5 R and has given up two rungs."""
    opened = open_ring(seed() | SHOWN_AT_ONCE)
    for r in (1, 3, 5):
        opened.tick(at_r(r))
        opened.settle()
    return opened


def group(overview: Overview, stream: str, daemon: str) -> Group:
    (found,) = (s for s in overview.streams if s.name == stream)
    return next(group for group in found.groups if group.daemon == daemon)


def test_a_position_is_told_with_all_that_it_waits_for(ring: SmallRing) -> None:
    (position,) = read_overview(ring.client).positions
    assert (position.symbol, position.side, position.qty) == (SYMBOL, "LONG", D("0.91"))
    assert (position.mark_price, position.r_net) == (at_r(5), D("5.0003"))
    assert position.unrealized_pnl == D("0.91") * (at_r(5) - D("12.32"))
    # Break-even and what closing costs: a fraction of an R is sure.
    assert (position.stop_loss, position.stop_r) == (D("12.3446"), D("0.0498"))
    assert not position.naked
    assert [(r.name, r.price, r.qty, r.state) for r in position.rungs] == [
        ("PARTIAL_25", D("12.8251"), D("0.46"), "taken"),
        ("PARTIAL_50", D("13.3179"), D("0.46"), "taken"),
        ("PARTIAL_75", D("13.8107"), D("0.45"), "next"),
    ]
    assert position.kill_score is not None
    assert position.evaluated_at is not None


def test_the_mark_is_the_newest_price_though_no_daemon_has_seen_it(ring: SmallRing) -> None:
    ring.tick(at_r(7))
    ring.tick("1", symbol="SOLUSDT")
    overview = read_overview(ring.client)
    assert overview.positions[0].mark_price == overview.prices[SYMBOL].mark_price == at_r(7)
    assert overview.positions[0].r_max == overview.positions[0].r_net == D("7.0003")
    assert overview.prices.keys() == {SYMBOL, "SOLUSDT"}


def test_a_price_that_was_asked_for_afterwards_is_nobodys_mark(ring: SmallRing) -> None:
    at = ring.now()
    old = ring.price("1", at=at, produced_at=at, source="market_feed.history")
    ring.put(old)
    assert read_overview(ring.client).prices[SYMBOL].mark_price == at_r(5)


def test_who_is_behind_and_for_how_long_shows_on_the_stream(ring: SmallRing) -> None:
    ring.stop("harvest_brain")
    ring.tick(at_r(5), age_s=0)
    overview = read_overview(ring.client)
    behind = group(overview, MARKET_TICK.name, "harvest_brain")
    assert (behind.lag, behind.pending) == (1, 0)
    assert behind.oldest_age_s is not None
    assert 0 <= behind.oldest_age_s < 10
    assert group(overview, TRADE_INTENT.name, "intent_bridge") == Group("intent_bridge", True)


def test_what_was_delivered_and_not_finished_is_pending(ring: SmallRing) -> None:
    ring.put(ring.entry())
    call(
        ring.client, "XREADGROUP", "GROUP", "intent_bridge", "intent_bridge",
        "STREAMS", TRADE_INTENT.key, ">",
    )  # fmt: skip
    held = group(read_overview(ring.client), TRADE_INTENT.name, "intent_bridge")
    assert (held.lag, held.pending) == (0, 1)
    assert held.oldest_age_s is not None


def test_a_group_that_was_never_made_is_told_as_missing(redis_url: str) -> None:
    with reader(redis_url) as client:
        overview = read_overview(client)
    assert all(not g.exists and g.lag is None for s in overview.streams for g in s.groups)
    assert {s.name: (s.length, s.dead, s.last_at) for s in overview.streams} == {
        stream.name: (0, 0, None) for stream in STREAMS
    }


def test_dead_letters_are_counted(ring: SmallRing) -> None:
    ring.raw(TRADE_INTENT.key, ["nonsense", "1"])
    ring.settle()
    dead = {stream.name: stream.dead for stream in read_overview(ring.client).streams}
    assert dead == {stream.name: int(stream == TRADE_INTENT) for stream in STREAMS}


def test_the_newest_events_come_first_and_what_cannot_be_read_is_among_them(
    ring: SmallRing,
) -> None:
    ring.raw(APPLY_PLAN.key, ["nonsense", "1"])
    first, second, *rest = read_overview(ring.client, events=5).events
    assert (first.stream, first.readable, first.symbol) == (APPLY_PLAN.name, False, "")
    assert first.line.startswith("unreadable: ")
    assert second.line == "filled   PARTIAL_50: SELL 0.46 at 13.563, realised 0.57178, 0.91 left"
    assert second.symbol == SYMBOL
    assert len(rest) == 3
    assert {event.stream for event in rest} <= {stream.name for stream in STREAMS[1:]}


def test_a_daemon_that_beats_is_up_and_a_companion_that_never_ran_is_off(ring: SmallRing) -> None:
    states = {daemon.name: daemon.state for daemon in read_overview(ring.client).daemons}
    readers = dict.fromkeys(DAEMONS, "up") | {"market_feed": "lost"}
    assert states == readers | dict.fromkeys(COMPANIONS, "off")


def test_a_daemon_that_has_stopped_beating_is_lost(ring: SmallRing) -> None:
    before = format_timestamp(ring.now() - timedelta(seconds=40))
    for name in ("harvest_brain", "notifier"):
        call(ring.client, "HSET", heartbeat_key(name), "at", before, "pid", "7")
    lost = [daemon for daemon in read_overview(ring.client).daemons if daemon.state == "lost"]
    assert [daemon.name for daemon in lost] == ["market_feed", "harvest_brain", "notifier"]
    assert all(d.age_s is not None and 40 <= d.age_s < 60 for d in lost[1:])


@pytest.mark.parametrize(
    ("age_s", "state"), [(1, "looking"), (40, "stale")], ids=["looking", "stale"]
)
def test_alarms_count_as_long_as_watcher_looks(ring: SmallRing, age_s: int, state: str) -> None:
    now = ring.now()
    seen = format_timestamp(now - timedelta(seconds=age_s))
    since = format_timestamp(now - timedelta(minutes=3))
    call(
        ring.client, "HSET", WATCH_KEY, "seen_at", seen,
        f"rung_not_taken.{SYMBOL}", f"{since} PARTIAL_75 was reached and not taken",
    )  # fmt: skip
    watch = read_overview(ring.client).watch
    assert watch.state == state
    (alarm,) = watch.alarms
    assert (alarm.name, alarm.subject) == ("rung_not_taken", SYMBOL)
    assert alarm.text == "PARTIAL_75 was reached and not taken"
    assert alarm.since is not None
    assert now - alarm.since == timedelta(minutes=3)


def test_nobody_watching_is_not_the_same_as_no_alarm(ring: SmallRing) -> None:
    assert read_overview(ring.client).watch.state == "off"


def test_a_switch_that_holds_no_mode_is_told_in_its_own_words(ring: SmallRing) -> None:
    ring.client.set(MODE_KEY, "nonsense")
    overview = read_overview(ring.client)
    assert (overview.mode, overview.mode_text) == (Mode.EXITS_ONLY, "nonsense")


def test_a_record_that_makes_no_sense_hides_no_other(ring: SmallRing) -> None:
    call(ring.client, "HSET", position_key("BTCUSDT"), "symbol", "BTCUSDT", "side", "UP")
    overview = read_overview(ring.client)
    assert [position.symbol for position in overview.positions] == [SYMBOL]
    (found,) = overview.unreadable
    assert found.what == position_key("BTCUSDT")


def test_every_position_is_found_among_very_many_keys(ring: SmallRing) -> None:
    record = call(ring.client, "HGETALL", position_key(SYMBOL))
    for number in range(3000):
        call(ring.client, "SET", f"other:{number}", "")
    symbols = [f"S{number}USDT" for number in range(20)]
    for symbol in symbols:
        call(ring.client, "HSET", position_key(symbol), *record)
        call(ring.client, "HSET", position_key(symbol), "symbol", symbol)
    found = [position.symbol for position in read_overview(ring.client).positions]
    assert found == sorted([SYMBOL, *symbols])


def test_it_is_a_document_for_machines(ring: SmallRing) -> None:
    told = json.loads(json.dumps(as_json(read_overview(ring.client))))
    assert told["positions"][0]["r_net"] == "5.0003"
    assert told["mode"] == "RUN"
    assert told["now"].endswith("Z")


def test_the_work_does_not_grow_with_the_streams(ring: SmallRing) -> None:
    before = _asked(ring.client)
    newest = call(ring.client, "XREVRANGE", TRADE_INTENT.key, "+", "-", "COUNT", 1)[0][1]
    with ring.client.pipeline(transaction=False) as pipeline:
        for _ in range(5000):
            pipeline.execute_command("XADD", TRADE_INTENT.key, "*", *newest)  # type: ignore[no-untyped-call]
        pipeline.execute()
    assert _asked(ring.client) == before


def _asked(client: Redis) -> Counter[str]:
    """How often each command was sent for one look, by the server's own count."""
    call(client, "CONFIG", "RESETSTAT")
    read_overview(client)
    stats = client.info("commandstats")
    return Counter({name: int(row["calls"]) for name, row in stats.items() if "config" not in name})
