"""Determinism: the same ticks give the same bytes, with or without a restart between them."""

from __future__ import annotations

from datetime import datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.trading_bot.decider import Policy, State
from services.trading_bot.trend_following import TrendFollowing
from shared.contracts import MarketTick
from shared.state import StateCodec

from .feed import (
    BTC,
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    SOL,
    START,
    Bot,
    EveryMinute,
    flat,
    random_walk,
    tick,
    ticks,
    wire,
)

CODEC = StateCodec(State)

Tested = TrendFollowing | EveryMinute


def a_market() -> list[MarketTick]:
    """26 h of two symbols, 5 h of silence, and 2 h more: every document changes on the way."""
    before = list(random_walk(26 * HOUR, 2 * MINUTE))
    after = [(at + 31 * HOUR, price) for at, price in random_walk(2 * HOUR, 30 * SECOND, seed=3)]
    sol = random_walk(33 * HOUR, 7 * MINUTE, seed=5)
    both = [*ticks([*before, *after]), *ticks(sol, SOL)]
    return sorted(both, key=lambda event: (event.timestamp, event.symbol))


MARKET = a_market()


def told_by(strategy: Tested, cuts: frozenset[int] = frozenset()) -> list[object]:
    """What comes out when the daemon starts anew from its documents before each tick in `cuts`."""
    bot, documents, committed = Bot(Policy(strategy)), dict[str, bytes](), State()
    for index, event in enumerate(MARKET):
        if index in cuts:
            for name, document in CODEC.changes(committed, bot.state).items():
                if document is None:
                    del documents[name]
                else:
                    documents[name] = document
            committed = bot.state = CODEC.load(documents)
        bot.take(event)
    return wire(bot.outputs)


@cache
def told_without_restart(strategy: Tested) -> list[object]:
    return told_by(strategy)


@pytest.mark.parametrize("strategy", [TrendFollowing(), EveryMinute()])
def test_the_same_ticks_give_the_same_bytes(strategy: Tested) -> None:
    assert told_by(strategy) == told_without_restart(strategy)
    assert len(told_without_restart(strategy)) > 5


@given(st.sets(st.integers(0, len(MARKET) - 1), max_size=8).map(frozenset))
@settings(max_examples=12, deadline=None)
def test_a_restart_changes_nothing(cuts: frozenset[int]) -> None:
    for strategy in (TrendFollowing(), EveryMinute()):
        assert told_by(strategy, cuts) == told_without_restart(strategy)


def test_a_restart_after_every_100_ticks_changes_nothing() -> None:
    every_100 = frozenset(range(0, len(MARKET), 100))
    assert told_by(EveryMinute(), every_100) == told_without_restart(EveryMinute())


def changed_at(*times: datetime) -> list[set[str]]:
    """The documents that a tick at each of the times changes, after a day of ticks."""
    bot = Bot(Policy(EveryMinute()))
    bot.play(ticks(flat(DAY)))
    changed = []
    for at in times:
        before = bot.state
        bot.take(tick(at, 101))
        changed.append(set(CODEC.changes(before, bot.state)))
    return changed


def test_a_tick_writes_only_what_it_changes() -> None:
    end = START + DAY
    names = ["forming", "minutes", "history", "hours", "signals"]
    all_five = {f"{name}/{BTC}" for name in names}
    assert changed_at(end, end + SECOND, end + MINUTE, end + 5 * MINUTE) == [
        all_five,
        {f"forming/{BTC}"},
        {f"{name}/{BTC}" for name in ("forming", "minutes", "signals")},
        all_five - {f"hours/{BTC}", f"signals/{BTC}"},
    ]


def test_the_document_of_every_tick_is_small() -> None:
    bot = Bot()
    bot.play(ticks(random_walk(30 * HOUR, MINUTE)))
    sizes = {name: len(text or b"") for name, text in CODEC.changes(State(), bot.state).items()}
    assert sizes[f"forming/{BTC}"] < 300
    assert sizes[f"minutes/{BTC}"] < 1_000
    assert sizes[f"history/{BTC}"] < 8_000
