"""What the page shows of an overview, and how prices become a curve: pure, without a server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dashboard.prices import BARS_MAX, SYMBOLS_MAX, Bars, Prices, thinned
from services.dashboard.settings import DashboardSettings
from services.dashboard.view import notices_of, page_of, spark_of
from services.dashboard.web.guard import name_in
from shared.decisions import Mode
from shared.formulas import r_multiple
from shared.overview.values import Alarm, Daemon, Overview, Position, Venue, Watch
from shared.records import Unreadable
from shared.sides import PositionSide

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def position(**changes: object) -> Position:
    entry, risk, mark = Decimal(100), Decimal(2), Decimal(104)
    side = PositionSide.LONG
    r = r_multiple(side=side, entry_price=entry, mark_price=mark, risk_per_unit=risk)
    held = Position(
        symbol="BTCUSDT",
        position_id="one",
        side=side,
        qty=Decimal(1),
        initial_qty=Decimal(1),
        harvested_qty=Decimal(0),
        entry_price=entry,
        mark_price=mark,
        initial_stop=Decimal(98),
        stop_loss=Decimal(98),
        stop_r=Decimal("-1.05"),
        stop_away_pct=Decimal("5.77"),
        naked_since=None,
        targets=(),
        leverage=10,
        r_net=r,
        r_max=r,
        risk_per_unit=risk,
        unrealized_pnl=Decimal(4),
        realized_pnl=Decimal(0),
        fees=Decimal(0),
        funding=Decimal(0),
        rungs=(),
        kill_score=None,
        kill_threshold=0.6,
        kill_parts={},
        awaiting=(),
        refusals=0,
        opened_at=NOW - timedelta(minutes=10),
        updated_at=NOW,
        evaluated_at=None,
    )
    return replace(held, **changes)  # type: ignore[arg-type]


def overview(**changes: object) -> Overview:
    quiet = Overview(
        now=NOW,
        mode=Mode.RUN,
        mode_text=None,
        positions=(),
        streams=(),
        daemons=(Daemon("market_feed", "up", NOW, 1.0), Daemon("watcher", "up", NOW, 1.0)),
        venue=Venue("open"),
        watch=Watch("looking", NOW),
        prices={},
        events=(),
    )
    return replace(quiet, **changes)  # type: ignore[arg-type]


def told(**changes: object) -> list[tuple[str, str, str]]:
    return [(n.level, n.title, n.subject) for n in notices_of(overview(**changes))]


def test_where_all_is_well_nothing_is_said() -> None:
    assert told() == []


def test_an_alarm_is_told_in_plain_words_and_one_that_is_new_by_its_name() -> None:
    alarms = (
        Alarm("rung_not_taken", "BTCUSDT", NOW, "since a minute"),
        Alarm("tea_is_cold", "", NOW, "it is"),
    )
    assert told(watch=Watch("looking", NOW, alarms)) == [
        ("fail", "A rung is due and was not taken", "BTCUSDT"),
        ("fail", "Tea is cold", ""),
    ]


def test_a_position_without_a_stop_is_told_by_whoever_sees_it_and_once() -> None:
    naked = position(stop_loss=None, stop_r=None, naked_since=NOW)
    title = "A position stands without a stop"
    assert told(positions=(naked,)) == [("fail", title, "BTCUSDT")]
    alarm = Alarm("position_without_stop", "BTCUSDT", NOW, "for 3 s")
    watched = {"positions": (naked,), "watch": Watch("looking", NOW, (alarm,))}
    assert told(**watched) == [("fail", title, "BTCUSDT")]


def test_no_alarm_is_not_taken_for_all_is_well_while_nobody_looks() -> None:
    assert told(watch=Watch("off")) == [("warn", "The watcher does not run", "")]
    assert told(watch=Watch("stale", NOW)) == [("fail", "The watcher has stopped looking", "")]


def test_what_must_be_mended_stands_before_what_is_worth_a_thought() -> None:
    levels = [
        level
        for level, _, _ in told(
            mode=Mode.HALT,
            venue=Venue("barred", {"clock": "off by 3 s"}, {"x1": "BTCUSDT since noon"}),
            daemons=(Daemon("apply_layer", "lost", NOW, 40.0), Daemon("notifier", "off")),
            unreadable=(Unreadable("quantum:position:X", "KeyError"),),
        )
    ]
    assert levels == ["fail"] * 3 + ["warn"] * 2


@given(
    side=st.sampled_from(PositionSide),
    moves=st.lists(st.decimals("-0.9", "3", places=4), min_size=1, max_size=40),
)
def test_the_small_curve_shows_the_r_of_the_formula(
    side: PositionSide, moves: list[Decimal]
) -> None:
    prices, entry, risk = Prices(), Decimal(100), Decimal(2)
    marks = [entry * (1 + move) for move in moves]
    for second, mark in enumerate(marks):
        prices.add("BTCUSDT", (NOW + timedelta(seconds=second)).timestamp(), float(mark))

    def r(mark: Decimal) -> Decimal:
        return r_multiple(side=side, entry_price=entry, mark_price=mark, risk_per_unit=risk)

    held = position(side=side, mark_price=marks[-1], r_net=r(marks[-1]))
    curve = spark_of(held, prices)
    assert [at for at, _ in curve] == [int(NOW.timestamp()) + n for n in range(len(marks))]
    for (_, shown), mark in zip(curve, marks, strict=True):
        assert shown == pytest.approx(float(r(mark)), abs=0.002)


def test_the_small_curve_begins_when_the_position_was_opened() -> None:
    prices = Prices()
    for minute in range(20):
        prices.add("BTCUSDT", (NOW - timedelta(minutes=minute)).timestamp(), 100.0)
    # They came newest first: all but the first are older than what is known.
    assert len(spark_of(position(), prices)) == 1
    for minute in range(20, -1, -1):
        prices.add("ETHUSDT", (NOW - timedelta(minutes=minute)).timestamp(), 100.0)
    assert len(spark_of(position(symbol="ETHUSDT"), prices)) == 11


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 40_000), st.floats(0.01, 1e6)), min_size=1, max_size=400
    )
)
def test_bars_hold_the_extremes_and_the_last_price_however_wide_they_become(
    steps: list[tuple[int, float]],
) -> None:
    bars, at = Bars(), 1_000_000
    for wait_s, price in steps * 4:
        at += wait_s
        bars.add(at, price)
    prices = [price for _, price in steps]
    assert len(bars.bars) <= BARS_MAX
    assert min(bar.low for bar in bars.bars) == min(prices)
    assert max(bar.high for bar in bars.bars) == max(prices)
    assert bars.bars[-1].last == prices[-1]
    starts = [bar.at for bar in bars.bars]
    assert starts == sorted(set(starts))
    assert all(start % bars.width_s == 0 for start in starts)
    few = list(thinned(bars.bars, 60))
    assert len(few) <= 60
    assert few[-1] == bars.bars[-1]


def test_symbols_without_end_do_not_fill_the_memory() -> None:
    prices = Prices()
    for n in range(SYMBOLS_MAX + 10):
        prices.add(f"S{n}", 1.0, 1.0)
    assert prices.of("S0").bars == []
    assert len(prices.of(f"S{SYMBOLS_MAX + 9}").bars) == 1


def test_the_page_says_what_the_mode_means() -> None:
    page = page_of(overview(mode=Mode.EXITS_ONLY), Prices())
    assert page["mode"] == "EXITS_ONLY"
    assert page["mode_means"] == "No entry is taken; exits and stops go on."


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:9480", "localhost"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("[::1", "[::1"),
        ("[::1]evil", ""),
        ("localhost:80:90", ""),
        ("localhost:x", ""),
        ("localhost:٣", ""),
        ("", ""),
    ],
)
def test_the_name_that_was_asked_for_is_read_whole_or_not_at_all(header: str, name: str) -> None:
    assert name_in(header) == name


@pytest.mark.parametrize("name", ["Ring.example", "ring.example:80", "*", "", "a b", "ring."])
def test_a_host_name_that_no_browser_would_send_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no host name"):
        DashboardSettings(host_names=(name,))
