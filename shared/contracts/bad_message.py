"""The refusal of a message: a code for machines, and a sentence that names the field for people."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

_NAME_CHARS_MAX = 64

H = TypeVar("H", bound=Hashable)


class BadMessage(Exception):
    """A message that cannot be read: `code` for machines, `detail` for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def shown(name: str | bytes) -> str:
    """A field's name as every log and stream can hold it, whatever was sent: short and ASCII."""
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
    printable = (c if " " <= c <= "~" else ascii(c)[1:-1] for c in text[:_NAME_CHARS_MAX])
    return "".join(printable)[:_NAME_CHARS_MAX] or "(no name)"


def first_repeated(names: Iterable[H]) -> H:
    """The first name that was there before; there must be one."""
    seen: set[H] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("no name is repeated")
