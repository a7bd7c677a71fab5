"""One wrong price sells nothing, and no clock or time, however wrong, makes harvest_brain deaf."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.harvest_brain.decider import Price
from shared.contracts import HISTORY_SOURCE
from tests.jumps import JUMPS_S, WRONG

from .brain import SYMBOL, WALL, Brain, mirrored, price_at, reference

LIVE = "market_feed"
DAY = timedelta(days=1)


def live(brain: Brain, price: str | Decimal, **changes: Any) -> list[Any]:
    """A price of a live feed."""
    return brain.tick(price, source=LIVE, **changes)


def live_brain(**changes: Any) -> Brain:
    """A brain that watches the reference position live: market time is the clock's."""
    brain = Brain()
    brain.market = WALL
    for _ in range(3):
        live(brain, "12.32")
    assert brain.open(**changes) == []
    return brain


def climb(brain: Brain, seconds: int = 60) -> None:
    """The price stands at R 6.5, and every exit that is asked for is filled."""
    for _ in range(seconds):
        brain.answer(*live(brain, price_at("6.5")))


@pytest.mark.parametrize("factor", WRONG)
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("make", [reference, mirrored])
def test_one_wrong_price_sells_nothing_and_moves_no_stop(
    make: Any, place: int, factor: str
) -> None:
    brain = make()
    for second in range(8):
        right = Decimal("12.32")
        assert live(brain, right * Decimal(factor) if second == place else right) == []

    assert brain.held.r_max <= 0
    assert Decimal(brain.record["kill_score"]) < Decimal("0.4")


def test_the_second_price_at_a_rung_takes_it() -> None:
    brain = live_brain()

    assert live(brain, price_at("2.1")) == []
    assert [intent.intent_type for intent in live(brain, price_at("2.05"))] == [
        "HARVEST_PARTIAL_25",
        "MOVE_STOP",
    ]


def test_the_same_tick_again_confirms_nothing() -> None:
    brain = live_brain()
    live(brain, price_at("4"))
    for _ in range(5):
        assert live(brain, price_at("4"), after_s=0) == []


def test_the_first_price_of_a_position_is_confirmed_by_the_one_it_was_opened_at() -> None:
    brain = Brain()
    brain.open()

    assert live(brain, price_at("8")) == []
    assert live(brain, price_at("0")) == []


def test_a_price_from_before_a_position_confirms_nothing_of_it() -> None:
    brain = Brain()
    for _ in range(3):
        live(brain, price_at("8"))
    brain.market += timedelta(hours=1)
    brain.open()

    assert live(brain, price_at("8")) == [], "the one price of now, and those of an hour ago"
    assert live(brain, price_at("0")) == []


@given(
    st.timedeltas(timedelta(seconds=6), 400 * DAY),
    st.sampled_from(["price", "shown", "opened", "asked", "backoff"]),
)
def test_a_time_from_ahead_that_is_kept_makes_deaf_for_no_minute(
    ahead: timedelta, poisoned: str
) -> None:
    brain = live_brain()
    at, held = WALL + ahead, brain.held
    if poisoned == "price":
        price = brain.state.prices[SYMBOL]
        brain.state = replace(brain.state, prices={SYMBOL: Price(price.mark_price, at)})
    elif poisoned == "shown":
        brain.state = replace(brain.state, held={SYMBOL: replace(held, shown_at=at)})
    elif poisoned == "opened":
        brain.state = replace(brain.state, held={SYMBOL: replace(held, opened_at=at)})
    else:
        live(brain, price_at("6.5"))
        (exit_, *_) = live(brain, price_at("6.5"))
        if poisoned == "asked":
            asked = replace(brain.held.exit_asked or pytest.fail("asked"), at=at)
            brain.state = replace(brain.state, held={SYMBOL: replace(brain.held, exit_asked=asked)})
        else:
            brain.refuse(exit_)
            backoff = replace(brain.held.backoffs["RUNG"], retry_at=at)
            other = replace(brain.held, backoffs={"RUNG": backoff})
            brain.state = replace(brain.state, held={SYMBOL: other})
    climb(brain, 90 if poisoned == "backoff" else 60)

    assert brain.position["position_harvested_qty"] == Decimal("1.37")
    assert brain.held.opened_at <= brain.market
    assert brain.record["harvested_qty"] == "1.37"


@given(st.timedeltas(timedelta(seconds=6), DAY))
def test_a_result_from_ahead_of_time_holds_up_no_exit(ahead: timedelta) -> None:
    brain = live_brain()
    live(brain, price_at("2.1"))
    (exit_, *_) = live(brain, price_at("2.1"))
    true, brain.market = brain.market, brain.market + ahead
    brain.refuse(exit_)
    brain.market = true
    climb(brain, 20)

    assert brain.position["position_harvested_qty"] == Decimal("1.37")
    assert all(intent.timestamp <= brain.now + timedelta(seconds=5) for intent in brain.intents)


@given(st.lists(st.tuples(st.integers(0, 10), JUMPS_S), max_size=4))
def test_however_the_clock_jumps_each_rung_is_taken_once_within_a_minute(
    jumps: list[tuple[int, int]],
) -> None:
    brain = live_brain()
    for after, by_s in jumps:
        for _ in range(after):
            brain.answer(*live(brain, "12.32"))
        brain.now += timedelta(seconds=by_s)
    climb(brain)

    rungs = [i.intent_type for i in brain.intents if i.intent_type.startswith("HARVEST")]
    assert rungs == ["HARVEST_PARTIAL_75"]
    assert brain.position["position_harvested_qty"] == Decimal("1.37")


@given(JUMPS_S, st.booleans())
def test_an_exit_that_nobody_answers_is_asked_again_however_the_clock_jumps(
    by_s: int, forgetful: bool
) -> None:
    brain = live_brain()
    brain.forgetful = forgetful
    live(brain, price_at("2.1"))
    live(brain, price_at("2.1"))
    brain.now += timedelta(seconds=by_s)
    asked = [i.intent_id for _ in range(30) for i in live(brain, price_at("2.1"))]

    assert any(".P25." in name for name in asked)


def test_history_from_before_does_not_go_back() -> None:
    brain = live_brain()
    late = brain.market - timedelta(minutes=1)
    for second in range(5):
        at = late + timedelta(seconds=second)
        assert brain.tick(price_at("7"), source=HISTORY_SOURCE, timestamp=at) == []

    assert brain.state.prices[SYMBOL].mark_price == Decimal("12.32")


def test_what_a_result_changes_is_shown_at_once_without_a_price() -> None:
    brain = live_brain()
    live(brain, price_at("2.1"))
    (exit_, stop) = live(brain, price_at("2.1"))
    assert brain.record["harvested_qty"] == "0"
    brain.fill(exit_)

    assert brain.record["harvested_qty"] == "0.46"
    assert brain.record["remaining_qty"] == "1.37"
    assert "PARTIAL_25@2.00R=taken" in brain.record["rungs"]
    assert brain.record["awaiting"] == stop.intent_id


def test_a_position_has_its_record_from_its_opening_on() -> None:
    brain = Brain()
    brain.open()

    assert brain.record["remaining_qty"] == "1.83"


def test_a_wait_that_is_given_up_is_shown_at_once() -> None:
    brain = live_brain()
    brain.policy = replace(brain.policy, show_every_s=Decimal(3600))
    live(brain, price_at("2.1"))
    live(brain, price_at("2.1"))
    for _ in range(20):
        live(brain, price_at("2.1"))

    asked = brain.held.exit_asked
    assert asked is not None
    assert brain.record["awaiting"].split()[0] == asked.intent_id
