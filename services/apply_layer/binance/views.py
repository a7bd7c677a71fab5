"""A view of the account: as it is handed out, and in the making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.held import Held, PositionState
from services.apply_layer.binance.ledger import Bookmark, TradesRead
from services.apply_layer.exchange import Quarantine, VenuePosition, VenueSnapshot


@dataclass(frozen=True, slots=True)
class View:
    """What a look brought: trades and funding first, then how things stand.

    `bookmarks` has the newest trade of each symbol that is told with it, `states` and `stops` how
    its position and its conditional orders stood. `later` are symbols whose trades are still to be
    read.
    """

    facts: tuple[object, ...]
    snapshot: VenueSnapshot
    bookmarks: Mapping[str, Bookmark]
    states: Mapping[str, PositionState]
    stops: Mapping[str, frozenset[str]]
    later: frozenset[str] = frozenset()
    funding_until: datetime | None = None


@dataclass(slots=True)
class Look:
    """A view in the making."""

    purpose: Purpose
    held: Held
    wallet: Decimal
    unread: dict[str, Quarantine] = field(default_factory=dict)
    facts: list[object] = field(default_factory=list)
    positions: list[VenuePosition] = field(default_factory=list)
    bookmarks: dict[str, Bookmark] = field(default_factory=dict)
    stops: dict[str, frozenset[str]] = field(default_factory=dict)
    later: set[str] = field(default_factory=set)
    trades: Mapping[str, TradesRead] = field(default_factory=dict)
    pasts_read: int = 0
