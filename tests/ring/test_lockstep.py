"""A replay at `--speed max` comes out the same however the daemons' turns fall."""

from __future__ import annotations

from collections import Counter

import pytest

from shared.streams import APPLY_PLAN, APPLY_RESULT

from .lockstep import Lockstep

RUNS = 20


@pytest.fixture(scope="module")
def first() -> Lockstep:
    return Lockstep(seed=0).run()


def test_the_replay_meets_its_caps_and_opens_and_closes(first: Lockstep) -> None:
    """Otherwise there would be nothing to race for."""
    reasons = Counter(plan.get("reason") for plan in first.streams[APPLY_PLAN.name])
    assert reasons["open_positions_cap"] > 10
    told = Counter(result["status"] for result in first.streams[APPLY_RESULT.name])
    assert told["STOPPED_OUT"] > 5
    assert told["FILLED"] > 5


@pytest.mark.parametrize("seed", range(1, RUNS))
def test_many_symbols_under_tight_caps_give_the_same_messages_in_every_run(
    first: Lockstep, seed: int
) -> None:
    again = Lockstep(seed).run().streams
    for stream, messages in first.streams.items():
        assert again[stream] == messages, stream
