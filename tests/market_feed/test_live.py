"""What a live feed decides: what goes out, what waits for a gap, what is refused, what is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.market_feed.events import (
    Filled,
    FillGap,
    GapClosed,
    Mark,
    MinuteEnded,
    NotFilled,
    Refused,
    SecondPrice,
)
from services.market_feed.klines import Candle
from services.market_feed.live import LIVE, Kept, Policy, State, decide, divergence_of
from shared.contracts import HISTORY_SOURCE as HISTORY
from shared.contracts import MarketTick
from shared.decisions import Note, Received
from shared.state import StateCodec

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
BTC, SOL = "BTCUSDT", "SOLUSDT"
D = Decimal


def at(minute: int, second: float = 0) -> datetime:
    return NOON + minute * MINUTE + timedelta(milliseconds=round(second * 1000))


def mark(when: datetime, price: str = "100", symbol: str = BTC, rate: str | None = None) -> Mark:
    return Mark(symbol, when, D(price), None if rate is None else D(rate))


def candle(minute: int, symbol: str = BTC) -> Candle:
    """A rising bar whose prices tell their minute: 7 opens at 7.1, dips to 7.05 ..."""
    opens, whole = at(minute), abs(minute)
    closes = opens + MINUTE - timedelta(milliseconds=1)
    prices = (D(f"{whole}.1"), D(f"{whole}.4"), D(f"{whole}.05"), D(f"{whole}.3"))
    return Candle(symbol, opens, closes, *prices, D(0))


@dataclass
class Desk:
    """The decider with its state, and a clock here that is as late as the event unless told."""

    policy: Policy = field(default_factory=lambda: Policy(frozenset({BTC, SOL})))
    state: State = field(default_factory=State)
    lag: timedelta = timedelta(milliseconds=40)
    now: datetime = NOON

    def take(self, event: Any, now: datetime | None = None) -> list[object]:
        self.now = now or (event.at + self.lag if isinstance(event, Mark) else self.now)
        self.state, outputs = decide(self.state, Received(event, self.now), self.policy)
        return list(outputs)

    def ticks(self, *events: Any) -> list[MarketTick]:
        return [out for event in events for out in self.take(event) if isinstance(out, MarketTick)]

    def restarted(self) -> Desk:
        """A desk that has only what is durable."""
        codec = StateCodec(Kept)
        documents = codec.changes(Kept(), self.state.kept)
        kept = codec.load({name: document or b"" for name, document in documents.items()})
        return Desk(self.policy, State(kept))


def told(outputs: Sequence[object]) -> list[tuple[datetime, str, str]]:
    return [
        (tick.timestamp, str(tick.mark_price), tick.source)
        for tick in outputs
        if isinstance(tick, MarketTick)
    ]


def asked(outputs: Sequence[object]) -> list[FillGap]:
    return [output for output in outputs if isinstance(output, FillGap)]


def closed(outputs: Sequence[object]) -> list[tuple[int, int]]:
    return [(out.filled, out.lost) for out in outputs if isinstance(out, GapClosed)]


def test_a_mark_becomes_a_tick_with_the_venues_time_and_rate() -> None:
    desk = Desk()
    [tick] = desk.take(mark(at(0, 1.003), "64123.5", rate="0.0001"))
    assert isinstance(tick, MarketTick)
    assert (
        tick.model_dump()
        == MarketTick(
            timestamp=at(0, 1.003),
            produced_at=at(0, 1.043),
            source=LIVE,
            tick_id=f"BTCUSDT-{int(at(0, 1.003).timestamp() * 1000)}",
            symbol=BTC,
            mark_price=D("64123.5"),
            funding_rate=D("0.0001"),
        ).model_dump()
    )


def test_a_symbol_has_one_tick_a_second_and_symbols_do_not_disturb_each_other() -> None:
    moments = [0, 0.2, 0.999, 1.0, 1.999, 2.0, 2.001]
    desk = Desk()
    ticks = desk.ticks(
        *(mark(at(0, second), symbol=symbol) for second in moments for symbol in (BTC, SOL))
    )
    for symbol in (BTC, SOL):
        times = [tick.timestamp for tick in ticks if tick.symbol == symbol]
        assert times == [at(0, 0), at(0, 1), at(0, 2)]


def test_a_symbol_that_was_not_asked_for_is_left_alone() -> None:
    desk = Desk()
    assert desk.take(mark(at(0), symbol="ETHUSDT")) == []
    assert desk.take(MinuteEnded("ETHUSDT", at(0))) == []
    assert desk.state == State()


def test_an_older_time_is_refused_and_the_same_second_is_only_passed_over() -> None:
    desk = Desk()
    desk.take(mark(at(0, 5)))
    assert desk.take(mark(at(0, 5))) == []
    [refused] = desk.take(mark(at(0, 4)))
    assert isinstance(refused, Refused)
    assert refused.symbol == BTC
    assert "is before" in refused.reason


def test_one_time_far_ahead_is_refused_and_the_feed_goes_on() -> None:
    desk = Desk()
    desk.take(mark(at(0, 1)))
    [refused] = desk.take(mark(at(60)), at(0, 2))
    assert isinstance(refused, Refused)
    assert "far ahead" in refused.reason
    assert told(desk.take(mark(at(0, 3), "101"))) == [(at(0, 3), "101", LIVE)]


def test_a_clock_here_that_is_an_hour_late_costs_one_price_at_most() -> None:
    desk = Desk(lag=-HOUR)
    ticks = desk.ticks(*(mark(at(0, second)) for second in range(5)))
    assert [tick.timestamp for tick in ticks] == [at(0, second) for second in range(1, 5)]


def test_a_clock_here_that_is_set_back_by_an_hour_costs_one_price() -> None:
    desk = Desk()
    desk.take(mark(at(0, 0)))
    desk.lag = -HOUR
    ticks = desk.ticks(*(mark(at(0, second)) for second in range(1, 5)))
    assert [tick.timestamp for tick in ticks] == [at(0, second) for second in range(2, 5)]


def test_a_time_that_readers_would_refuse_never_goes_out() -> None:
    desk = Desk(lag=timedelta(days=-2))
    assert desk.ticks(*(mark(at(0, second)) for second in range(5))) == []


def test_a_silence_of_a_minute_is_no_gap() -> None:
    desk = Desk()
    desk.take(mark(at(0)))
    assert told(desk.take(mark(at(1), "101"))) == [(at(1), "101", LIVE)]


def test_a_longer_silence_is_asked_for_and_the_price_of_now_waits() -> None:
    desk = Desk()
    desk.take(mark(at(0)))
    gap, note = desk.take(mark(at(3, 20)))
    assert gap == FillGap(BTC, at(0), at(3, 20))
    assert isinstance(note, Note)
    assert (note.event, note.fields["minutes"]) == ("gap", 3)
    assert desk.take(mark(at(3, 21))) == []


def test_what_fills_a_gap_goes_out_before_the_prices_that_waited() -> None:
    desk = Desk()
    desk.take(mark(at(0, 30.5)))
    [gap] = asked(desk.take(mark(at(2, 20), "2.7", rate="0.0001")))
    desk.take(mark(at(2, 21), "2.8"))
    outputs = desk.take(Filled(gap, (candle(0), candle(1)), done=True))
    assert told(outputs) == [
        (at(0, 40), "0.4", HISTORY),
        (at(0, 59.999), "0.3", HISTORY),
        (at(1, 0), "1.1", HISTORY),
        (at(1, 20), "1.05", HISTORY),
        (at(1, 40), "1.4", HISTORY),
        (at(1, 59.999), "1.3", HISTORY),
        (at(2, 20), "2.7", LIVE),
        (at(2, 21), "2.8", LIVE),
    ]
    assert closed(outputs) == [(2, 0)]
    assert told(desk.take(mark(at(2, 22), "2.9"))) == [(at(2, 22), "2.9", LIVE)]


def test_a_gap_may_be_filled_in_parts() -> None:
    desk = Desk()
    desk.take(mark(at(0)))
    [gap] = asked(desk.take(mark(at(3))))
    first = desk.take(Filled(gap, (candle(0), candle(1)), done=False))
    assert [when for when, _, _ in told(first)][-1] == at(1, 59.999)
    assert closed(first) == []
    second = desk.take(Filled(gap, (candle(2),), done=True))
    assert [when for when, _, _ in told(second)][-1] == at(3)
    assert closed(second) == [(3, 0)]


def test_a_restart_knows_its_gap() -> None:
    desk = Desk()
    desk.take(mark(at(0, 30), symbol=SOL))
    assert asked(desk.restarted().take(mark(at(7), symbol=SOL))) == [FillGap(SOL, at(0, 30), at(7))]


def test_a_gap_of_more_than_a_day_is_not_filled() -> None:
    desk = Desk()
    desk.take(mark(at(0)))
    exactly, more = at(24 * 60), at(24 * 60, 1)
    assert asked(desk.restarted().take(mark(exactly))) == [FillGap(BTC, at(0), exactly)]
    desk = desk.restarted()
    note, tick = desk.take(mark(more))
    assert isinstance(note, Note)
    assert note.event == "started_afresh"
    assert told([tick]) == [(more, "100", LIVE)]
    assert told(desk.take(mark(more + SECOND))) == [(more + SECOND, "100", LIVE)]


@pytest.mark.parametrize("how", ["refused", "no answer"])
def test_prices_do_not_wait_for_a_gap_that_cannot_be_filled(how: str) -> None:
    desk = Desk()
    desk.take(mark(at(0)))
    [gap] = asked(desk.take(mark(at(5, 0))))
    for second in range(1, 10):
        assert desk.take(mark(at(5, second))) == []
    if how == "refused":
        outputs = desk.take(NotFilled(gap, "no route"))
        seconds = range(10)
    else:
        outputs = desk.take(mark(at(5, 10)))
        seconds = range(11)
    assert [when for when, _, _ in told(outputs)] == [at(5, second) for second in seconds]
    assert closed(outputs) == [(0, 5)]


def test_an_answer_that_comes_too_late_changes_nothing() -> None:
    desk = Desk()
    desk.take(mark(at(0)))
    [gap] = asked(desk.take(mark(at(5))))
    desk.take(mark(at(5, 10)))
    before = desk.state
    assert desk.take(Filled(gap, (candle(1),), done=True)) == []
    assert desk.take(NotFilled(gap, "late")) == []
    assert desk.state == before


def test_an_answer_to_a_gap_that_was_given_up_does_not_end_the_next_one() -> None:
    desk = Desk()
    desk.take(mark(at(0)))
    [first] = asked(desk.take(mark(at(5))))
    desk.take(mark(at(5, 10)))
    [second] = asked(desk.take(mark(at(9))))
    assert desk.take(Filled(first, (candle(1), candle(6)), done=True)) == []
    assert desk.take(NotFilled(first, "late")) == []
    assert closed(desk.take(NotFilled(second, "no route"))) == [(0, 4)]


def test_candles_of_after_the_gap_do_not_go_out() -> None:
    desk = Desk()
    desk.take(mark(at(0, 59)))
    [gap] = asked(desk.take(mark(at(2, 30))))
    outputs = desk.take(Filled(gap, (candle(1), candle(2), candle(3)), done=True))
    assert [when for when, _, _ in told(outputs)] == [
        *(at(1, second) for second in (0, 20, 40, 59.999)),
        *(at(2, second) for second in (0, 20, 30)),
    ]


def test_a_minute_that_ended_without_a_tick_is_filled_though_no_mark_comes() -> None:
    desk = Desk()
    desk.take(mark(at(0, 58)))
    assert desk.take(MinuteEnded(BTC, at(0))) == []
    [gap] = asked(desk.take(MinuteEnded(BTC, at(1))))
    assert gap == FillGap(BTC, at(0, 58), at(2))
    outputs = desk.take(Filled(gap, (candle(0), candle(1)), done=True))
    assert [when for when, _, _ in told(outputs)] == [
        at(0, 59.999),
        *(at(1, second) for second in (0, 20, 40, 59.999)),
    ]
    assert closed(outputs) == [(2, 0)]
    assert asked(desk.take(MinuteEnded(BTC, at(2)))) == [FillGap(BTC, at(1, 59.999), at(3))]


def test_a_first_minute_without_any_mark_is_filled_alone() -> None:
    desk = Desk()
    [gap] = asked(desk.take(MinuteEnded(BTC, at(4))))
    outputs = desk.take(Filled(gap, (candle(4),), done=True))
    assert [when for when, _, _ in told(outputs)] == [
        at(4, second) for second in (0, 20, 40, 59.999)
    ]
    assert closed(outputs) == [(1, 0)]


def test_after_more_than_a_day_a_minute_without_a_mark_is_filled_alone_too() -> None:
    desk = Desk()
    desk.take(mark(at(0)))
    [gap] = asked(desk.restarted().take(MinuteEnded(BTC, at(48 * 60))))
    assert gap.since == at(48 * 60) - timedelta(milliseconds=1)


def test_a_minute_with_a_tick_is_no_gap_even_when_the_next_one_has_begun() -> None:
    desk = Desk()
    desk.ticks(mark(at(0, 59)), mark(at(1, 0)))
    assert desk.take(MinuteEnded(BTC, at(0))) == []


def test_a_late_mark_from_within_a_minute_that_was_filled_does_not_go_out() -> None:
    desk = Desk()
    desk.take(mark(at(0)))
    [gap] = asked(desk.take(MinuteEnded(BTC, at(1)), at(2, 1)))
    desk.take(mark(at(1, 30)), at(2, 2))
    outputs = desk.take(Filled(gap, (candle(0), candle(1)), done=True))
    assert [when for when, _, source in told(outputs) if source == LIVE] == []
    assert told(outputs)[-1][0] == at(1, 59.999)


@pytest.mark.parametrize(
    ("ours", "theirs", "apart"),
    [("100", "100", "0"), ("100", "101", "0.01"), ("100", "99", "0.01"), ("100", "250", "1")],
)
def test_divergence_is_the_distance_as_a_fraction_and_at_most_1(
    ours: str, theirs: str, apart: str
) -> None:
    assert divergence_of(D(ours), D(theirs)) == D(apart)


def test_a_divergence_stands_on_the_next_tick_and_on_no_other() -> None:
    desk = Desk()
    desk.take(mark(at(0, 0), "100"))
    assert desk.take(SecondPrice(BTC, D("100.5")), at(0, 0.5)) == []
    ticks = desk.ticks(
        mark(at(0, 1), symbol=SOL), mark(at(0, 1), "200"), mark(at(0, 2)), mark(at(0, 3))
    )
    assert [tick.exchange_divergence for tick in ticks] == [None, D("0.005"), None, None]


@pytest.mark.parametrize(("second", "told_apart"), [(60.4, D("0.01")), (60.6, None)])
def test_a_divergence_older_than_a_minute_is_not_told(
    second: float, told_apart: Decimal | None
) -> None:
    desk = Desk(Policy(frozenset({BTC}), gap=2 * MINUTE))
    desk.take(mark(at(0, 0)))
    desk.take(SecondPrice(BTC, D(101)), at(0, 0.5))
    [tick] = desk.ticks(mark(at(0, second)))
    assert tick.exchange_divergence == told_apart


def test_a_second_price_is_compared_only_with_a_price_of_now() -> None:
    desk = Desk()
    assert desk.take(SecondPrice(BTC, D(101)), at(0)) == []
    desk.take(mark(at(0, 0)))
    desk.take(SecondPrice(BTC, D(101)), at(0, 11))
    assert [tick.exchange_divergence for tick in desk.ticks(mark(at(0, 12)))] == [None]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-30_000, 400_000)), max_size=40))
def test_ticks_are_one_a_second_and_never_go_back_whatever_comes(
    moves: list[tuple[int, int]],
) -> None:
    desk = Desk(lag=timedelta())
    clock, gaps, ticks = NOON, list[FillGap](), list[MarketTick]()
    for kind, step_ms in moves:
        clock += timedelta(milliseconds=max(0, step_ms) // 7)
        when = clock + timedelta(milliseconds=step_ms)
        minute = (when - NOON) // MINUTE
        events: dict[int, Any] = {0: MinuteEnded(BTC, at(minute))}
        if gaps:
            events[1] = Filled(gaps[-1], tuple(map(candle, range(minute - 3, minute))), done=True)
            events[2] = Filled(gaps[-1], tuple(map(candle, range(minute - 5, minute))), done=False)
            events[3] = NotFilled(gaps[-1], "")
        outputs = desk.take(events.get(kind, mark(when)), clock)
        gaps += asked(outputs)
        ticks += [output for output in outputs if isinstance(output, MarketTick)]
    seconds = [int(tick.timestamp.timestamp()) for tick in ticks]
    assert seconds == sorted(set(seconds))
