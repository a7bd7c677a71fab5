"""Both order books, history and settings behave as those of the venue."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.apply_layer.double import Double, Refused

from .raw import ALGO, BTC, ORDER, SOL, D, Raw, config, lines


def test_a_market_order_is_filled_when_the_answer_says_so(raw: Raw) -> None:
    told = raw.market(newClientOrderId="e1").json
    assert (told["status"], told["executedQty"], told["avgPrice"]) == ("FILLED", "0.1", "65000")
    assert (told["clientOrderId"], told["cumQuote"]) == ("e1", "6500.0")
    acknowledged = raw.market(newOrderRespType="ACK").json
    assert (acknowledged["status"], acknowledged["executedQty"]) == ("NEW", "0")
    assert raw.venue.position(BTC) == D("0.2")


def test_4120_conditional_types_belong_to_the_algo_service(raw: Raw) -> None:
    raw.market()
    for kind in ("STOP_MARKET", "TAKE_PROFIT_MARKET", "STOP", "TRAILING_STOP_MARKET"):
        assert raw.market("SELL", type=kind, stopPrice="64000", reduceOnly="true").code == -4120


def test_orders_that_are_none_are_refused_with_their_code(raw: Raw) -> None:
    assert raw.market("HOLD").code == -1117
    assert raw.market(type="LIMIT", price="1").code == -1116
    assert raw.market(positionSide="LONG").code == -4061
    assert raw.market(closePosition="true").code == -4136
    assert raw.market(qty="0.0001").code == -1111
    assert raw.market(qty="0.001").code == -4164
    assert raw.market(qty="1000").code == -4005
    assert raw.market(qty="40").code == -2019
    assert raw.market("SELL", reduceOnly="true").code == -2022
    assert lines(raw.venue, "order") == []
    assert [line["code"] for line in lines(raw.venue, "refused")] == [
        -1111, -4164, -4005, -2019, -2022,
    ]  # fmt: skip


def test_4005_the_market_lot_may_be_smaller_than_the_lot() -> None:
    with Double.start(config(max_market_qty={BTC: D("0.04")})) as venue:
        raw = Raw(venue)
        assert raw.market(qty="0.05").code == -4005
        assert raw.market(qty="0.04").code == 0
        info = raw.get("/fapi/v1/exchangeInfo").json["symbols"][0]
        filters = {f["filterType"]: f for f in info["filters"]}
        assert filters["MARKET_LOT_SIZE"]["maxQty"] == "0.04"
        assert filters["LOT_SIZE"]["maxQty"] == "120"


def test_4116_an_id_is_taken_while_its_order_is_open_and_free_again_after_that(raw: Raw) -> None:
    assert raw.market(newClientOrderId="e1").code == 0
    assert raw.market(newClientOrderId="e1").code == 0
    assert raw.stop(clientAlgoId="s1").code == 0
    assert raw.stop(clientAlgoId="s1").code == -4116
    assert raw.signed("DELETE", ALGO, clientAlgoId="s1").code == 0
    assert raw.stop(clientAlgoId="s1").code == 0


def test_the_query_by_client_id_finds_the_latest_order_of_that_id(raw: Raw) -> None:
    first, second = (raw.market(newClientOrderId="e1").json["orderId"] for _ in range(2))
    found = raw.signed("GET", ORDER, symbol=BTC, origClientOrderId="e1").json
    assert (first < second, found["orderId"], found["status"]) == (True, second, "FILLED")
    assert raw.signed("GET", ORDER, symbol=BTC, orderId=first).json["orderId"] == first
    assert raw.signed("GET", ORDER, symbol=SOL, origClientOrderId="e1").code == -2013


def test_2013_2011_of_what_the_venue_does_not_know(raw: Raw) -> None:
    raw.market(newClientOrderId="e1")
    assert raw.signed("GET", ORDER, symbol=BTC, origClientOrderId="x").code == -2013
    assert raw.signed("GET", ALGO, clientAlgoId="x").code == -2013
    assert raw.signed("DELETE", ALGO, clientAlgoId="x").code == -2011
    assert raw.signed("DELETE", ORDER, symbol=BTC, origClientOrderId="e1").code == -2011
    assert raw.signed("GET", "/fapi/v1/openOrder", symbol=BTC, origClientOrderId="e1").code == -2013


def test_a_conditional_order_that_triggers_becomes_an_order_with_a_number_of_its_own(
    raw: Raw,
) -> None:
    raw.market()
    stop = raw.stop(clientAlgoId="s1").json
    assert (stop["algoStatus"], stop["actualOrderId"]) == ("NEW", "")
    raw.venue.mark(BTC, D(63_500))
    told = raw.algo("s1")
    assert (told["algoStatus"], told["algoId"]) == ("FINISHED", stop["algoId"])
    became = raw.signed("GET", ORDER, symbol=BTC, orderId=told["actualOrderId"]).json
    assert (became["clientOrderId"], became["type"], became["status"]) == ("s1", "MARKET", "FILLED")
    trade = raw.signed("GET", "/fapi/v1/userTrades", symbol=BTC).json[-1]
    assert str(trade["orderId"]) == told["actualOrderId"]
    assert "clientOrderId" not in trade
    assert D(trade["realizedPnl"]) == D("0.1") * (63_500 - 65_000)
    assert raw.venue.open_algo_orders() == []


def test_a_reduce_only_stop_stays_on_the_book_when_flat_and_is_rejected_when_it_triggers(
    raw: Raw,
) -> None:
    raw.market()
    raw.stop(clientAlgoId="s1")
    raw.market("SELL", reduceOnly="true")
    assert raw.algo("s1")["algoStatus"] == "NEW"
    raw.venue.mark(BTC, D(63_000))
    assert raw.algo("s1")["algoStatus"] == "REJECTED"
    assert raw.venue.position(BTC) == 0


def test_a_stop_that_closes_the_position_has_no_quantity_and_takes_all_of_it(raw: Raw) -> None:
    raw.market()
    assert raw.close_stop(quantity="0.1").code == -4137
    assert raw.close_stop(reduceOnly="true").code == -1106
    assert raw.close_stop(clientAlgoId="s1").json["closePosition"] is True
    raw.market()
    raw.venue.mark(BTC, D(63_900))
    assert raw.venue.position(BTC) == 0
    assert raw.algo("s1")["actualQty"] == "0.2"


def test_4130_there_is_one_stop_of_a_direction_that_closes_the_position(raw: Raw) -> None:
    raw.market()
    assert raw.close_stop().code == 0
    assert raw.close_stop("63000").code == -4130
    assert raw.close_stop("66000", type="TAKE_PROFIT_MARKET").code == 0
    assert raw.stop("63000").code == 0
    assert [line["code"] for line in lines(raw.venue, "refused")] == [-4130]


def test_4130_does_not_ask_which_price_triggers_them(raw: Raw) -> None:
    raw.market()
    assert raw.close_stop(workingType="CONTRACT_PRICE").code == 0
    assert raw.close_stop("63000").code == -4130


def test_a_stop_that_closes_the_position_expires_with_it(raw: Raw) -> None:
    raw.market()
    raw.close_stop(clientAlgoId="s1")
    raw.market("SELL", reduceOnly="true")
    assert raw.algo("s1")["algoStatus"] == "EXPIRED"


def test_2021_a_stop_beyond_the_mark_would_trigger_at_once(raw: Raw) -> None:
    raw.market()
    assert raw.stop("65500").code == -2021
    assert raw.stop("64000.05").code == -4014


def test_who_does_not_ask_for_the_mark_price_is_triggered_by_the_last_price(raw: Raw) -> None:
    raw.market(qty="0.2")
    raw.stop(clientAlgoId="by-mark")
    raw.stop(clientAlgoId="by-last", workingType=None)
    raw.venue.contract(BTC, D(63_900))
    assert raw.algo("by-mark")["algoStatus"] == "NEW"
    assert raw.algo("by-last")["algoStatus"] == "FINISHED"
    assert raw.venue.position(BTC) == D("0.1")
    raw.venue.mark(BTC, D(63_950), contract=D(64_500))
    assert raw.algo("by-mark")["algoStatus"] == "FINISHED"


def test_the_lists_tell_what_stands_and_what_was(raw: Raw) -> None:
    raw.market(newClientOrderId="e1")
    raw.stop(clientAlgoId="s1")
    raw.stop("63000", clientAlgoId="s2")
    hand = raw.venue.stop_by_hand(BTC, "SELL", D(62_000), D("0.1"), book="orders")
    (plain,) = raw.signed("GET", "/fapi/v1/openOrders", symbol=BTC).json
    assert (plain["clientOrderId"], plain["stopPrice"]) == (hand, "62000")
    listed = raw.signed("GET", "/fapi/v1/openAlgoOrders").json
    assert [o["clientAlgoId"] for o in listed] == ["s1", "s2"]
    assert raw.signed("GET", "/fapi/v1/openAlgoOrders", symbol=SOL).json == []
    assert raw.signed("DELETE", "/fapi/v1/algoOpenOrders", symbol=BTC).code == 0
    assert raw.signed("DELETE", ORDER, symbol=BTC, origClientOrderId=hand).code == 0
    assert raw.signed("GET", "/fapi/v1/openOrders").json == []
    everything = raw.signed("GET", "/fapi/v1/allAlgoOrders", symbol=BTC).json
    assert [o["algoStatus"] for o in everything] == ["CANCELED", "CANCELED"]
    orders = raw.signed("GET", "/fapi/v1/allOrders", symbol=BTC).json
    assert [o["status"] for o in orders] == ["FILLED", "CANCELED"]


def test_a_stop_on_the_plain_book_triggers_as_well(raw: Raw) -> None:
    raw.market()
    hand = raw.venue.stop_by_hand(BTC, "SELL", D(64_000), D("0.1"), book="orders")
    raw.venue.mark(BTC, D(64_000))
    told = raw.signed("GET", ORDER, symbol=BTC, origClientOrderId=hand).json
    assert (told["status"], told["executedQty"]) == ("FILLED", "0.1")


def test_trades_are_read_by_number_by_order_and_by_at_most_a_week(raw: Raw) -> None:
    for _ in range(3):
        raw.market()
    path = "/fapi/v1/userTrades"
    ids = [t["id"] for t in raw.signed("GET", path, symbol=BTC).json]
    assert ids == sorted(ids)
    assert [t["id"] for t in raw.signed("GET", path, symbol=BTC, fromId=ids[1]).json] == ids[1:]
    first = raw.signed("GET", path, symbol=BTC, fromId=ids[0], limit=1).json
    assert [t["id"] for t in first] == ids[:1]
    order = first[0]["orderId"]
    assert [t["id"] for t in raw.signed("GET", path, symbol=BTC, orderId=order).json] == ids[:1]
    now, day = raw.venue.account.now_ms(), 86_400_000
    wide = raw.signed("GET", path, symbol=BTC, startTime=now - 8 * day, endTime=now)
    assert wide.code == -1127
    assert raw.signed("GET", path, symbol=BTC, startTime=now - 9 * day).json == []
    assert len(raw.signed("GET", path, symbol=BTC, startTime=now - day).json) == 3
    assert raw.signed("GET", path, symbol=SOL).json == []
    raw.venue.forget_trades(BTC)
    assert raw.signed("GET", path, symbol=BTC, fromId=1).json == []


def test_a_position_tells_when_a_trade_last_changed_it(raw: Raw) -> None:
    raw.market()
    (told,) = raw.signed("GET", "/fapi/v3/positionRisk").json
    (trade,) = raw.signed("GET", "/fapi/v1/userTrades", symbol=BTC).json
    raw.venue.mark(BTC, D(65_100))
    (later,) = raw.signed("GET", "/fapi/v3/positionRisk", symbol=BTC).json
    assert told["updateTime"] == later["updateTime"] == trade["time"]
    assert (later["positionAmt"], D(later["unRealizedProfit"])) == ("0.1", D(10))
    assert len(raw.signed("GET", "/fapi/v2/positionRisk").json) == 2


def test_leverage_and_margin_type_change_as_the_venue_lets_them(raw: Raw) -> None:
    path = "/fapi/v1/leverage"
    assert raw.signed("POST", path, symbol=BTC, leverage=500).code == -4028
    assert raw.signed("POST", path, symbol=BTC, leverage=10).json["leverage"] == 10
    kind = {"symbol": BTC, "marginType": "ISOLATED"}
    assert raw.signed("POST", "/fapi/v1/marginType", **kind).code == 0
    assert raw.signed("POST", "/fapi/v1/marginType", **kind).code == -4046
    raw.market()
    raw.stop()
    assert raw.signed("POST", path, symbol=BTC, leverage=5).code == -4161
    assert raw.signed("POST", path, symbol=BTC, leverage=20).code == 0
    (held,) = raw.signed("GET", "/fapi/v2/positionRisk", symbol=BTC).json
    assert (held["leverage"], held["marginType"]) == ("20", "isolated")
    other = {"symbol": BTC, "marginType": "CROSSED"}
    assert raw.signed("POST", "/fapi/v1/marginType", **other).code == -4047
    raw.signed("DELETE", "/fapi/v1/algoOpenOrders", symbol=BTC)
    assert raw.signed("POST", "/fapi/v1/marginType", **other).code == -4048
    assert raw.signed("GET", "/fapi/v1/symbolConfig", symbol=BTC).json[0]["leverage"] == 20


def test_an_order_may_be_filled_in_several_trades_that_sum_to_it() -> None:
    with Double.start(config(trades_per_order=3)) as venue:
        raw = Raw(venue)
        assert raw.market().json["status"] == "FILLED"
        raw.stop(clientAlgoId="s1")
        venue.mark(BTC, D(63_999))
        told = lines(venue, "trade")
        assert [t["qty"] for t in told] == ["0.033", "0.033", "0.034"] * 2
        assert len({t["order_id"] for t in told}) == 2
        assert [t["position"] for t in told] == ["0.033", "0.066", "0.100", "0.067", "0.034", "0"]
        paid = sum(D(t["realized"]) - D(t["fee"]) for t in told)
        assert D(told[-1]["wallet"]) == venue.wallet == 100_000 + paid
        assert [line["status"] for line in lines(venue, "ended")] == ["FILLED", "FINISHED"]
        assert raw.algo("s1")["actualQty"] == "0.100"
        assert raw.market(qty="0.002").json["executedQty"] == "0.002"
        assert len(lines(venue, "trade")) == 8


def test_a_reduce_only_order_is_cut_to_the_position(raw: Raw) -> None:
    raw.market()
    told = raw.market("SELL", qty="0.5", reduceOnly="true").json
    assert (told["status"], told["executedQty"]) == ("EXPIRED", "0.1")
    assert raw.venue.position(BTC) == 0


def test_a_position_whose_margin_is_gone_is_closed_by_the_venue(raw: Raw) -> None:
    raw.market()
    raw.venue.mark(BTC, D(61_000))
    assert raw.venue.position(BTC) == 0
    (trade,) = lines(raw.venue, "trade", side="SELL")
    assert trade["client_id"].startswith("autoclose-")


def test_funding_is_income_and_changes_the_wallet() -> None:
    clock = [datetime(2026, 1, 1, 7, 59, tzinfo=UTC).timestamp()]
    with Double.start(config(clock=lambda: clock[0])) as venue:
        venue.mark(BTC, D(65_000), funding_rate=D("0.0001"))
        venue.by_hand(BTC, "BUY", D("0.1"))
        before = venue.wallet
        clock[0] += 120
        venue.mark(BTC, D(65_000))
        raw, stamp = Raw(venue), int(clock[0] * 1000)
        (paid,) = raw.signed(
            "GET", "/fapi/v1/income", incomeType="FUNDING_FEE", timestamp=stamp
        ).json
        assert D(paid["income"]) == D("-0.65") == venue.wallet - before
        assert [line["amount"] for line in lines(venue, "funding")] == ["-0.65000000"]


def test_candles_hold_the_marks_and_a_minute_without_one_the_close_before() -> None:
    clock = [60.0 * 30_000_000]
    with Double.start(config(clock=lambda: clock[0])) as venue:
        raw, start = Raw(venue), int(clock[0] * 1000)
        venue.mark(BTC, D(65_200))
        venue.mark(BTC, D(64_900))
        # A mark is in its candle once the server's loop has taken it: a call comes after it.
        raw.get("/fapi/v1/ping")
        clock[0] += 120
        for path in ("klines", "markPriceKlines"):
            asked = {"symbol": BTC, "interval": "1m", "startTime": start}
            rows = raw.get(f"/fapi/v1/{path}", **asked).json
            assert [row[:5] for row in rows] == [
                [start, "65000", "65200", "64900", "64900"],
                [start + 60_000, "64900", "64900", "64900", "64900"],
                [start + 120_000, "64900", "64900", "64900", "64900"],
            ]


def test_what_is_done_by_hand_is_refused_by_the_same_rules(venue: Double) -> None:
    with pytest.raises(Refused, match="-4164"):
        venue.by_hand(BTC, "BUY", D("0.001"))
    name = venue.by_hand(BTC, "BUY", D("0.1"))
    stop = venue.stop_by_hand(BTC, "SELL", D(64_000))
    assert venue.open_algo_orders()[0]["closePosition"] is True
    assert venue.cancel_by_hand(stop)
    assert not venue.cancel_by_hand(name)
    venue.by_hand(BTC, "SELL", D("0.1"), reduce_only=True)
    assert venue.position(BTC) == 0
