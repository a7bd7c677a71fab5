"""The field types of every message, each with its reader, its writer and its JSON Schema."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from shared.contracts.values import (
    NUMBER_PATTERN,
    TIMESTAMP_PATTERN,
    UNSIGNED_PATTERN,
    format_flag,
    format_number,
    format_timestamp,
    parse_below_one,
    parse_false,
    parse_flag,
    parse_funding_rate,
    parse_leverage,
    parse_non_negative,
    parse_number,
    parse_positive,
    parse_price,
    parse_symbol,
    parse_timestamp,
    parse_true,
    parse_unit_interval,
)
from shared.symbols import SYMBOL_PATTERN

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
#: Shorter, because other ids are made from an intent's.
INTENT_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,55}"
SOURCE_PATTERN = r"[a-z][a-z0-9_.-]{0,31}"


def _text(pattern: str, description: str, **more: str) -> WithJsonSchema:
    schema = {"type": "string", "pattern": f"^(?:{pattern})$", "description": description}
    return WithJsonSchema(schema | more)


#: The ranges as patterns, for producers in other languages. "-0" is 0 everywhere, hence the look
#: ahead for a digit behind the minus.
_POSITIVE_PATTERN = f"(?=.*[1-9]){UNSIGNED_PATTERN}"
_NON_NEGATIVE_PATTERN = f"(?!-.*[1-9]){NUMBER_PATTERN}"
_TO_ONE_PATTERN = r"-?(?:0(?:\.[0-9]{1,18})?|1(?:\.0{1,18})?)"
_UNIT_INTERVAL_PATTERN = f"(?!-.*[1-9]){_TO_ONE_PATTERN}"
_PRICE_PATTERN = r"(?=[1-9]|0\.[0-9]{0,11}[1-9])(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,18})?"
_BELOW_ONE_PATTERN = r"(?!-.*[1-9])-?0(?:\.[0-9]{1,18})?"
_LEVERAGE_PATTERN = r"[1-9][0-9]{0,2}|1000"

_WRITE_NUMBER = PlainSerializer(format_number, return_type=str)
_WRITE_FLAG = PlainSerializer(format_flag, return_type=str)

Number = Annotated[
    Decimal, PlainValidator(parse_number), _WRITE_NUMBER, _text(NUMBER_PATTERN, "a number")
]
Price = Annotated[
    Decimal,
    PlainValidator(parse_price),
    _WRITE_NUMBER,
    _text(_PRICE_PATTERN, "a price, from 0.000000000001 to below a billion"),
]
BelowOne = Annotated[
    Decimal,
    PlainValidator(parse_below_one),
    _WRITE_NUMBER,
    _text(_BELOW_ONE_PATTERN, "a number from 0 on and below 1"),
]
Positive = Annotated[
    Decimal,
    PlainValidator(parse_positive),
    _WRITE_NUMBER,
    _text(_POSITIVE_PATTERN, "a number above 0"),
]
NonNegative = Annotated[
    Decimal,
    PlainValidator(parse_non_negative),
    _WRITE_NUMBER,
    _text(_NON_NEGATIVE_PATTERN, "a number, 0 or above"),
]
UnitInterval = Annotated[
    Decimal,
    PlainValidator(parse_unit_interval),
    _WRITE_NUMBER,
    _text(_UNIT_INTERVAL_PATTERN, "a number from 0 to 1"),
]
FundingRate = Annotated[
    Decimal,
    PlainValidator(parse_funding_rate),
    _WRITE_NUMBER,
    _text(_TO_ONE_PATTERN, "a fraction per funding interval, from -1 to 1"),
]
Leverage = Annotated[
    int,
    PlainValidator(parse_leverage),
    PlainSerializer(str, return_type=str),
    _text(_LEVERAGE_PATTERN, "a whole number from 1 to 1000"),
]
Flag = Annotated[
    bool,
    PlainValidator(parse_flag),
    _WRITE_FLAG,
    WithJsonSchema({"type": "string", "enum": ["true", "false"]}),
]
#: The two that may hold only one value: an entry's and an exit's `reduceOnly`.
AlwaysFalse = Annotated[
    Literal[False],
    PlainValidator(parse_false),
    _WRITE_FLAG,
    WithJsonSchema({"type": "string", "const": "false"}),
]
AlwaysTrue = Annotated[
    Literal[True],
    PlainValidator(parse_true),
    _WRITE_FLAG,
    WithJsonSchema({"type": "string", "const": "true"}),
]
Timestamp = Annotated[
    datetime,
    PlainValidator(parse_timestamp),
    PlainSerializer(format_timestamp, return_type=str),
    _text(TIMESTAMP_PATTERN, "a moment in UTC, RFC 3339", format="date-time"),
]
Symbol = Annotated[
    str,
    PlainValidator(parse_symbol),
    _text(
        SYMBOL_PATTERN,
        "a contract as the venue lists it, 1 to 50 characters: letters, digits, _ - and ., no ASCII"
        " lower case; composed (NFC), nothing invisible, nothing that imitates ASCII",
    ),
]
#: pydantic's own patterns: `$` is the end of the text there, never before a last line break.
Id = Annotated[str, Field(strict=True, pattern=f"^{ID_PATTERN}$")]
IntentId = Annotated[str, Field(strict=True, pattern=f"^{INTENT_ID_PATTERN}$")]
Source = Annotated[str, Field(strict=True, pattern=f"^{SOURCE_PATTERN}$")]
Text = Annotated[str, Field(strict=True, max_length=512)]
