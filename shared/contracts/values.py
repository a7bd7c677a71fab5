"""How one value of a message is read and written: strict to read, canonical to write.

A number is plain ASCII decimal notation and nothing else. `Decimal()` alone would also take `NaN`,
`1e999`, `1_000`, padding and other scripts' digits, so a pattern stands in front of it. What our
own code puts into a message passes the same gate, so whatever is written can be read again.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from pydantic_core import PydanticCustomError, PydanticKnownError

from shared.symbols import symbol_fault

UNSIGNED_PATTERN = r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?"
NUMBER_PATTERN = f"-?{UNSIGNED_PATTERN}"
INTEGER_PATTERN = r"0|[1-9][0-9]{0,8}"
TIMESTAMP_PATTERN = (
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|\+00:00)"
)

_is_number = re.compile(NUMBER_PATTERN).fullmatch
_is_integer = re.compile(INTEGER_PATTERN).fullmatch
_is_timestamp = re.compile(TIMESTAMP_PATTERN).fullmatch

_DIGITS_MAX = 18
_INT_BOUND = 10**_DIGITS_MAX
_PRICE_MIN, _PRICE_BOUND = Decimal("0.000000000001"), Decimal(1_000_000_000)
#: No venue states more; how much an owner allows is a setting of his.
LEVERAGE_MAX = 1000
_MINUS_ONE, _ZERO, _ONE = Decimal(-1), Decimal(0), Decimal(1)

#: What repeats is read once: a symbol's rules stand in each of its results, all messages of a
#: batch have one `produced_at`, all symbols one market time. Longer text is neither, and is refused
#: before it takes a place in a cache.
_NUMBERS_KEPT, _NUMBER_CHARS_MAX = 4096, 2 * _DIGITS_MAX + 2
_MOMENTS_KEPT, _MOMENT_CHARS_MAX = 1024, 32


def parse_number(value: object) -> Decimal:
    """Read a number.

    Text must be plain ASCII decimal notation with at most 18 digits on either side of the point.
    Our own code may hand over a `Decimal` or an `int` within the same limits, never a `float`.

    Raises:
        PydanticCustomError: `bad_number`.
    """
    if type(value) is str:
        number = _read_number(value) if len(value) <= _NUMBER_CHARS_MAX else None
        if number is not None:
            return number
    elif type(value) is Decimal:
        # Most numbers are short, and short text without an exponent is within the limits.
        text = str(value)
        if len(text) <= _DIGITS_MAX and value.is_finite() and "E" not in text:
            return value
        exponent = value.as_tuple().exponent
        if type(exponent) is int and exponent >= -_DIGITS_MAX and value.adjusted() < _DIGITS_MAX:
            return value
    elif type(value) is int and abs(value) < _INT_BOUND:
        return Decimal(value)
    raise PydanticCustomError(
        "bad_number",
        "expected plain decimal notation such as 12.32, at most 18 digits on either side",
    )


@lru_cache(maxsize=_NUMBERS_KEPT)
def _read_number(text: str) -> Decimal | None:
    return Decimal(text) if _is_number(text) else None


def parse_positive(value: object) -> Decimal:
    """Read a number above 0.

    Raises:
        PydanticCustomError: `bad_number`, `out_of_range`.
    """
    number = parse_number(value)
    if number > _ZERO:
        return number
    raise PydanticCustomError("out_of_range", "must be above 0")


def parse_price(value: object) -> Decimal:
    """Read a price that some market may have: from 0.000000000001 to below a billion.

    Beyond these, what is computed from a price would no longer fit a message.

    Raises:
        PydanticCustomError: `bad_number`, `out_of_range`.
    """
    number = parse_number(value)
    if _PRICE_MIN <= number < _PRICE_BOUND:
        return number
    raise PydanticCustomError("out_of_range", "must be a price from 0.000000000001 to a billion")


def parse_below_one(value: object) -> Decimal:
    """Read a fraction from 0 on and below 1.

    Raises:
        PydanticCustomError: `bad_number`, `out_of_range`.
    """
    number = parse_number(value)
    if _ZERO <= number < _ONE:
        return number
    raise PydanticCustomError("out_of_range", "must be from 0 on and below 1")


def parse_non_negative(value: object) -> Decimal:
    """Read a number from 0 on.

    Raises:
        PydanticCustomError: `bad_number`, `out_of_range`.
    """
    number = parse_number(value)
    if number >= _ZERO:
        return number
    raise PydanticCustomError("out_of_range", "must not be below 0")


def parse_unit_interval(value: object) -> Decimal:
    """Read a number from 0 to 1.

    Raises:
        PydanticCustomError: `bad_number`, `out_of_range`.
    """
    number = parse_number(value)
    if _ZERO <= number <= _ONE:
        return number
    raise PydanticCustomError("out_of_range", "must be from 0 to 1")


def parse_funding_rate(value: object) -> Decimal:
    """Read a fraction from -1 to 1.

    Raises:
        PydanticCustomError: `bad_number`, `out_of_range`.
    """
    number = parse_number(value)
    if _MINUS_ONE <= number <= _ONE:
        return number
    raise PydanticCustomError("out_of_range", "must be from -1 to 1")


def parse_leverage(value: object) -> int:
    """Read a whole number from 1 to 1000.

    Raises:
        PydanticCustomError: `bad_number`, `out_of_range`.
    """
    if type(value) is str and _is_integer(value):
        leverage = int(value)
    elif type(value) is int:
        leverage = value
    else:
        raise PydanticCustomError("bad_number", "expected a whole number such as 10")
    if 1 <= leverage <= LEVERAGE_MAX:
        return leverage
    raise PydanticCustomError("out_of_range", f"must be from 1 to {LEVERAGE_MAX}")


def parse_flag(value: object) -> bool:
    """Read `true` or `false`.

    Raises:
        PydanticCustomError: `bad_flag`.
    """
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise PydanticCustomError("bad_flag", "expected true or false")


def parse_true(value: object) -> Literal[True]:
    """Read `true`, where a message of the kind can hold nothing else.

    Raises:
        PydanticCustomError: `bad_flag`, `unknown_value`.
    """
    if parse_flag(value):
        return True
    raise PydanticCustomError("unknown_value", "is always true in a message of this kind")


def parse_false(value: object) -> Literal[False]:
    """Read `false`, where a message of the kind can hold nothing else.

    Raises:
        PydanticCustomError: `bad_flag`, `unknown_value`.
    """
    if not parse_flag(value):
        return False
    raise PydanticCustomError("unknown_value", "is always false in a message of this kind")


def parse_symbol(value: object) -> str:
    """Read the name of a contract as the venue lists it.

    Raises:
        PydanticCustomError: `bad_text`.
        PydanticKnownError: it is no text, which only our own code can bring about.
    """
    if type(value) is not str:
        raise PydanticKnownError("string_type")
    fault = symbol_fault(value)
    if fault is None:
        return value
    raise PydanticCustomError("bad_text", "{fault}", {"fault": fault})


def parse_timestamp(value: object) -> datetime:
    """Read a moment: RFC 3339 in UTC, such as `2025-06-01T00:00:00.000Z`.

    A moment of a message has whole milliseconds; what is finer is cut off here, for our own
    clocks as for text, so that a message in hand equals the same message read from its stream.

    Raises:
        PydanticCustomError: `bad_timestamp`.
    """
    if type(value) is str:
        moment = _read_moment(value) if len(value) <= _MOMENT_CHARS_MAX else None
        if moment is not None:
            return moment
    elif isinstance(value, datetime):
        if value.tzinfo is UTC:
            return _whole_ms(value)
        if value.utcoffset() == timedelta(0):
            return _whole_ms(value.astimezone(UTC))
    raise PydanticCustomError(
        "bad_timestamp", "expected RFC 3339 in UTC such as 2025-06-01T00:00:00.000Z"
    )


@lru_cache(maxsize=_MOMENTS_KEPT)
def _read_moment(text: str) -> datetime | None:
    if not _is_timestamp(text):
        return None
    try:
        return _whole_ms(datetime.fromisoformat(text))
    except ValueError:  # A day that its month does not have, or the year 0.
        return None


def _whole_ms(moment: datetime) -> datetime:
    finer = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - finer) if finer else moment


def format_number(value: Decimal) -> str:
    """Write a number in plain notation, without an exponent."""
    text = str(value)
    return format(value, "f") if "E" in text else text


@lru_cache(maxsize=_MOMENTS_KEPT)
def format_timestamp(value: datetime) -> str:
    """Write a moment (UTC) as RFC 3339 with milliseconds."""
    return value.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def format_flag(value: bool) -> str:  # noqa: FBT001 - it is the value written, not a switch
    """Write `true` or `false`."""
    return "true" if value else "false"
