"""One symbol never takes the others down: it is set apart, told of, and taken up again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.apply_layer.paper_rules import LeverageBracket
from shared.streams import VENUE_KEY

from .desk import BTC, SOL, D, Desk, desk_at

SYMBOLS = {BTC: D(65000), SOL: D(150), "ODDUSDT": D(2)}
ODD = "ODDUSDT"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_at(tmp_path, {"reconcile_every_s": "0.5"}, symbols=SYMBOLS) as made:
        made.own["symbols"] = [BTC, ODD]
        made.restart()
        yield made.ready()


def code_of(desk: Desk, symbol: str = ODD) -> str | None:
    found = desk.state.quarantine.get(symbol)
    return None if found is None else found.code


def lose_the_stop(desk: Desk, symbol: str = BTC) -> None:
    """The stop of a symbol is cancelled in the app; it is back within 2 s."""
    (stop,) = desk.stops(symbol)
    desk.venue.cancel_by_hand(stop["clientAlgoId"])
    desk.until(lambda: desk.stops(symbol) and desk.holds(symbol), 2.0)


READS_OF_IT = [
    {"kind": "code", "code": -1121, "path": "/fapi/v1/openAlgoOrders"},
    {"kind": "code", "code": -1121, "path": "/fapi/v1/openOrders"},
    {"kind": "code", "code": -4108, "path": "/fapi/v1/userTrades"},
]


@pytest.mark.parametrize("fault", READS_OF_IT, ids=lambda fault: str(fault["path"]))
def test_a_read_that_is_refused_for_one_symbol_sets_it_apart_alone(
    desk: Desk, fault: dict[str, Any]
) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.faults.script(method="GET", times=10_000, symbol=ODD, **fault)
    desk.venue.by_hand(ODD, "BUY", D(100))
    desk.venue.by_hand(ODD, "SELL", D(10))
    desk.until(lambda: code_of(desk) == "read_refused")
    assert "venue_unreachable" not in desk.state.barriers
    lose_the_stop(desk)
    desk.venue.faults.clear()
    desk.until(lambda: code_of(desk) is None and desk.holds(ODD))


@pytest.mark.parametrize("path", ["openAlgoOrders", "openOrders", "userTrades"])
@pytest.mark.parametrize("how", [{"kind": "http_502"}, {"kind": "garbage", "how": "html"}], ids=str)
def test_answers_of_one_symbol_that_cannot_be_used_set_it_apart_alone(
    desk: Desk, path: str, how: dict[str, Any]
) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.faults.script(method="GET", path=f"/fapi/v1/{path}", times=10_000, symbol=ODD, **how)
    desk.venue.by_hand(ODD, "BUY", D(100))
    desk.venue.by_hand(ODD, "SELL", D(10))
    desk.until(lambda: code_of(desk) == "no_answer")
    assert "venue_unreachable" not in desk.state.barriers
    lose_the_stop(desk)
    desk.venue.faults.clear()
    desk.until(lambda: code_of(desk) is None and desk.holds(ODD), 12.0)


def test_what_is_told_of_it_has_the_code_and_what_to_do(desk: Desk) -> None:
    desk.venue.faults.script("symbol_missing", symbol=ODD, pieces=["exchangeInfo"])
    desk.outside._account.listing.forget()
    desk.until(lambda: code_of(desk) == "not_listed")
    told = desk.record(VENUE_KEY)[f"quarantine.{ODD}"]
    assert told.startswith("not_listed ")
    assert "apply_layer.symbols" in told
    desk.enter(ODD, stop_loss=D("1.95"), tick_size=D("0.0001"))
    assert desk.codes == ["symbol_quarantined"]


@pytest.mark.parametrize("restarts", [True, False], ids=["at the start", "while running"])
def test_a_configured_symbol_that_is_delisted_stops_nothing(desk: Desk, restarts: bool) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.faults.script("symbol_missing", symbol=ODD, pieces=["all"])
    if restarts:
        desk.restart()
    else:
        desk.outside._account.listing.forget()
    desk.until(lambda: code_of(desk) == "not_listed")
    lose_the_stop(desk)


def test_no_configured_symbol_listed_at_all_is_said_and_waited_for(tmp_path: Path) -> None:
    with desk_at(tmp_path, symbols=SYMBOLS) as desk:
        desk.own["symbols"] = ["GONEUSDT"]
        desk.restart()
        desk.until(lambda: code_of(desk, "GONEUSDT") == "not_listed")


def test_a_symbol_that_is_settled_at_mark_0_is_left_to_the_venue(desk: Desk) -> None:
    desk.venue.by_hand(ODD, "BUY", D(100))
    desk.until(lambda: desk.holds(ODD))
    desk.enter()
    desk.until(desk.holds)
    desk.venue.faults.script("symbol_status", symbol=ODD, status="SETTLING", mark=D(0))
    desk.until(lambda: code_of(desk) == "no_mark")
    lose_the_stop(desk)
    desk.venue.faults.script("symbol_status", symbol=ODD, status="TRADING")
    desk.outside._account.listing.forget()
    desk.until(lambda: code_of(desk) is None)


@pytest.mark.parametrize("status", ["SETTLING", "PENDING_TRADING", "CLOSE", "HALFWAY"])
def test_a_symbol_that_is_not_traded_now_takes_no_entry(desk: Desk, status: str) -> None:
    desk.venue.faults.script("symbol_status", symbol=ODD, status=status)
    desk.outside._account.listing.forget()
    desk.until(lambda: code_of(desk) == "not_trading")


@pytest.mark.parametrize(
    ("piece", "code"),
    [("leverageBracket", "no_bracket"), ("symbolConfig", "no_symbol_config")],
)
def test_a_symbol_known_only_in_part_is_protected_and_takes_no_entry(
    desk: Desk, piece: str, code: str
) -> None:
    desk.venue.faults.script("symbol_missing", symbol=ODD, pieces=[piece])
    desk.outside._account.listing.forget()
    desk.venue.by_hand(ODD, "BUY", D(100))
    desk.until(lambda: desk.holds(ODD) and code_of(desk) == code)
    desk.venue.faults.script("symbol_missing", symbol=ODD, pieces=[])
    desk.outside._account.listing.forget()
    desk.until(lambda: code_of(desk) is None)


@pytest.mark.parametrize("name", ["ETHUSDT_260327", "币安人生USDT"])
def test_a_position_in_a_contract_of_another_spelling_is_adopted(tmp_path: Path, name: str) -> None:
    with desk_at(tmp_path, symbols={BTC: D(65000), name: D(2)}) as desk:
        desk.own["symbols"] = [BTC]
        desk.restart()
        desk.ready()
        desk.venue.by_hand(name, "BUY", D(100))
        desk.until(lambda: desk.holds(name))
        desk.enter()
        desk.until(desk.holds)


def test_leverage_changed_by_hand_while_held_is_told_and_the_stop_stays(desk: Desk) -> None:
    desk.enter()
    desk.until(desk.holds)
    desk.venue.faults.script("leverage", symbol=BTC, leverage=50)
    desk.until(lambda: code_of(desk, BTC) == "set_up_by_hand")
    lose_the_stop(desk)
    desk.leave("PARTIAL_25")
    desk.until(lambda: desk.position().harvested_qty == D("0.025"))
    desk.leave()
    desk.until(lambda: desk.flat() and code_of(desk, BTC) is None)


@pytest.mark.parametrize("mode", ["hedge_mode", "multi_assets"])
def test_a_mode_switched_on_while_running_bars_entries_by_name_until_it_is_off(
    desk: Desk, mode: str
) -> None:
    desk.venue.faults.script(mode, on=True)
    desk.until(lambda: mode in desk.state.barriers)
    desk.enter()
    assert desk.codes == [mode]
    desk.venue.faults.script(mode, on=False)
    desk.until(lambda: mode not in desk.state.barriers)


def test_a_bracket_of_150x_and_a_position_at_150x_are_read_as_they_are(tmp_path: Path) -> None:
    most = {BTC: (LeverageBracket(D("Infinity"), 150, D("0.004")),)}
    with desk_at(tmp_path, brackets=most, leverage=150) as desk:
        desk.ready()
        desk.venue.by_hand(BTC, "BUY", D("0.05"))
        desk.until(desk.holds)
        assert desk.position().leverage == 150
