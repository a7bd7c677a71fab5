"""harvest_brain: a flip of the regime closes all; a refused exit is asked again, for good."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.harvest_brain.positions import Policy
from shared.sides import Side

from .brain import Brain, D, mirrored, price_at, reference

CLOSE = "FULL_CLOSE_PROPOSED"
#: The sixtieth close brings the first trend strength; it and the four after it confirm a flip.
FLIP_CLOSES = 60 + 4
ENTRY_PRICE = D("12.32")


def falling(start: Decimal = ENTRY_PRICE, count: int = FLIP_CLOSES) -> list[Decimal]:
    """A steady fall that stays above the reference position's stop."""
    return [start - D("0.002") * number for number in range(count)]


def closes_of(brain: Brain) -> list[tuple[str, Decimal]]:
    return [asked for asked in brain.asked() if asked[0] == CLOSE]


# -- the kill score ---------------------------------------------------------------------------


def test_a_losing_position_is_closed_when_its_regime_flips() -> None:
    brain = reference()
    brain.minutes(*falling())
    assert brain.asked() == [(CLOSE, D("1.83"))]
    (close,) = brain.intents
    assert close.side is Side.SELL
    assert close.kill_score >= D("0.6")
    assert close.r_level < 0


def test_a_winning_position_is_closed_as_well_and_before_the_ladder() -> None:
    brain = reference()
    high = price_at("1.4")
    brain.minutes(*falling(high))
    assert brain.intents == []
    (close,) = brain.minutes(price_at(7))
    assert close.intent_type == CLOSE
    assert close.r_level == 7


def test_a_short_is_closed_when_the_market_turns_up() -> None:
    brain = mirrored()
    brain.minutes(*(D("12.32") + D("0.002") * number for number in range(FLIP_CLOSES)))
    assert brain.asked() == [(CLOSE, D("1.83"))]
    assert brain.intents[0].side is Side.BUY


def test_no_regime_flips_before_sixty_closes_or_without_five_in_a_row() -> None:
    brain = reference()
    brain.minutes(*falling(count=FLIP_CLOSES - 1))
    assert brain.intents == []


def test_no_stop_is_moved_while_all_is_being_closed() -> None:
    brain = reference(Policy(lock_at_r=D("0.1")), position_stop_loss=D("12.4"))
    brain.minutes(*falling(price_at("1.4"), FLIP_CLOSES + 1))
    assert [kind for kind, _ in brain.asked()] == [CLOSE]


def test_a_kill_while_a_rung_is_in_flight_closes_the_rest_once_that_is_known() -> None:
    brain = reference(Policy(answer_within_s=D(10_000), lock_at_r=D(99)))
    (rung,) = brain.tick(price_at(2))
    brain.minutes(*falling(price_at(3), FLIP_CLOSES + 1))
    assert [kind for kind, _ in brain.asked()] == ["HARVEST_PARTIAL_25"]
    (close,) = brain.fill(rung)
    assert (close.intent_type, close.qty) == (CLOSE, D("1.37"))


def test_a_kill_does_not_wait_for_the_backoff_of_a_rung_or_of_a_stop() -> None:
    brain = reference(Policy(answer_within_s=D(10_000), retry_first_s=D(60)))
    rung, lock = brain.tick(price_at(2))
    brain.minutes(*falling(price_at(3), FLIP_CLOSES + 1))
    brain.refuse(lock)
    (close,) = brain.refuse(rung)
    assert close.intent_type == CLOSE


def test_a_refused_close_is_asked_again_for_as_long_as_the_flip_lasts() -> None:
    brain = reference()
    brain.minutes(*falling())
    brain.refuse(brain.intents[0])
    brain.minutes(D("12.18"))
    assert brain.ids() == ["CLOSE.1", "CLOSE.2"]
    brain.answer(brain.intents[1])
    assert brain.state.held == {}


# -- refusals ---------------------------------------------------------------------------------


def only_the_ladder(policy: Policy | None = None) -> Brain:
    """A brain whose lock is out of the way."""
    return reference(policy or Policy(lock_at_r=D(99)))


def test_a_refused_exit_is_asked_again_with_a_new_id_and_backoff_and_never_given_up() -> None:
    brain = only_the_ladder()
    (asked,) = brain.tick(price_at(2))
    waits = []
    for _ in range(12):
        brain.refuse(asked)
        waited_s = 0
        again: list[object] = []
        while not again:
            waited_s += 1
            again = brain.tick(price_at(2))
        (asked,) = again
        waits.append(waited_s)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]
    assert brain.ids() == [f"P25.{number}" for number in range(1, 14)]


@pytest.mark.parametrize("status", ["REJECTED", "EXPIRED"])
def test_an_expired_exit_is_a_refused_one(status: str) -> None:
    brain = only_the_ladder()
    (asked,) = brain.tick(price_at(2))
    brain.refuse(asked, status=status)
    assert len(brain.tick(price_at(2))) == 1


def test_a_fill_ends_the_backoff() -> None:
    brain = only_the_ladder()
    (asked,) = brain.tick(price_at(2))
    for _ in range(3):
        brain.refuse(asked)
        (asked,) = brain.tick(price_at(2), after_s=60)
    brain.fill(asked)
    assert brain.held.backoffs == {}
    (rung,) = brain.tick(price_at(4))
    brain.refuse(rung)
    assert len(brain.tick(price_at(4))) == 1


def test_a_stop_that_may_not_move_never_holds_up_an_exit() -> None:
    brain = reference()
    (lock,) = brain.tick(price_at("1.5"))
    for _ in range(6):
        brain.refuse(lock, code="stop_not_tighter")
        (lock,) = brain.tick(price_at("1.6"), after_s=60)
    brain.refuse(lock, code="stop_not_tighter")
    assert [i.intent_type for i in brain.tick(price_at(2))] == ["HARVEST_PARTIAL_25"]


def test_a_refusal_is_told_with_its_code() -> None:
    brain = only_the_ladder(Policy(lock_at_r=D(99), retry_first_s=D(5)))
    (asked,) = brain.tick(price_at(2))
    brain.refuse(asked, code="-1008")
    (told,) = [note for note in brain.notes if note.event == "exit_refused"]
    assert (told.level, told.fields["code"], told.fields["retry_in_s"]) == ("error", "-1008", 5)
    brain.tick(price_at(2), after_s=2)
    assert brain.record["refusals"] == "1"
    assert brain.record["retry_at"] == "RUNG=2025-06-01T12:00:07.000+00:00"


def test_an_exit_without_an_answer_is_asked_again_in_time() -> None:
    brain = only_the_ladder()
    brain.tick(price_at(2))
    assert brain.tick(price_at(2), after_s=15) == []
    (again,) = brain.tick(price_at(2), after_s=1)
    assert again.intent_id.endswith(".P25.2")


def test_the_wait_for_an_answer_is_wall_clock_and_not_market_time() -> None:
    brain = only_the_ladder()
    brain.tick(price_at(2))
    assert brain.tick(price_at(2), after_s=86_400, wall_s=0.01) == []


def test_the_late_answer_to_an_exit_that_was_asked_again_counts_but_settles_nothing() -> None:
    brain = only_the_ladder()
    (first,) = brain.tick(price_at(2))
    (second,) = brain.tick(price_at(2), after_s=16)
    assert brain.fill(first) == []
    brain.refuse(second, code="already_harvested")
    assert brain.tick(price_at(2), after_s=60) == []
    assert brain.held.harvested_qty == D("0.46")


def test_after_a_part_of_a_rung_was_filled_the_rest_of_it_is_asked_for() -> None:
    brain = only_the_ladder()
    (rung,) = brain.tick(price_at(2))
    assert brain.fill(rung, "0.10", status="PARTIALLY_FILLED") == []
    assert brain.tick(price_at(2)) == []
    (rest,) = brain.fill(rung, "0.16")
    assert (rest.intent_type, rest.qty) == ("HARVEST_PARTIAL_25", D("0.20"))


def test_after_a_part_was_filled_and_the_rest_refused_the_rest_is_asked_for_again() -> None:
    brain = only_the_ladder()
    (rung,) = brain.tick(price_at(2))
    brain.fill(rung, "0.10", status="PARTIALLY_FILLED")
    brain.refuse(rung, status="EXPIRED")
    (rest,) = brain.tick(price_at(2))
    assert rest.qty == D("0.36")


def test_a_position_that_ends_while_an_exit_is_in_flight_is_over() -> None:
    brain = only_the_ladder()
    brain.tick(price_at(2))
    brain.end("LIQUIDATED")
    assert brain.tick(price_at(9)) == []
    assert brain.state.held == {}
