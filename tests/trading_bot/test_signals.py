"""From prices to entries: when there is one, when there is none, and what it says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.trading_bot.decider import Policy, State, SymbolPolicy, intent_id_of
from services.trading_bot.strategies import Signal
from services.trading_bot.trend_following import TrendFollowing
from shared.contracts import HISTORY_SOURCE, EntryIntent, TradeIntent, decode, encode
from shared.contracts.fields import INTENT_ID_PATTERN
from shared.decisions import Note
from shared.sides import Side

from .feed import (
    BTC,
    DAY,
    MINUTE,
    SECOND,
    SOL,
    START,
    WALL,
    Bot,
    ByPrice,
    EveryMinute,
    bot_after_a_day,
    by_symbol,
    flat,
    random_walk,
    tick,
    ticks,
)

D = Decimal


def test_no_intent_comes_before_24_h_are_known() -> None:
    rising = [(at, D(100) + index) for index, (at, _) in enumerate(flat(DAY + 10 * MINUTE))]
    intents = Bot().play(ticks(rising))
    assert [(intent.side, intent.timestamp) for intent in intents] == [
        (Side.BUY, START + DAY + 5 * MINUTE)  # 24 h after the first five-minute close
    ]


@pytest.mark.parametrize(
    ("price", "side"),
    [
        ("150", Side.BUY),
        ("101.01", Side.BUY),
        ("101", None),
        ("100.99", None),
        ("99.01", None),
        ("99", None),
        ("98.99", Side.SELL),
        ("50", Side.SELL),
    ],
)
def test_a_move_of_more_than_one_percent_is_a_signal(price: str, side: Side | None) -> None:
    bot, now = bot_after_a_day()
    intents = bot.play([tick(now, price)])
    assert [intent.side for intent in intents] == ([side] if side else [])


def test_a_signal_that_lasts_is_told_once() -> None:
    bot, now = bot_after_a_day()
    assert len(bot.play(ticks(flat(60 * MINUTE, "103", now)))) == 1


def test_the_strategy_is_asked_when_a_minute_has_closed_and_not_before() -> None:
    bot = Bot(Policy(ByPrice()))
    assert bot.play([tick(START, 100), tick(START + 59 * SECOND, 120)]) == []
    (intent,) = bot.play([tick(START + 60 * SECOND, 121)])
    assert (intent.entry_price, intent.timestamp) == (D(121), START + MINUTE)


@pytest.mark.parametrize(
    "told", [{"source": HISTORY_SOURCE}, {"age_s": 31.0}], ids=["filled", "backlog"]
)
def test_nobody_trades_at_a_price_of_the_past_but_a_signal_that_still_holds_is_told(
    told: dict[str, Any],
) -> None:
    bot, now = bot_after_a_day()
    old = [tick(now + index * MINUTE, "103", **told) for index in range(3)]
    assert bot.play(old) == []
    (intent,) = bot.play([tick(now + 3 * MINUTE, "104")])
    assert (intent.entry_price, intent.timestamp) == (D(104), now + 3 * MINUTE)


def test_a_signal_is_told_again_after_there_was_none() -> None:
    bot, now = bot_after_a_day()
    prices = ["103", "103", "100", "100", "103", "97", "97", "100", "97", "103"]
    intents = bot.play(tick(now + index * MINUTE, price) for index, price in enumerate(prices))
    told = [(intent.side.value, (intent.timestamp - now) // MINUTE) for intent in intents]
    assert told == [("BUY", 0), ("BUY", 4), ("SELL", 5), ("SELL", 8), ("BUY", 9)]
    assert len({intent.intent_id for intent in intents}) == len(intents)


@pytest.mark.parametrize(
    ("price", "confidence"),
    [
        ("101.50", "0.515"),
        ("103", "0.53"),
        ("97", "0.53"),
        ("129.99", "0.7999"),
        ("130", "0.80"),
        ("170", "0.80"),
        ("60", "0.80"),
    ],
)
def test_confidence_grows_with_the_move_up_to_a_limit(price: str, confidence: str) -> None:
    bot, now = bot_after_a_day()
    (intent,) = bot.play([tick(now, price)])
    assert intent.confidence == D(confidence)


def test_a_signal_below_the_least_confidence_counts_as_none() -> None:
    bot, now = bot_after_a_day(policy=Policy(TrendFollowing(), min_confidence=D("0.53")))
    prices = ["102.99", "103", "102.99", "103"]
    intents = bot.play(tick(now + index * MINUTE, price) for index, price in enumerate(prices))
    assert [intent.entry_price for intent in intents] == [D(103), D(103)]


def test_an_entry_says_what_it_was_decided_from_and_carries_no_exits() -> None:
    bot, now = bot_after_a_day()
    intent, note = bot.take(tick(now, "103", funding_rate="-0.000125"))
    assert isinstance(intent, EntryIntent)
    assert dict(encode(intent)) == {
        "version": "1",
        "timestamp": "2026-03-02T00:05:00.000Z",
        "produced_at": "2026-07-09T12:00:00.000Z",
        "source": "trading_bot",
        "intent_id": "BTCUSDT.trend_following.1772409900000.BUY",
        "intent_type": "ENTRY",
        "symbol": "BTCUSDT",
        "side": "BUY",
        "reduceOnly": "false",
        "confidence": "0.5300",
        "entry_price": "103",
        "leverage": "10",
        "position_size_usd": "200",
        "atr_value": "0.000000000000",
        "volatility_factor": "1.0000",
        "exchange_divergence": "0",
        "funding_rate": "-0.000125",
        "regime": "RANGE",
        "model": "trend_following",
        "reason": "+3.00 % in 24 h",
    }
    assert isinstance(note, Note)
    assert note.event == "signal"
    assert note.fields["intent_id"] == intent.intent_id
    assert decode(TradeIntent, [(k.encode(), v.encode()) for k, v in encode(intent)]) == intent


@pytest.mark.parametrize(("age_s", "carried"), [(0, "0.02"), (60, "0.02"), (61, "0")])
def test_an_entry_carries_the_divergence_of_the_last_minute(age_s: int, carried: str) -> None:
    bot, now = bot_after_a_day()
    entry_at = now + MINUTE
    told_at = entry_at - age_s * SECOND
    bot.play([tick(told_at - SECOND, 100, divergence="0.5")])
    if age_s:
        bot.play([tick(told_at, 100, divergence="0.02")])
    (intent,) = bot.play([tick(entry_at, 103, divergence=None if age_s else "0.02")])
    assert intent.exchange_divergence == D(carried)


def test_a_symbol_may_have_its_own_size_and_leverage() -> None:
    policy = Policy(
        ByPrice(),
        position_size_usd=D(150),
        leverage=5,
        overrides={BTC: SymbolPolicy(position_size_usd=D(900)), SOL: SymbolPolicy(leverage=3)},
    )
    symbols = (BTC, SOL, "XRPUSDT")
    events = [tick(at, 120, symbol) for at in (START, START + MINUTE) for symbol in symbols]
    intents = Bot(policy).play(events)
    assert [(i.symbol, i.position_size_usd, i.leverage) for i in intents] == [
        (BTC, D(900), 5),
        (SOL, D(150), 3),
        ("XRPUSDT", D(150), 5),
    ]


@pytest.mark.parametrize("own", [SymbolPolicy(D(0)), SymbolPolicy(leverage=1001)])
def test_a_policy_that_no_entry_could_carry_is_refused_at_once(own: SymbolPolicy) -> None:
    with pytest.raises(ValueError, match=f"{SOL} size .* not tradable"):
        Policy(ByPrice(), overrides={SOL: own})


@pytest.mark.parametrize("confidence", ["-0.01", "1.01"])
def test_a_confidence_that_is_none_is_refused(confidence: str) -> None:
    with pytest.raises(ValueError, match="confidence"):
        Signal(Side.BUY, D(confidence), "")


def test_the_funding_rate_holds_until_another_is_told() -> None:
    rates = [None, None, "0.0001", None, "0.0002", None]
    events = [tick(START + i * MINUTE, 100, funding_rate=rate) for i, rate in enumerate(rates)]
    intents = Bot(Policy(EveryMinute())).play(events)
    assert [str(intent.funding_rate) for intent in intents] == [
        "0", "0.0001", "0.0001", "0.0002", "0.0002",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["", "é/ x", "n" * 99])
def test_whatever_a_strategy_is_called_and_says_its_intent_can_be_sent(name: str) -> None:
    symbol = "1000000SHIBAINU2USDT"
    events = [tick(START, 120, symbol), tick(START + MINUTE, 120, symbol)]
    (intent,) = Bot(Policy(ByPrice(name, reason="why " * 200))).play(events)
    assert (intent.model, len(intent.reason)) == (name, 512)
    in_year_2900 = datetime(2900, 1, 1, tzinfo=UTC)
    assert re.fullmatch(INTENT_ID_PATTERN, intent_id_of(symbol, name, in_year_2900, Side.SELL))


def test_a_price_of_any_size_can_be_sent() -> None:
    for unit in (D("0.000000000001"), D(10) ** 8):
        prices = [(at, unit * (1 + index % 9)) for index, (at, _) in enumerate(flat(DAY))]
        intents = Bot(Policy(EveryMinute())).play(ticks(prices))
        assert intents[-1].atr_value is not None


def test_old_ticks_change_nothing() -> None:
    bot = Bot(Policy(EveryMinute()))
    events = ticks(random_walk(DAY // 4, timedelta(seconds=45)))
    bot.play(events)
    known = bot.state
    for event in events:
        assert bot.take(event) == ()
        assert bot.state is known


def test_what_is_not_a_price_of_a_chosen_symbol_changes_nothing() -> None:
    bot = Bot(Policy(EveryMinute(), symbols=frozenset({BTC})))
    bot.play([tick(START, 100, SOL), tick(START + MINUTE, 100, SOL)])
    bot.take("another message")
    assert bot.state == State()
    assert len(bot.play([tick(START, 100), tick(START + MINUTE, 100)])) == 1


def test_symbols_do_not_touch_each_other() -> None:
    btc = ticks(random_walk(DAY // 12, 20 * SECOND))
    sol = ticks(random_walk(DAY // 12, 20 * SECOND, seed=8), SOL)
    mixed = [event for pair in zip(btc, sol, strict=True) for event in pair]
    together = by_symbol(Bot(Policy(EveryMinute())).play(mixed))
    alone = [by_symbol(Bot(Policy(EveryMinute())).play(events)) for events in (btc, sol)]
    assert together == alone[0] | alone[1]
    assert together[BTC] != together[SOL]


def test_an_intent_has_the_market_time_of_its_tick_and_the_wall_clock_of_its_arrival() -> None:
    at = START + MINUTE + timedelta(seconds=7, milliseconds=250)
    (intent,) = Bot(Policy(EveryMinute())).play([tick(START, 100), tick(at, 100)])
    assert (intent.timestamp, intent.produced_at) == (at, WALL)
    assert intent.intent_id == f"BTCUSDT.every_minute.{int(at.timestamp() * 1000)}.BUY"
