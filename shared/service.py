"""What makes one daemon, as the runner takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shared.decisions import Received
from shared.outside import Outside
from shared.streams import Stream

S = TypeVar("S")
P = TypeVar("P")


@dataclass(frozen=True)
class Service(Generic[S, P]):
    """What makes one daemon: its state, its decision and how its outputs show in its metrics."""

    name: str
    state: type[S]
    decide: Callable[[S, Received[Any], P], tuple[S, Sequence[object]]]
    policy: P
    outside: Outside | None = None
    #: Whether the decision depends on the operator's switch, which is then read for each batch.
    obeys_mode: bool = False
    measure: Callable[[object], None] = lambda _output: None
    #: Streams of producers outside the suite, each of one.
    producers: tuple[Stream, ...] = ()
    #: Whether it takes its turn last in each step of a replay that waits for its readers.
    comes_last: bool = False
