"""One wrong price is no signal, and no clock or time, however wrong, makes trading_bot deaf."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.trading_bot.bars import minute_of
from services.trading_bot.decider import Policy, State, decide
from shared.contracts import EntryIntent, MarketTick
from shared.decisions import Received
from shared.state import StateCodec
from tests.jumps import JUMPS_S, WRONG

from .feed import BTC, MINUTE, SECOND, START, WALL, Bot, EveryMinute, bot_after_a_day, tick

CODEC = StateCodec(State)


def live(at: datetime, price: Decimal | int | str) -> MarketTick:
    return tick(at, price, source="market_feed")


@dataclass
class LiveBot:
    """A bot on a live feed, one price a second, whose clock is off by `off`."""

    bot: Bot
    at: datetime = WALL
    off: timedelta = timedelta(0)

    def hears(self, price: Decimal | int | str = 100, *, ahead: timedelta = timedelta(0)) -> int:
        """How many entries come of the next price."""
        self.at += SECOND
        event = live(self.at + ahead, price)
        received = Received(event, self.at + self.off)
        self.bot.state, outputs = decide(self.bot.state, received, self.bot.policy)
        return sum(isinstance(output, EntryIntent) for output in outputs)


@pytest.mark.parametrize("factor", WRONG)
@pytest.mark.parametrize("second", [58, 59, 60, 61, 62])
def test_one_wrong_price_makes_no_entry(second: int, factor: str) -> None:
    bot, at = bot_after_a_day(100)
    right = Decimal(100)
    path = [right * Decimal(factor) if n == second else right for n in range(180)]

    assert bot.play(live(at + n * SECOND, price) for n, price in enumerate(path)) == []


@pytest.mark.parametrize("factor", WRONG)
def test_one_wrong_price_leaves_no_trace_in_the_bars(factor: str) -> None:
    wrong, right = Bot(), Bot()
    for n in range(2 * 3600):
        at = START + n * SECOND
        wrong.take(live(at, Decimal(factor) * 100 if n == 1800 else Decimal(100)))
        right.take(live(at, 100))

    assert wrong.state.hours == right.state.hours
    assert wrong.state.history == right.state.history


def test_an_entry_is_made_at_a_confirmed_price() -> None:
    bot, at = bot_after_a_day(100)
    moved = [live(at + n * SECOND, 102) for n in range(60)]
    (intent,) = bot.play([*moved, live(at + MINUTE, 130), live(at + MINUTE + SECOND, 102)])

    assert intent.entry_price == 102


@given(st.integers(6, 86_400).map(lambda ahead_s: timedelta(seconds=ahead_s)))
def test_a_tick_from_ahead_of_time_that_was_taken_makes_deaf_for_no_minute(
    ahead: timedelta,
) -> None:
    one = LiveBot(Bot(Policy(EveryMinute(), max_price_age_s=Decimal(10**6))))
    for _ in range(150):
        one.hears()
    one.hears(ahead=ahead)
    one.hears(ahead=ahead + MINUTE)
    entries = [one.hears() for _ in range(125)]

    assert sum(entries) >= 1
    now = minute_of(one.at)
    assert all(minute <= now for minute in one.bot.state.history[BTC].minutes)
    assert all(bar.open_time <= one.at for bar in one.bot.state.hours[BTC].bars)
    assert one.bot.state.forming[BTC].hour_from <= now


@given(st.lists(st.tuples(st.integers(0, 60), JUMPS_S), max_size=3), st.booleans())
def test_however_the_clock_jumps_the_bars_go_on(
    jumps: list[tuple[int, int]], restarts: bool
) -> None:
    one = LiveBot(Bot(Policy(EveryMinute(), max_price_age_s=Decimal(10**6))))
    for after, by_s in jumps:
        for _ in range(after):
            one.hears()
        one.off += timedelta(seconds=by_s)
        if restarts:
            documents = CODEC.changes(State(), one.bot.state)
            kept = {name: text for name, text in documents.items() if text is not None}
            one.bot.state = CODEC.load(kept)

    assert sum(one.hears() for _ in range(121)) >= 2


def test_a_state_of_before_prices_were_confirmed_is_read() -> None:
    bot = Bot()
    bot.take(live(START, 100))
    forming = replace(bot.state.forming[BTC], marks=None)
    bot.state = replace(bot.state, forming={BTC: forming})
    bot.take(live(START + SECOND, 500))

    assert bot.state.forming[BTC].price == 100
