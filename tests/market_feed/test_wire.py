"""What the venue writes is read whole and exactly, or refused with the field and the reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.market_feed.binance.wire import Malformed, read_candles, read_event, streams
from services.market_feed.events import Mark, MinuteEnded, Refused
from services.market_feed.klines import Candle

D = Decimal
AT = datetime(2026, 11, 24, 12, 0, 1, 3000, UTC)
AT_MS = 1_795_521_601_003
NOON_MS = 1_795_521_600_000
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

MARK = {
    "e": "markPriceUpdate",
    "E": AT_MS,
    "s": "BTCUSDT",
    "p": "64123.50000000",
    "ap": "64123.41",
    "P": "64120.1",
    "i": "64119.9",
    "r": "-0.00012500",
    "T": 1_795_536_000_000,
}
KLINE = {
    "e": "kline",
    "E": NOON_MS + 60_002,
    "s": "BTCUSDT",
    "k": {"t": NOON_MS, "T": NOON_MS + 59_999, "s": "BTCUSDT", "i": "1m", "x": True, "c": "1"},
}
ROW = [NOON_MS, "100", "103", "99.5", "101", "0", NOON_MS + 59_999, "0", 60, "0", "0", "0"]


def event(fields: dict[str, Any]) -> str:
    return json.dumps({"stream": "any", "data": fields})


def test_both_streams_of_each_symbol_are_asked_for_on_the_routed_path() -> None:
    assert streams(["BTCUSDT", "1000PEPEUSDT"]) == (
        "/market/stream?streams=btcusdt@markPrice@1s/btcusdt@kline_1m"
        "/1000pepeusdt@markPrice@1s/1000pepeusdt@kline_1m"
    )


def test_a_mark_is_read_to_the_last_digit() -> None:
    assert read_event(event(MARK)) == Mark("BTCUSDT", AT, D("64123.5"), D("-0.000125"))
    assert read_event(json.dumps(MARK)) == read_event(event(MARK))


@pytest.mark.parametrize("rate", ["", None])
def test_a_contract_without_funding_has_no_rate(rate: str | None) -> None:
    mark = read_event(event(MARK | {"r": rate}))
    assert isinstance(mark, Mark)
    assert mark.funding_rate is None


def test_the_end_of_a_minute_is_read_and_its_course_is_not() -> None:
    assert read_event(event(KLINE)) == MinuteEnded("BTCUSDT", NOON)
    assert read_event(event(KLINE | {"k": KLINE["k"] | {"x": False}})) is None  # type: ignore[operator]
    assert read_event(event(KLINE | {"k": KLINE["k"] | {"i": "5m"}})) is None  # type: ignore[operator]


@pytest.mark.parametrize("other", [{"result": None, "id": 1}, {"e": "aggTrade", "s": "BTCUSDT"}])
def test_what_does_not_concern_a_feed_is_passed_over(other: dict[str, Any]) -> None:
    assert read_event(json.dumps(other)) is None


BAD_PRICES = ("0", "-1", "NaN", "Infinity", "1e5", "1_000", " 1", "٣", "", "1" * 19)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("p", price) for price in (*BAD_PRICES, None, 64.5, 64, ["1"])),
        *(("E", time) for time in (0, -1, str(AT_MS), 1.5, 10**13, None, True)),
        *(("r", rate) for rate in ("1.1", "-2", "x", "NaN", 0.0001)),
        *(("s", symbol) for symbol in (7, None, ["BTCUSDT"])),
    ],
    ids=str,
)
def test_a_mark_with_one_bad_field_is_refused_whole(field: str, value: Any) -> None:
    refused = read_event(event(MARK | {field: value}))
    assert isinstance(refused, Refused)
    assert refused.symbol == ("" if field == "s" else "BTCUSDT")
    assert refused.reason


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"data": 7}', '{"e": "kline", "k": 1}'])
def test_what_is_no_event_is_refused(text: str) -> None:
    assert isinstance(read_event(text), Refused)


def test_candles_are_read_in_their_order() -> None:
    next_row = [ROW[0] + 60_000, *ROW[1:6], ROW[6] + 60_000, *ROW[7:]]  # type: ignore[operator]
    first, second = read_candles("BTCUSDT", [ROW, next_row])
    closes = NOON + timedelta(milliseconds=59_999)
    assert first == Candle("BTCUSDT", NOON, closes, D(100), D(103), D("99.5"), D(101), D(0))
    assert second.open_time == NOON + timedelta(minutes=1)
    assert read_candles("BTCUSDT", []) == []


def changed(**cells: Any) -> list[Any]:
    names = ("opens", "open", "high", "low", "close", "volume", "closes")
    return [*(cells.get(name, ROW[index]) for index, name in enumerate(names)), *ROW[7:]]


@pytest.mark.parametrize(
    "rows",
    [
        {"code": -1121},
        None,
        ["row"],
        [ROW[:6]],
        [ROW, ROW],
        *([changed(open=price)] for price in (*BAD_PRICES, 100, 99.6)),
        [changed(high="100.9")],
        [changed(low="100.1")],
        [changed(opens=NOON_MS + 1, closes=NOON_MS + 60_000)],
        [changed(closes=NOON_MS + 299_999)],
        [changed(opens=str(NOON_MS))],
    ],
    ids=str,
)
def test_an_answer_with_one_bad_candle_is_refused_whole(rows: Any) -> None:
    with pytest.raises(Malformed):
        read_candles("BTCUSDT", rows)
