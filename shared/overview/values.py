"""The values of an overview. Plain; reads and writes nothing.

Prices in quote units, quantities in base units, R net of costs. Times are aware: those that end in
`_at` are the server's clock or the writer's wall clock unless a field says that it is market time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from shared.decisions import Mode
from shared.records import Unreadable
from shared.sides import PositionSide
from shared.why.rungs import RungState


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of a position. `qty` is what it adds to what the rungs before it take.

    `away_pct` is how far the price still has to go in the position's favour, in percent of it.
    """

    name: str
    r_level: Decimal
    price: Decimal
    qty: Decimal
    state: RungState
    away_pct: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """An open position. `stop_loss` is None while no stop stands; `naked_since` is since when.

    `mark_price` is the newest price that is known, `r_net` the R there and `stop_r` the R at the
    stop: what is sure. `stop_away_pct` is how far the price is from the stop, in percent of it.
    `opened_at`, `updated_at` and `evaluated_at` are market time; the last, the kill score, what is
    awaited and `refusals` are harvest_brain's and None or empty until it has seen the position.
    """

    symbol: str
    position_id: str
    side: PositionSide
    qty: Decimal
    initial_qty: Decimal
    harvested_qty: Decimal
    entry_price: Decimal
    mark_price: Decimal
    initial_stop: Decimal | None
    stop_loss: Decimal | None
    stop_r: Decimal | None
    stop_away_pct: Decimal | None
    naked_since: datetime | None
    targets: tuple[Decimal, ...]
    leverage: int
    r_net: Decimal
    r_max: Decimal
    risk_per_unit: Decimal
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    fees: Decimal
    funding: Decimal
    rungs: tuple[Rung, ...]
    kill_score: Decimal | None
    kill_threshold: float
    kill_parts: Mapping[str, Decimal]
    awaiting: tuple[str, ...]
    refusals: int
    opened_at: datetime
    updated_at: datetime
    evaluated_at: datetime | None

    @property
    def naked(self) -> bool:
        """Whether no stop stands."""
        return self.stop_loss is None


@dataclass(frozen=True, slots=True)
class Group:
    """How far one daemon is behind on one stream.

    `lag` counts what it was not given yet, None where the server cannot count. `oldest_age_s` is
    how long its first unfinished entry has been waiting.
    """

    daemon: str
    exists: bool
    lag: int | None = 0
    pending: int = 0
    oldest_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream; `dead` counts its dead letters."""

    name: str
    length: int
    last_at: datetime | None
    dead: int
    groups: tuple[Group, ...]


DaemonState = Literal["up", "lost", "off"]


@dataclass(frozen=True, slots=True)
class Daemon:
    """One program by its heartbeat. `lost` has stopped beating; `off` never ran and need not."""

    name: str
    state: DaemonState
    at: datetime | None = None
    age_s: float | None = None
    started_at: datetime | None = None
    pid: int | None = None
    host: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What watcher says is wrong; `subject` is a symbol, stream or daemon, or empty."""

    name: str
    subject: str
    since: datetime | None
    text: str


@dataclass(frozen=True, slots=True)
class Watch:
    """What watcher says, and whether it still looks: else no alarm does not mean that all is well.

    `stale` has not looked for a while; `off` never did.
    """

    state: Literal["looking", "stale", "off"]
    seen_at: datetime | None = None
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True)
class Venue:
    """Whether the venue takes entries, by code why not, and the orders that are in doubt.

    `entries` is empty until apply_layer has looked at the venue. `stops_refused` says by symbol in
    the venue's words why a position stands naked, `quarantined` why a symbol is left alone, with
    its code first, and `over_cap` what is held beyond its caps.
    """

    entries: Literal["open", "barred", ""] = ""
    barriers: Mapping[str, str] = field(default_factory=dict)
    unknown_orders: Mapping[str, str] = field(default_factory=dict)
    stops_refused: Mapping[str, str] = field(default_factory=dict)
    quarantined: Mapping[str, str] = field(default_factory=dict)
    over_cap: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Price:
    """The newest price of a symbol: `at` is when it came, `market_at` its market time."""

    symbol: str
    mark_price: Decimal
    at: datetime
    market_at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a stream in a line; `name` is the id of its plan, else of its intent.

    What cannot be read as a message is told as such, without symbol and name.
    """

    stream: str
    id: str
    at: datetime
    symbol: str
    line: str
    name: str = ""
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Overview:
    """All of it at one moment, `now` by the server's clock.

    `mode_text` is what the switch holds, None if it was never turned; a word that is no mode counts
    as EXITS_ONLY. `events` are the newest first. `unreadable` names what makes no sense.
    """

    now: datetime
    mode: Mode
    mode_text: str | None
    positions: tuple[Position, ...]
    streams: tuple[Stream, ...]
    daemons: tuple[Daemon, ...]
    venue: Venue
    watch: Watch
    prices: Mapping[str, Price]
    events: tuple[Event, ...]
    unreadable: tuple[Unreadable, ...] = ()
