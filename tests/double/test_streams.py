"""The streams on the venue's paths, in its shapes, and what may go wrong with them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from services.apply_layer.double import Double

from .raw import ALGO, BTC, SOL, D, Raw, config, heard, lines, listening, until


def test_marks_come_at_once_and_every_second(venue: Double) -> None:
    with listening(venue, "/market/ws/btcusdt@markPrice@1s") as socket:
        first = heard(socket)
        assert first["e"] == "markPriceUpdate"
        assert (first["s"], first["p"], first["r"]) == (BTC, "65000", "0.00000000")
        assert abs(first["E"] - venue.account.now_ms()) < 1000
        assert first["T"] % (8 * 3600 * 1000) == 0
        venue.mark(SOL, D(151))
        venue.mark(BTC, D("65100.5"), funding_rate=D("0.0001"))
        moved = heard(socket)
        assert (moved["p"], moved["r"]) == ("65100.5", "0.0001")


def test_marks_are_repeated_while_they_stand() -> None:
    with (
        Double.start(config(mark_every_s=0.02)) as venue,
        listening(venue, "/market/ws/btcusdt@markPrice") as socket,
    ):
        assert [heard(socket)["p"] for _ in range(4)] == ["65000"] * 4


def test_a_combined_stream_puts_each_message_into_an_envelope(venue: Double) -> None:
    path = "/market/stream?streams=btcusdt@markPrice@1s/solusdt@kline_1m"
    with listening(venue, path) as socket:
        told = {message["stream"]: message["data"] for message in (heard(socket), heard(socket))}
    assert told["btcusdt@markPrice@1s"]["p"] == "65000"
    candle = told["solusdt@kline_1m"]["k"]
    assert (candle["i"], candle["o"], candle["c"], candle["x"]) == ("1m", "150", "150", False)


def test_streams_may_be_subscribed_to_and_left(venue: Double) -> None:
    with listening(venue, "/market/ws") as socket:
        asked = {"method": "SUBSCRIBE", "params": ["!markPrice@arr@1s"], "id": 1}
        socket.send(json.dumps(asked))
        assert heard(socket) == {"result": None, "id": 1}
        venue.mark(BTC, D(65_001))
        assert [row["s"] for row in heard(socket)] == [BTC]
        socket.send(json.dumps(asked | {"method": "UNSUBSCRIBE", "id": 2}))
        socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 3}))
        answers = [heard(socket) for _ in range(2)]
        assert answers[-1] == {"result": [], "id": 3}
        socket.send("no json")
        assert heard(socket)["error"]["code"] == 2


def test_a_minute_that_is_over_is_told_as_a_closed_candle() -> None:
    clock = [datetime(2026, 1, 1, 12, 0, 58, tzinfo=UTC).timestamp()]
    with (
        Double.start(config(clock=lambda: clock[0])) as venue,
        listening(venue, "/market/ws/btcusdt@kline_1m") as socket,
    ):
        assert heard(socket)["k"]["x"] is False
        venue.mark(BTC, D(65_300))
        assert heard(socket)["k"]["h"] == "65300"
        clock[0] += 3
        venue.mark(BTC, D(65_200))
        closed, opened = heard(socket)["k"], heard(socket)["k"]
        assert (closed["x"], closed["c"], closed["t"] + 60_000) == (True, "65300", opened["t"])
        assert (opened["x"], opened["o"], opened["c"]) == (False, "65300", "65200")


@pytest.mark.parametrize("path", ["/ws/btcusdt@markPrice@1s", "/stream?streams=btcusdt@markPrice"])
def test_a_retired_path_connects_and_stays_silent(venue: Double, path: str) -> None:
    with listening(venue, path) as retired, listening(venue, "/market" + path) as current:
        heard(current)
        venue.mark(BTC, D(65_001))
        heard(current)
        with pytest.raises(TimeoutError):
            heard(retired, 0.05)


PRIVATE = ["/private/ws/{key}", "/private/ws?listenKey={key}", "/private?listenKey={key}"]


@pytest.mark.parametrize("path", PRIVATE)
def test_a_trade_is_told_on_every_private_path(raw: Raw, path: str) -> None:
    with listening(raw.venue, path.format(key=raw.listen_key())) as socket:
        raw.market(newClientOrderId="e1")
        new, account, trade = until(socket, "ORDER_TRADE_UPDATE")[:1] + [
            heard(socket) for _ in range(2)
        ]
    assert (new["o"]["x"], new["o"]["X"], new["o"]["c"]) == ("NEW", "NEW", "e1")
    told = trade["o"]
    assert (told["x"], told["X"], told["S"], told["ot"]) == ("TRADE", "FILLED", "BUY", "MARKET")
    assert (told["l"], told["z"], told["L"], told["ap"]) == ("0.1", "0.1", "65000", "65000")
    assert (told["n"], told["N"], told["rp"]) == ("3.25000000", "USDT", "0")
    assert told["t"] == raw.signed("GET", "/fapi/v1/userTrades", symbol=BTC).json[0]["id"]
    changed = account["a"]
    assert (changed["m"], changed["B"][0]["a"]) == ("ORDER", "USDT")
    assert D(changed["B"][0]["wb"]) == raw.venue.wallet
    assert [(p["s"], p["pa"], p["ep"]) for p in changed["P"]] == [(BTC, "0.1", "65000")]


def test_a_conditional_order_is_told_from_its_acceptance_to_its_end(raw: Raw) -> None:
    raw.market()
    with listening(raw.venue, f"/private/ws/{raw.listen_key()}") as socket:
        raw.stop(clientAlgoId="s1")
        raw.venue.mark(BTC, D(63_900))
        told = [e for e in until(socket, "ACCOUNT_UPDATE") if e["e"] == "ALGO_UPDATE"]
        told += [e for e in until(socket, "ALGO_UPDATE") if e["e"] == "ALGO_UPDATE"]
    assert [e["o"]["X"] for e in told] == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
    new, last = told[0]["o"], told[-1]["o"]
    assert (new["caid"], new["at"], new["o"]) == ("s1", "CONDITIONAL", "STOP_MARKET")
    assert (new["tp"], new["wt"], new["R"], new["cp"]) == ("64000", "MARK_PRICE", True, False)
    assert (new["ai"], last["aq"], last["ap"]) == ("", "0.1", "63900")
    assert last["ai"] == raw.algo("s1")["actualOrderId"]


def test_a_cancel_and_a_rejection_at_the_trigger_are_told_with_the_reason(raw: Raw) -> None:
    raw.market()
    raw.stop(clientAlgoId="s1")
    raw.stop(clientAlgoId="s2")
    raw.venue.faults.script("stop_rejected_at_trigger")
    with listening(raw.venue, f"/private/ws/{raw.listen_key()}") as socket:
        raw.signed("DELETE", ALGO, clientAlgoId="s1")
        raw.venue.mark(BTC, D(63_900))
        cancelled, rejected = (heard(socket)["o"] for _ in range(2))
    assert (cancelled["caid"], cancelled["X"], cancelled["rm"]) == ("s1", "CANCELED", "")
    assert (rejected["caid"], rejected["X"]) == ("s2", "REJECTED")
    assert "rejected" in rejected["rm"]


def test_who_has_no_key_that_holds_hears_nothing(raw: Raw) -> None:
    with listening(raw.venue, "/private/ws/nobody") as socket:
        raw.market()
        with pytest.raises(TimeoutError):
            heard(socket, 0.05)


def test_an_expired_key_is_told_and_then_there_is_silence(raw: Raw) -> None:
    key = raw.listen_key()
    with listening(raw.venue, f"/private/ws/{key}") as socket:
        raw.venue.faults.script("listen_key_expired")
        told = heard(socket)
        assert (told["e"], told["listenKey"]) == ("listenKeyExpired", key)
        raw.market()
        with pytest.raises(TimeoutError):
            heard(socket, 0.05)
    assert raw.plain("PUT", "/fapi/v1/listenKey", key=True).code == -1125


def test_a_key_that_nobody_prolongs_expires_after_its_time() -> None:
    clock = [1_800_000_000.0]
    with Double.start(config(clock=lambda: clock[0], mark_every_s=0.01)) as venue:
        raw = Raw(venue)
        with listening(venue, f"/private/ws/{raw.listen_key()}") as socket:
            clock[0] += 3599
            raw.plain("PUT", "/fapi/v1/listenKey", key=True)
            clock[0] += 3599
            raw.market(timestamp=int(clock[0] * 1000))
            assert heard(socket)["e"] == "ORDER_TRADE_UPDATE"
            clock[0] += 2
            assert until(socket, "listenKeyExpired")


def test_a_dropped_stream_ends_without_a_goodbye_and_may_be_opened_again(raw: Raw) -> None:
    path = f"/private/ws/{raw.listen_key()}"
    with listening(raw.venue, path) as socket:
        raw.venue.faults.script("stream_dropped")
        with pytest.raises(ConnectionClosed):
            heard(socket)
    with listening(raw.venue, path) as socket:
        raw.market()
        assert heard(socket)["e"] == "ORDER_TRADE_UPDATE"


def test_events_are_lost_doubled_and_out_of_order_as_scripted(raw: Raw) -> None:
    def states(*kinds: str) -> list[str]:
        for kind in kinds:
            raw.venue.faults.script(kind)
        raw.stop(clientAlgoId="s1")
        raw.signed("DELETE", ALGO, clientAlgoId="s1")
        raw.stop(clientAlgoId="s2")
        raw.signed("DELETE", ALGO, clientAlgoId="s2")
        got: list[str] = []
        while got[-2:] != ["s2 NEW", "s2 CANCELED"]:
            told = heard(socket)["o"]
            got.append(f"{told['caid']} {told['X']}")
        return got[:-2]

    raw.market()
    with listening(raw.venue, f"/private/ws/{raw.listen_key()}") as socket:
        assert states() == ["s1 NEW", "s1 CANCELED"]
        assert states("stream_event_lost") == ["s1 CANCELED"]
        assert states("stream_doubled") == ["s1 NEW", "s1 NEW", "s1 CANCELED"]
        assert states("stream_reordered") == ["s1 CANCELED", "s1 NEW"]
    told = [line["fault"] for line in lines(raw.venue, "fault")]
    assert told == ["stream_event_lost", "stream_doubled", "stream_reordered"]


def test_a_venue_that_is_away_cuts_its_streams_and_opens_none(venue: Double) -> None:
    with listening(venue, "/market/ws/btcusdt@markPrice") as socket:
        heard(socket)
        venue.down()
        with pytest.raises(ConnectionClosed):
            heard(socket)
    with pytest.raises(InvalidHandshake), listening(venue, "/market/ws/btcusdt@markPrice"):
        pass
    venue.up()
    with listening(venue, "/market/ws/btcusdt@markPrice") as socket:
        assert heard(socket)["p"] == "65000"
