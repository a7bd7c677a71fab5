"""Each kind of event is one plain line: what happened, and how bad it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.notifier import records
from services.notifier.news import TEXT_MAX, news_of, news_of_gap
from services.notifier.values import Heard, Kind, Missed, News, Severity
from shared.streams import TRADE_INTENT

from .days import NOON, looked, message

INFO, WARNING, URGENT = Severity


def said(name: str, **changes: str) -> News | None:
    return news_of(Heard("key", "1-0", NOON, message(name, **changes)))


@pytest.mark.parametrize(
    ("name", "changes", "kind", "severity", "text"),
    [
        (
            "apply.result.filled", {}, Kind.FILL, INFO,
            "BTCUSDT: bought 0.023 at 104252.4; LONG 0.023 from 104252.4 now, stop 103276.7",
        ),
        (
            "apply.result.partially_filled", {}, Kind.FILL, INFO,
            "BTCUSDT: sold 0.005 in part at 105300.1 (1.0 R), +5.24 realised; "
            "0.018 left, stop 103276.7",
        ),
        (
            "apply.result.partially_filled", {"status": "FILLED", "reason": "PARTIAL_25"},
            Kind.RUNG, INFO,
            "BTCUSDT: sold 22 % at 105300.1 (1.0 R), +5.24 realised; 0.018 left, stop 103276.7",
        ),
        (
            "apply.result.stopped_out", {}, Kind.STOP_HIT, INFO,
            "BTCUSDT: stop hit: sold 0.023 at 103276.4, -22.45 realised; "
            "nothing left, -24.83 in all after fees",
        ),
        (
            "apply.result.liquidated", {}, Kind.LIQUIDATION, URGENT,
            "BTCUSDT: liquidated by the venue: sold 0.023 at 94727.5, -219.07 realised; "
            "nothing left, -219.07 in all after fees",
        ),
        (
            "apply.result.stop_moved", {}, Kind.STOP_MOVED, INFO,
            "BTCUSDT: stop 104450 now, 0.018 held",
        ),
        (
            "apply.result.adopted", {}, Kind.ADOPTION, INFO,
            "BTCUSDT: adopted LONG 0.023 from 104252.4, stop 103276.7",
        ),
        (
            "apply.result.expired", {}, Kind.REFUSAL, INFO,
            "BTCUSDT: entry: apply_layer refused with plan_too_old: it is 31.2 s old",
        ),
        (
            "apply.plan.skip_entry", {}, Kind.REFUSAL, INFO,
            "BTCUSDT: entry: intent_bridge refused with open_positions_cap: 8 are allowed",
        ),
        (
            "apply.plan.skip_partial_25", {}, Kind.REFUSAL, WARNING,
            "BTCUSDT: rung 25 %: intent_bridge refused with mode_halt: the mode is HALT",
        ),
    ],
)  # fmt: skip
def test_an_outcome_is_told_in_one_line(
    name: str, changes: dict[str, str], kind: Kind, severity: Severity, text: str
) -> None:
    news = said(name, **changes)
    assert news is not None
    assert (news.kind, news.severity, news.text) == (kind, severity, text)
    assert news.symbol == "BTCUSDT"


@pytest.mark.parametrize(
    "name", ["apply.result.position", "apply.plan.awaiting_exits", "apply.plan.execute_entry"]
)
def test_what_is_only_on_its_way_is_no_news(name: str) -> None:
    assert said(name) is None


def test_an_entry_without_a_stop_says_so() -> None:
    bare = message("apply.result.filled").model_copy(update={"position_stop_loss": None})
    told = news_of(Heard("key", "1-0", NOON, bare))
    assert told is not None
    assert told.text.endswith("no stop yet")


def test_a_dead_letter_tells_the_code_and_what_strangers_wrote_cannot_take_the_screen() -> None:
    letter = {
        "stream": "trade.intent", "code": "bad_number", "symbol": "SOLUSDT",
        "detail": "qty: \x1b[2J\n" + "x" * 1000,
    }  # fmt: skip
    news = news_of(Heard("key", "1-0", NOON, letter))
    assert news is not None
    assert news.text.startswith("a message on trade.intent was put aside (bad_number): qty: �[2J x")
    assert len(news.text) == TEXT_MAX
    assert news.text.isprintable()
    assert (news.kind, news.symbol) == (Kind.DEAD_LETTER, "SOLUSDT")


def test_a_gap_says_how_much_is_missing_of_which_stream() -> None:
    news = news_of_gap(Missed(TRADE_INTENT.dead_key, 3), NOON)
    assert news.text == "3 entries of trade.intent.dead were trimmed before they could be told here"


NAKED = "2026-03-02T11:58:00.000Z LONG 1.83 RIVERUSDT stands without a stop"
DOUBT = "SOLUSDT ENTRY since 2026-03-02T11:59:59+00:00"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            looked(), looked("HALT"),
            [(WARNING, "The mode is HALT, it was RUN: nothing is executed, positions keep their "
              "stops")],
        ),
        (
            looked("HALT"), looked(),
            [(INFO, "The mode is RUN, it was HALT: entries and exits pass")],
        ),
        (looked(), looked("GO"), [
            (WARNING, "The mode is EXITS_ONLY, it was RUN: no entry is admitted, exits pass"),
        ]),
        (
            looked(), looked(venue={"entries": "barred", "barrier.banned": "418 until 12:05"}),
            [(WARNING, "No entries: the venue says banned: 418 until 12:05")],
        ),
        (
            looked(venue={"barrier.banned": "418"}), looked(venue={"entries": "open"}),
            [(WARNING, "The venue no longer says banned")],
        ),
        (
            looked(), looked(venue={"unknown.abc": DOUBT}),
            [(URGENT, "SOLUSDT: an order (entry) got no answer; it may have been executed, and is "
              "asked for")],
        ),
        (
            looked(venue={"unknown.abc": DOUBT}), looked(),
            [(URGENT, "SOLUSDT: what became of the order (entry) is known now")],
        ),
        (
            looked(), looked(venue={"stop_refused.SOLUSDT": "stop refused by the venue: -2021 x"}),
            [(WARNING, "SOLUSDT: no stop yet: stop refused by the venue: -2021 x")],
        ),
        (
            looked(), looked(watch={"position_without_stop.RIVERUSDT": NAKED}),
            [(URGENT, "LONG 1.83 RIVERUSDT stands without a stop")],
        ),
        (
            looked(watch={"position_without_stop.RIVERUSDT": NAKED}), looked(),
            [(URGENT, "Over, it lasted 2 min: LONG 1.83 RIVERUSDT stands without a stop")],
        ),
        (
            looked(watch={"feed_stale.X": NAKED}),
            looked(watch={"feed_stale.X": NAKED.replace("11:58", "11:59")}),
            [(WARNING, "LONG 1.83 RIVERUSDT stands without a stop")],
        ),
        (looked(), looked(watch={"rung_not_taken.X": "no time"}), [(URGENT, "no time")]),
        (looked(), looked(watch={"group_lags.a/b": NAKED[:24] + " b lags"}), [(WARNING, "b lags")]),
        (looked(), looked(watch={"unknown_order.SOLUSDT": NAKED}), []),
        (
            looked(), looked(watch={"seen_at": "2026-03-02T11:58:59.000Z"}),
            [(URGENT, "The watcher looks no more: what stands still would not show")],
        ),
        (looked(), looked(watch={"seen_at": "2026-03-02T11:59:01.000Z"}), []),
    ],
)  # fmt: skip
def test_a_change_of_a_record_is_told_once(before: Any, after: Any, told: Any) -> None:
    shown, _ = records.seen({}, before, NOON)
    shown, news = records.seen(shown, after, NOON)
    assert [(one.severity, one.text) for one in news] == told
    again, repeated = records.seen(shown, after, NOON)
    assert repeated == []
    assert again is shown


def test_a_barrier_that_most_starts_have_for_a_moment_is_told_once_it_stays() -> None:
    barred = looked(venue={"barrier.user_stream_down": "nothing was read since it was cut"})
    shown, told = records.seen({}, barred, NOON)
    shown, later = records.seen(shown, barred, NOON + timedelta(seconds=9))
    assert (told, later) == ([], [])
    assert records.seen(shown, looked(), NOON + timedelta(seconds=9))[1] == []
    shown, told = records.seen(shown, barred, NOON + timedelta(seconds=10))
    assert [one.text for one in told] == [
        "No entries: the venue says user_stream_down: nothing was read since it was cut"
    ]
    assert records.seen(shown, barred, NOON + timedelta(seconds=11))[1] == []


def test_a_server_that_is_away_for_half_a_minute_is_told_once_and_so_is_its_return() -> None:
    shown, told = records.unseen({}, "Connection refused", NOON)
    assert told == []
    for seconds in (29, 30, 31):
        shown, told = records.unseen(shown, "refused", NOON + timedelta(seconds=seconds))
        assert bool(told) == (seconds == 30)
        if told:
            assert told[0].text == (
                "Redis cannot be asked for 30 s: the ring stands still, stops on the venue stay "
                "(refused)"
            )
    shown, back = records.seen(shown, looked(), NOON + timedelta(seconds=90))
    assert [news.text for news in back] == ["Redis answers again, after 1 min 30 s"]
    assert records.seen(shown, looked(), NOON + timedelta(seconds=91))[1] == []


def test_a_short_absence_of_the_server_is_no_news() -> None:
    shown, _ = records.unseen({}, "refused", NOON)
    assert records.seen(shown, looked(), NOON + timedelta(seconds=5))[1] == []
