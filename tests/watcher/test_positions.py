"""Rungs that nobody takes and positions that have no stop, as watcher sees them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.watcher.state import Policy
from shared.contracts import HISTORY_SOURCE
from shared.decisions import Mode
from shared.formulas import DEFAULT_LADDER, Rung
from shared.why.picture import Terms

from .scene import ENTRY, RULES, START, SYMBOL, Scene, at_r

OVERDUE = f"rung_not_taken.{SYMBOL}"
NAKED = f"position_without_stop.{SYMBOL}"


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.hold()
    scene.price("12.32")
    assert scene.look() == {}
    return scene


def test_a_rung_is_an_alarm_a_minute_after_its_price_was_there(scene: Scene) -> None:
    scene.wait(5)
    reached = scene.now
    scene.price(at_r("2"))
    for _ in range(59):
        scene.wait(1)
        scene.price(at_r("2"))
        assert scene.look() == {}
    assert scene.figure("quantum_rung_overdue_seconds", symbol=SYMBOL) == 59
    scene.wait(1)
    scene.price(at_r("2"))
    assert set(scene.look()) == {OVERDUE}
    since, text = scene.alarm(OVERDUE)
    assert since == reached
    assert text == (
        f"PARTIAL_25 of {SYMBOL} is due, the price was there, and nothing was sold: "
        f"`quantum why {SYMBOL}`"
    )


def test_a_rung_stays_due_when_the_price_comes_back(scene: Scene) -> None:
    scene.price(at_r("2"))
    scene.wait(1)
    scene.price(at_r("0.5"))
    scene.wait(60)
    scene.price(at_r("0.5"))
    assert OVERDUE in scene.look()
    assert scene.figure("quantum_position_r_multiple", symbol=SYMBOL) == pytest.approx(
        0.5, abs=0.01
    )


def test_a_rung_that_is_taken_is_no_alarm_and_the_next_has_its_own_minute(scene: Scene) -> None:
    scene.price(at_r("2"))
    scene.wait(59)
    scene.hold(qty="1.37", harvested_qty="0.46")
    scene.price(at_r("4"))
    reached = scene.now
    scene.look()
    assert scene.figure("quantum_rung_overdue_seconds", symbol=SYMBOL) == 0
    scene.wait(61)
    scene.price(at_r("4"))
    assert scene.look().keys() == {OVERDUE}
    assert scene.alarm(OVERDUE)[0] == reached
    assert scene.alarm(OVERDUE)[1].startswith("PARTIAL_50 of")


def test_rungs_that_are_due_together_are_told_together(scene: Scene) -> None:
    scene.price(at_r("4.5"))
    scene.wait(61)
    scene.price(at_r("4.5"))
    scene.look()
    assert scene.alarm(OVERDUE)[1].startswith(f"PARTIAL_25 and PARTIAL_50 of {SYMBOL} are due")


def test_a_rung_that_is_too_small_to_be_sold_is_never_overdue() -> None:
    scene = Scene()
    scene.hold(rules=replace(RULES, min_qty=Decimal("0.5")))
    scene.look()
    scene.price(at_r("2.5"))
    scene.wait(120)
    scene.price(at_r("2.5"))
    assert scene.look() == {}


def test_the_ladder_is_the_one_of_the_settings() -> None:
    ladder = (Rung("PARTIAL_25", Decimal(3), Decimal("0.25")), *DEFAULT_LADDER[1:])
    scene = Scene(Policy(settle_s=0, terms_of=lambda _symbol: Terms(ladder=ladder)))
    scene.hold()
    scene.look()
    scene.price(at_r("2.9"))
    scene.wait(61)
    scene.price(at_r("2.9"))
    assert scene.look() == {}
    scene.price(at_r("3"))
    scene.wait(61)
    scene.price(at_r("3"))
    assert OVERDUE in scene.look()


def test_a_switch_at_halt_is_said_to_be_the_reason(scene: Scene) -> None:
    scene.mode = Mode.HALT
    scene.price(at_r("2"))
    scene.wait(61)
    scene.price(at_r("2"))
    scene.look()
    assert "the mode is HALT, which lets no exit through" in scene.alarm(OVERDUE)[1]
    assert scene.figure("quantum_mode", mode="HALT") == 1
    assert scene.figure("quantum_mode", mode="RUN") == 0


def test_a_price_of_before_the_position_of_history_or_of_the_past_reaches_nothing(
    scene: Scene,
) -> None:
    scene.price(at_r("5"), timestamp=START - timedelta(hours=2))
    scene.price(at_r("5"), source=HISTORY_SOURCE)
    scene.wait(1)
    scene.price("12.32")
    scene.price(at_r("5"), timestamp=START)
    scene.wait(61)
    scene.price("12.32")
    assert scene.look() == {}


def test_a_short_position_counts_the_other_way() -> None:
    scene = Scene()
    scene.hold(side="SHORT", initial_stop="12.5664", stop_loss="12.5664")
    scene.look()
    scene.price(2 * ENTRY - at_r("2"))
    scene.wait(61)
    scene.price("12.32")
    assert OVERDUE in scene.look()


def test_what_was_reached_before_the_position_grew_says_nothing_of_it_now(scene: Scene) -> None:
    scene.price(at_r("2"))
    scene.wait(1)
    scene.hold(qty="3.66", initial_qty="3.66")
    scene.look()
    scene.wait(61)
    scene.price(at_r("1"))
    assert scene.look() == {}


def test_prices_of_before_the_position_grew_reach_nothing_though_they_are_read_back_later(
    scene: Scene,
) -> None:
    grown_at = scene.now + timedelta(seconds=10)
    scene.now = grown_at
    scene.say("apply.result.filled", symbol=SYMBOL, position_id="RIVERUSDT.1")
    scene.now = grown_at - timedelta(seconds=5)
    scene.price(at_r("2"))
    scene.wait(66)
    scene.price("12.32")
    assert scene.look() == {}


def test_another_position_in_the_same_symbol_begins_anew(scene: Scene) -> None:
    scene.price(at_r("2"))
    scene.hold(stop_loss="")
    scene.look()
    scene.wait(59)
    scene.hold(position_id="RIVERUSDT.2", opened_at=scene.now.isoformat())
    scene.look()
    scene.wait(1.5)
    scene.price("12.32")
    assert scene.look() == {}


def test_of_a_position_that_is_gone_no_alarm_and_no_figure_is_left(scene: Scene) -> None:
    scene.price(at_r("2"))
    scene.wait(61)
    scene.price(at_r("2"))
    assert OVERDUE in scene.look()
    scene.held.clear()
    assert scene.look() == {}
    assert scene.notes == [("alarm_ended", OVERDUE)]
    for name in ("quantum_position_r_multiple", "quantum_rung_overdue_seconds",
                 "quantum_position_unprotected_seconds", "quantum_price_age_seconds"):  # fmt: skip
        assert scene.figure(name, symbol=SYMBOL) is None


def test_a_position_may_lack_its_stop_for_two_seconds(scene: Scene) -> None:
    scene.hold(stop_loss="")
    since = scene.now
    for _ in range(2):
        assert scene.look() == {}
        scene.wait(1)
        scene.price("12.32")
    assert scene.look().keys() == {NAKED}
    assert scene.alarm(NAKED) == (since, f"LONG 1.83 {SYMBOL} stands without a stop")
    assert scene.figure("quantum_position_unprotected_seconds", symbol=SYMBOL) == 2
    assert scene.notes == [("alarm", NAKED)]
    scene.hold(stop_loss="12.1")
    assert scene.look() == {}
    assert scene.figure("quantum_position_unprotected_seconds", symbol=SYMBOL) == 0
    scene.hold(stop_loss="")
    assert scene.look() == {}


@pytest.mark.parametrize("entry_price", ["", "much"])
def test_a_record_that_makes_no_sense_may_hide_a_naked_position(
    scene: Scene, entry_price: str
) -> None:
    scene.hold(entry_price=entry_price)
    assert "makes no sense" in scene.look()[NAKED]
    scene.hold(entry_price="12.32")
    assert scene.look() == {}


@given(st.lists(st.tuples(st.integers(-20, 80), st.integers(1, 30)), min_size=1, max_size=40))
def test_an_alarm_stands_exactly_while_a_rung_is_reached_for_a_minute_and_not_taken(
    path: list[tuple[int, int]],
) -> None:
    scene = Scene()
    scene.hold()
    scene.look()
    reached: dict[Decimal, float] = {}
    elapsed = 0.0
    for tenths, seconds in path:
        r = Decimal(tenths) / 10
        scene.price(at_r(str(r)))
        for rung in DEFAULT_LADDER:
            if r >= rung.r_level:
                reached.setdefault(rung.r_level, elapsed)
        scene.wait(seconds)
        elapsed += seconds
        late = any(elapsed - at >= 60 for at in reached.values())
        assert (OVERDUE in scene.look()) == late
