"""What `quantum why` looks at: one symbol's messages, records and queues at one moment.

Plain values; reads and writes nothing. Times of day are the server's clock unless a field says
that it is market time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.formulas import DEFAULT_LADDER, KILL_THRESHOLD, Ladder
from shared.records import Unreadable, moment_of, place


@dataclass(frozen=True, slots=True)
class Said:
    """A message on its stream."""

    id: str
    message: Any

    @property
    def at(self) -> datetime:
        """When the server took it."""
        return moment_of(self.id)


@dataclass(frozen=True, slots=True)
class Queue:
    """What one daemon has not finished of one stream.

    `delivered` is the newest entry it was given, `pending` are those of them that it has not
    finished, `lag` counts what it was not given yet (None where the server cannot count).
    `oldest` is the first unfinished entry, `deliveries` how often it was given that one, and
    `front` what is wrong with it, if it cannot be read. `seen_at` is when the daemon last showed
    itself; `beats` says that it would show itself even if there were nothing to be had.
    """

    stream: str
    group: str
    exists: bool = True
    delivered: str = "0-0"
    pending: frozenset[str] = frozenset()
    lag: int | None = 0
    oldest: str | None = None
    deliveries: int = 0
    front: str = ""
    seen_at: datetime | None = None
    beats: bool = False

    @property
    def waiting(self) -> int:
        """How many entries are not finished, as far as the server can count."""
        return len(self.pending) + (self.lag or 0)

    def finished(self, id_: str) -> bool:
        """Whether the daemon is done with an entry."""
        return self.exists and place(id_) <= place(self.delivered) and id_ not in self.pending


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: entry `id` of `stream`, with the fields that it had where they can be told."""

    letter_id: str
    stream: str
    id: str
    group: str
    code: str
    detail: str
    fields: Mapping[str, str]

    @property
    def at(self) -> datetime:
        """When it was put aside."""
        return moment_of(self.letter_id)


@dataclass(frozen=True, slots=True)
class Order:
    """An order that apply_layer sent and that has no final outcome; in doubt if `doubt` is set."""

    client_order_id: str
    leg: str
    plan_id: str
    action: str
    accepted: bool
    sent_at: datetime | None = None
    trigger_price: Decimal | None = None
    doubt: str = ""
    doubt_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What harvest_brain goes by for this symbol, as the settings at hand have it."""

    ladder: Ladder = DEFAULT_LADDER
    leverage_scaled: bool = False
    cost_bps: Decimal = Decimal(10)
    kill_threshold: float = KILL_THRESHOLD


@dataclass(frozen=True, slots=True)
class Rules:
    """The venue's rules for the symbol as apply_layer has them now, in the words of a result."""

    lot_step: Decimal
    tick_size: Decimal
    min_qty: Decimal
    reduce_only_min_notional: Decimal


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it. `tick` is the symbol's last price (none that was asked for afterwards).

    `last_tick_at` is when the last price of any symbol came, `heartbeats` when each daemon's loop
    was last seen to go round. `position`, `harvest`, `venue` and `watch` are the records, empty
    where there is none. `naked_since` is since when no stop stands. `left_alone` is what is held
    without being adopted. `unreadable` is what stands in the server and makes no sense.
    """

    symbol: str
    now: datetime
    terms: Terms = field(default_factory=Terms)
    mode: str | None = None
    tick: Said | None = None
    last_tick_at: datetime | None = None
    intents: tuple[Said, ...] = ()
    plans: tuple[Said, ...] = ()
    results: tuple[Said, ...] = ()
    letters: tuple[Letter, ...] = ()
    queues: Mapping[tuple[str, str], Queue] = field(default_factory=dict)
    heartbeats: Mapping[str, datetime] = field(default_factory=dict)
    position: Mapping[str, str] = field(default_factory=dict)
    harvest: Mapping[str, str] = field(default_factory=dict)
    venue: Mapping[str, str] = field(default_factory=dict)
    watch: Mapping[str, str] = field(default_factory=dict)
    orders: tuple[Order, ...] = ()
    naked_since: datetime | None = None
    left_alone: Decimal | None = None
    rules: Rules | None = None
    unreadable: tuple[Unreadable, ...] = ()

    def age_s(self, at: datetime) -> float:
        """How long ago a moment was, in seconds."""
        return (self.now - at).total_seconds()
