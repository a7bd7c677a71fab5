"""Paper fills and triggers at confirmed prices, and no time from ahead makes it deaf."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.apply_layer.paper_account import PaperBook, PaperPolicy
from tests.jumps import JUMPS_S, WRONG

from .builders import entry, held, leave, short_entry
from .desk import FREE, SYMBOL, WALL, D, Desk

LIVE = "market_feed"
AHEAD = st.integers(6, 86_400).map(lambda ahead_s: timedelta(seconds=ahead_s))


def live_desk(side: str = "LONG", *, paper: PaperPolicy = FREE) -> Desk:
    """A desk on a live feed, one price a second, that holds the reference position."""
    desk = Desk(paper=paper)
    desk.market = desk.now
    live(desk, "12.32")
    desk.deliver(entry(desk) if side == "LONG" else short_entry(desk))
    return desk


def live(desk: Desk, *prices: str | Decimal) -> None:
    for price in prices:
        desk.tick(price, source=LIVE)
        desk.look()


def book_of(desk: Desk) -> PaperBook:
    return desk.venue._exchange.account.book(SYMBOL)


def poisoned(desk: Desk, book: PaperBook) -> None:
    """The desk restarts on a book as an older version left it."""
    account = desk.venue._exchange.account.with_book(book)
    desk.venue._exchange._account = account
    desk._commit()
    desk.restart()


@pytest.mark.parametrize("factor", WRONG)
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("side", ["LONG", "SHORT"])
def test_one_wrong_price_triggers_and_liquidates_nothing(
    side: str, place: int, factor: str
) -> None:
    desk = live_desk(side)
    before = len(desk.results)
    right = D("12.32")
    live(desk, *(right * D(factor) if n == place else right for n in range(8)))

    assert desk.state.positions[SYMBOL].qty == D("1.83")
    assert [r for r in desk.results[before:] if "filled_qty" in r.model_dump()] == []
    assert D(desk.records[f"quantum:position:{SYMBOL}"]["current_price"]) == right  # type: ignore[index]


def test_the_second_price_beyond_a_stop_triggers_it() -> None:
    desk = live_desk()
    live(desk, "12.00")
    assert SYMBOL in desk.state.positions
    live(desk, "11.99")

    assert SYMBOL not in desk.state.positions
    assert desk.results[-1].avg_price == D("12.00")


@pytest.mark.parametrize("factor", WRONG)
def test_no_order_is_filled_at_a_wrong_price(factor: str) -> None:
    desk = Desk()
    desk.market = desk.now
    live(desk, "12.32", "12.32", D("12.32") * D(factor))
    desk.deliver(entry(desk))
    live(desk, "12.32", "12.32", "12.32")
    assert desk.state.positions[SYMBOL].entry_price == D("12.32")
    live(desk, D("12.32") * D(factor))
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.close"))
    live(desk, "12.32")

    assert desk.results[-1].avg_price == D("12.32")


@pytest.mark.parametrize("factor", WRONG)
def test_the_first_price_of_an_adopted_position_is_confirmed_by_its_mark(factor: str) -> None:
    desk = Desk(positions=[held()])
    live(desk, D("12.32") * D(factor), "12.32")

    assert desk.state.positions[SYMBOL].qty == D("1.83")


@given(AHEAD, st.booleans())
def test_a_mark_from_ahead_of_time_makes_deaf_for_no_minute(
    ahead: timedelta, in_book: bool
) -> None:
    desk = live_desk()
    if in_book:
        poisoned(desk, replace(book_of(desk), mark_at=desk.market + ahead))
    else:
        true, desk.market = desk.market, desk.market + ahead
        live(desk, "12.32")
        desk.market = true
    live(desk, *["11.9"] * 12)

    assert SYMBOL not in desk.state.positions
    assert desk.venue._exchange.snapshot().at <= desk.market


@given(AHEAD)
def test_an_order_from_ahead_of_time_waits_for_the_next_price_and_no_longer(
    ahead: timedelta,
) -> None:
    desk = live_desk()
    desk.deliver(leave(desk, "FULL_CLOSE_PROPOSED", "plan.late", timestamp=desk.market + ahead))
    live(desk, *["12.32"] * 12)

    assert SYMBOL not in desk.state.positions


@given(AHEAD)
def test_a_record_from_ahead_of_time_shows_the_next_price(ahead: timedelta) -> None:
    desk = live_desk()
    position = desk.state.positions[SYMBOL]
    at = WALL + ahead
    for wrong in (replace(position, updated_at=at), replace(position, shown_at=at)):
        desk.state = replace(desk.state, positions={SYMBOL: wrong})
        live(desk, *["12.4"] * 12)
        assert desk.state.positions[SYMBOL].current_price == D("12.4")


@given(st.lists(st.tuples(st.integers(0, 5), JUMPS_S), max_size=4), st.booleans())
def test_however_the_clock_jumps_a_stop_is_executed(
    jumps: list[tuple[int, int]], restarts: bool
) -> None:
    desk = live_desk()
    for after, by_s in jumps:
        live(desk, *["12.32"] * after)
        desk.now += timedelta(seconds=by_s)
        if restarts:
            desk.restart()
    live(desk, *["11.9"] * 3)

    assert SYMBOL not in desk.state.positions


def test_a_book_of_before_prices_were_confirmed_is_read() -> None:
    desk = live_desk()
    poisoned(desk, replace(book_of(desk), marks=None))
    live(desk, "9")

    assert SYMBOL in desk.state.positions, "the last mark confirms the first price"
