"""harvest_brain: the ladder takes the profit, once, and the lock only ever tightens the stop."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from services.harvest_brain.positions import Policy
from shared.formulas import DEFAULT_LADDER, Rung
from shared.sides import PositionSide, Side
from shared.streams import harvest_key

from .brain import MARKET, SYMBOL, Brain, D, mirrored, price_at, reference

LOCK = D("12.3446")


def test_the_reference_case_is_harvested_once_and_then_locked() -> None:
    brain = reference()
    harvest, lock = brain.tick("21.68")
    assert brain.asked() == [("HARVEST_PARTIAL_75", D("1.37")), ("MOVE_STOP", LOCK)]
    assert harvest.side is lock.side is Side.SELL
    assert harvest.r_level == D("37.9370")
    assert harvest.unrealized_pnl == D("17.1288")
    assert f"{harvest.kill_score:.2f}" == "0.12"
    assert harvest.reason == "R 37.9370, kill score 0.12"
    brain.answer(harvest, lock)
    for price in ("21.68", "21.9", "22", "13", "40"):
        brain.tick(price)
    assert len(brain.intents) == 2


@pytest.mark.parametrize("r", ["1.99", "2", "3.99", "4", "5.99", "6", "50"])
def test_a_rung_is_taken_from_exactly_its_r_on(r: str) -> None:
    brain = reference()
    brain.tick(price_at(r))
    expected: dict[str, list[str]] = {
        "1.99": [], "2": ["25"], "3.99": ["25"], "4": ["50"], "5.99": ["50"]
    }  # fmt: skip
    rungs = [i.intent_type[-2:] for i in brain.intents if i.intent_type != "MOVE_STOP"]
    assert rungs == expected.get(r, ["75"])


def test_climbing_ends_where_jumping_does() -> None:
    climbing, jumping = reference(), reference()
    for r in range(1, 13):
        climbing.answer(*climbing.tick(price_at(D(r) / 2)))
    jumping.answer(*jumping.tick(price_at(6)))
    assert [kind for kind, _ in climbing.asked()] == [
        "MOVE_STOP",
        "HARVEST_PARTIAL_25",
        "HARVEST_PARTIAL_50",
        "HARVEST_PARTIAL_75",
    ]
    for brain in (climbing, jumping):
        assert brain.held.harvested_qty == D("1.37")
        assert brain.held.qty == D("0.46")
        assert brain.held.stop_loss == LOCK


def test_a_gap_down_after_a_rung_was_reached_does_not_lose_it() -> None:
    brain = reference()
    (rung, lock) = brain.tick(price_at(6))
    brain.refuse(rung)
    brain.stop_moved(lock)
    (again,) = brain.tick(price_at("0.5"))
    assert (again.intent_type, again.qty) == ("HARVEST_PARTIAL_75", D("1.37"))
    assert brain.held.r_max == 6


def test_the_same_ticks_again_change_nothing() -> None:
    brain = reference()
    brain.answer(*brain.tick(price_at(3)))
    brain.answer(*brain.tick(price_at(5)))
    before, asked = brain.state, brain.asked()
    for message in [m for m in brain.heard if m.stream_name == "market.tick"]:
        brain.hear(message)
    assert brain.asked() == asked
    assert brain.state is before


def test_while_an_exit_is_in_flight_no_other_is_asked_for() -> None:
    brain = reference()
    (rung, _) = brain.tick(price_at(2))
    assert brain.tick(price_at(6)) == []
    (rest,) = brain.fill(rung)
    assert (rest.intent_type, rest.qty) == ("HARVEST_PARTIAL_75", D("0.91"))


def test_a_short_mirrors_a_long() -> None:
    brain = mirrored()
    harvest, lock = brain.tick(price_at(6, sign=-1))
    assert harvest.side is lock.side is Side.BUY
    assert brain.asked() == [("HARVEST_PARTIAL_75", D("1.37")), ("MOVE_STOP", D("12.2954"))]
    assert harvest.unrealized_pnl > 0


def test_r_is_frozen_when_the_stop_moves_and_when_a_part_is_closed() -> None:
    brain = reference()
    for r in (2, 4, 6):
        brain.answer(*brain.tick(price_at(r)))
        assert brain.held.risk_per_unit == D("0.2464")
        assert brain.held.r_net(price_at(5), D(10)) == 5
    brain.stated(position_stop_loss=D("14"))
    assert brain.held.risk_per_unit == D("0.2464")


def test_an_adopted_position_without_a_stop_risks_two_percent() -> None:
    brain = Brain()
    brain.position = {
        "position_id": "RIVERUSDT-1",
        "position_side": PositionSide.LONG,
        "position_qty": D("1.83"),
        "position_initial_qty": D("1.83"),
        "position_entry_price": D("12.32"),
        "position_opened_at": MARKET,
        "position_stop_loss": D("12.0736"),
    }
    brain.tick("12.32")
    brain.stated("ADOPTED")
    assert brain.held.risk_per_unit == D("0.2464")
    brain.tick("21.68")
    assert brain.asked()[0] == ("HARVEST_PARTIAL_75", D("1.37"))


def test_a_manual_reduction_lowers_what_is_left_and_not_what_a_rung_is() -> None:
    brain = reference()
    brain.stated(position_qty=D("1"))
    brain.answer(*brain.tick(price_at(2)))
    assert brain.asked()[0] == ("HARVEST_PARTIAL_25", D("0.46"))
    brain.answer(*brain.tick(price_at(6)))
    assert brain.asked()[-1] == ("HARVEST_PARTIAL_75", D("0.54"))


def test_rungs_that_are_dust_are_merged_and_that_is_said_at_the_opening() -> None:
    brain = reference(position_qty=D("0.02"), position_initial_qty=D("0.02"), min_qty=D("0.01"))
    (told,) = [note for note in brain.notes if note.event == "watching"]
    assert told.level == "warning"
    assert told.fields["merged_because_too_small"] == ["PARTIAL_50"]
    assert told.fields["rungs"] == {"PARTIAL_25": "0.01", "PARTIAL_75": "0.02"}
    brain.answer(*brain.tick(price_at(2)))
    brain.answer(*brain.tick(price_at(5)))
    brain.answer(*brain.tick(price_at(6)))
    assert [i for i in brain.asked() if i[0] != "MOVE_STOP"] == [
        ("HARVEST_PARTIAL_25", D("0.01")),
        ("HARVEST_PARTIAL_75", D("0.01")),
    ]


def test_a_position_of_full_size_is_opened_without_a_warning() -> None:
    (told,) = [note for note in reference().notes if note.event == "watching"]
    assert (told.level, told.fields["merged_because_too_small"]) == ("info", [])


@pytest.mark.parametrize(("r", "moves"), [("1.49", False), ("1.5", True)])
def test_the_lock_comes_at_one_and_a_half_r(r: str, moves: bool) -> None:
    brain = reference()
    brain.tick(price_at(r))
    assert brain.asked() == ([("MOVE_STOP", LOCK)] if moves else [])


def test_a_lock_that_would_loosen_the_stop_is_not_asked_for() -> None:
    brain = reference(position_stop_loss=D("12.5"))
    brain.tick(price_at("1.9"))
    assert brain.intents == []


def test_the_ratchet_follows_one_rung_behind() -> None:
    brain = reference(Policy(ratchet=True))
    for r in (2, 4, 6):
        brain.answer(*brain.tick(price_at(r)))
    stops = [price for kind, price in brain.asked() if kind == "MOVE_STOP"]
    assert stops == [LOCK, D("12.8251"), D("13.3179")]
    assert stops[1:] == [price_at(2).quantize(D("0.0001")), price_at(4).quantize(D("0.0001"))]


def test_leverage_scaled_rungs_stand_at_r_over_the_root_of_leverage() -> None:
    brain = reference(Policy(leverage_scaled=True), position_leverage=4)
    brain.answer(*brain.tick(price_at(1)))
    brain.answer(*brain.tick(price_at(3)))
    rungs = [i for i in brain.asked() if i[0] != "MOVE_STOP"]
    assert rungs == [("HARVEST_PARTIAL_25", D("0.46")), ("HARVEST_PARTIAL_75", D("0.91"))]


def test_a_symbol_may_have_a_policy_of_its_own() -> None:
    early = tuple(Rung(rung.name, rung.r_level / 2, rung.share) for rung in DEFAULT_LADDER)
    own = Policy(ladder=early, lock_at_r=D(9))
    brain = reference(Policy(overrides={SYMBOL: own}))
    brain.tick(price_at(1))
    assert brain.asked() == [("HARVEST_PARTIAL_25", D("0.46"))]
    other = reference(Policy(overrides={"SOLUSDT": own}))
    other.tick(price_at(1))
    assert other.asked() == []


def test_the_end_of_a_position_removes_its_record() -> None:
    brain = reference()
    brain.tick(price_at(1))
    assert brain.record["rungs"] == (
        "PARTIAL_25@2.00R=ahead PARTIAL_50@4.00R=ahead PARTIAL_75@6.00R=ahead"
    )
    brain.end()
    assert brain.records == {harvest_key(SYMBOL): None}
    assert brain.state.held == {}
    assert brain.tick(price_at(9)) == []


def test_a_statement_that_nothing_is_held_ends_it_as_well() -> None:
    brain = reference()
    brain.position = {}
    brain.stated(position_qty=D(0))
    assert brain.state.held == {}


def test_the_next_position_begins_anew() -> None:
    brain = reference()
    brain.answer(*brain.tick(price_at(6)))
    brain.end()
    brain.tick("12.32")
    brain.open()
    assert brain.held.r_max < 1
    brain.tick(price_at(2))
    assert brain.asked()[-2] == ("HARVEST_PARTIAL_25", D("0.46"))
    assert len({i.intent_id for i in brain.intents}) == len(brain.intents)


def test_a_price_from_before_the_position_says_nothing_about_it() -> None:
    brain = Brain()
    brain.tick("21.68")
    brain.market += timedelta(hours=1)
    assert brain.open() == []
    assert brain.held.r_max == 0
    assert brain.tick("12.32") == []


def test_what_is_added_weighs_in_r_by_its_quantity_and_its_own_price() -> None:
    brain = reference()
    brain.answer(*brain.tick(price_at(4)))
    left = D("0.91")
    assert brain.held.qty == left
    average = (left * D("12.32") + D("0.91") * D("13.32")) / (2 * left)
    brain.stated(
        position_qty=2 * left,
        position_initial_qty=D("1.83") + left,
        position_entry_price=average,
    )
    expected = (D("1.83") * D("0.2464") + left * D("1.2464")) / D("2.74")
    assert brain.held.risk_per_unit == pytest.approx(expected)
    assert brain.held.initial_qty == D("2.74")
    assert brain.held.r_max < 1
    assert [kind for kind, _ in brain.asked()] == ["HARVEST_PARTIAL_50", "MOVE_STOP"]


@pytest.mark.parametrize("added_at", ["12.0736", "11"])
def test_what_is_added_at_or_past_the_stop_risks_two_percent_of_its_price(added_at: str) -> None:
    brain = reference()
    price = D(added_at)
    brain.stated(
        position_qty=D("3.66"),
        position_initial_qty=D("3.66"),
        position_entry_price=(D("12.32") + price) / 2,
    )
    expected: Decimal = (D("0.2464") + price * D("0.02")) / 2
    assert brain.held.risk_per_unit == expected


def test_a_price_with_many_decimals_still_makes_a_message() -> None:
    brain = reference(position_entry_price=D("12.320000000001"))
    (harvest, _) = brain.tick("21.680000000000000001")
    assert harvest.unrealized_pnl == D("17.12880000")
