"""A view of the account: as it is handed out, and in the making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.held import Held, PositionState
from services.apply_layer.binance.ledger import Bookmark, TradesRead
from services.apply_layer.exchange import Quarantine, Trades, VenuePosition, VenueSnapshot


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

    def without(self, symbols: frozenset[str]) -> View:
        """The view without some symbols, of which more has happened than it can tell."""
        if not symbols:
            return self
        snapshot = self.snapshot
        return replace(
            self,
            facts=tuple(f for f in self.facts if not _is_trade_of(f, symbols)),
            snapshot=replace(
                snapshot,
                positions=tuple(p for p in snapshot.positions if p.symbol not in symbols),
                open_orders=tuple(o for o in snapshot.open_orders if o.symbol not in symbols),
                last_trades={s: t for s, t in snapshot.last_trades.items() if s not in symbols},
                unread=snapshot.unread | symbols,
            ),
            bookmarks={s: mark for s, mark in self.bookmarks.items() if s not in symbols},
            states={s: state for s, state in self.states.items() if s not in symbols},
            later=self.later | symbols,
        )


def _is_trade_of(fact: object, symbols: frozenset[str]) -> bool:
    return isinstance(fact, Trades) and fact.fills[0].symbol in symbols


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
