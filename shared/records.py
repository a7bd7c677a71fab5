"""Ids, records and figures as anybody may have written them: read whole, or told as unreadable.

Pure; reads and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

#: What code that takes a sound document raises at one that makes no sense.
NONSENSE = (
    LookupError, ValueError, TypeError, ArithmeticError, AttributeError, RecursionError,
)  # fmt: skip
#: The last moment that is told of an id; it leaves a day for every zone.
LAST_MOMENT = datetime(9999, 12, 30, tzinfo=UTC)
_LAST_MS = int(LAST_MOMENT.timestamp() * 1000)
#: Digits before and behind the point that a figure of a record may have.
_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that cannot be read: a key, a stream or an entry, and why."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


def reason_of(error: Exception) -> str:
    """Why something makes no sense, in a line."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return f"makes no sense ({type(error).__name__}: {str(error)[:120]})"


def place(id_: str) -> tuple[int, int]:
    """Where an entry stands in its stream, for comparing."""
    ms, _, number = id_.partition("-")
    return int(ms), int(number or 0)


def moment_of(id_: str) -> datetime:
    """When the server took an entry; an id of a far future counts as the last moment there is."""
    return datetime.fromtimestamp(min(place(id_)[0], _LAST_MS) / 1000, UTC)


def figure(text: str) -> Decimal:
    """A figure of a record.

    Raises:
        ValueError, ArithmeticError: it is none, or of no size that could be shown.
    """
    number = Decimal(text)
    if not number.is_finite() or len(text) > 2 * _DIGITS or abs(number.adjusted()) > _DIGITS:
        raise ValueError(f"{text[:40]!r} is no figure")
    return number


def moment(text: str) -> datetime:
    """A moment of a record.

    Raises:
        ValueError: it is none, or without its zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or at > LAST_MOMENT:
        raise ValueError(f"{text[:40]!r} is no moment")
    return at


def pairs(flat: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """An entry's fields, one by one."""
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def texts_of(flat: list[bytes]) -> dict[str, str]:
    """The fields of a hash as text."""
    return {text_of(name): text_of(value) for name, value in pairs(flat)}


def row_of(flat: list[Any]) -> dict[str, Any]:
    """What the server tells in pairs, by name."""
    return {text_of(name): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def text_of(word: bytes) -> str:
    """What may not be text, as text."""
    return str(word, "utf-8", "replace")
