"""Our own code is held to the same rules: whatever it can build, every reader can read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.contracts import MarketTick, Message, decode, encode

from .messages import GOLDEN, Golden, each_golden, flat, places

AT = datetime(2025, 6, 1, 12, 0, 0, 417_000, tzinfo=UTC)
TICK = GOLDEN["market.tick.funded"]
FILL = GOLDEN["apply.result.filled"]


def message_of(golden: Golden) -> Message:
    message: Message = decode(golden.stream.contract, flat(golden.fields))
    return message


def built(golden: Golden, **changed: Any) -> Message:
    """The golden message as our own code builds it, with other values for some fields."""
    return golden.model(**{**vars(message_of(golden)), **changed})


def refused_code(golden: Golden, **changed: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        built(golden, **changed)
    return refused.value.errors()[0]["type"]


def read_back(message: Message) -> Message:
    raw = [(name.encode(), value.encode()) for name, value in encode(message)]
    read: Message = decode(type(message), raw)
    return read


@each_golden
def test_a_message_built_from_values_is_the_one_read_from_text(golden: Golden) -> None:
    assert built(golden) == message_of(golden)
    assert encode(built(golden)) == list(golden.pairs)


@pytest.mark.parametrize(
    "number",
    [
        *(1.5, 1e300, float("nan"), float("inf"), True, b"1", "1e3", " 1", None, [], (0, (1,), 0)),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), Decimal(10) ** 18, 10**18),
        *(Decimal("0.1234567890123456789"), Decimal("1E-19"), Decimal(1) / 3, Decimal("1E+30")),
    ],
    ids=repr,
)
def test_a_float_or_a_number_that_no_reader_would_read_is_refused(number: Any) -> None:
    for golden, name in places(Decimal, int):
        if number is None and not golden.model.model_fields[name].is_required():
            continue
        too_large = type(number) is int and name in golden.fields_of(int)
        code = refused_code(golden, **{name: number})
        assert code == ("out_of_range" if too_large else "bad_number"), (golden.name, name)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("1.20E+2"), "120"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("1E-18"), "0.000000000000000001"),
        (Decimal("104250.10"), "104250.10"),
        (Decimal("123456789012345678.123456789012345678"), "123456789012345678.123456789012345678"),
        (Decimal("999999999999999999.999999999999999999"), "999999999999999999.999999999999999999"),
        (10, "10"),
        (10**18 - 1, "999999999999999999"),
        ("0.50", "0.50"),
    ],
)
def test_a_number_is_written_in_plain_notation_with_all_its_digits(
    number: Any, written: str
) -> None:
    fill = built(FILL, filled_qty=number)
    assert dict(encode(fill))["filled_qty"] == written
    assert read_back(fill) == fill


@given(st.decimals(min_value=Decimal("1e-18"), max_value=10**18 - 1, allow_nan=False))
@settings(max_examples=500, deadline=None)
def test_a_number_that_can_be_built_can_be_read(number: Decimal) -> None:
    if int(number.as_tuple().exponent) < -18:
        assert refused_code(FILL, filled_qty=number) == "bad_number"
    else:
        fill = built(FILL, filled_qty=number)
        assert read_back(fill) == fill


@pytest.mark.parametrize(
    "moment",
    [
        AT.replace(tzinfo=None),
        AT.astimezone(timezone(timedelta(hours=2))),
        AT.date(),
        AT.timestamp(),
        int(AT.timestamp()),
        b"2025-06-01T12:00:00.000Z",
        None,
    ],
    ids=repr,
)
def test_a_moment_that_is_naive_or_of_another_zone_is_refused(moment: Any) -> None:
    for golden, name in places(datetime):
        if moment is not None or golden.model.model_fields[name].is_required():
            assert refused_code(golden, **{name: moment}) == "bad_timestamp"


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(0), "Z")])))
@settings(max_examples=300, deadline=None)
def test_a_moment_has_whole_milliseconds_from_the_start(moment: datetime) -> None:
    tick = built(TICK, timestamp=moment)
    assert tick.timestamp == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert tick.timestamp.tzinfo is UTC
    assert dict(encode(tick))["timestamp"] == f"{moment:%H:%M:%S}".join(
        (f"{moment.date().isoformat()}T", f".{moment.microsecond // 1000:03}Z")
    )
    assert read_back(tick) == tick


@pytest.mark.parametrize(
    ("text", "microsecond"), [("", 0), (".4", 400_000), (".41", 410_000), (".417999", 417_000)]
)
@pytest.mark.parametrize("zone", ["Z", "+00:00"])
def test_a_moment_of_another_producer_may_have_up_to_6_decimals(
    text: str, microsecond: int, zone: str
) -> None:
    fields = TICK.fields | {"timestamp": f"2025-06-01T12:00:00{text}{zone}"}
    tick = decode(MarketTick, flat(fields))
    assert tick.timestamp == AT.replace(microsecond=microsecond)


@pytest.mark.parametrize("leverage", [True, 10.0, Decimal(10), 0, 1001, -1, "10.0"], ids=repr)
def test_a_leverage_is_a_whole_number_from_1_to_1000(leverage: Any) -> None:
    entry = GOLDEN["trade.intent.entry"]
    out_of_range = type(leverage) is int
    code = refused_code(entry, leverage=leverage)
    assert code == ("out_of_range" if out_of_range else "bad_number")


@pytest.mark.parametrize("leverage", [1, 9, 99, 125, 126, 150, 999, 1000])
def test_a_leverage_that_a_venue_states_is_read_as_it_is(leverage: int) -> None:
    entry = built(GOLDEN["trade.intent.entry"], leverage=leverage)
    rules = built(FILL, max_leverage=leverage, position_leverage=leverage)
    assert read_back(entry) == entry
    assert read_back(rules) == rules


@pytest.mark.parametrize("flag", [1, 0, "True", None, b"true"], ids=repr)
def test_a_flag_is_true_or_false_and_not_a_number(flag: Any) -> None:
    assert refused_code(GOLDEN["trade.intent.harvest_25"], reduceOnly=flag) == "bad_flag"
    assert refused_code(GOLDEN["apply.result.filled"], reduceOnly=flag) == "bad_flag"


@pytest.mark.parametrize("text", [b"BTCUSDT", bytearray(b"BTCUSDT"), 5, True, None], ids=repr)
def test_text_is_text_and_neither_bytes_nor_a_number(text: Any) -> None:
    assert refused_code(TICK, symbol=text) == "string_type"
    assert refused_code(TICK, tick_id=text) == "string_type"
    assert refused_code(GOLDEN["trade.intent.entry"], reason=text) == "string_type"


def test_text_that_no_stream_could_hold_is_refused() -> None:
    assert refused_code(GOLDEN["trade.intent.entry"], reason="\ud800").startswith("string_")


def test_a_message_cannot_be_changed() -> None:
    tick = message_of(TICK)
    with pytest.raises(ValidationError):
        setattr(tick, "source", "someone")  # noqa: B010 - the type checker refuses it as well
    with pytest.raises(ValidationError):
        built(TICK, extra="1")
