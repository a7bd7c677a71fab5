"""Cases as JSON, read strictly: decimal numbers, known names, no duplicates, a limit on everything.

Reads lines of bytes, writes nothing. Numbers become Decimal without passing through float.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import BinaryIO, TypeVar

MAX_LINE_BYTES = 65_536
MAX_NUMBER_CHARS = 64
MAX_MAGNITUDE = 30
"""Numbers from 1e-30 up to below 1e31: wider than any market, narrow enough to compute with."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")

Case = Mapping[str, object]
Choice = TypeVar("Choice", bound=StrEnum)


class Malformed(Exception):
    """A case that cannot be computed: `code` for programs, `detail` for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def read_lines(source: BinaryIO) -> Iterator[bytes]:
    """Lines without blank ones; of a line over the limit a start that `parse_case` refuses."""
    while line := source.readline(MAX_LINE_BYTES + 1):
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = source.readline(MAX_LINE_BYTES + 1)
        if line.strip():
            yield line


def parse_case(line: bytes) -> Case:
    """One JSON object, its numbers as Decimal.

    Raises Malformed: too_long, not_json, not_an_object, duplicate_key, bad_number.
    """
    if len(line) > MAX_LINE_BYTES:
        raise Malformed("too_long", f"a line holds at most {MAX_LINE_BYTES} bytes")
    try:
        case = json.loads(
            line.decode("utf-8"),
            parse_float=parse_decimal,
            parse_int=parse_decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError:
        raise Malformed("not_json", "the line is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Malformed("not_json", f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise Malformed("not_json", "nested too deeply") from None
    if not isinstance(case, dict):
        raise Malformed("not_an_object", "a line holds one JSON object")
    return case


def parse_decimal(literal: str) -> Decimal:
    """A finite number in JSON's own notation. Raises Malformed (bad_number) for anything else."""
    if len(literal) > MAX_NUMBER_CHARS or not _NUMBER.fullmatch(literal):
        raise Malformed("bad_number", f"{_shown(literal)} is not a plain decimal number")
    number = Decimal(literal)
    if abs(number.adjusted()) > MAX_MAGNITUDE:
        raise Malformed("bad_number", f"{_shown(literal)} is out of range")
    return number


def check_names(case: Case, *, required: frozenset[str], optional: frozenset[str]) -> None:
    """Raises Malformed (unknown_field, missing_field) unless the names are as asked."""
    unknown = sorted(case.keys() - required - optional)
    if unknown:
        raise Malformed("unknown_field", ", ".join(_shown(name) for name in unknown))
    missing = sorted(required - case.keys())
    if missing:
        raise Malformed("missing_field", ", ".join(missing))


def number(case: Case, name: str, default: Decimal | None = None) -> Decimal:
    """A number, given as one or as a string in the same notation. Raises Malformed (bad_number)."""
    value = case.get(name, default)
    if isinstance(value, str):
        try:
            return parse_decimal(value)
        except Malformed as error:
            raise Malformed(error.code, f"{name}: {error.detail}") from None
    if not isinstance(value, Decimal):
        raise Malformed("bad_number", f"{name}: must be a number")
    return value


def positive(case: Case, name: str) -> Decimal:
    """A number above 0. Raises Malformed (bad_number)."""
    value = number(case, name)
    if value <= 0:
        raise Malformed("bad_number", f"{name}: must be positive")
    return value


def not_negative(case: Case, name: str) -> Decimal:
    """A number from 0 on. Raises Malformed (bad_number)."""
    value = number(case, name)
    if value < 0:
        raise Malformed("bad_number", f"{name}: must not be negative")
    return value


def none_or(read: Callable[[Case, str], Decimal], case: Case, name: str) -> Decimal | None:
    """None where the name is absent or null, otherwise what `read` makes of it."""
    return None if case.get(name) is None else read(case, name)


def choice(case: Case, name: str, choices: type[Choice], default: Choice | None = None) -> Choice:
    """A member of `choices` by its exact value. Raises Malformed (bad_value)."""
    value = case.get(name, default)
    for member in choices:
        if value == member.value:
            return member
    raise Malformed("bad_value", f"{name}: must be one of {', '.join(choices)}")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    case: dict[str, object] = {}
    for name, value in pairs:
        if name in case:
            raise Malformed("duplicate_key", _shown(name))
        case[name] = value
    return case


def _refuse_constant(literal: str) -> object:
    raise Malformed("bad_number", f"{literal} is not a finite number")


def _shown(text: str) -> str:
    return repr(text if len(text) <= MAX_NUMBER_CHARS else f"{text[:MAX_NUMBER_CHARS]}...")
