"""Was this decided before? An id names a decision, so the same id again is a repeat or a conflict.

Pure. What is remembered is part of a decider's state: by symbol, the newest last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from shared.contracts import Message, encode
from shared.decisions import DeadLetter

#: Decisions remembered for each symbol.
KEPT = 256


@dataclass(frozen=True, slots=True)
class Seen:
    """A message that was decided, by the id of its decision and by its content."""

    id: str
    digest: str


Memory = Mapping[str, tuple[Seen, ...]]


def remembered(
    memory: Memory, *, symbol: str, id_: str, message: Message
) -> Memory | DeadLetter | None:
    """The memory with this message in it; None for a repeat; a dead letter for a conflict.

    A repeat has the same content, whenever it was produced. An id that came before with other
    content, or for another symbol, is a conflict. `symbol` says whose place is used up.
    """
    mark = Seen(id_, _digest(message))
    for seen in memory.values():
        for earlier in seen:
            if earlier.id == id_:
                if earlier == mark:
                    return None
                return DeadLetter("id_conflict", f"{id_} was decided before with other content")
    return {**memory, symbol: (*memory.get(symbol, ()), mark)[-KEPT:]}


def _digest(message: Message) -> str:
    words = "\0".join(f"{k}={v}" for k, v in encode(message) if k != "produced_at")
    return hashlib.sha256(words.encode()).hexdigest()[:16]
