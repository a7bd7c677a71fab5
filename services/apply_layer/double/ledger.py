"""The double's own record: one JSON line for each fact, written where the fact happens.

A checker reads it without asking the code that it judges. Writes the file that it is given, and
keeps the lines in memory.
"""

from __future__ import annotations

import json
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    raise TypeError(f"a ledger line cannot hold {value!r}")


def plain(value: Decimal) -> str:
    """A number as the venue writes it: no exponent; the zeros that it has stay."""
    return format(value, "f")


class Ledger:
    """Lines in the order of the facts. `n` counts from 1, `t` is wall time in seconds."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8") if path is not None else None
        self.lines: list[dict[str, Any]] = []

    def write(self, kind: str, **fields: object) -> None:
        """Append a fact and flush it."""
        with self._lock:
            line = {"n": len(self.lines) + 1, "t": time.time(), "kind": kind, **fields}
            text = json.dumps(line, default=_text)
            self.lines.append(json.loads(text))
            if self._file is not None:
                self._file.write(text + "\n")
                self._file.flush()

    def close(self) -> None:
        """Close the file; nothing is written after that."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
