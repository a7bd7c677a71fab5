"""The wrapped form of a message: all fields as one JSON object in one `payload` field.

It is turned into the flat form, number by number as it was written, and never looked into deeper
than its first level.
"""

from __future__ import annotations

import json
import re
from typing import Any

from shared.contracts.bad_message import BadMessage, first_repeated, shown
from shared.contracts.values import format_flag

#: Nesting is refused in any case; so much of it, before the parser has to follow it down.
_BRACKETS_MAX = 64
#: A string, or what an unclosed one leaves of the text.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)


class _NotANumber(str):
    """A bare NaN or Infinity, which Python's parser takes for a number."""

    __slots__ = ()


def unwrap(payload: bytes) -> dict[str, str]:
    """Turn a JSON object of scalars into the flat form; a null is a field that is not there.

    Raises:
        BadMessage: `not_text`, `not_json`, `duplicate_key`, `nested`, `bad_number`.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise BadMessage("not_text", "payload: is not UTF-8 text") from None
    _check_depth(text)
    try:
        parsed = json.loads(
            text,
            object_pairs_hook=_only_once,
            parse_float=str,
            parse_int=str,
            parse_constant=_NotANumber,
        )
    except json.JSONDecodeError as broken:
        raise BadMessage("not_json", f"payload: {broken.msg} at character {broken.pos}") from None
    if not isinstance(parsed, dict):
        raise BadMessage("not_json", "payload: must be a JSON object")
    flat = {name: _scalar(name, value) for name, value in parsed.items() if value is not None}
    _check_unicode(flat)
    return flat


def _check_depth(text: str) -> None:
    if _brackets(text) > _BRACKETS_MAX and _brackets(_QUOTED.sub("", text)) > _BRACKETS_MAX:
        raise BadMessage("nested", "payload: is nested too deeply; fields are flat")


def _brackets(text: str) -> int:
    return text.count("[") + text.count("{")


def _only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        repeated = first_repeated(name for name, _ in pairs)
        raise BadMessage("duplicate_key", f"{shown(repeated)}: is given twice")
    return unique


def _scalar(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return format_flag(value)
    if isinstance(value, _NotANumber):
        raise BadMessage("bad_number", f"{shown(name)}: {value} is not a number here")
    if not isinstance(value, str):
        raise BadMessage("nested", f"{shown(name)}: must be text, a number or true/false")
    return value


def _check_unicode(flat: dict[str, str]) -> None:
    """Refuse one half of a surrogate pair, which JSON can spell, in a name or in a value."""
    for name, value in flat.items():
        try:
            f"{name}\n{value}".encode()
        except UnicodeEncodeError:
            raise BadMessage("not_text", f"{shown(name)}: is not Unicode text") from None
