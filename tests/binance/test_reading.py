"""Every answer is read by one typed reader: a value, or no answer with the reason."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.apply_layer.binance import endpoints
from services.apply_layer.binance.client import NoAnswer
from services.apply_layer.binance.endpoints import Endpoint, fitted, rows_of
from services.apply_layer.binance.reading import parse_decimal, parse_moment, parse_whole

ENDPOINTS = [each for each in vars(endpoints).values() if isinstance(each, Endpoint)]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["NaN", "1e999999", "-1", "٣", "1" * 400, "TRADING", "BTCUSDT"])
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
POSITION: dict[str, Any] = {
    "symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "0.1", "entryPrice": "65000",
    "markPrice": "65010.5", "updateTime": "1700000000000", "notional": "6501",
    "positionInitialMargin": "650.1", "liquidationPrice": "0",
}  # fmt: skip


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: str(each.name))
@given(told=ANYTHING)
def test_whatever_comes_is_a_value_or_no_answer(endpoint: Endpoint[Any], told: object) -> None:
    for read in (fitted, rows_of):
        with suppress(NoAnswer):
            read(endpoint, told)


@given(field=st.sampled_from(sorted(POSITION)), value=ANYTHING)
def test_a_row_that_does_not_fit_costs_only_its_symbol(field: str, value: object) -> None:
    odd = POSITION | {"symbol": "ODDUSDT"} | ({} if field == "symbol" else {field: value})
    told = rows_of(endpoints.POSITIONS, [POSITION, odd])
    assert told.rows[0].symbol == "BTCUSDT"
    assert {row.symbol for row in told.rows} | told.unreadable.keys() == {"BTCUSDT", "ODDUSDT"}


@pytest.mark.parametrize("row", [{}, {"symbol": 5}, {"symbol": ""}, "BTCUSDT", None, []])
def test_a_row_that_does_not_fit_and_names_no_symbol_is_no_answer(row: object) -> None:
    with pytest.raises(NoAnswer):
        rows_of(endpoints.POSITIONS, [POSITION, row])


def test_the_reason_names_the_venue_s_field_and_never_the_value() -> None:
    told = rows_of(endpoints.POSITIONS, [POSITION | {"markPrice": "secret"}])
    (reason,) = told.unreadable.values()
    assert "markPrice" in reason
    assert "secret" not in reason


@given(number=st.decimals(min_value=-(10**12), max_value=10**12, places=8))
def test_a_number_is_read_to_its_last_digit(number: Decimal) -> None:
    assert parse_decimal(format(number, "f")) == number


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e99", "", " 1", "1_0", "0x1", "١", "1" * 31])
def test_what_is_no_number_of_a_sensible_size_is_refused(text: str) -> None:
    for parse in (parse_decimal, parse_whole, parse_moment):
        with pytest.raises(ValueError, match="is"):
            parse(text)
