"""Values of the venue's answers, read strictly: numbers, times, ids and flags.

Pure. A number is read from its text, or from the shortest text of a JSON number; what is no number
of a sensible size, no time of this age or no flag does not fit, and the answer is no answer.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError

_PLAIN = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
_SHORTEST = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(e[+-]?[0-9]{1,2})?", re.ASCII)
_MOST = Decimal(10) ** 18
_LATEST_MS = 253_402_300_799_000
_ID_MAX = 10**19


def parse_decimal(value: object) -> Decimal:
    """A finite number below 10^18, from plain text or a JSON number. Raises ValueError."""
    text = str(value) if type(value) in (str, int, float) else ""
    if not (_PLAIN.fullmatch(text) or _SHORTEST.fullmatch(text)):
        raise ValueError("is no number")
    number = Decimal(text)
    if abs(number) >= _MOST:
        raise ValueError("is too large a number")
    return number


def parse_or_zero(value: object) -> Decimal:
    """A number where the venue leaves out what is 0. Raises ValueError."""
    return Decimal(0) if value in (None, "") else parse_decimal(value)


def parse_whole(value: object) -> int:
    """A whole number that is not negative, as JSON or as text. Raises ValueError."""
    if type(value) is int:
        number = value
    elif isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        number = int(value)
    else:
        raise ValueError("is no whole number")
    if not 0 <= number < _ID_MAX:
        raise ValueError("is out of range")
    return number


def parse_moment(value: object) -> datetime:
    """Milliseconds since 1970 as an aware time. Raises ValueError."""
    ms = parse_whole(value)
    if ms > _LATEST_MS:
        raise ValueError("is no time")
    return datetime.fromtimestamp(ms / 1000, UTC)


def parse_flag(value: object) -> bool:
    """A flag, as JSON or as text. Raises ValueError."""
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise ValueError("is neither true nor false")


Number = Annotated[Decimal, BeforeValidator(parse_decimal)]
OrZero = Annotated[Decimal, BeforeValidator(parse_or_zero)]
Positive = Annotated[Decimal, BeforeValidator(parse_decimal), Field(gt=0)]
Whole = Annotated[int, BeforeValidator(parse_whole)]
Moment = Annotated[datetime, BeforeValidator(parse_moment)]
Flag = Annotated[bool, BeforeValidator(parse_flag)]
#: An id, as text whatever the venue writes it as.
Id = Annotated[str, BeforeValidator(lambda value: str(parse_whole(value)))]
#: An order's number; empty where there is no order yet.
ActualId = Annotated[
    str, BeforeValidator(lambda value: "" if value in (None, "") else str(parse_whole(value)))
]
Text = Annotated[str, Field(strict=True, max_length=300)]
Name = Annotated[str, Field(strict=True, min_length=1, max_length=64)]


def reason_of(error: ValidationError) -> str:
    """What does not fit, in a few words: the field and why. Never the value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "answer"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"[:200]
