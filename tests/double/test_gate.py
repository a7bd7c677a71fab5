"""Keys, signatures, timestamps and weights are checked as the venue checks them."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlencode

import pytest

from services.apply_layer.double import Double
from services.apply_layer.double.gate import weight_of
from tests.symbols.odd import CHINESE, QUARTERLY

from .raw import ALGO, BTC, ORDER, SOL, D, Raw, config, lines

RISK = "/fapi/v3/positionRisk"


def now_ms(raw: Raw) -> int:
    return raw.venue.account.now_ms()


def test_a_good_signature_is_taken_in_the_query_in_the_body_and_split_over_both(raw: Raw) -> None:
    assert raw.signed("GET", RISK).status == 200
    assert raw.market().status == 200
    query = urlencode({"symbol": BTC, "side": "BUY", "type": "MARKET"})
    body = urlencode({"quantity": "0.1", "timestamp": now_ms(raw)})
    body += "&signature=" + raw.sign(query + body)
    assert raw.plain("POST", ORDER, query, body, key=True).status == 200
    assert raw.venue.position(BTC) == D("0.2")


def test_the_signature_is_of_the_query_as_it_was_sent_percent_signs_and_all(raw: Raw) -> None:
    for symbol in (CHINESE, QUARTERLY):
        text = urlencode({"symbol": symbol, "timestamp": now_ms(raw)})
        signed = f"{text}&signature={raw.sign(text)}"
        assert raw.plain("GET", RISK, signed, key=True).code == -1121
        decoded = f"{text}&signature={raw.sign(unquote(text))}"
        assert raw.plain("GET", RISK, decoded, key=True).code == -1121
    assert len(lines(raw.venue, "signed_decoded")) == 1


def test_1022_a_changed_parameter_breaks_the_signature(raw: Raw) -> None:
    text = urlencode({"symbol": BTC, "timestamp": now_ms(raw)})
    signature = raw.sign(text)
    answer = raw.plain("GET", RISK, f"{text}&limit=1&signature={signature}", key=True)
    assert (answer.status, answer.code) == (400, -1022)


def test_2014_2015_a_key_that_is_none_and_one_of_somebody_else(raw: Raw) -> None:
    raw.key = None
    assert raw.signed("GET", RISK).code == -2014
    raw.key = "not a key!"
    assert raw.signed("GET", RISK).code == -2014
    raw.key = "somebody-elses"
    assert (raw.signed("GET", RISK).status, raw.signed("GET", RISK).code) == (401, -2015)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"timestamp": -6000}, -1021),
        ({"timestamp": 1500}, -1021),
        ({"timestamp": -300, "recvWindow": 200}, -1021),
        ({"timestamp": -6000, "recvWindow": 10_000}, 0),
        ({"timestamp": 500}, 0),
        ({"timestamp": 0, "recvWindow": 60_001}, -1131),
        ({"timestamp": 0, "recvWindow": "x"}, -1102),
    ],
)
def test_1021_1131_a_timestamp_counts_within_its_window_and_a_second_ahead(
    raw: Raw, params: dict[str, Any], code: int
) -> None:
    shifted = params | {"timestamp": now_ms(raw) + params["timestamp"]}
    assert raw.signed("GET", RISK, **shifted).code == code


def test_1102_without_a_timestamp_a_signature_or_a_quantity(raw: Raw) -> None:
    assert raw.signed("GET", RISK, timestamp=None).code == -1102
    assert raw.plain("GET", RISK, f"timestamp={now_ms(raw)}", key=True).code == -1102
    assert raw.market(quantity=None).code == -1102
    assert raw.stop(triggerPrice=None).code == -1102
    assert raw.signed("GET", ORDER, symbol=BTC).code == -1102
    assert raw.signed("GET", "/fapi/v1/userTrades").code == -1102


def test_1100_4015_client_ids_within_the_charset_and_36_characters(raw: Raw) -> None:
    assert raw.market(newClientOrderId="a b").code == -1100
    assert raw.market(newClientOrderId="x" * 37).code == -4015
    assert raw.market(newClientOrderId="autoclose-1").code == -4015
    assert raw.stop(clientAlgoId="é").code == -1100
    assert raw.market(quantity="1e3").code == -1100
    assert raw.market(newClientOrderId=".A:/a0_-" + "z" * 28).status == 200


def test_the_symbol_and_the_endpoint_have_to_exist(raw: Raw) -> None:
    assert raw.market(symbol="NOUSDT").code == -1121
    assert raw.get("/fapi/v1/klines", symbol="NOUSDT", interval="1m").code == -1121
    assert raw.get("/fapi/v1/klines", symbol=BTC, interval="7m").code == -1120
    answer = raw.signed("GET", "/fapi/v1/nowhere")
    assert (answer.status, answer.code) == (404, -5000)


def test_answers_tell_the_weight_and_orders_also_their_counts(raw: Raw) -> None:
    raw.venue.hold_windows()
    before = int(raw.get("/fapi/v1/time").headers["x-mbx-used-weight-1m"])
    risk = raw.signed("GET", RISK)
    answer = raw.market()
    assert int(risk.headers["x-mbx-used-weight-1m"]) == before + 5
    assert int(answer.headers["x-mbx-used-weight-1m"]) == before + 5
    assert "x-mbx-order-count-10s" not in risk.headers
    assert answer.headers["x-mbx-order-count-10s"] == "1"
    assert answer.headers["x-mbx-order-count-1m"] == "1"


@pytest.mark.parametrize(
    ("call", "asked", "weight"),
    [
        ("GET /fapi/v1/openOrders", {}, 40),
        ("GET /fapi/v1/openOrders", {"symbol": BTC}, 1),
        ("GET /fapi/v1/openAlgoOrders", {}, 40),
        ("GET /fapi/v1/openAlgoOrders", {"symbol": BTC}, 1),
        ("GET /fapi/v3/positionRisk", {}, 5),
        ("GET /fapi/v1/premiumIndex", {}, 10),
        ("GET /fapi/v1/premiumIndex", {"symbol": BTC}, 1),
        ("GET /fapi/v1/klines", {"limit": "99"}, 1),
        ("GET /fapi/v1/klines", {"limit": "100"}, 2),
        ("GET /fapi/v1/klines", {}, 5),
        ("GET /fapi/v1/klines", {"limit": "1500"}, 10),
        ("GET /fapi/v1/userTrades", {"symbol": BTC}, 5),
        ("GET /fapi/v1/income", {}, 30),
        ("GET /fapi/v1/order", {"symbol": BTC}, 1),
        ("POST /fapi/v1/order", {"symbol": BTC}, 0),
        ("POST /fapi/v1/algoOrder", {"symbol": BTC}, 0),
        ("DELETE /fapi/v1/algoOrder", {"symbol": BTC}, 1),
    ],
)
def test_a_call_weighs_what_the_venue_says(call: str, asked: dict[str, str], weight: int) -> None:
    assert weight_of(call, asked) == weight


def test_windows_that_are_held_do_not_end_and_free_ones_do() -> None:
    clock = [60.0 * 30_000_000 + 59]
    with Double.start(config(clock=lambda: clock[0])) as venue:
        raw = Raw(venue)

        def used() -> int:
            return int(raw.get("/fapi/v1/ping").headers["x-mbx-used-weight-1m"])

        venue.hold_windows()
        before = used()
        clock[0] += 120
        assert used() == before + 1
        venue.free_windows()
        assert used() == 1


def test_429_over_the_weight_with_retry_after_and_418_for_who_goes_on() -> None:
    # A clock that stands in the middle of a minute: the window cannot turn over meanwhile.
    clock = 60.0 * 30_000_000 + 30
    tight = config(weight_limit=20, ban_after=2, ban_s=90, clock=lambda: clock)
    with Double.start(tight) as venue:
        raw = Raw(venue)
        answers = [raw.get("/fapi/v1/ping") for _ in range(24)]
        assert [answer.status for answer in answers] == [200] * 20 + [429, 429, 418, 418]
        assert answers[20].code == -1003
        assert answers[20].headers["retry-after"] == "30"
        assert answers[22].headers["retry-after"] == "90"
        venue.pardon()
        assert raw.get("/fapi/v1/ping").status == 200


def test_1015_over_the_order_counts_orders_alone_are_refused() -> None:
    clock = 60.0 * 30_000_000 + 30
    with Double.start(config(order_limit_10s=2, clock=lambda: clock)) as venue:
        raw = Raw(venue)
        stamp = int(clock * 1000)
        codes = [raw.market(timestamp=stamp).code for _ in range(3)]
        assert codes == [0, 0, -1015]
        assert raw.signed("GET", RISK, timestamp=stamp).status == 200
        assert raw.stop(timestamp=stamp).headers["retry-after"] == "10"


def test_listen_keys_need_the_key_and_no_signature(raw: Raw) -> None:
    key = raw.listen_key()
    assert raw.listen_key() == key
    assert raw.plain("PUT", "/fapi/v1/listenKey", key=True).json == {"listenKey": key}
    assert raw.plain("DELETE", "/fapi/v1/listenKey", key=True).status == 200
    assert raw.plain("PUT", "/fapi/v1/listenKey", key=True).code == -1125
    assert raw.plain("POST", "/fapi/v1/listenKey").code == -2014
    assert raw.listen_key() != key


def test_the_ledger_tells_every_call_and_neither_key_nor_signature(raw: Raw) -> None:
    raw.market(newClientOrderId="e1")
    raw.signed("GET", ORDER, symbol=SOL, origClientOrderId="e1")
    first, second = lines(raw.venue, "request")
    assert first["params"]["newClientOrderId"] == "e1"
    assert "signature" not in first["params"]
    assert (first["http"], first["code"], first["fault"]) == (200, 0, "")
    assert (second["http"], second["code"]) == (400, -2013)
    assert raw.venue.config.api_key not in str(raw.venue.ledger)


def test_the_account_that_the_settings_describe() -> None:
    rights = {"enableWithdrawals": True}
    with Double.start(config(permissions=rights, hedge_mode=True, fee_burn=True)) as venue:
        raw = Raw(venue)
        told = raw.signed("GET", "/sapi/v1/account/apiRestrictions").json
        assert (told["enableWithdrawals"], told["enableFutures"]) == (True, True)
        assert raw.signed("GET", "/fapi/v1/positionSide/dual").json == {"dualSidePosition": True}
        assert raw.signed("GET", "/fapi/v1/feeBurn").json == {"feeBurn": True}
        assert raw.market().code == -4061
        assert raw.signed("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false").code == 0
        assert raw.market().code == 0
        assert raw.stop(workingType="INDEX").code == -1102
        assert raw.signed("POST", ALGO, symbol=BTC).code == -1102
