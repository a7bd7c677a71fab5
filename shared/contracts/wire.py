"""The wire form: flat stream fields, or the same fields as JSON in one `payload` field.

Both forms become one flat table of text before anything is validated, so there is one way in.
What cannot be read raises `BadMessage` with a code; nothing is clamped, guessed or half-read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from shared.contracts.message import Message

MAX_BYTES = 16 * 1024
WRAPPER = b"payload"

#: pydantic's names for what went wrong, as the reason codes that people and alerts see.
_CODES = {
    "missing": "missing_field",
    "extra_forbidden": "unknown_field",
    "literal_error": "unknown_value",
    "enum": "unknown_value",
    "union_tag_invalid": "unknown_value",
    "union_tag_not_found": "missing_field",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "string_pattern_mismatch": "bad_text",
    "string_too_long": "bad_text",
}

RawFields = Sequence[tuple[bytes, bytes]]


class BadMessage(Exception):
    """A message that cannot be read: `code` for machines, `detail` for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def encode(message: Message) -> list[tuple[str, str]]:
    """Write a message as flat stream fields in its model's order; what is absent is left out."""
    return [(k, v) for k, v in message.model_dump(mode="json").items() if v is not None]


def decode(contract: Any, fields: RawFields) -> Any:
    """Read a message of `contract` (a model or a union of models) from raw stream fields.

    Raises:
        BadMessage: `too_large`, `not_text`, `duplicate_field`, `not_json`, `duplicate_key`,
            `nested`, `unknown_version`, `missing_field`, `unknown_field`, `bad_number`,
            `out_of_range`, `wrong_side_stop` and their like; the detail names the field.
    """
    if sum(len(name) + len(value) for name, value in fields) > MAX_BYTES:
        raise BadMessage("too_large", f"a message has at most {MAX_BYTES} bytes")
    flat = _unwrap(fields[0][1]) if _is_wrapped(fields) else _flatten(fields)
    if "version" not in flat:
        raise BadMessage("missing_field", "version: is missing; this is version 1")
    if flat["version"] != "1":
        raise BadMessage("unknown_version", "version: this suite reads version 1")
    try:
        return _adapter(contract).validate_python(flat)
    except ValidationError as invalid:
        _refuse(invalid.errors(include_url=False, include_context=False, include_input=False))


@cache
def _adapter(contract: Any) -> TypeAdapter[Any]:
    return TypeAdapter(contract)


def _is_wrapped(fields: RawFields) -> bool:
    return len(fields) == 1 and fields[0][0] == WRAPPER


def _flatten(fields: RawFields) -> dict[str, str]:
    try:
        flat = {name.decode(): value.decode() for name, value in fields}
    except UnicodeDecodeError:
        raise BadMessage("not_text", "a field is not UTF-8 text") from None
    if len(flat) != len(fields):
        raise BadMessage("duplicate_field", f"{_repeated(flat, fields)}: is given twice")
    return flat


def _repeated(flat: Iterable[str], fields: RawFields) -> str:
    names = [name.decode() for name, _ in fields]
    return next(name for name in flat if names.count(name) > 1)


def _unwrap(payload: bytes) -> dict[str, str]:
    """Turn a JSON object of scalars into the flat form; numbers keep the digits they came with."""
    try:
        parsed = json.loads(
            payload.decode(),
            object_pairs_hook=_only_once,
            parse_float=str,
            parse_int=str,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError:
        raise BadMessage("not_text", "payload: is not UTF-8 text") from None
    except json.JSONDecodeError as broken:
        raise BadMessage("not_json", f"payload: {broken.msg} at character {broken.pos}") from None
    except RecursionError:
        raise BadMessage("nested", "payload: is nested too deeply; fields are flat") from None
    if not isinstance(parsed, dict):
        raise BadMessage("not_json", "payload: must be a JSON object")
    return {name: _scalar(name, value) for name, value in parsed.items() if value is not None}


def _only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in unique if names.count(name) > 1)
        raise BadMessage("duplicate_key", f"payload: {twice[:64]} is given twice")
    return unique


def _no_constant(name: str) -> NoReturn:
    raise BadMessage("bad_number", f"payload: {name} is not a number here")


def _scalar(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    raise BadMessage("nested", f"payload: {name[:64]} must be text, a number or true/false")


def _refuse(errors: list[ErrorDetails]) -> NoReturn:
    """Report the first error, naming its field; a union's tag is not part of the name."""
    first = errors[0]
    field = str(first["loc"][-1]) if first["loc"] else "message"
    detail = f"{field[:64]}: {first['msg']}"
    if len(errors) > 1:
        detail += f" (and {len(errors) - 1} more)"
    raise BadMessage(_CODES.get(first["type"], first["type"]), detail)
