"""A venue that is odd: garbage, denials, symbols and modes that change, a past that is long ago."""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from services.apply_layer.double import Double
from services.apply_layer.double.garbage import KINDS, garbage_frame, mutated
from services.apply_layer.double.switches import PIECES
from services.apply_layer.paper_rules import LeverageBracket
from tests.symbols.odd import CHINESE, QUARTERLY

from .raw import ALGO, BTC, ORDER, SOL, D, Raw, config, heard, listening, until

RISK, INFO, TRADES = "/fapi/v3/positionRisk", "/fapi/v1/exchangeInfo", "/fapi/v1/userTrades"
USDC = "BTCUSDC"


def venue_with(**changes: Any) -> Iterator[Raw]:
    with Double.start(config(**changes)) as venue:
        yield Raw(venue)


@pytest.fixture
def odd() -> Iterator[Raw]:
    yield from venue_with(symbols={BTC: D(65000), SOL: D(150), CHINESE: D(2), QUARTERLY: D(3000)})


# -- garbage ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [kind for kind in KINDS if kind not in ("drip", "broken_off")])
def test_a_garbage_answer_says_200_and_is_not_what_was_asked_for(raw: Raw, how: str) -> None:
    raw.market()
    true = raw.signed("GET", RISK).text
    raw.venue.faults.script("garbage", path=RISK, how=how)
    answer = raw.signed("GET", RISK)
    assert answer.status == 200
    assert how == "mutated" or answer.text != true
    assert raw.signed("GET", RISK).text == true


def test_an_order_that_is_answered_with_garbage_was_executed_unless_it_is_said_otherwise(
    raw: Raw,
) -> None:
    raw.venue.faults.script("garbage", path=ORDER, how="html")
    raw.market()
    assert raw.venue.position(BTC) == D("0.1")
    raw.venue.faults.script("garbage", path=ORDER, how="html", executed=False)
    raw.market()
    assert raw.venue.position(BTC) == D("0.1")


def test_an_answer_drips_at_the_pace_that_is_asked_for(raw: Raw) -> None:
    raw.venue.faults.script("garbage", path="/fapi/v1/time", how="drip", bytes_per_s=50)
    started = time.monotonic()
    told = raw.get("/fapi/v1/time").json
    assert set(told) == {"serverTime"}
    assert time.monotonic() - started > 0.4


def test_an_answer_that_breaks_off_ends_before_its_promised_length(raw: Raw) -> None:
    raw.venue.faults.script("garbage", path=RISK, how="broken_off")
    raw.market()
    with pytest.raises((OSError, http.client.HTTPException)):
        raw.signed("GET", RISK)


def test_public_reads_are_struck_by_what_names_them(raw: Raw) -> None:
    raw.venue.faults.script("http_502")
    assert raw.get(INFO).status == 200
    raw.venue.faults.clear()
    raw.venue.faults.script("http_502", path=INFO)
    assert raw.get(INFO).status == 502


def test_a_fault_of_one_symbol_leaves_the_others_alone(raw: Raw) -> None:
    raw.venue.faults.script("code", path=TRADES, times=2, code=-1121, symbol=SOL)
    assert raw.signed("GET", TRADES, symbol=BTC).status == 200
    assert raw.signed("GET", TRADES, symbol=SOL).code == -1121


def test_a_slow_answer_is_of_what_was_done_at_once(raw: Raw) -> None:
    raw.venue.faults.script("slow", path=ORDER, delay_s=0.3)
    started = time.monotonic()
    assert raw.market().status == 200
    assert time.monotonic() - started >= 0.3


def test_the_latency_is_there_and_back_for_calls_and_half_for_events() -> None:
    with Double.start(config(latency_s=0.2)) as venue:
        raw = Raw(venue)
        started = time.monotonic()
        raw.get("/fapi/v1/time")
        assert time.monotonic() - started >= 0.2
        with listening(venue, "/private?listenKey=" + raw.listen_key()) as socket:
            started = time.monotonic()
            venue.by_hand(BTC, "BUY", D("0.1"))
            heard(socket)
            assert time.monotonic() - started >= 0.1
        venue.set_latency(0)
        started = time.monotonic()
        raw.get("/fapi/v1/time")
        assert time.monotonic() - started < 0.2


def test_frames_of_garbage_come_between_true_events(raw: Raw) -> None:
    with listening(raw.venue, "/private?listenKey=" + raw.listen_key()) as socket:
        raw.venue.faults.script("garbage_frames", count=20)
        raw.venue.faults.script("garbage_frames", text="not json")
        frames = [socket.recv(timeout=5) for _ in range(21)]
        assert frames[-1] == "not json"
        raw.market()
        until(socket, "ORDER_TRADE_UPDATE")


def test_the_same_chance_makes_the_same_garbage() -> None:
    event = {"e": "ACCOUNT_UPDATE", "a": {"P": [{"s": BTC}]}}
    frames = [[garbage_frame(event, random.Random(7)) for _ in range(9)] for _ in range(2)]
    assert frames[0] == frames[1]
    assert mutated(event, random.Random(1)) == mutated(event, random.Random(1))


# -- stops that are denied ----------------------------------------------------------------------


def test_a_stop_that_is_denied_stands_and_triggers_all_the_same(raw: Raw) -> None:
    raw.market()
    raw.stop(clientAlgoId="s1")
    raw.venue.faults.script("deny_stops", seconds=60)
    assert raw.signed("GET", "/fapi/v1/openAlgoOrders").json == []
    assert raw.signed("GET", ALGO, clientAlgoId="s1").code == -2013
    assert raw.signed("DELETE", ALGO, clientAlgoId="s1").code == -2011
    raw.venue.mark(BTC, D(63900))
    assert raw.venue.position(BTC) == 0


def test_a_denial_ends_and_may_be_of_the_list_or_of_one_symbol_alone(raw: Raw) -> None:
    raw.market()
    raw.stop(clientAlgoId="s1")
    raw.venue.faults.script("deny_stops", seconds=60, what=["list"])
    assert raw.signed("GET", "/fapi/v1/openAlgoOrders").json == []
    assert raw.signed("GET", ALGO, clientAlgoId="s1").status == 200
    raw.venue.faults.script("deny_stops", seconds=60, symbol=SOL)
    assert len(raw.signed("GET", "/fapi/v1/openAlgoOrders").json) == 1
    raw.venue.faults.script("deny_stops", seconds=0)
    assert len(raw.signed("GET", "/fapi/v1/openAlgoOrders").json) == 1


# -- symbols ------------------------------------------------------------------------------------


def listed(raw: Raw) -> dict[str, Any]:
    return {row["symbol"]: row for row in raw.get(INFO).json["symbols"]}


def test_symbols_of_every_script_are_traded(odd: Raw) -> None:
    for symbol in (CHINESE, QUARTERLY):
        assert odd.market(symbol=symbol, qty="10").status == 200
        assert odd.venue.position(symbol) == D(10)
        (row,) = odd.signed("GET", RISK, symbol=symbol).json
        assert row["symbol"] == symbol
    assert listed(odd)[QUARTERLY]["contractType"] == "CURRENT_QUARTER"
    assert listed(odd)[QUARTERLY]["pair"] == "ETHUSDT"
    with listening(odd.venue, f"/market/ws/{CHINESE.lower()}@markPrice@1s") as socket:
        assert heard(socket)["s"] == CHINESE


@pytest.mark.parametrize("piece", sorted(PIECES - {"all"}))
def test_a_symbol_may_be_missing_from_one_piece(raw: Raw, piece: str) -> None:
    raw.market(symbol=SOL, qty="1")
    raw.venue.faults.script("symbol_missing", symbol=SOL, pieces=[piece])
    told = {
        "exchangeInfo": raw.get(INFO).text,
        "leverageBracket": raw.signed("GET", "/fapi/v1/leverageBracket").text,
        "symbolConfig": raw.signed("GET", "/fapi/v1/symbolConfig").text,
        "positionRisk": raw.signed("GET", RISK).text,
    }
    assert {name for name, text in told.items() if f'"{SOL}"' not in text} == {piece}
    raw.venue.faults.script("symbol_missing", symbol=SOL, pieces=[])
    assert SOL in listed(raw)


def test_1121_of_a_delisted_symbol_nothing_is_known(raw: Raw) -> None:
    raw.venue.faults.script("symbol_missing", symbol=SOL)
    assert SOL not in listed(raw)
    assert raw.market(symbol=SOL, qty="1").code == -1121
    assert raw.signed("GET", TRADES, symbol=SOL).code == -1121
    assert raw.signed("GET", RISK).status == 200


def test_4108_4140_a_settling_symbol_takes_no_order_and_may_be_told_at_mark_0(raw: Raw) -> None:
    raw.market(symbol=SOL, qty="1")
    raw.venue.faults.script("symbol_status", symbol=SOL, status="SETTLING", mark="0")
    assert listed(raw)[SOL]["status"] == "SETTLING"
    assert raw.market(symbol=SOL, qty="1").code == -4108
    (row,) = raw.signed("GET", RISK).json
    assert row["markPrice"] == "0"
    assert raw.get("/fapi/v1/premiumIndex", symbol=SOL).json["markPrice"] == "0"
    raw.venue.faults.script("symbol_status", symbol=SOL, status="PRE_SETTLE")
    assert raw.market(symbol=SOL, qty="1").code == -4140
    assert raw.market("SELL", symbol=SOL, qty="1", reduceOnly="true").status == 200


def test_brackets_are_those_that_the_test_asks_for() -> None:
    rows = (LeverageBracket(D(50_000), 150, D("0.004")), LeverageBracket(D("1e9"), 75, D("0.01")))
    for raw in venue_with(brackets={BTC: rows}):
        (told,) = raw.signed("GET", "/fapi/v1/leverageBracket", symbol=BTC).json
        assert [row["initialLeverage"] for row in told["brackets"]] == [150, 75]
        raw.venue.faults.script("leverage", symbol=BTC, leverage=150)
        assert raw.venue.leverage_of(BTC) == 150


# -- the account --------------------------------------------------------------------------------


def test_4168_in_multi_assets_mode_there_is_no_isolated_margin_and_the_wallet_is_credits(
    raw: Raw,
) -> None:
    with listening(raw.venue, "/private?listenKey=" + raw.listen_key()) as socket:
        raw.venue.faults.script("multi_assets")
        (event,) = until(socket, "ACCOUNT_CONFIG_UPDATE")
        assert event["ai"] == {"j": True}
    answer = raw.signed("POST", "/fapi/v1/marginType", symbol=BTC, marginType="ISOLATED")
    assert answer.code == -4168
    balances = {r["asset"]: r["balance"] for r in raw.signed("GET", "/fapi/v3/balance").json}
    assert balances == {"BNFCR": "100000", "USDT": "0", "USDC": "0"}
    assert raw.signed("GET", "/fapi/v1/multiAssetsMargin").json == {"multiAssetsMargin": True}


def test_leverage_and_margin_type_change_by_hand(raw: Raw) -> None:
    raw.market()
    raw.venue.faults.script("leverage", symbol=BTC, leverage=25)
    raw.venue.faults.script("margin_type", symbol=BTC, margin_type="ISOLATED")
    (told,) = raw.signed("GET", "/fapi/v1/symbolConfig", symbol=BTC).json
    assert (told["leverage"], told["marginType"]) == (25, "ISOLATED")


def test_fees_in_another_asset_leave_the_wallet_alone(raw: Raw) -> None:
    raw.venue.faults.script("fees_in", asset="BNB", price="650")
    raw.market()
    (trade,) = raw.signed("GET", TRADES, symbol=BTC).json
    assert (trade["commissionAsset"], D(trade["commission"])) == ("BNB", D("0.005"))
    assert raw.venue.wallet == D(100_000)
    raw.venue.faults.script("fees_in")
    raw.market()
    assert raw.venue.wallet == D(100_000) - D("3.25")


def test_a_contract_in_usdc_is_quoted_charged_and_margined_in_it() -> None:
    for raw in venue_with(symbols={USDC: D(65000)}, wallet_asset="USDC"):
        raw.market(symbol=USDC)
        row = listed(raw)[USDC]
        assert (row["quoteAsset"], row["marginAsset"], row["baseAsset"]) == ("USDC", "USDC", "BTC")
        (trade,) = raw.signed("GET", TRADES, symbol=USDC).json
        assert trade["commissionAsset"] == "USDC"
        balances = {r["asset"]: D(r["balance"]) for r in raw.signed("GET", "/fapi/v3/balance").json}
        assert balances["USDT"] == 0 < balances["USDC"]


def test_an_adl_may_take_a_share(raw: Raw) -> None:
    raw.market(qty="0.4")
    raw.venue.faults.script("adl", symbol=BTC, share="0.25")
    assert raw.venue.position(BTC) == D("0.3")


# -- the past -----------------------------------------------------------------------------------


def test_2013_4166_of_what_is_older_than_90_days_the_venue_tells_nothing(raw: Raw) -> None:
    number = raw.market().json["orderId"]
    raw.venue.faults.script("aged", symbol=BTC, days=100)
    now = raw.venue.account.now_ms()
    old = now - 100 * 86_400_000
    assert raw.signed("GET", ORDER, symbol=BTC, orderId=number).code == -2013
    assert raw.signed("GET", TRADES, symbol=BTC, startTime=old, endTime=old + 1000).code == -4166
    assert raw.signed("GET", TRADES, symbol=BTC).json == []
    (row,) = raw.signed("GET", RISK).json
    assert row["updateTime"] < now - 99 * 86_400_000


def test_an_order_that_came_to_nothing_is_known_for_three_days(raw: Raw) -> None:
    raw.market()
    raw.venue.stop_by_hand(BTC, "SELL", D(60000), D("0.1"), book="orders", client_id="w1")
    raw.venue.cancel_by_hand("w1")
    asked = {"symbol": BTC, "origClientOrderId": "w1"}
    assert raw.signed("GET", ORDER, **asked).status == 200
    raw.venue.faults.script("aged", symbol=BTC, days=4)
    assert raw.signed("GET", ORDER, **asked).code == -2013


def test_a_switch_that_does_not_exist_is_an_error_of_the_test(raw: Raw) -> None:
    with pytest.raises(ValueError, match="there are"):
        raw.venue.faults.script("symbol_missing", symbol=SOL, pieces=["nowhere"])
    with pytest.raises(ValueError, match="there are"):
        raw.venue.faults.script("deny_stops", what=["everything"])
