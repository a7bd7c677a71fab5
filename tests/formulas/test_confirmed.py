"""A confirmed price: one wrong mark never decides, a true level is passed a tick or two later."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shared.formulas import Marks, confirmed, marks_after

PRICES = st.decimals("0.0001", "1000000", places=4)
NEAR = st.decimals("99", "101", places=2)


def told(marks: Iterable[Decimal], *, recorded: bool = False) -> list[Decimal]:
    """The confirmed price after each mark."""
    before: Marks | None = None
    prices = []
    for mark in marks:
        before = marks_after(before, mark, recorded=recorded)
        prices.append(confirmed(before))
    return prices


@given(st.lists(NEAR, min_size=2, max_size=20), st.data(), PRICES)
def test_one_wrong_mark_among_right_ones_never_comes_out(
    right: list[Decimal], data: st.DataObject, wrong: Decimal
) -> None:
    place = data.draw(st.integers(1, len(right)))
    prices = told([*right[:place], wrong, *right[place:]])

    assert min(right) <= min(prices)
    assert max(prices) <= max(right)


@given(st.lists(PRICES, min_size=1, max_size=5), PRICES)
def test_a_price_that_lasts_is_confirmed_by_its_second_mark(
    before: list[Decimal], after: Decimal
) -> None:
    assert told([*before, after, after])[-1] == after


@given(st.lists(PRICES, min_size=3, max_size=20))
def test_a_confirmed_price_is_one_of_the_last_three(marks: list[Decimal]) -> None:
    for index, price in enumerate(told(marks)):
        assert price in marks[max(index - 2, 0) : index + 1]


@given(st.lists(PRICES, min_size=1, max_size=20, unique=True).map(sorted), st.booleans())
def test_a_level_that_is_passed_for_good_is_passed_one_tick_later(
    rising: list[Decimal], falls: bool
) -> None:
    path = rising[::-1] if falls else rising
    prices = told(path)

    assert prices == [path[0], *path[:-1]]


@given(st.lists(PRICES, min_size=1, max_size=20))
def test_recorded_candles_pass_unchanged(marks: list[Decimal]) -> None:
    assert told(marks, recorded=True) == marks


def test_the_first_mark_of_a_symbol_stands_for_all_three() -> None:
    assert marks_after(None, Decimal(7)) == (Decimal(7),) * 3
