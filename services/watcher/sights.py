"""What watcher is told: messages as they come, and now and then a look at all that stands.

Plain values; reads and writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.overview.values import Overview
from shared.overview.view import Kept
from shared.why.picture import Letter, Said


@dataclass(frozen=True, slots=True)
class Unread:
    """An entry that breaks its stream's contract, and with which code."""

    stream: str
    id: str
    code: str


@dataclass(frozen=True, slots=True)
class Heard:
    """Entries of the streams; an intent stands before whatever came of it."""

    said: tuple[Said, ...] = ()
    letters: tuple[Letter, ...] = ()
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """All that stands at one moment, by the server's clock.

    `held` are the records of the open positions; of harvest_brain's there is only the ladder that a
    position was opened under. `persistence` is what the server says of its own durability.
    `after_outage` says that the server was away since the last look.
    """

    overview: Overview
    held: Mapping[str, Kept] = field(default_factory=dict)
    persistence: Mapping[str, str] = field(default_factory=dict)
    after_outage: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure, as Prometheus has them: a name, labels and a value in base units."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """Every figure of one look; what is not among them is gone."""

    samples: tuple[Sample, ...]
