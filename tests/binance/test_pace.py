"""Watching costs a constant share of the budget, and the longest span without a stop is known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.apply_layer.binance import pace

LIMIT = 2400
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
ROW = re.compile(r"^\| (\d+) symbols? \| (\d+) ms \| ([\d.]+) s \| ([\d.]+) s \| (\d+) \|$", re.M)


@given(held=st.integers(0, 200), symbols=st.integers(0, 700))
def test_watching_uses_half_of_the_budget_at_most_at_any_number_of_symbols(
    held: int, symbols: int
) -> None:
    weight = pace.steady_weight(
        held, max(held, symbols), watch_every_s=1.0, reconcile_every_s=30.0, limit=LIMIT
    )
    assert weight <= LIMIT / 2 + 1


@given(held=st.integers(1, 100), latency_s=st.floats(0.0, 0.2))
def test_a_lost_stop_is_back_in_2_s_when_told_of_and_in_5_s_when_not(
    held: int, latency_s: float
) -> None:
    for told, most_s in ((True, 2.0), (False, 5.0)):
        assert pace.worst_case_s(
            held, latency_s, told=told, watch_every_s=1.0, limit=LIMIT
        ) <= most_s  # fmt: skip


def test_the_table_in_the_operations_document_is_what_the_constants_give() -> None:
    rows = ROW.findall(OPERATIONS.read_text())
    assert len(rows) >= 6
    for held, latency_ms, told, untold, weight in rows:
        symbols, latency_s = int(held), int(latency_ms) / 1000
        for text, rang in ((told, True), (untold, False)):
            longest_s = pace.worst_case_s(
                symbols, latency_s, told=rang, watch_every_s=1.0, limit=LIMIT
            )
            assert text == f"{longest_s:.1f}"
        assert int(weight) == round(
            pace.steady_weight(
                symbols, symbols, watch_every_s=1.0, reconcile_every_s=30.0, limit=LIMIT
            )
        )


@pytest.mark.parametrize("watch_every_s", [0.5, 1.0, 2.0, 10.0])
def test_stops_are_never_watched_more_often_than_positions(watch_every_s: float) -> None:
    for held in (0, 1, 8, 9, 100):
        every_s = pace.stops_every_s(
            held, held, watch_every_s=watch_every_s, reconcile_every_s=30.0, limit=LIMIT
        )
        assert every_s >= watch_every_s
