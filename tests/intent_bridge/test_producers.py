"""intent_bridge: no id and no time of a producer gets in the way of the suite's own exits."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intent_bridge.decider import decide
from services.intent_bridge.producers import OWN_SOURCES, plan_id_of
from services.intent_bridge.settings import IntentBridgeSettings
from services.intent_bridge.state import Policy, Producer, State
from shared.contracts import ExitPlan, Message, MoveStopPlan, SkipPlan
from shared.contracts.fields import ID_PATTERN, INTENT_ID_PATTERN, SOURCE_PATTERN
from shared.decisions import Received
from shared.repeats import KEPT

from .bridge import CODEC, SYMBOL, WALL, Bridge, D

EXITS = ["harvest", "close", "move_stop"]


@pytest.mark.parametrize("kind", EXITS)
def test_an_id_that_a_producer_used_before_does_not_hold_up_an_exit(kind: str) -> None:
    bridge = Bridge()
    exit_ = getattr(bridge, kind)()
    bridge.hear(bridge.entry(exit_.intent_id, source="my_signals"))
    bridge.hear(bridge.entry(exit_.intent_id, source="others", symbol="NEWUSDT"))
    assert isinstance(bridge.hear(exit_), ExitPlan | MoveStopPlan)
    assert bridge.dead == []
    assert len({plan.plan_id for plan in bridge.plans}) == 3


def test_two_producers_may_use_the_same_id_and_each_is_told_of_its_own_repeats() -> None:
    bridge = Bridge(knows=(SYMBOL, "SOLUSDT"))
    one = bridge.entry(source="one")
    two = bridge.entry(source="two", symbol="SOLUSDT")
    assert bridge.hear(one).plan_id == "plan:one:entry.1"
    assert bridge.hear(two).plan_id == "plan:two:entry.1"
    assert bridge.hear(one) is None
    assert bridge.dead == []
    assert bridge.hear(bridge.entry(source="two", qty=D(9))) is None
    assert [letter.code for letter in bridge.dead] == ["id_conflict"]


sources = st.one_of(
    st.sampled_from(sorted(OWN_SOURCES)), st.from_regex(SOURCE_PATTERN, fullmatch=True)
)
ids = st.one_of(
    st.from_regex(INTENT_ID_PATTERN, fullmatch=True), st.sampled_from(["a", "a:b", "b", "one:a"])
)


@given(sources, ids, sources, ids)
def test_plans_of_two_sources_are_never_called_the_same(
    source: str, id_: str, other: str, other_id: str
) -> None:
    names = [plan_id_of(source, id_), plan_id_of(other, other_id)]
    same = (source, id_) == (other, other_id) or (
        id_ == other_id and {source, other} <= OWN_SOURCES
    )
    assert (names[0] == names[1]) == same
    for name in names:
        assert re.fullmatch(ID_PATTERN, name)


@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize("source", ["my_signals", "trading_bot", "stranger"])
def test_an_exit_of_somebody_who_may_not_is_skipped_with_a_code(kind: str, source: str) -> None:
    bridge = Bridge(Policy(producers={"my_signals": Producer()}))
    skip = bridge.hear(getattr(bridge, kind)(source=source))
    assert isinstance(skip, SkipPlan)
    assert (skip.reason, skip.reduceOnly, skip.position_id) == (
        "exit_not_allowed", True, "RIVERUSDT-1",
    )  # fmt: skip
    assert "may_exit = true" in skip.detail


@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize("source", ["harvest_brain", "operator", "my_signals"])
def test_an_exit_of_harvest_brain_the_operator_or_a_named_producer_passes(
    kind: str, source: str
) -> None:
    bridge = Bridge(Policy(producers={"my_signals": Producer(may_exit=True)}))
    assert bridge.hear(getattr(bridge, kind)(source=source)).decision == "EXECUTE"


def test_the_settings_name_who_may_exit() -> None:
    own = IntentBridgeSettings.model_validate({"producer": {"desk-2": {"may_exit": True}, "b": {}}})
    assert own.policy().producers == {"desk-2": Producer(may_exit=True), "b": Producer()}


# -- times --------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["timestamp", "produced_at"])
@pytest.mark.parametrize(("ahead_s", "code"), [(2, ""), (2.001, "intent_from_the_future")])
def test_neither_time_of_an_entry_may_lie_ahead(field: str, ahead_s: float, code: str) -> None:
    bridge = Bridge()
    assert bridge.refused(**{field: bridge.now + timedelta(seconds=ahead_s)}) == code


@pytest.mark.parametrize("kind", EXITS)
@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=400)])
def test_an_exit_dated_ahead_passes_and_nothing_waits_for_its_time(
    kind: str, ahead: timedelta
) -> None:
    bridge = Bridge()
    assert (
        bridge.hear(getattr(bridge, kind)(timestamp=bridge.now + ahead, symbol="NEWUSDT")).timestamp
        == bridge.now
    )
    bridge.hear(bridge.tick())
    bridge.now += timedelta(seconds=0.5)
    plan = bridge.hear(getattr(bridge, kind)("again", timestamp=bridge.market + ahead))
    assert plan.timestamp == bridge.market + timedelta(seconds=0.5)


def test_in_a_replay_an_entry_with_the_wall_clock_as_its_time_gets_the_market_s() -> None:
    bridge = Bridge()
    plan = bridge.hear(bridge.entry(timestamp=bridge.now))
    assert plan.timestamp == bridge.market


def test_an_end_that_was_dated_ahead_bars_nothing_for_longer_than_the_cooldown() -> None:
    bridge = Bridge()
    plan = bridge.hear(bridge.entry())
    bridge.hear(bridge.filled(plan))
    bridge.hear(
        bridge.ended(plan).model_copy(update={"timestamp": bridge.now + timedelta(hours=9)})
    )
    bridge.market = bridge.now
    bridge.later(299)
    assert bridge.refused(intent_id="entry.2") == "reentry_cooldown"
    bridge.later(1)
    assert bridge.refused(intent_id="entry.3") == ""


def test_a_place_that_is_dated_ahead_is_counted_from_now_on() -> None:
    bridge = Bridge()
    bridge.hear(bridge.entry())
    bridge.now -= timedelta(hours=1)
    bridge.market += timedelta(seconds=1)
    assert bridge.refused(intent_id="entry.2") == "entry_in_flight"
    bridge.later(91)
    assert bridge.refused(intent_id="entry.3") == ""


# -- what is kept -------------------------------------------------------------------------------


def feed(state: State, message: Message) -> State:
    """One event, without the wire between."""
    return decide(state, Received(message, WALL), Policy())[0]


@pytest.mark.parametrize("source", ["my_signals", "trading_bot"])
def test_made_up_symbols_leave_no_more_behind_than_one_symbol_does(source: str) -> None:
    bridge = Bridge()
    state = kept = bridge.state
    wire: Any = bridge.entry(source=source)
    for number in range(10_000):
        symbol = f"MADE{number}USDT"
        kept = feed(kept, wire.model_copy(update={"symbol": symbol, "intent_id": f"e.{number}"}))
        kept = feed(kept, bridge.tick(symbol))
        kept = feed(kept, bridge.close(f"c.{number}", symbol=symbol))
    assert (kept.rules, kept.marks, kept.closed) == (state.rules, {}, {})
    assert (kept.held, kept.awaited) == ({}, {})
    rings = [*kept.seen.values(), *kept.seen_of_producers.values()]
    assert len(rings) <= 2
    assert all(len(ring) <= KEPT for ring in rings)


def test_what_was_decided_before_its_symbol_was_listed_is_a_repeat_afterwards() -> None:
    bridge = Bridge()
    exit_ = bridge.close(symbol="NEWUSDT")
    assert bridge.hear(exit_) is not None
    bridge.hear(bridge.stated("NEWUSDT"))
    assert bridge.hear(exit_) is None
    assert bridge.dead == []


def test_the_state_of_an_earlier_version_is_read() -> None:
    """It knew no quantities, and no marks."""
    documents = {
        f"held/{SYMBOL}": b'{"position_id":"p","notional":"120"}',
        "awaited/SOLUSDT": b'{"plan_id":"plan.e","notional":"80","at":"2026-06-01T00:00:00Z"}',
    }
    assert CODEC.load(documents).exposure == 200
