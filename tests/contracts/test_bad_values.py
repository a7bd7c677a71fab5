"""Bad values, field by field: each is refused with its code and the name of its field.

Each table is tried on every field of that type of every model, as flat fields and as JSON.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal

import pytest

from shared.contracts import decode

from .messages import (
    GOLDEN,
    Golden,
    each_golden,
    flat,
    places,
    refusal,
    wrapped,
    wrapped_with,
)

PRICES = {
    *("mark_price", "entry_price", "stop_loss", "take_profit", "take_profit_2", "take_profit_3"),
    *("avg_price", "tick_size", "position_entry_price", "position_initial_stop"),
    "position_stop_loss",
}
NOT_NUMBERS = {
    "NaN": "NaN",
    "negative NaN": "-NaN",
    "signalling NaN": "sNaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "short infinity": "inf",
    "overflow": "1e999",
    "exponent": "1e3",
    "capital exponent": "1E3",
    "negative exponent": "5e-1",
    "underscore": "1_000",
    "comma": "1,000",
    "arabic digits": "١٢٣",
    "arabic digit behind": "1٢",
    "arabic decimal": "1.٢",
    "full-width digit": "１",
    "superscript": "²",
    "unicode minus": "−1",
    "leading space": " 1",
    "trailing space": "1 ",
    "trailing newline": "1\n",
    "no-break space": "1\u00a0",
    "leading zero": "01",
    "negative leading zero": "-01",
    "two zeros": "00",
    "plus": "+1",
    "two minuses": "--1",
    "empty": "",
    "minus": "-",
    "point": ".",
    "nothing before the point": ".5",
    "nothing behind the point": "1.",
    "two points": "1.2.3",
    "hexadecimal": "0x10",
    "a fraction": "1/2",
    "true": "true",
    "null": "null",
    "nul byte": "1\0",
    "19 digits": "1" * 19,
    "19 decimals": "0." + "1" * 19,
    "5000 digits": "1" * 5000,
}
BARE_NOT_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "1E3", "5e-1", "1" * 19, "1" * 5000]
NOT_MOMENTS = {
    "no zone": "2025-06-01T00:00:00.000",
    "another zone": "2025-06-01T02:00:00.000+02:00",
    "minus zero": "2025-06-01T00:00:00.000-00:00",
    "small z": "2025-06-01T00:00:00.000z",
    "small t": "2025-06-01t00:00:00.000Z",
    "space between": "2025-06-01 00:00:00.000Z",
    "no such day": "2025-02-30T00:00:00.000Z",
    "no leap year": "2025-02-29T00:00:00.000Z",
    "day 0": "2025-06-00T00:00:00.000Z",
    "month 13": "2025-13-01T00:00:00.000Z",
    "year 0": "0000-01-01T00:00:00.000Z",
    "hour 24": "2025-06-01T24:00:00.000Z",
    "minute 60": "2025-06-01T00:60:00.000Z",
    "leap second": "2016-12-31T23:59:60.000Z",
    "10 decimals": "2025-06-01T00:00:00.0000000000Z",
    "7 decimals": "2025-06-01T00:00:00.0000000Z",
    "comma": "2025-06-01T00:00:00,000Z",
    "point alone": "2025-06-01T00:00:00.Z",
    "date": "2025-06-01",
    "week date": "2025-W22-7T00:00:00.000Z",
    "seconds": "1748736000",
    "milliseconds": "1748736000000",
    "arabic digits": "٢٠٢٥-06-01T00:00:00.000Z",
    "trailing newline": "2025-06-01T00:00:00.000Z\n",
    "leading space": " 2025-06-01T00:00:00.000Z",
    "empty": "",
    "very long": "2025-06-01T00:00:00.000Z" * 200,
}
NOT_FLAGS = ["", "True", "TRUE", "1", "0", "yes", " true", "true\n", "truе"]
NOT_SYMBOLS = {
    "lower case": "btcusdt",
    "mixed case": "BTCusdt",
    "trailing newline": "BTCUSDT\n",
    "trailing space": "BTCUSDT ",
    "leading space": " BTCUSDT",
    "cyrillic look-alike": "ВTCUSDT",
    "full-width": "ＢＴＣＵＳＤＴ",
    "full-width digit": "１000PEPE",
    "zero-width space": "BTC\u200bUSDT",
    "combining mark": "BTCU\u0301SDT",
    "slash": "BTC/USDT",
    "dash first": "-BTCUSDT",
    "key of another stream": "BTCUSDT:X",
    "nul byte": "BTCUSDT\0",
    "51 letters": "B" * 51,
    "right-to-left override": "BTC\u202eUSDT",
    "empty": "",
}
NOT_IDS = {
    "space": "a b",
    "newline": "a\n",
    "leading dot": ".a",
    "leading dash": "-a",
    "slash": "a/b",
    "braces": "a{b}",
    "quote": "a'b",
    "star": "a*",
    "umlaut": "ä",
    "arabic digit": "a١",
    "nul byte": "a\0",
    "escape": "\x1b[2J",
    "65 characters": "a" * 65,
    "empty": "",
}
IDS = ("tick_id", "intent_id", "plan_id", "result_id", "position_id")
OF_0_TO_1 = ("confidence", "kill_score", "lsf", "maintenance_margin_rate")
LEVERAGES = ("leverage", "max_leverage", "position_leverage")
POSITIVE = (
    *(
        "mark_price",
        "entry_price",
        "position_size_usd",
        "qty",
        "max_notional",
        "stop_loss",
        "take_profit",
    ),
    *("take_profit_2", "take_profit_3", "tick_size", "lot_step", "filled_qty", "avg_price"),
    *("position_entry_price", "position_initial_stop", "position_stop_loss"),
)
NON_NEGATIVE = (
    *("atr_value", "volatility_factor", "exchange_divergence", "min_qty", "min_notional"),
    *("reduce_only_min_notional", "position_qty", "position_initial_qty"),
    *("position_harvested_qty", "position_unprotected_s"),
)
NUMBERS = places(Decimal, int)


def table(values: dict[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("value", values.values(), ids=values.keys())


def assert_refused_in(golden: Golden, name: str, value: str, code: str) -> None:
    """`value` in the field `name` is refused with `code`, in both forms."""
    for form in (flat, wrapped):
        found = refusal(golden, form(golden.fields | {name: value}))
        assert found == (code, name), (golden.name, form)


def assert_refused(value: str, code: str, *names: str) -> None:
    """Wherever one of the fields `names` stands, `value` in its place is refused with `code`."""
    tried = 0
    for golden in GOLDEN.values():
        for name in (name for name in names if name in golden.fields):
            assert_refused_in(golden, name, value, code)
            tried += 1
    assert tried, "no golden message has such a field"


@table(NOT_NUMBERS)
def test_what_is_no_plain_number_is_refused(value: str) -> None:
    for golden, name in NUMBERS:
        assert_refused_in(golden, name, value, "bad_number")


@pytest.mark.parametrize("literal", BARE_NOT_NUMBERS, ids=lambda literal: literal[:9])
def test_a_bare_json_number_is_read_no_less_strictly(literal: str) -> None:
    for golden, name in NUMBERS:
        assert refusal(golden, wrapped_with(golden, name, literal)) == ("bad_number", name)


@each_golden
def test_a_bare_nan_is_refused_in_a_text_as_well(golden: Golden) -> None:
    raw = wrapped_with(golden, "source", "NaN")
    assert refusal(golden, raw) == ("bad_number", "source")


def test_a_bare_json_number_keeps_every_digit_it_came_with() -> None:
    fill = GOLDEN["apply.result.filled"]
    digits = "123456789012345678.123456789012345678"
    read = decode(fill.stream.contract, wrapped_with(fill, "filled_qty", digits))
    assert read.filled_qty == Decimal(digits)


def test_numbers_out_of_their_range_are_refused() -> None:
    for value in ("0", "-0", "0.000", "-1", "-0.000000000000000001"):
        assert_refused(value, "out_of_range", *POSITIVE)
    for value in ("-1", "-0.000000000000000001"):
        assert_refused(value, "out_of_range", *NON_NEGATIVE)
    for value in ("-0.1", "1.000000000000000001", "2", "999999999999999999"):
        assert_refused(value, "out_of_range", *OF_0_TO_1)
    for value in ("-1.000000000000000001", "1.000000000000000001", "-2"):
        assert_refused(value, "out_of_range", "funding_rate")
    for value in ("0", "1001", "999999999"):
        assert_refused(value, "out_of_range", *LEVERAGES)
    for value in ("1.5", "10.0", "-1", "-0", "1234567890"):
        assert_refused(value, "bad_number", *LEVERAGES)


@pytest.mark.parametrize("value", ["-0.000001", "1.000000000000000001", "2"])
def test_a_tick_tells_a_divergence_as_a_fraction_from_0_to_1(value: str) -> None:
    tick = GOLDEN["market.tick.diverging"]
    assert_refused_in(tick, "exchange_divergence", value, "out_of_range")


def test_every_number_is_in_one_of_the_tables_of_ranges() -> None:
    free = {"r_level", "unrealized_pnl", "fee", "fee_asset_qty", "realized_pnl"}
    free |= {"position_realized_pnl", "position_fees", "funding_rate"}
    listed = free.union(POSITIVE, NON_NEGATIVE, OF_0_TO_1, LEVERAGES)
    assert listed == {name for _, name in NUMBERS}


@table(NOT_MOMENTS)
def test_what_is_no_moment_in_utc_is_refused(value: str) -> None:
    for golden, name in places(datetime):
        assert_refused_in(golden, name, value, "bad_timestamp")


@table({value: value for value in NOT_FLAGS})
def test_what_is_neither_true_nor_false_is_refused(value: str) -> None:
    assert_refused(value, "bad_flag", "reduceOnly")


@table(NOT_SYMBOLS)
def test_a_symbol_that_is_not_an_exact_match_is_refused(value: str) -> None:
    assert_refused(value, "bad_text", "symbol")


@table(NOT_IDS)
def test_an_id_of_bad_characters_or_too_many_is_refused(value: str) -> None:
    assert_refused(value, "bad_text", *IDS)


def test_an_intent_leaves_room_in_its_id_for_the_ids_made_from_it() -> None:
    assert_refused("a" * 57, "bad_text", "intent_id")
    for golden in GOLDEN.values():
        if "intent_id" in golden.fields:
            decode(golden.stream.contract, flat(golden.fields | {"intent_id": "a" * 56}))


@table({"capital": "Feed", "digit first": "1feed", "newline": "feed\n", "33": "f" * 33, "": ""})
def test_a_source_is_a_short_name(value: str) -> None:
    assert_refused(value, "bad_text", "source")


def test_free_text_is_limited() -> None:
    texts = ("reason", "model", "detail", "order_id", "client_order_id", "error_code")
    assert_refused("ö" * 513, "bad_text", *texts)


@table({"lower case": "buy", "look-alike": "ВUY", "empty": "", "padded": "BUY ", "other": "HOLD"})
def test_a_word_that_is_not_on_its_list_is_refused(value: str) -> None:
    words = ("side", "regime", "type", "position_side", "intent_type", "decision", "action")
    assert_refused(value, "unknown_value", *words, "status")


@pytest.mark.parametrize("value", ["null", '"\\ud800"', '["1"]', '{"a": "1"}', "{}"])
def test_a_json_value_that_is_no_scalar_is_refused(value: str) -> None:
    code = {"null": "missing_field", '"\\ud800"': "not_text"}.get(value, "nested")
    for golden in GOLDEN.values():
        for name in ("timestamp", "source", "symbol"):
            assert refusal(golden, wrapped_with(golden, name, value)) == (code, name)


def test_a_bare_true_is_no_number_and_a_bare_1_is_not_true() -> None:
    for golden, name in NUMBERS:
        assert refusal(golden, wrapped_with(golden, name, "true")) == ("bad_number", name)
    for golden, name in places(bool):
        assert refusal(golden, wrapped_with(golden, name, "1")) == ("bad_flag", name)


def test_the_longest_texts_fit_into_a_message() -> None:
    for golden in GOLDEN.values():
        texts = [n for n, v in golden.pairs if n in ("reason", "model", "detail", "error_code")]
        longest = golden.fields | dict.fromkeys(texts, "𝄞" * 512)
        decode(golden.stream.contract, flat(longest))
        assert json.loads(json.dumps(longest)) == longest


@pytest.mark.parametrize("price", ["0.0000000000009", "1000000000", "999999999999999999"])
def test_a_price_that_no_market_has_is_refused(price: str) -> None:
    prices = [(golden, name) for golden, name in places(Decimal) if name in PRICES]
    assert {name for _, name in prices} == PRICES
    for golden, name in prices:
        assert refusal(golden, flat({**golden.fields, name: price})) == ("out_of_range", name)


def test_an_open_position_is_stated_whole() -> None:
    adopted = GOLDEN["apply.result.adopted"]
    for name in ("position_id", "position_side", "position_entry_price", "position_opened_at"):
        fields = {other: value for other, value in adopted.pairs if other != name}
        assert refusal(adopted, flat(fields)) == ("half_a_position", name)
    without_risk = {"position_initial_stop": adopted.fields["position_entry_price"]}
    code = refusal(adopted, flat({**adopted.fields, **without_risk}))
    assert code == ("no_risk", "position_initial_stop")
