"""What notifier hears, what it makes of it, and what it keeps. Plain values.

`at` is the moment of what is told, by the server's clock; money is in quote units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, Literal

#: How the handing over of a notice can end.
Handing = Literal["arrived", "refused", "timed_out"]


class Severity(IntEnum):
    """How much it matters. What is URGENT is never filtered, held back at night or summed up."""

    INFO = 0
    WARNING = 1
    URGENT = 2


class Kind(StrEnum):
    """What a person may want to be told of, or not."""

    FILL = "fill"
    RUNG = "rung"
    STOP_HIT = "stop_hit"
    STOP_MOVED = "stop_moved"
    REFUSAL = "refusal"
    LIQUIDATION = "liquidation"
    ADOPTION = "adoption"
    DEAD_LETTER = "dead_letter"
    MODE = "mode"
    VENUE = "venue"
    UNKNOWN_ORDER = "unknown_order"
    ALARM = "alarm"
    GAP = "gap"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Heard:
    """An entry of a stream: its message, a dead letter's fields, or None if it cannot be read."""

    key: str
    id: str
    at: datetime
    message: Any


@dataclass(frozen=True, slots=True)
class Missed:
    """Entries of a stream that were trimmed away before they were heard."""

    key: str
    count: int


@dataclass(frozen=True, slots=True)
class Rewound:
    """A stream ends before where it was heard to: it was mended or emptied, and heard on there."""

    key: str
    end: Cursor


@dataclass(frozen=True, slots=True)
class Looked:
    """The switch and the records as they stand now."""

    mode: str | None
    venue: Mapping[str, str]
    watch: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unseen:
    """The server cannot be asked; says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Began:
    """A start, with everyone who is to be told.

    Who never listened before begins at the `ends` of the streams. `unseen` is what was found out
    before the state could be read: that the server was away.
    """

    receivers: tuple[str, ...]
    ends: Mapping[str, Cursor]
    unseen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of a notice that was being handed over."""

    receiver: str
    how: Handing


@dataclass(frozen=True, slots=True)
class Beat:
    """Time has passed: whatever is due may be told."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a stream was heard: the last entry, and how many there were up to it."""

    id: str = "0-0"
    heard: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """One thing to tell. Of one `topic`, several are told together."""

    kind: Kind
    severity: Severity
    at: datetime
    text: str
    symbol: str | None = None
    topic: str = ""
    realised: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Line:
    """The text of one piece of news."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """News to be told together: how many of each kind, and the first few word by word."""

    severity: Severity
    since: datetime
    until: datetime
    tally: Mapping[Kind, int]
    lines: tuple[Line, ...] = ()
    realised: Decimal = Decimal(0)

    @property
    def count(self) -> int:
        """How many pieces of news."""
        return sum(self.tally.values())


@dataclass(frozen=True, slots=True)
class Notice:
    """What goes to a phone, and the news that it is made of."""

    at: datetime
    title: str
    body: str
    news: Bundle

    @property
    def severity(self) -> Severity:
        """That of the most important news in it."""
        return self.news.severity


@dataclass(frozen=True, slots=True)
class Outbox:
    """What one receiver is still to be told. It cannot grow: news of one topic become one notice.

    `waiting` is told word by word, `summed` in sum. `notice` is on its way (`in_flight`) or is
    tried again at `try_at`. `paced_until` is how far the rate limit is used up, `told_at` when a
    topic was told last.
    """

    waiting: Mapping[str, Bundle] = field(default_factory=dict)
    summed: Bundle | None = None
    summed_at: datetime | None = None
    notice: Notice | None = None
    in_flight: bool = False
    failures: int = 0
    try_at: datetime | None = None
    paced_until: datetime | None = None
    told_at: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """All that notifier remembers; `shown` has the switch and the records as they were told."""

    cursors: Mapping[str, Cursor] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    outboxes: Mapping[str, Outbox] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Hand a notice over; the outcome comes back as `Handed`."""

    receiver: str
    notice: Notice


@dataclass(frozen=True, slots=True)
class Counted:
    """So much news of a kind came to this: `told`, `filtered` or `given_up`."""

    kind: Kind
    outcome: str
    count: int
