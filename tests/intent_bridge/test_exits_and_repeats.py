"""intent_bridge: no gate stands before an exit, and nothing is decided twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.intent_bridge.state import Policy
from shared.contracts import ExitPlan, MoveStopPlan
from shared.decisions import Mode
from shared.repeats import KEPT

from .bridge import Bridge, D

CLOSED_GATES = Policy(symbols=(), max_order_notional=D(0), max_exposure=D(0), max_open_positions=0)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("kind", ["harvest", "close", "move_stop"])
def test_an_exit_passes_in_every_mode_however_old_and_for_an_unknown_symbol(
    kind: str, mode: Mode
) -> None:
    bridge = Bridge(CLOSED_GATES, knows=())
    bridge.mode = mode
    intent = getattr(bridge, kind)(symbol="NEWUSDT")
    bridge.now += timedelta(days=30)
    plan = bridge.hear(intent)
    assert plan.decision == "EXECUTE"
    assert plan.reduceOnly is True
    assert plan.produced_at == bridge.now
    assert plan.timestamp == intent.timestamp


@pytest.mark.parametrize("share", ["25", "50", "75"])
def test_a_harvest_becomes_a_partial_of_the_same_share(share: str) -> None:
    bridge = Bridge()
    plan = bridge.hear(bridge.harvest(intent_type=f"HARVEST_PARTIAL_{share}"))
    assert isinstance(plan, ExitPlan)
    assert (plan.action, plan.qty, plan.type) == (f"PARTIAL_{share}", D("0.46"), "MARKET")
    assert (plan.plan_id, plan.position_id) == ("plan.p.P25.1", "RIVERUSDT-1")
    assert (plan.r_level, plan.kill_score, plan.reason) == (D("2.1"), D("0.12"), "R 2.1")


def test_a_full_close_and_a_moved_stop_are_carried_over() -> None:
    bridge = Bridge()
    close = bridge.hear(bridge.close())
    assert (close.action, close.qty) == ("FULL_CLOSE_PROPOSED", D("1.83"))
    stop = bridge.hear(bridge.move_stop())
    assert isinstance(stop, MoveStopPlan)
    assert (stop.action, stop.stop_loss) == ("MOVE_STOP", D("12.3446"))


@pytest.mark.parametrize("kind", ["entry", "harvest", "close", "move_stop"])
def test_a_repeat_is_nothing_even_if_it_was_produced_again(kind: str) -> None:
    bridge = Bridge()
    intent = getattr(bridge, kind)()
    bridge.hear(intent)
    before = bridge.state
    again = intent.model_copy(update={"produced_at": bridge.now + timedelta(seconds=1)})
    assert bridge.hear(intent) is None
    assert bridge.hear(again) is None
    assert bridge.state == before
    assert bridge.dead == []
    assert [note.event for note in bridge.notes[1:]] == ["repeated_intent"] * 2


@pytest.mark.parametrize(
    "changes", [{"qty": D(1)}, {"reason": "another"}, {"position_id": "RIVERUSDT-2"}]
)
def test_the_same_id_with_other_content_is_a_dead_letter(changes: dict[str, Any]) -> None:
    bridge = Bridge()
    bridge.hear(bridge.harvest())
    assert bridge.hear(bridge.harvest(**changes)) is None
    assert [letter.code for letter in bridge.dead] == ["id_conflict"]


def test_the_same_id_for_another_symbol_is_a_dead_letter() -> None:
    bridge = Bridge(knows=("RIVERUSDT", "SOLUSDT"))
    bridge.hear(bridge.entry())
    assert bridge.hear(bridge.entry(symbol="SOLUSDT")) is None
    assert [letter.code for letter in bridge.dead] == ["id_conflict"]
    assert "SOLUSDT" not in bridge.state.awaited


def test_a_refused_entry_is_decided_as_well() -> None:
    bridge = Bridge()
    bridge.mode = Mode.HALT
    intent = bridge.entry()
    assert bridge.hear(intent).decision == "SKIP"
    bridge.mode = Mode.RUN
    assert bridge.hear(intent) is None


def test_what_was_seen_is_bounded() -> None:
    bridge = Bridge()
    for number in range(KEPT + 10):
        bridge.hear(bridge.harvest(f"p.P25.{number}"))
    assert len(bridge.state.seen["RIVERUSDT"]) == KEPT


def test_the_longest_intent_id_still_makes_a_plan() -> None:
    bridge = Bridge()
    assert bridge.hear(bridge.harvest("x" * 56)).plan_id == "plan." + "x" * 56
