"""What `quantum top` writes of an overview, for any width and whatever stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from shared.cli import top_show
from shared.decisions import Mode
from shared.overview.values import Alarm, Daemon, Group, Overview, Position, Stream, Venue, Watch
from shared.overview.view import Kept, position_of
from shared.why.picture import Terms
from tests.overview.test_view import HARVEST, NOW, RECORD, RULES

D = Decimal
POSITION = position_of(Kept(RECORD, HARVEST, RULES), Terms(), NOW)
WELL = Overview(
    now=NOW,
    mode=Mode.RUN,
    mode_text=None,
    positions=(POSITION,),
    streams=(Stream("trade.intent", 12, NOW, 0, (Group("intent_bridge", exists=True),)),),
    daemons=(Daemon("exitbrain", "up", NOW, 0.5, NOW - timedelta(minutes=5)),),
    venue=Venue("open"),
    watch=Watch("looking", NOW),
    prices={},
    events=(),
)


def text_of(lines: list[Text]) -> str:
    return "\n".join(line.plain for line in lines)


def told(overview: Overview) -> str:
    return text_of(top_show.frame(overview, "the server", 80))


def test_a_ring_that_is_well_says_so_and_who_looked() -> None:
    shown = told(WELL)
    assert "● no alarms" in shown
    assert "entries open" in shown
    assert "● all read" in shown
    assert "● exitbrain 5 min" in shown
    assert "✖" not in shown


def test_no_alarm_is_not_claimed_where_nobody_looks() -> None:
    for watch in (Watch("off"), Watch("stale", NOW - timedelta(minutes=2))):
        assert "● no alarms" not in told(replace(WELL, watch=watch))
    assert "nobody looks" in told(replace(WELL, watch=Watch("off")))
    stale = replace(WELL, watch=Watch("stale", NOW - timedelta(minutes=2)))
    assert "watcher has not looked for 2 min" in told(stale)


def test_alarms_come_before_all_else_and_the_rest_of_many_is_counted() -> None:
    since = NOW - timedelta(seconds=70)
    alarms = tuple(Alarm("feed_stale", f"S{n}USDT", since, "no price") for n in range(7))
    lines = told(replace(WELL, watch=Watch("looking", NOW, alarms))).splitlines()
    assert lines[1] == "✖ 1 min 10 s feed stale S0USDT: no price"
    assert lines[5] == "✖ and 3 alarms more"


@pytest.mark.parametrize(
    ("mode", "text", "words"),
    [
        (Mode.HALT, "HALT", " HALT "),
        (Mode.EXITS_ONLY, "nonsense", " nonsense  is no mode and counts as EXITS_ONLY"),
        (Mode.RUN, None, " RUN "),
    ],
)
def test_the_mode_stands_first(mode: Mode, text: str | None, words: str) -> None:
    assert told(replace(WELL, mode=mode, mode_text=text)).startswith(words)


def test_what_keeps_entries_out_and_what_is_in_doubt_is_told() -> None:
    venue = Venue("barred", {"clock": "off by 3 s"}, {"e.1": "BTCUSDT ENTRY"})
    shown = told(replace(WELL, venue=venue))
    assert "entries barred" in shown
    assert "! no entry: clock, off by 3 s" in shown
    assert "! order in doubt: e.1, BTCUSDT ENTRY" in shown


def test_a_position_without_a_stop_stands_first_and_says_why() -> None:
    naked = replace(POSITION, symbol="XUSDT", stop_loss=None, stop_r=None, stop_away_pct=None,
                    naked_since=NOW - timedelta(seconds=4))  # fmt: skip
    venue = Venue("open", stops_refused={"XUSDT": "stop refused by the venue: -2021"})
    overview = replace(WELL, positions=(POSITION, naked), venue=venue)
    shown = told(overview)
    assert "✖ NO STOP for 4 s: stop refused by the venue: -2021" in shown
    assert shown.index("XUSDT") < shown.index("RIVERUSDT")


def test_a_position_says_what_it_waits_for() -> None:
    def waiting(one: Position) -> str:
        return top_show.waiting(one, WELL).plain

    assert "asked for: RIVERUSDT-1.P25.1" in waiting(POSITION)
    assert "refused 2 times" in waiting(POSITION)
    idle = replace(POSITION, awaiting=(), refusals=0)
    assert "PARTIAL_25 is due, R was 2.50" in waiting(idle)
    first, second, third = POSITION.rungs
    ahead = (replace(first, state="taken"), second, third)
    assert waiting(replace(idle, rungs=ahead)).endswith("; PARTIAL_50 at 13.3179, 8.10 % away")
    done = tuple(replace(rung, state="taken") for rung in POSITION.rungs)
    assert waiting(replace(idle, rungs=done)).endswith("; every rung is taken")


def test_who_is_behind_is_named_with_how_far_and_how_long() -> None:
    groups = (
        Group("harvest_brain", exists=True, lag=4, pending=2, oldest_age_s=65.0),
        Group("trading_bot", exists=True, lag=None, pending=0, oldest_age_s=3.0),
        Group("apply_layer", exists=False, lag=None),
    )
    stream = Stream("market.tick", 20_000, NOW - timedelta(seconds=9), 3, groups)
    shown = told(replace(WELL, streams=(stream,)))
    assert "3 dead" in shown
    assert "harvest_brain 4+2 pending for 1 min 5 s" in shown
    assert "trading_bot ? for 3 s" in shown
    assert "apply_layer never read" in shown
    assert "all read" not in shown


def test_a_daemon_that_is_lost_comes_before_one_that_is_off() -> None:
    daemons = (
        Daemon("notifier", "off"),
        Daemon("exitbrain", "lost", NOW, 48.0),
        Daemon("market_feed", "lost"),
    )
    shown = told(replace(WELL, daemons=daemons))
    assert "✖ exitbrain lost 48 s  ✖ market_feed never seen  ○ notifier off" in shown


r_values = st.decimals("-3", "60", places=4)


@given(
    width=st.integers(20, 300),
    r=r_values,
    stop=st.none() | r_values,
    best=r_values,
    scale=st.sampled_from(["1", "0.3162", "10"]),
)
def test_the_bar_is_as_wide_as_asked_and_shows_the_price(
    width: int, r: Decimal, stop: Decimal | None, best: Decimal, scale: str
) -> None:
    rungs = tuple(replace(x, r_level=x.r_level * D(scale)) for x in POSITION.rungs)
    one = replace(POSITION, r_net=r, stop_r=stop, r_max=max(r, best), rungs=rungs)
    bar = top_show.r_bar(one, width)
    assert bar.cell_len == width
    assert bar.plain.count("▲") == 1


@given(r=st.decimals("-0.9", "6", places=2))
def test_the_bar_is_true_to_scale(r: Decimal) -> None:
    one = replace(POSITION, r_net=r, r_max=max(r, D(0)), stop_r=D(-1))
    bar = top_show.r_bar(one, 730).plain
    # From -1 R to 5 % beyond the last rung, in 730 places: a hundred to an R.
    assert abs(bar.index("▲") - (r + 1) * 100) <= 1
    assert bar[0] == "┃"


def test_a_filter_leaves_other_symbols_out() -> None:
    other = replace(POSITION, symbol="BTCUSDT", awaiting=())
    overview = replace(WELL, positions=(POSITION, other))
    shown = text_of(top_show.frame(overview, "the server", 80, "BTC"))
    assert "BTCUSDT" in shown
    assert "RIVERUSDT" not in shown
    nothing = text_of(top_show.frame(overview, "the server", 80, "DOGE"))
    assert "No position of DOGE is open." in nothing


def test_the_time_is_the_servers() -> None:
    assert "01 Jul 12:00:00 UTC" in told(replace(WELL, now=datetime(2026, 7, 1, 12, tzinfo=UTC)))
