"""From records to the values of an overview, whatever the records hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.overview.view import (
    LOST_AFTER,
    Kept,
    daemon_of,
    event_of,
    position_of,
    venue_of,
    watch_of,
)
from shared.streams import STREAMS
from shared.why.picture import Rules, Terms

D = Decimal
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
RULES = Rules(
    lot_step=D("0.01"), tick_size=D("0.0001"), min_qty=D("0.01"), reduce_only_min_notional=D(0)
)
RECORD = {
    "position_id": "RIVERUSDT-1",
    "symbol": "RIVERUSDT",
    "side": "LONG",
    "qty": "1.83",
    "initial_qty": "1.83",
    "harvested_qty": "0",
    "entry_price": "12.32",
    "initial_stop": "12.0736",
    "stop_loss": "12.0736",
    "leverage": "10",
    "current_price": "12.32",
    "realized_pnl": "0",
    "fees": "0",
    "funding": "0",
    "opened_at": "2026-07-01T10:00:00.000+00:00",
    "updated_at": "2026-07-01T11:59:59.000+00:00",
}
HARVEST = {
    "position_id": "RIVERUSDT-1",
    "risk_per_unit": "0.2464",
    "r_max": "2.5",
    "kill_score": "0.12",
    "kill_parts": "bias=-2.00 age=0.10",
    "awaiting": "RIVERUSDT-1.P25.1",
    "refusals": "2",
}
KEPT = Kept(RECORD, HARVEST, RULES)

texts = st.text(max_size=40)
sides = st.sampled_from(["LONG", "SHORT"])
prices = st.decimals("0.0001", "100000", places=4)


def test_a_naked_position_says_since_when() -> None:
    record = {name: value for name, value in RECORD.items() if name != "stop_loss"}
    since = NOW - timedelta(seconds=3)
    position = position_of(Kept(record, HARVEST, RULES, naked_since=since), Terms(), NOW)
    assert position.naked
    assert (position.stop_r, position.stop_away_pct, position.naked_since) == (None, None, since)


def test_a_rung_that_was_reached_and_not_taken_is_due() -> None:
    position = position_of(KEPT, Terms(), NOW)
    assert [rung.state for rung in position.rungs] == ["due", "next", "ahead"]
    assert (position.awaiting, position.refusals) == (("RIVERUSDT-1.P25.1",), 2)


def test_what_harvest_brain_said_of_an_earlier_position_is_not_of_this_one() -> None:
    record = RECORD | {"position_id": "RIVERUSDT-2"}
    position = position_of(Kept(record, HARVEST, RULES), Terms(), NOW)
    assert position.kill_score is None
    assert (position.kill_parts, position.awaiting, position.refusals) == ({}, (), 0)
    assert position.evaluated_at is None
    assert [rung.state for rung in position.rungs] == ["next", "ahead", "ahead"]


@given(side=sides, entry=prices, mark=prices, stop=prices)
def test_unrealised_and_r_agree_on_which_side_of_the_entry_the_price_is(
    side: str, entry: Decimal, mark: Decimal, stop: Decimal
) -> None:
    record = RECORD | {
        "side": side, "entry_price": str(entry), "current_price": str(mark),
        "stop_loss": str(stop),
    }  # fmt: skip
    del record["initial_stop"]
    position = position_of(Kept(record, {}, RULES), Terms(), NOW)
    favour = mark - entry if side == "LONG" else entry - mark
    assert position.unrealized_pnl == favour * D("1.83")
    # Costs are taken off, so R is no better than the price is.
    if favour <= 0:
        assert position.r_net <= 0
    assert position.r_max >= position.r_net
    assert position.stop_away_pct is not None
    assert position.stop_away_pct >= 0


@pytest.mark.parametrize("missing", [name for name in RECORD if "stop" not in name])
def test_a_record_that_lacks_something_is_refused_by_its_name(missing: str) -> None:
    record = {name: value for name, value in RECORD.items() if name != missing}
    with pytest.raises(KeyError, match=missing):
        position_of(Kept(record, HARVEST, RULES), Terms(), NOW)


@pytest.mark.parametrize(
    ("age", "state"),
    [(timedelta(), "up"), (LOST_AFTER, "up"), (LOST_AFTER + timedelta(milliseconds=1), "lost")],
)
def test_a_heartbeat_counts_for_its_time(age: timedelta, state: str) -> None:
    assert daemon_of("exitbrain", {"at": (NOW - age).isoformat()}, NOW).state == state


def test_a_clock_that_is_ahead_makes_nobody_lost() -> None:
    daemon = daemon_of("exitbrain", {"at": (NOW + timedelta(hours=1)).isoformat()}, NOW)
    assert (daemon.state, daemon.age_s) == ("up", 0)


@given(st.dictionaries(texts, texts, max_size=5))
def test_no_record_of_watcher_or_of_the_venue_is_too_strange_to_be_shown(
    record: dict[str, str],
) -> None:
    watch, venue = watch_of(record, NOW), venue_of(record)
    assert len(watch.alarms) == len(record.keys() - {"seen_at"})
    assert all(alarm.text.isprintable() for alarm in watch.alarms)
    assert all(text.isprintable() for text in venue.barriers.values())
    assert daemon_of("watcher", record, NOW).state in ("up", "lost", "off")


def test_the_worst_alarm_comes_first_and_then_the_one_that_has_lasted_longest() -> None:
    record = {
        "seen_at": NOW.isoformat(),
        "feed_stale.SOLUSDT": "2026-07-01T11:59:00.000Z no price for 60 s",
        "group_lags.apply.plan": "2026-07-01T11:00:00.000Z exitbrain is behind",
        "redis_not_durable": "the append-only file is off",
        "position_without_stop.BTCUSDT": "2026-07-01T11:59:59.000Z LONG 1 has no stop",
    }
    alarms = watch_of(record, NOW).alarms
    assert [(alarm.name, alarm.subject) for alarm in alarms] == [
        ("position_without_stop", "BTCUSDT"), ("group_lags", "apply.plan"),
        ("feed_stale", "SOLUSDT"), ("redis_not_durable", ""),
    ]  # fmt: skip
    assert (alarms[3].text, alarms[3].since) == ("the append-only file is off", None)


def test_what_the_venue_says_is_told_by_code_and_by_order() -> None:
    venue = venue_of({
        "entries": "barred", "barrier.clock": "the clock is off by 3 s",
        "unknown.e.1": "BTCUSDT ENTRY since noon", "stop_refused.BTCUSDT": "-2021 it would trigger",
    })  # fmt: skip
    assert venue.entries == "barred"
    assert venue.barriers == {"clock": "the clock is off by 3 s"}
    assert venue.unknown_orders == {"e.1": "BTCUSDT ENTRY since noon"}
    assert venue.stops_refused == {"BTCUSDT": "-2021 it would trigger"}


@given(
    stream=st.sampled_from(STREAMS),
    fields=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=6),
)
def test_an_entry_of_anything_is_a_line_that_a_terminal_can_show(
    stream: object, fields: list[tuple[bytes, bytes]]
) -> None:
    event = event_of(stream, "1782907200000-0", tuple(fields))  # type: ignore[arg-type]
    assert not event.readable
    assert event.line.startswith("unreadable: ")
    assert event.line.isprintable()
    assert event.at == NOW
