"""What watcher knows and goes by. Plain values; reads and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.watcher.holding import Holding, Price
from services.watcher.intents import Intents
from services.watcher.sights import Unread
from shared.why.picture import Terms


@dataclass(frozen=True, slots=True)
class Policy:
    """How long anything may stand before it is an alarm; times in seconds of wall clock.

    `symbols` are those that market_feed brings from a live venue. `terms_of` says what ladder and
    which costs hold for a symbol: those of harvest_brain's settings.
    """

    symbols: frozenset[str] = frozenset()
    terms_of: Callable[[str], Terms] = lambda _symbol: Terms()
    rung_within_s: float = 60
    stop_within_s: float = 2
    outcome_within_s: float = 30
    lag_within_s: float = 10
    price_within_s: float = 30
    heartbeat_within_s: float = 15
    barred_within_s: float = 10
    settle_s: float = 10
    read_back_s: float = 3600


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong. `subject` is a symbol, a daemon or a stream, or empty."""

    name: str
    subject: str
    since: datetime
    text: str

    @property
    def field(self) -> str:
        """Its field in `quantum:watch`."""
        return f"{self.name}.{self.subject}" if self.subject else self.name


@dataclass(frozen=True, slots=True)
class State:
    """`started_at` is the first look of all or after an outage; `standing` has alarms by field.

    Prices and positions are by symbol. `beats` has the programs whose last sign of life is ahead of
    the server's clock, each with that time and since when it was seen. `unread` has entries that
    cannot be read and that no reader has put aside yet, with the look that first knew of them;
    `barred` has since when each barrier of the venue was seen.
    """

    started_at: datetime | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    intents: Intents = field(default_factory=Intents)
    held: Mapping[str, Holding] = field(default_factory=dict)
    standing: Mapping[str, Alarm] = field(default_factory=dict)
    beats: Mapping[str, tuple[datetime, datetime]] = field(default_factory=dict)
    unread: Mapping[Unread, datetime | None] = field(default_factory=dict)
    barred: Mapping[str, datetime] = field(default_factory=dict)
