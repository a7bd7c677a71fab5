"""The wire form: flat stream fields, or the same fields as JSON in one `payload` field.

Both forms become one flat table of text before anything is validated, so there is one way in.
What cannot be read raises `BadMessage` with a code; nothing is clamped, guessed or half-read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import chain
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from shared.contracts.bad_message import BadMessage, first_repeated, shown
from shared.contracts.message import Message
from shared.contracts.payload import unwrap
from shared.contracts.values import format_flag, format_number, format_timestamp

__all__ = [
    "CODES",
    "MAX_BYTES",
    "MAX_FIELDS",
    "BadMessage",
    "RawFields",
    "decode",
    "encode",
    "text_of",
]

MAX_BYTES = 16 * 1024
#: More than any message has: names cost time even where they hold no bytes.
MAX_FIELDS = 64
WRAPPER = b"payload"

#: Every code of a `BadMessage`; people search for them and alerts are made of them.
CODES = frozenset(
    {
        *("too_large", "not_text", "duplicate_field"),
        *("not_json", "duplicate_key", "nested"),
        *("unknown_version", "missing_field", "unknown_field", "unknown_value"),
        *("bad_number", "bad_flag", "bad_timestamp", "bad_text", "out_of_range"),
        *("bad_size", "half_an_exit", "wrong_side_stop", "wrong_side_target"),
        *("half_a_position", "no_risk"),
    }
)

#: What pydantic calls the errors that it finds itself.
PYDANTIC_CODES = {
    "missing": "missing_field",
    "extra_forbidden": "unknown_field",
    "literal_error": "unknown_value",
    "enum": "unknown_value",
    "union_tag_invalid": "unknown_value",
    "union_tag_not_found": "missing_field",
    "string_pattern_mismatch": "bad_text",
    "string_too_long": "bad_text",
}

RawFields = Sequence[tuple[bytes, bytes]]

#: How a value is written, by its type; the words of a fixed list are text already.
_WRITERS: dict[type, Callable[[Any], str]] = {
    Decimal: format_number,
    datetime: format_timestamp,
    bool: format_flag,
}


def encode(message: Message) -> list[tuple[str, str]]:
    """Write a message as flat stream fields in its model's order; what is absent is left out."""
    return [
        (name, value if type(value) is str else text_of(value))
        for name, value in vars(message).items()
        if value is not None
    ]


def text_of(value: object) -> str:
    """One value of a message as it stands in a stream field."""
    return _WRITERS.get(type(value), str)(value)


def decode(contract: Any, fields: RawFields) -> Any:
    """Read a message of `contract` (a model or a union of models) from raw stream fields.

    Raises:
        BadMessage: with one of `CODES`; the detail names the field.
    """
    if len(fields) > MAX_FIELDS:
        raise BadMessage("too_large", f"message: has at most {MAX_FIELDS} fields")
    if sum(map(len, chain.from_iterable(fields))) > MAX_BYTES:
        raise BadMessage("too_large", f"message: has at most {MAX_BYTES} bytes")
    wrapped = len(fields) == 1 and fields[0][0] == WRAPPER
    flat = unwrap(fields[0][1]) if wrapped else _flatten(fields)
    if flat.get("version") != "1":
        _refuse_version(flat)
    try:
        return _validator(contract)(flat)
    except ValidationError as invalid:
        _refuse(invalid.errors(include_url=False, include_input=False))


@cache
def _validator(contract: Any) -> Callable[[dict[str, str]], Any]:
    return TypeAdapter(contract).validator.validate_python


def _flatten(fields: RawFields) -> dict[str, str]:
    # Decoding all at once is several times faster than word by word.
    try:
        words = b"\0".join(chain.from_iterable(fields)).decode().split("\0")
        if len(words) != 2 * len(fields):  # A word has a NUL of its own.
            words = [word.decode() for word in chain.from_iterable(fields)]
    except UnicodeDecodeError:
        _refuse_bytes(fields)
    flat = dict(zip(words[::2], words[1::2], strict=True))
    if len(flat) != len(fields):
        repeated = first_repeated(name for name, _ in fields)
        raise BadMessage("duplicate_field", f"{shown(repeated)}: is given twice")
    return flat


def _refuse_bytes(fields: RawFields) -> NoReturn:
    """Name the field that is not UTF-8."""
    for name, value in fields:
        try:
            name.decode()
            value.decode()
        except UnicodeDecodeError:
            raise BadMessage("not_text", f"{shown(name)}: is not UTF-8 text") from None
    raise AssertionError("all fields are UTF-8")


def _refuse_version(flat: dict[str, str]) -> NoReturn:
    if "version" not in flat:
        raise BadMessage("missing_field", "version: is missing; this is version 1")
    raise BadMessage("unknown_version", "version: this suite reads version 1")


def _code_of(kind: str) -> str:
    """The code of an error: one of our own, or that of an error which pydantic finds itself."""
    return kind if kind in CODES else PYDANTIC_CODES.get(kind, "bad_text")


def _refuse(errors: list[ErrorDetails]) -> NoReturn:
    """Report the first error and name its field.

    Where a rule spans several fields its error says which one it is about; where the kind of a
    message cannot be told, that is the field which tells it. Nothing of what was sent is repeated
    but the name of a field.
    """
    first = errors[0]
    context, sentence = first.get("ctx", {}), first["msg"]
    if "discriminator" in context:
        field = context["discriminator"].strip("'")
        expected = context.get("expected_tags")
        sentence = f"Input should be one of {expected}" if expected else "Field required"
    else:
        field = context.get("field") or shown(str(first["loc"][-1]))
    detail = f"{field}: {sentence}"
    if len(errors) > 1:
        detail += f" (and {len(errors) - 1} more)"
    raise BadMessage(_code_of(first["type"]), detail)
