"""What is held: all positions of one call, and those among them that cannot be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.apply_layer.binance.books import Book
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client
from services.apply_layer.binance.endpoints import POSITIONS, read_rows
from services.apply_layer.binance.rows import PositionRow
from services.apply_layer.exchange import MarksSeen, Quarantine

PositionState = tuple[Decimal, datetime] | None


@dataclass(frozen=True, slots=True)
class Held:
    """The positions of one call, by symbol; `unread` are held and cannot be kept, each with why."""

    rows: Mapping[str, PositionRow]
    unread: Mapping[str, Quarantine]
    stops: Book | None = None

    def marks(self, now: datetime) -> MarksSeen:
        """The mark prices of what is held."""
        return MarksSeen({symbol: row.mark_price for symbol, row in self.rows.items()}, now)

    def state_of(self, symbol: str) -> PositionState:
        """What changes whenever something of the symbol was traded."""
        row = self.rows.get(symbol)
        return None if row is None else (row.position_amt, row.update_time)


def read_held(client: Client, purpose: Purpose) -> Held:
    """All positions, in one call. Raises VenueError, NoAnswer."""
    told = read_rows(client, POSITIONS, purpose=purpose)
    unread = {s: Quarantine("unreadable", why) for s, why in told.unreadable.items()}
    rows: dict[str, PositionRow] = {}
    for row in told.rows:
        if not row.position_amt:
            continue
        why = _unkept(row)
        if why is None:
            rows[row.symbol] = row
        else:
            unread[row.symbol] = why
    return Held({s: row for s, row in rows.items() if s not in unread}, unread)


def _unkept(row: PositionRow) -> Quarantine | None:
    """Why a position cannot be kept, if it cannot."""
    if row.position_side != "BOTH":
        return Quarantine(
            "hedge_mode", f"it is held as {row.position_side}: close it in the exchange's app"
        )
    if row.mark_price <= 0 or row.entry_price <= 0:
        return Quarantine(
            "no_mark",
            f"held at entry {row.entry_price} and mark {row.mark_price}, as while it is settled: it"
            " is looked at again every half minute; close it in the exchange's app if it can be",
        )
    return None
