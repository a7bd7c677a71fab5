"""What an answer means for an order, and what orders are called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.apply_layer.binance.answers import Meaning, meaning_of
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


@given(plan_id=st.text(min_size=1, max_size=64), number=st.integers(1, 999_999))
def test_client_ids_are_what_the_venue_takes_whatever_a_plan_is_called(
    plan_id: str, number: int
) -> None:
    for leg in Leg:
        name = client_order_id(plan_id, leg, number)
        assert re.fullmatch(r"[.A-Z:/a-z0-9_-]{1,36}", name, re.ASCII)
        assert name == client_order_id(plan_id, leg, number)
