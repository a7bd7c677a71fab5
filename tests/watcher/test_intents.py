"""Intents that get an outcome, and those that do not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.watcher.intents import Intents, forgotten, heard
from shared.contracts import decode
from shared.streams import BY_NAME
from shared.why.picture import Letter, Said
from tests.ring.messages import golden

from .scene import START, Scene

ENTRY_ID = "BTCUSDT.trend.1748779200000.BUY"
RUNG_ID = "BTCUSDT.7f3a9c21.PARTIAL_25.1"
UNANSWERED = "intent_without_outcome.BTCUSDT"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_an_intent_without_an_outcome_is_an_alarm_after_half_a_minute(scene: Scene) -> None:
    scene.say("trade.intent.entry", intent_id=ENTRY_ID)
    scene.say("apply.plan.execute_entry", intent_id=ENTRY_ID)
    scene.wait(29)
    assert scene.look() == {}
    assert scene.figure("quantum_intent_oldest_open_seconds") == 29
    assert scene.figure("quantum_intents_open") == 1
    scene.wait(1)
    assert scene.look().keys() == {UNANSWERED}
    text = f"nobody has answered ENTRY {ENTRY_ID} of BTCUSDT: `quantum why BTCUSDT`"
    assert scene.alarm(UNANSWERED) == (START, text)


@pytest.mark.parametrize(
    "outcome",
    ["apply.plan.skip_entry", "apply.result.filled", "apply.result.rejected",
     "apply.result.expired"],
)  # fmt: skip
def test_a_refusal_and_a_fill_are_outcomes(scene: Scene, outcome: str) -> None:
    scene.say("trade.intent.entry", intent_id=ENTRY_ID)
    scene.say(outcome, intent_id=ENTRY_ID)
    scene.wait(31)
    assert scene.look() == {}
    assert scene.figure("quantum_intents_open") == 0


@pytest.mark.parametrize("no_outcome", ["apply.result.stop_moved", "apply.result.stopped_out"])
def test_what_protects_a_position_is_no_outcome_of_its_entry(scene: Scene, no_outcome: str) -> None:
    scene.say("trade.intent.entry", intent_id=ENTRY_ID)
    scene.say(no_outcome, intent_id=ENTRY_ID)
    scene.wait(31)
    assert UNANSWERED in scene.look()


def test_a_part_is_no_outcome_and_what_fills_the_rest_is(scene: Scene) -> None:
    scene.say("trade.intent.harvest_25", intent_id=RUNG_ID)
    scene.say("apply.result.partially_filled", intent_id=RUNG_ID)
    scene.wait(31)
    assert UNANSWERED in scene.look()
    assert f"PARTIAL_25 {RUNG_ID}" in scene.alarm(UNANSWERED)[1]
    scene.say("apply.result.filled", intent_id=RUNG_ID, reduceOnly="true", side="SELL")
    assert scene.look() == {}


def test_a_stop_that_was_asked_for_is_answered_when_it_stands(scene: Scene) -> None:
    scene.say("trade.intent.move_stop", intent_id="stop.1")
    scene.say("apply.result.stop_moved", intent_id="stop.1")
    scene.wait(31)
    assert scene.look() == {}


def test_a_dead_letter_is_an_outcome(scene: Scene) -> None:
    scene.say("trade.intent.entry", intent_id=ENTRY_ID)
    scene.put_aside(intent_id=ENTRY_ID)
    scene.wait(31)
    assert scene.look() == {}


def test_the_same_id_again_is_a_repeat_and_waits_for_nothing(scene: Scene) -> None:
    scene.say("trade.intent.entry", intent_id=ENTRY_ID)
    scene.wait(5)
    scene.say("trade.intent.entry", intent_id=ENTRY_ID)
    scene.say("apply.plan.skip_entry", intent_id=ENTRY_ID)
    scene.say("trade.intent.entry", intent_id=ENTRY_ID)
    scene.wait(31)
    assert scene.look() == {}


def test_of_many_intents_a_few_are_named_and_the_rest_counted(scene: Scene) -> None:
    for number in range(5):
        scene.say("trade.intent.entry", intent_id=f"flood.{number}")
        scene.wait(1)
    scene.wait(31)
    scene.look()
    text = scene.alarm(UNANSWERED)[1]
    assert "ENTRY flood.0, ENTRY flood.1, ENTRY flood.2 and 2 more of BTCUSDT" in text


def test_an_id_that_could_move_a_terminal_is_told_without_its_commands(scene: Scene) -> None:
    scene.say("trade.intent.entry", intent_id="odd:id")
    scene.wait(31)
    assert "odd:id" in scene.look()[UNANSWERED]


def test_answers_are_remembered_for_as_long_as_the_streams_are_read_back() -> None:
    name = Said(f"{int(START.timestamp() * 1000)}-0", _message("apply.plan.skip_entry", "one"))
    known = heard(Intents(), [name], [])
    assert known.answered.keys() == {"one"}
    assert forgotten(known, START) is known
    assert forgotten(known, START + timedelta(seconds=1)).answered == {}


def _message(name: str, intent_id: str) -> object:
    sample = golden(name, intent_id=intent_id)
    return decode(BY_NAME[sample.stream.name].contract, tuple(sample.flat))


EVENTS = {
    "asked": "trade.intent.entry",
    "planned": "apply.plan.execute_entry",
    "protected": "apply.result.stop_moved",
    "refused": "apply.plan.skip_entry",
    "filled": "apply.result.filled",
    "rejected": "apply.result.rejected",
    "buried": "",
}
ANSWERS = {"refused", "filled", "rejected", "buried"}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(sorted(EVENTS))), max_size=30),
    st.integers(1, 7),
)
def test_open_is_what_was_asked_and_never_answered_however_it_is_handed_out(
    told: list[tuple[str, str]], page: int
) -> None:
    intents = Intents()
    for first in range(0, len(told), page):
        said: list[Said] = []
        letters: list[Letter] = []
        for number, (name, event) in enumerate(told[first : first + page], first):
            id_ = f"{number + 1}-0"
            if event == "buried":
                letters.append(Letter(id_, "", "", "", "", "", {"intent_id": name}))
            else:
                said.append(Said(id_, _message(EVENTS[event], name)))
        intents = heard(intents, said, letters)
    asked = {name for name, event in told if event == "asked"}
    # What protects is heard only of what was asked before; of a stranger it is an end.
    first_ask = {name: told.index((name, "asked")) for name in asked}
    answered = {
        name
        for number, (name, event) in enumerate(told)
        if event in ANSWERS or (event == "protected" and number < first_ask.get(name, 0))
    }
    assert intents.waiting.keys() == asked - answered
