"""Protect first: what was before is read afterwards, a page at a time, and never twice."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.apply_layer.binance.ledger import Bookmark
from services.apply_layer.binance.rows import TradeRow
from services.apply_layer.exchange import VenuePosition
from services.apply_layer.history import opening_of
from shared.sides import PositionSide, Side

from .desk import BTC, SOL, D, Desk, desk_at

MANY = {f"S{number:02d}USDT": D(100) for number in range(30)}


def calls(desk: Desk, since: int = 0) -> Counter[str]:
    return Counter(line["path"] for line in desk.lines("request")[since:])


def without_redis(desk: Desk) -> int:
    """Redis is lost; returns how many requests there were before."""
    desk.die()
    desk.server.flush()
    before = len(desk.lines("request"))
    desk.start()
    return before


def test_thirty_positions_are_under_a_stop_before_any_past_is_read(tmp_path: Path) -> None:
    with desk_at(tmp_path, symbols=MANY, wallet=D(1_000_000)) as desk:
        desk.own["symbols"] = list(MANY)
        for symbol in MANY:
            desk.venue.by_hand(symbol, "BUY", D(1))
        before = without_redis(desk)
        desk.until(lambda: all(desk.stops(symbol) for symbol in MANY))
        lines = desk.lines("request")[before:]
        first = next(n for n, line in enumerate(lines) if line["method"] == "POST"
                     and line["path"] == "/fapi/v1/algoOrder")  # fmt: skip
        done = Counter(line["path"] for line in lines[:first])
        assert done["/fapi/v1/userTrades"] <= 2
        assert done["/fapi/v1/openAlgoOrders"] == done["/fapi/v1/openOrders"] == 1
        assert done["/fapi/v1/order"] <= 2


def test_a_long_history_of_a_grid_costs_pages_and_not_a_read_for_each_order(
    tmp_path: Path,
) -> None:
    with desk_at(tmp_path) as desk:
        for _ in range(40):
            desk.venue.by_hand(SOL, "BUY", D(1))
            desk.venue.by_hand(SOL, "SELL", D("0.9"), reduce_only=True)
        before = without_redis(desk)
        desk.until(lambda: desk.holds(SOL))
        assert desk.position(SOL).history_known
        done = calls(desk, before)
        assert done["/fapi/v1/order"] == 0
        assert done["/fapi/v1/allOrders"] == 1


def test_a_past_that_is_read_later_corrects_the_rungs_that_counted_as_taken(
    tmp_path: Path,
) -> None:
    few = {f"S{number}USDT": D(100) for number in range(5)}
    with desk_at(tmp_path, symbols=few) as desk:
        desk.own["symbols"] = list(few)
        for symbol in few:
            desk.venue.by_hand(symbol, "BUY", D(4))
        without_redis(desk)
        desk.until(lambda: all(desk.holds(symbol) for symbol in few))
        late = [s for s in few if not desk.position(s).history_known]
        assert late
        assert all(desk.position(s).harvested_qty == D(3) for s in late)
        desk.until(lambda: all(desk.position(s).history_known for s in few), 20.0)
        assert all(desk.position(s).harvested_qty == 0 for s in few)
        stated = [r for r in desk.server.entries("quantum:stream:apply.result")
                  if r.get("reason") == "its history was read"]  # fmt: skip
        assert {r["symbol"] for r in stated} == set(late)


@pytest.mark.parametrize("days", [8, 30, 89])
def test_a_position_of_some_weeks_is_explained_by_its_past(tmp_path: Path, days: int) -> None:
    with desk_at(tmp_path) as desk:
        desk.venue.by_hand(SOL, "BUY", D(20))
        desk.venue.by_hand(SOL, "SELL", D(5), reduce_only=True)
        desk.venue.faults.script("aged", symbol=SOL, days=days)
        without_redis(desk)
        desk.until(lambda: desk.holds(SOL))
        desk.until(lambda: desk.position(SOL).history_known, 30.0)
        assert desk.position(SOL).qty == D(15)


def test_a_position_older_than_the_venue_tells_of_is_adopted_with_its_rungs_taken(
    tmp_path: Path,
) -> None:
    with desk_at(tmp_path) as desk:
        desk.venue.by_hand(SOL, "BUY", D(20))
        desk.venue.faults.script("aged", symbol=SOL, days=100)
        without_redis(desk)
        desk.until(lambda: desk.holds(SOL))
        desk.enter()
        desk.until(desk.holds)
        assert not desk.position(SOL).history_known
        assert desk.position(SOL).harvested_qty == D(15)
        assert not desk.state.barriers


def test_a_symbol_without_a_position_is_not_asked_after_at_every_round(tmp_path: Path) -> None:
    with desk_at(tmp_path, {"reconcile_every_s": "0.2"}) as desk:
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        desk.leave()
        desk.until(lambda: desk.flat() and desk.stops() == [] and not desk.state.orders)
        desk.for_s(1.5)
        before = len(desk.lines("request"))
        desk.for_s(1.0)
        done = calls(desk, before)
        assert done["/fapi/v3/balance"] >= 2
        assert done["/fapi/v1/userTrades"] == 0


TRADES = st.lists(
    st.tuples(st.sampled_from(list(Side)), st.integers(1, 9)), min_size=1, max_size=30
)


@given(trades=TRADES, more=st.integers(0, 5))
def test_the_opening_is_where_the_position_was_last_flat(
    trades: list[tuple[Side, int]], more: int
) -> None:
    rows = [_row(number, side, D(qty)) for number, (side, qty) in enumerate(trades, 1)]
    held = sum((row.side.sign * row.qty for row in rows), D(0))
    if not held:
        return
    position = _position(held)
    opening = opening_of(position, rows)
    assert opening is not None
    before = sum((row.side.sign * row.qty for row in rows[:opening]), D(0))
    after = before + rows[opening].side.sign * rows[opening].qty
    assert before * held <= 0
    assert after * held > 0
    # What came before the opening says nothing of it.
    assert opening_of(position, rows[max(0, opening - more) :]) == min(opening, more)


@given(number=st.integers(0, 99), id_=st.integers(1, 99), ms=st.integers(0, 5))
def test_a_bookmark_goes_by_number_as_soon_as_it_has_one(number: int, id_: int, ms: int) -> None:
    trade = _row(id_, Side.BUY, D(1), at_ms=ms)
    mark = Bookmark(number, _row(1, Side.BUY, D(1), at_ms=3).time)
    assert mark.is_before(trade) == (id_ > number if number else ms > 3)


def _row(number: int, side: Side, qty: Decimal, at_ms: int = 0) -> TradeRow:
    told: dict[str, Any] = {
        "symbol": BTC, "id": number, "orderId": number, "side": side.value, "price": "1",
        "qty": str(qty), "realizedPnl": "0", "commission": "0", "time": at_ms,
    }  # fmt: skip
    return TradeRow.model_validate(told)


def _position(held: Decimal) -> VenuePosition:
    at = _row(1, Side.BUY, D(1)).time
    side = PositionSide.LONG if held > 0 else PositionSide.SHORT
    return VenuePosition(BTC, side, abs(held), D(1), 1, D(1), at, at)
