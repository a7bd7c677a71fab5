"""`quantum demo`: what it promises is on standard output, and it can fail."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from shared.cli.demo import SCENARIOS, Outcome, _what_is_missing

from .live import quantum

PROMISED = {
    *("name", "symbol", "initial_qty", "harvested_qty", "remaining_qty", "realized_pnl"),
    *("r_net_max", "intents", "plans", "results", "exit_orders", "dead_letters"),
    "unprotected_s_max",
}
RESCUE, RING, CRASH = SCENARIOS


def scenario(told: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [row for row in told["scenarios"] if row["name"] == name]
    assert isinstance(found, dict)
    return found


def test_the_demo_prints_one_object_that_holds_all_that_it_promises() -> None:
    """One test, because one run of the demo is what takes the time."""
    run = quantum("demo", "--json")
    assert (run.returncode, run.stderr) == (0, "")
    [line] = run.stdout.splitlines()
    told = json.loads(line)
    check_its_form(told)
    check_that_a_forgotten_profit_of_38_r_is_harvested_by_one_order(scenario(told, "rescue"))
    check_that_crashes_change_nothing(scenario(told, "ring"), scenario(told, "crash"))


def check_its_form(told: dict[str, Any]) -> None:
    assert told["ok"] is True
    assert [row["name"] for row in told["scenarios"]] == ["rescue", "ring", "crash"]
    for row in told["scenarios"]:
        assert row.keys() == PROMISED
        assert row["symbol"] == "RIVERUSDT"
        assert row["dead_letters"] == 0
        assert 0 <= row["unprotected_s_max"] <= 2
        assert row["realized_pnl"] > 0


def check_that_a_forgotten_profit_of_38_r_is_harvested_by_one_order(rescue: dict[str, Any]) -> None:
    assert rescue["initial_qty"] == 1.83
    assert rescue["harvested_qty"] == 1.37
    assert rescue["remaining_qty"] == 0.46
    assert rescue["exit_orders"] == 1
    assert rescue["r_net_max"] == pytest.approx(37.94, abs=0.01)


def check_that_crashes_change_nothing(ring: dict[str, Any], crash: dict[str, Any]) -> None:
    assert ring["remaining_qty"] == 0
    for name in ("initial_qty", "harvested_qty", "remaining_qty", "realized_pnl", "exit_orders"):
        assert crash[name] == ring[name], name


GOOD_RESCUE = Outcome(
    "rescue",
    remaining_qty=Decimal("0.46"),
    realized_pnl=Decimal("12.82"),
    stop_loss=Decimal("12.4"),
    ladder=[("PARTIAL_75", Decimal("1.37"))],
)
GOOD_CRASH = Outcome(
    "crash",
    realized_pnl=Decimal(200),
    ladder=[(f"PARTIAL_{share}", Decimal(20)) for share in (25, 50, 75)],
    restarts={"harvest_brain": 1, "apply_layer": 1},
    ended_by="STOPPED_OUT",
)


def test_a_run_as_it_should_be_lacks_nothing() -> None:
    assert list(_what_is_missing(RESCUE, GOOD_RESCUE)) == []
    assert list(_what_is_missing(CRASH, GOOD_CRASH)) == []
    assert list(_what_is_missing(RING, replace(GOOD_CRASH, restarts={}))) == []


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        (replace(GOOD_RESCUE, ladder=[]), "PARTIAL_75 of 1.37, once, was expected"),
        (replace(GOOD_RESCUE, ladder=GOOD_RESCUE.ladder * 2), "PARTIAL_75 of 1.37, once"),
        (replace(GOOD_RESCUE, remaining_qty=Decimal("1.83")), "0.46 should remain, 1.83 does"),
        (replace(GOOD_RESCUE, stop_loss=None), "the stop should be tighter"),
        (replace(GOOD_RESCUE, stop_loss=Decimal("12.0736")), "the stop should be tighter"),
        (replace(GOOD_RESCUE, realized_pnl=Decimal(0)), "a profit should be realised"),
        (replace(GOOD_CRASH, ladder=GOOD_CRASH.ladder[:2]), "25, 50 and 75 % should each be"),
        (replace(GOOD_CRASH, ladder=GOOD_CRASH.ladder[::-1]), "25, 50 and 75 % should each be"),
        (replace(GOOD_CRASH, ended_by=""), "the runner should be closed"),
        (replace(GOOD_CRASH, remaining_qty=Decimal(1)), "nothing should remain, 1 does"),
        (replace(GOOD_CRASH, restarts={"apply_layer": 1}), "harvest_brain should have been"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_run_that_lacks_something_says_what(outcome: Outcome, sentence: str) -> None:
    [scenario_] = [one for one in SCENARIOS if one.name == outcome.name]
    [missing] = _what_is_missing(scenario_, outcome)
    assert missing.startswith(sentence)
