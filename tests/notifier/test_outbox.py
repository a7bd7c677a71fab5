"""What a receiver is told, when, and how much at a time; nothing is lost and nothing is doubled."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, time, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.outbox import ALARMS_MAX, LINES_MAX, Policy, Quiet
from services.notifier.settings import NotifierSettings
from services.notifier.values import Began, Handed, Handing, Kind, Missed, Severity, State
from shared.streams import APPLY_PLAN
from tests.jumps import JUMPS_S

from .days import CODEC, NOON, PHONE, Day, left, looked

FILL, RUNG, REFUSAL = (
    "apply.result.filled",
    "apply.result.partially_filled",
    "apply.plan.skip_entry",
)
LIQUIDATION = "apply.result.liquidated"
NIGHT = Policy(quiet=Quiet(time(22), time(7)))
MINUTE = timedelta(minutes=1)


def test_the_first_news_is_told_at_once_and_what_follows_soon_is_told_together() -> None:
    day = Day()
    day.hear(FILL)
    day.beat()
    assert len(day.sent) == 1
    for _ in range(3):
        day.hear(FILL)
        day.beat(after_s=1)
    assert len(day.sent) == 1
    day.beats(15)
    assert len(day.sent) == 2
    assert day.sent[1][1].news.count == 3


def test_five_thousand_refusals_make_few_notices_and_each_is_counted() -> None:
    day = Day()
    for number in range(5000):
        day.hear(REFUSAL)
        if number % 100 == 99:
            day.beat(after_s=0.1)
    day.beats(60)
    assert len(day.sent) == 2
    assert day.sent[1][1].body.splitlines()[LINES_MAX:] == ["and 4895 more"]
    assert day.counted("told") == 5000
    assert left(day.outbox) == 0


def test_no_more_than_the_burst_comes_at_once_and_then_one_at_a_time() -> None:
    day = Day(Policy(per_minute=20, burst=5, gather=timedelta(0)))
    for _ in range(200):
        day.hear(FILL)
        day.beat(after_s=0.5)
    times = [at for at, _ in day.sent]
    for start in times:
        within = [at for at in times if start <= at < start + MINUTE]
        assert len(within) <= 25
    assert 30 <= len(times) <= 38


def test_what_is_urgent_goes_before_whatever_waits() -> None:
    day = Day(Policy(per_minute=1, burst=1))
    day.hear(FILL)
    day.beat()
    day.hear(RUNG)
    day.hear(LIQUIDATION)
    day.beats(59)
    assert len(day.sent) == 1
    day.beats(2)
    assert day.texts[1].startswith("URGENT: Liquidated | ")


def test_what_is_urgent_goes_before_a_sum_that_is_due() -> None:
    day = Day()
    day.hear(FILL, age=timedelta(hours=1))
    day.now += timedelta(seconds=3)
    day.hear(LIQUIDATION)
    day.beats(2)
    assert [notice.title for _, notice in day.sent] == ["URGENT: Liquidated", "Summed up"]


def test_at_quiet_hours_only_what_is_urgent_is_told_and_the_rest_in_sum_when_they_end() -> None:
    day = Day(NIGHT, now=NOON.replace(hour=22))
    day.hear(RUNG, status="FILLED", reason="PARTIAL_25")
    day.hear("apply.result.stopped_out")
    day.hear(REFUSAL)
    day.hear(LIQUIDATION)
    day.beats(5)
    assert [notice.title for _, notice in day.sent] == ["URGENT: Liquidated"]
    day.now = NOON + timedelta(hours=18, minutes=59, seconds=50)
    day.beats(9)
    assert len(day.sent) == 1
    day.beats(2)
    assert day.texts[1] == (
        "Summed up | 02 Mar 22:00: 1 refusal, 1 rung taken, 1 stop hit; -18.66 realised after fees"
    )
    assert day.sent[1][0] == NOON + timedelta(hours=19)
    day.beats(60)
    assert len(day.sent) == 2


def test_what_waits_when_the_quiet_hours_begin_is_told_when_they_end() -> None:
    day = Day(NIGHT, now=NOON.replace(hour=21, minute=59, second=58))
    day.hear(FILL)
    day.beat("refused")
    day.hear(RUNG)
    day.beats(600)
    assert len(day.sent) == 1
    day.now = NOON + timedelta(hours=19)
    day.beat()
    assert day.texts[1].endswith("2 fills; +3.78 realised after fees")


@pytest.mark.parametrize(
    ("hours", "at", "quiet"),
    [
        ("22:00-07:00", "22:00", True), ("22:00-07:00", "06:59", True),
        ("22:00-07:00", "07:00", False), ("22:00-07:00", "21:59", False),
        ("12:00-13:30", "12:00", True), ("12:00-13:30", "13:30", False),
    ],
)  # fmt: skip
def test_quiet_hours_are_by_the_clock_of_the_reader(hours: str, at: str, quiet: bool) -> None:
    own = NotifierSettings(quiet_hours=hours, time_zone="America/New_York").policy()
    for offset_h, day in ((5, "2026-03-02"), (4, "2026-07-02")):
        local = datetime.fromisoformat(f"{day}T{at}").replace(tzinfo=UTC)
        assert own.is_quiet(local + timedelta(hours=offset_h)) is quiet


def test_after_a_long_absence_the_old_is_summed_up_and_the_new_is_told() -> None:
    day = Day()
    for minutes in (180, 120, 60):
        day.hear(FILL, age=timedelta(minutes=minutes))
        day.beat()
    day.hear(LIQUIDATION, age=timedelta(minutes=50))
    day.hear(RUNG, age=timedelta(seconds=5))
    day.beats(5)
    assert len(day.sent) == 3
    # What is urgent is told word by word, however old it is.
    assert day.texts[0].startswith("URGENT: Liquidated | 11:10 BTCUSDT: liquidated")
    assert day.texts[1] == "Summed up | 09:00 to 11:00: 3 fills; -3.60 realised after fees"
    assert day.texts[2].startswith("Filled | BTCUSDT: sold")


def test_old_news_says_when_it_was() -> None:
    day = Day()
    day.hear(FILL, age=timedelta(seconds=61))
    day.beat()
    assert day.sent[0][1].body.startswith("11:58 BTCUSDT: bought")


def test_a_receiver_that_does_not_take_a_notice_is_asked_again_ever_less_often() -> None:
    day = Day()
    day.hear(FILL)
    for _ in range(240):
        day.beat("refused", after_s=1)
    times = [at for at, _ in day.sent]
    waits = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
    assert waits == [2, 4, 8, 16, 32, 60, 60]
    assert all(notice == day.sent[0][1] for _, notice in day.sent)


def test_a_receiver_that_is_back_after_an_hour_gets_a_sum_and_the_alarms() -> None:
    day = Day()
    day.hear(FILL)
    day.hear(LIQUIDATION)
    for minute in range(60):
        day.hear(RUNG)
        day.beats(60, "timed_out")
        if minute == 30:
            day.restart()
    day.sent.clear()
    day.beats(120)
    assert day.counted("told") == 62
    assert left(day.outbox) == 0
    assert len(day.sent) <= 4
    assert any("BTCUSDT: liquidated by the venue" in text for text in day.texts)


def test_one_receiver_that_is_away_keeps_nothing_from_another() -> None:
    day = Day()
    day.take(Began((PHONE, "2 tgram"), {}))
    day.hear(FILL)
    day.beat("refused")
    assert len(day.sent) == 2
    day.take(Handed("2 tgram", "arrived"))
    sends = [output.receiver for output in day.outputs if hasattr(output, "receiver")]
    assert sends == [PHONE, "2 tgram"]


def test_a_restart_hands_over_again_what_was_in_flight_and_nothing_else() -> None:
    day = Day()
    day.hear(FILL)
    day.beat()
    day.hear(RUNG, status="FILLED", reason="PARTIAL_25")
    day.beat(None)
    day.hear(REFUSAL)
    day.restart()
    day.beats(60)
    titles = [notice.title for _, notice in day.sent]
    assert titles == ["Filled", "Profit taken", "Profit taken", "Refused"]
    assert day.sent[1][1] == day.sent[2][1]


def test_a_receiver_that_is_no_longer_named_is_forgotten() -> None:
    day = Day()
    day.hear(FILL)
    day.restart("1 tgram")
    assert list(day.state.outboxes) == ["1 tgram"]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (Policy(kinds=frozenset({Kind.REFUSAL})), ["Refused", "URGENT: Liquidated"]),
        (Policy(symbols=frozenset({"SOLUSDT"})), ["URGENT: Liquidated"]),
        (Policy(symbols=frozenset({"BTCUSDT"})), ["Filled", "Refused", "URGENT: Liquidated"]),
        (Policy(min_severity=Severity.WARNING), ["URGENT: Liquidated"]),
    ],
)
def test_what_is_not_wanted_is_not_told_but_what_is_urgent_always_is(
    policy: Policy, told: list[str]
) -> None:
    day = Day(policy)
    for name in (FILL, REFUSAL, LIQUIDATION):
        day.hear(name)
    day.beats(5)
    assert sorted(notice.title for _, notice in day.sent) == told
    assert day.counted("filtered") == 3 - len(told)


def test_every_alarm_of_one_name_goes_into_one_notice() -> None:
    day = Day()
    watch = {f"feed_stale.{s}": f"2026-03-02T11:59:00.000Z no price of {s}" for s in "ABC"}
    watch["daemon_silent.exitbrain"] = "2026-03-02T11:59:00.000Z exitbrain has gone silent"
    day.take(looked(watch=watch))
    day.beats(5)
    assert sorted(day.texts) == [
        "Alarm | exitbrain has gone silent",
        "Alarm | no price of A\nno price of B\nno price of C",
    ]


steps = st.one_of(
    st.tuples(
        st.just("hear"),
        st.sampled_from([FILL, RUNG, REFUSAL, LIQUIDATION, "apply.result.stop_moved"]),
        st.integers(0, 3600),
    ),
    st.tuples(st.just("wait"), st.integers(0, 1000)),
    st.tuples(st.just("turn"), st.sampled_from([*get_args(Handing), None])),
    st.tuples(st.just("alarm"), st.booleans()),
    st.tuples(st.just("gap"), st.integers(1, 9)),
    st.tuples(st.just("restart")),
)
policies = st.builds(
    Policy,
    quiet=st.sampled_from([None, Quiet(time(22), time(7)), Quiet(time(12), time(13))]),
    per_minute=st.integers(1, 30),
    burst=st.integers(1, 5),
    gather=st.sampled_from([timedelta(0), timedelta(seconds=15)]),
    stale_after=st.sampled_from([MINUTE, 10 * MINUTE]),
)


class Watched(Day):
    """A day that counts for itself what there was to tell, and looks after each step."""

    there_was = 0
    stands = False

    def do(self, step: Any) -> None:
        match step:
            case ("hear", name, age_s):
                self.hear(name, age=timedelta(seconds=age_s))
                self.there_was += 1
            case ("gap", count):
                self.take(Missed(APPLY_PLAN.key, count))
                self.there_was += 1
            case ("alarm", stands):
                text = "2026-03-02T11:00:00.000Z it stands without a stop"
                self.take(looked(watch={"position_without_stop.X": text} if stands else {}))
                self.there_was += stands != self.stands
                self.stands = stands
            case ("wait", seconds):
                self.now += timedelta(seconds=seconds)
            case ("turn", how):
                self.beat(how)
            case ("restart",):
                self.restart()

    def look(self) -> None:
        outbox = self.outbox
        assert self.counted("told") + left(outbox) == self.there_was
        assert len(outbox.waiting) <= len(Kind)
        assert all(len(group.lines) <= LINES_MAX for group in outbox.waiting.values())
        assert outbox.summed is None or len(outbox.summed.lines) <= ALARMS_MAX
        for at, notice in self.sent:
            assert not self.policy.is_quiet(at) or notice.severity is Severity.URGENT
        made = sorted({notice.at for _, notice in self.sent})
        for first in made:
            within_a_minute = [at for at in made if first <= at < first + MINUTE]
            assert len(within_a_minute) <= self.policy.per_minute + self.policy.burst


@given(policies, st.lists(steps, max_size=60))
def test_whatever_happens_nothing_is_lost_told_twice_told_at_night_or_told_too_fast(
    policy: Policy, what_happens: list[Any]
) -> None:
    day = Watched(policy)
    for step in what_happens:
        day.do(step)
        day.look()
        documents = CODEC.changes(State(), day.state)
        kept = {name: text for name, text in documents.items() if text is not None}
        assert CODEC.load(kept) == day.state
    # By day, and with somebody who takes it, all of it is told in the end.
    day.now = (day.now + timedelta(days=1)).replace(hour=14)
    day.restart()
    for _ in range(100):
        day.beat(after_s=60)
    assert left(day.outbox) == 0
    assert day.counted("told") == day.there_was


@given(st.lists(st.tuples(st.integers(0, 3), JUMPS_S, st.booleans()), min_size=1, max_size=4))
def test_however_the_clock_jumps_an_alarm_is_told_within_two_minutes(
    jumps: list[tuple[int, int, bool]],
) -> None:
    day = Day()
    for times, by_s, fails in jumps:
        for _ in range(times):
            day.hear(FILL)
            day.hear(LIQUIDATION)
            day.beat("refused" if fails else "arrived", after_s=1)
        day.now += timedelta(seconds=by_s)
    day.beats(120)
    told = sum(notice.severity is Severity.URGENT for _, notice in day.sent)
    day.hear(LIQUIDATION)
    day.beats(120)

    assert sum(notice.severity is Severity.URGENT for _, notice in day.sent) > told
    assert left(day.outbox) == 0
