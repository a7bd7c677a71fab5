"""The field types of every message: strict to read, canonical to write.

A number is plain ASCII decimal notation and nothing else. `Decimal()` alone would also take `NaN`,
`1e999`, `1_000`, padding and other scripts' digits, so a pattern stands in front of it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

NUMBER_PATTERN = r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?"
INTEGER_PATTERN = r"0|[1-9][0-9]{0,8}"
TIMESTAMP_PATTERN = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|\+00:00)"
)
SYMBOL_PATTERN = r"[A-Z0-9]{2,20}"
ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
#: Shorter, because other ids are made from an intent's.
INTENT_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,55}"

_NUMBER = re.compile(NUMBER_PATTERN)
_INTEGER = re.compile(INTEGER_PATTERN)
_TIMESTAMP = re.compile(TIMESTAMP_PATTERN)
_MAX_DECIMALS = 18


def parse_number(value: object) -> Decimal:
    """Read a number.

    Text must be plain ASCII decimal notation with at most 18 digits on either side of the point.
    Our own code may hand over a `Decimal` or an `int`; a `float` is refused.

    Raises:
        PydanticCustomError: `bad_number`.
    """
    if type(value) is str:
        if _NUMBER.fullmatch(value):
            return Decimal(value)
    elif type(value) is Decimal:
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and exponent >= -_MAX_DECIMALS:
            return value
    elif type(value) is int:
        return Decimal(value)
    raise PydanticCustomError(
        "bad_number", "expected plain decimal notation such as 12.32, at most 18 decimals"
    )


def parse_integer(value: object) -> int:
    """Read a non-negative whole number of at most 9 ASCII digits.

    Raises:
        PydanticCustomError: `bad_number`.
    """
    if type(value) is int:
        return value
    if type(value) is str and _INTEGER.fullmatch(value):
        return int(value)
    raise PydanticCustomError("bad_number", "expected a whole number such as 10")


def parse_flag(value: object) -> bool:
    """Read `true` or `false`.

    Raises:
        PydanticCustomError: `bad_flag`.
    """
    if type(value) is bool:
        return value
    if value == "true":
        return True
    if value == "false":
        return False
    raise PydanticCustomError("bad_flag", "expected true or false")


def parse_timestamp(value: object) -> datetime:
    """Read a moment: RFC 3339 in UTC, such as `2025-06-01T00:00:00.000Z`.

    Raises:
        PydanticCustomError: `bad_timestamp`.
    """
    if type(value) is str:
        if _TIMESTAMP.fullmatch(value):
            try:
                return datetime.fromisoformat(value)
            except ValueError:
                pass
    elif isinstance(value, datetime) and value.utcoffset() == timedelta(0):
        return value.astimezone(UTC)
    raise PydanticCustomError(
        "bad_timestamp", "expected RFC 3339 in UTC such as 2025-06-01T00:00:00.000Z"
    )


def format_number(value: Decimal) -> str:
    """Write a number in plain notation, without an exponent."""
    return format(value, "f")


def format_timestamp(value: datetime) -> str:
    """Write a moment as RFC 3339, UTC, with milliseconds."""
    return (
        f"{value.year:04}-{value.month:02}-{value.day:02}T"
        f"{value.hour:02}:{value.minute:02}:{value.second:02}.{value.microsecond // 1000:03}Z"
    )


def _number_schema(description: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "pattern": f"^(?:{NUMBER_PATTERN})$", "description": description}
    )


def _write(value: Any) -> Any:
    return value if value is None else format_number(value)


_READ_NUMBER = BeforeValidator(parse_number)
_WRITE_NUMBER = PlainSerializer(_write, return_type=str)

Number = Annotated[Decimal, _READ_NUMBER, _WRITE_NUMBER, _number_schema("a decimal number")]
Positive = Annotated[
    Decimal, Field(gt=0), _READ_NUMBER, _WRITE_NUMBER, _number_schema("a number above 0")
]
NonNegative = Annotated[
    Decimal, Field(ge=0), _READ_NUMBER, _WRITE_NUMBER, _number_schema("a number, 0 or above")
]
UnitInterval = Annotated[
    Decimal, Field(ge=0, le=1), _READ_NUMBER, _WRITE_NUMBER, _number_schema("a number from 0 to 1")
]
FundingRate = Annotated[
    Decimal,
    Field(ge=-1, le=1),
    _READ_NUMBER,
    _WRITE_NUMBER,
    _number_schema("a fraction per funding interval, from -1 to 1"),
]
Leverage = Annotated[
    int,
    Field(ge=1, le=125),
    BeforeValidator(parse_integer),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,3}$", "description": "1 to 125"}),
]
_READ_FLAG = BeforeValidator(parse_flag)
_WRITE_FLAG = PlainSerializer(lambda value: "true" if value else "false", return_type=str)
Flag = Annotated[
    bool, _READ_FLAG, _WRITE_FLAG, WithJsonSchema({"type": "string", "enum": ["true", "false"]})
]
#: The two that may hold only one value: an entry's and an exit's `reduceOnly`.
AlwaysFalse = Annotated[
    Literal[False], _READ_FLAG, _WRITE_FLAG, WithJsonSchema({"type": "string", "const": "false"})
]
AlwaysTrue = Annotated[
    Literal[True], _READ_FLAG, _WRITE_FLAG, WithJsonSchema({"type": "string", "const": "true"})
]
Timestamp = Annotated[
    datetime,
    BeforeValidator(parse_timestamp),
    PlainSerializer(format_timestamp, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": f"^{TIMESTAMP_PATTERN}$"}),
]
Symbol = Annotated[str, Field(pattern=f"^{SYMBOL_PATTERN}$")]
Id = Annotated[str, Field(pattern=f"^{ID_PATTERN}$")]
IntentId = Annotated[str, Field(pattern=f"^{INTENT_ID_PATTERN}$")]
Source = Annotated[str, Field(pattern="^[a-z][a-z0-9_.-]{0,31}$")]
Text = Annotated[str, Field(max_length=512)]
