"""What an answer means for an order, and how much of the budget who may use."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.apply_layer.binance.answers import Meaning, meaning_of
from services.apply_layer.binance.budget import Budget, Purpose
from services.apply_layer.journal import Leg, client_order_id

UNKNOWN_503 = "Unknown error, please check your request or try again later."


@pytest.mark.parametrize(
    ("http", "code", "text", "meaning"),
    [
        (400, -1006, "", Meaning.UNKNOWN),
        (408, -1007, "", Meaning.UNKNOWN),
        (408, 0, "", Meaning.UNKNOWN),
        (502, 0, "<html>", Meaning.UNKNOWN),
        (504, 0, "", Meaning.UNKNOWN),
        (500, 0, "", Meaning.UNKNOWN),
        (503, 0, UNKNOWN_503, Meaning.UNKNOWN),
        (503, 0, "a wording that nobody has seen before", Meaning.UNKNOWN),
        (503, 0, "Service Unavailable.", Meaning.UNLIKELY),
        (503, -1001, "Internal error; unable to process your request.", Meaning.UNLIKELY),
        (503, -1008, "Server is currently overloaded", Meaning.OVERLOADED),
        (400, -4116, "", Meaning.EXISTS),
        (400, -4046, "", Meaning.ALREADY),
        (400, -4059, "", Meaning.ALREADY),
        (400, -2013, "", Meaning.NO_SUCH_ORDER),
        (400, -2011, "", Meaning.NO_SUCH_ORDER),
        (400, -1021, "", Meaning.CLOCK),
        (400, -4005, "", Meaning.FILTERS),
        (429, -1003, "", Meaning.SLOW_DOWN),
        (418, -1003, "", Meaning.BANNED),
        (401, -2015, "", Meaning.LOCKED_OUT),
        (400, -2019, "", Meaning.REFUSED),
        (400, -2021, "", Meaning.REFUSED),
        (404, 0, "", Meaning.REFUSED),
    ],
)
def test_an_answer_means_what_the_table_says(
    http: int, code: int, text: str, meaning: Meaning
) -> None:
    assert meaning_of(http, code, text) is meaning


def heard(used: int = 0, orders: int = 0, at: float = 0.0) -> Budget:
    budget = Budget()
    counts = {"x-mbx-used-weight-1m": str(used), "X-MBX-ORDER-COUNT-1M": str(orders)}
    budget.heard(counts, at)
    return budget


def test_the_last_third_of_the_budget_is_kept_for_protection() -> None:
    budget = heard(used=1700)
    assert budget.refusal(1.0, weight=5, orders=0, purpose=Purpose.TRADE) is not None
    assert budget.refusal(1.0, weight=5, orders=0, purpose=Purpose.PROTECT) is None
    assert heard(orders=900).refusal(1.0, weight=0, orders=1, purpose=Purpose.TRADE) is not None


def test_counts_are_forgotten_after_their_minute() -> None:
    assert heard(used=2400).refusal(59.0, weight=1, orders=0, purpose=Purpose.PROTECT) is not None
    assert heard(used=2400).refusal(61.0, weight=1, orders=0, purpose=Purpose.TRADE) is None


def test_silence_that_was_asked_for_holds_for_everybody() -> None:
    budget = heard()
    budget.slow_down(10.0, 5.0, banned=True)
    assert budget.refusal(14.9, weight=0, orders=0, purpose=Purpose.PROTECT) is not None
    assert budget.refusal(15.1, weight=0, orders=0, purpose=Purpose.PROTECT) is None
    assert budget.banned_until == 15.0


@given(
    used=st.integers(0, 3000), orders=st.integers(0, 1500), weight=st.integers(0, 50),
    at=st.floats(0, 200),
)  # fmt: skip
def test_whatever_an_entry_may_do_a_stop_may(
    used: int, orders: int, weight: int, at: float
) -> None:
    budget = heard(used, orders)
    if budget.refusal(at, weight=weight, orders=1, purpose=Purpose.TRADE) is None:
        assert budget.refusal(at, weight=weight, orders=1, purpose=Purpose.PROTECT) is None
        assert at >= 60 or used + weight <= 0.7 * budget.limit


def test_the_limits_are_those_of_the_venue() -> None:
    budget = Budget()
    budget.limited(
        [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": 99,
            },
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 88},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 77},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 66},
        ]
    )
    assert (budget.limit, budget.orders_limit, budget.orders_10s_limit) == (99, 88, 77)


@given(plan_id=st.text(min_size=1, max_size=64), number=st.integers(1, 999_999))
def test_client_ids_are_what_the_venue_takes_whatever_a_plan_is_called(
    plan_id: str, number: int
) -> None:
    for leg in Leg:
        name = client_order_id(plan_id, leg, number)
        assert re.fullmatch(r"[.A-Z:/a-z0-9_-]{1,36}", name, re.ASCII)
        assert name == client_order_id(plan_id, leg, number)
