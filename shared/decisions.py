"""What goes into a decider and what comes out of it: plain values, so that it can be pure.

`decide(state, received, policy)` returns the new state and a sequence of outputs. An output is a
message (it goes to its stream), one of the values below, or a request to the outside world that
the daemon's wiring knows how to perform; the outcome of a request comes back as an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, Literal, TypeVar

E = TypeVar("E")


class Mode(StrEnum):
    """The operator's switch. RUN: all. EXITS_ONLY: no entries. HALT: no plan is executed at all.

    Protection is no plan: a position without a stop gets one in every mode.
    """

    RUN = "RUN"
    EXITS_ONLY = "EXITS_ONLY"
    HALT = "HALT"

    @classmethod
    def of(cls, text: str | None) -> Mode:
        """Read the switch; absent means RUN, a word that is none of the three EXITS_ONLY."""
        if text is None:
            return cls.RUN
        return cls(text) if text in cls.__members__ else cls.EXITS_ONLY


@dataclass(frozen=True, slots=True)
class Received(Generic[E]):
    """An event and when it arrived: `received_at` is the clock here, read by the runner.

    Within a life it does not follow the wall clock when that is set, unless messages show that it
    was set right (`ClockSet`).
    """

    event: E
    received_at: datetime
    mode: Mode = Mode.RUN


@dataclass(frozen=True, slots=True)
class Produced(Generic[E]):
    """A message that a producer outside the suite wrote to its own stream; `producer` names it."""

    producer: str
    message: E


@dataclass(frozen=True, slots=True)
class ClockSet:
    """An event: the clock that `received_at` comes from was put right, by this much.

    Nothing is known any more of how long ago a time was that is kept.
    """

    by: timedelta


@dataclass(frozen=True, slots=True)
class Record:
    """A hash for people to read, replaced whole; `fields=None` removes it."""

    key: str
    fields: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The message in hand can be read but must not be acted on; it goes to the dead letters."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the log, written once the decision that it tells of is committed."""

    event: str
    fields: Mapping[str, object] = field(default_factory=dict)
    level: Literal["info", "warning", "error"] = "info"
