"""Deliberate defects: small changes of the real code that a life makes to itself before it begins.

They show that the checker can fail: each breaks something that the design forbids, and the gauntlet
has to find it. Nothing but the gauntlet uses them, and only in a process of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: The seeds that a defect is tried on where it names none.
SEEDS = tuple(range(1, 21))


@dataclass(frozen=True, slots=True)
class Defect:
    """A switch: `apply` changes the code of this process; `breaks` are the invariants at stake."""

    name: str
    breaks: tuple[int, ...]
    apply: Callable[[], None]
    seeds: tuple[int, ...] = SEEDS


DEFECTS: dict[str, Defect] = {}
