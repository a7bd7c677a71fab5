"""A small fixed gauntlet, and every deliberate defect: the whole of it is `make gauntlet`."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .checker import INVARIANTS
from .defects import DEFECTS
from .draws import MARKETS, draw
from .steps import STEPS

ROOT = Path(__file__).parents[2]
WITHIN_S = 400


def played_once(factory: pytest.TempPathFactory, name: str, *words: str) -> dict[str, Any]:
    """The figures of one call of the program, which the test processes share.

    It is a process of its own, because a worker forks and a test process has threads. One at a
    time: what is judged there is judged by the clock.
    """
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    told = folder / f"{name}.json"
    with (folder / "gauntlet.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            command = [sys.executable, "-m", "tests.venue_gauntlet", *words, "--json"]
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False
            )
            assert done.stdout, done.stderr
            figures = json.loads(done.stdout) | {"status": done.returncode, "text": done.stderr}
            told.write_text(json.dumps(figures), encoding="utf-8")
    found: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return played_once(tmp_path_factory, "gauntlet", "--runs", "12", "--seed", "12", "--jobs", "4")


@pytest.fixture(scope="session")
def defective(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return played_once(tmp_path_factory, "defects", "--defects", "--jobs", "6")


def test_under_faults_and_kills_no_invariant_is_violated(sound: dict[str, Any]) -> None:
    assert sound["violations"] == {str(n): 0 for n in (*INVARIANTS, 16)}, sound["text"]
    assert sound["status"] == 0


def test_the_gauntlet_is_one(sound: dict[str, Any]) -> None:
    """Where nothing is traded, broken and killed, nothing is shown."""
    assert sound["runs"] == 12
    assert sound["orders"] > 100
    assert sound["trades"] > 60
    assert sound["kills"] > 8
    assert sum(sound["faults"].values()) > 100
    assert len(sound["faults"]) > 12


def test_a_position_is_protected_within_two_seconds_where_every_call_succeeds(
    sound: dict[str, Any],
) -> None:
    calm = sound["naked"]["every call succeeding"]
    assert calm["spans"] > 20
    assert calm["max_s"] <= 2


@pytest.mark.parametrize("name", sorted(DEFECTS))
def test_a_defect_is_caught(name: str, defective: dict[str, Any]) -> None:
    assert name in defective["caught"], defective["text"]


def test_there_are_defects_against_every_invariant() -> None:
    assert len(DEFECTS) >= 10
    assert {n for defect in DEFECTS.values() for n in defect.breaks} == set(INVARIANTS)


def test_a_seed_draws_the_same_run_again_and_another_seed_another() -> None:
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_draws_cover_every_symbol_step_and_kind_of_act() -> None:
    drawn = [draw(seed) for seed in range(300)]
    assert {symbol for one in drawn for symbol in one.symbols} == set(MARKETS)
    assert {strike.step for one in drawn for strike in one.strikes} == set(STEPS)
    assert {strike.how for one in drawn for strike in one.strikes} == {"kill", "pause"}
    kinds = {act.kind for one in drawn for act in one.acts}
    assert {"enter", "exit", "move_stop", "again", "gap", "hand_open", "adl", "mode"} <= kinds
    assert all(2 <= len(one.symbols) <= 4 for one in drawn)
