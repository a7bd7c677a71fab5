"""The past of positions that nobody here remembers, read backwards a page at a time.

Protection does not wait for it. The venue answers for a week at a time, and for ninety days at
most; what it does not reach stays unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.apply_layer.binance.answers import Meaning
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, VenueError
from services.apply_layer.binance.ledger import PAGE, Ledger
from services.apply_layer.binance.quarantine import SymbolUnread
from services.apply_layer.binance.rows import TradeRow
from services.apply_layer.exchange import OrderFilled, Past, VenuePosition
from services.apply_layer.history import opening_of, past_of
from shared.log import logger

_WEEK = timedelta(days=7)
#: The venue's ninety days, less an hour for clocks that differ.
_REACH = timedelta(days=90) - timedelta(hours=1)


@dataclass(slots=True)
class _Walk:
    """`until` is how far back it has read; `onward` a number from which a full page goes on."""

    position: VenuePosition
    rows: dict[int, TradeRow] = field(default_factory=dict)
    until: datetime | None = None
    onward: int | None = None


class Pasts:
    """One walk for each position whose past is wanted."""

    def __init__(self, client: Client, ledger: Ledger) -> None:
        self._client = client
        self._ledger = ledger
        self._walks: dict[str, _Walk] = {}

    @property
    def wanted(self) -> bool:
        """Whether any past is still to be read."""
        return bool(self._walks)

    def want(self, position: VenuePosition) -> None:
        """Read the past of a position, from now on as it is now."""
        walk = self._walks.get(position.symbol)
        if walk is None or _has_changed(walk.position, position):
            self._walks[position.symbol] = _Walk(position)

    def seen(self, symbol: str, position: VenuePosition | None) -> None:
        """A position as it is now; if it has changed, its walk begins anew with that."""
        if symbol not in self._walks:
            return
        if position is None:
            del self._walks[symbol]
        else:
            self.want(position)

    def step(
        self, purpose: Purpose, symbol: str | None = None
    ) -> tuple[VenuePosition, Past] | None:
        """Read one page of one position's past; the past, once it is known or out of reach.

        Raises:
            VenueError, NoAnswer: this page was not read, and is tried again with the next step.
        """
        walk = self._walks[symbol] if symbol else next(iter(self._walks.values()))
        position = walk.position
        try:
            past = self._step(walk, purpose)
        except SymbolUnread as error:
            logger().warning("past_not_read", symbol=position.symbol, reason=str(error))
            past = _unknown(position)
        except VenueError as error:
            if error.meaning is not Meaning.REFUSED:
                raise
            logger().warning("past_not_read", symbol=position.symbol, reason=str(error))
            past = _unknown(position)
        # Whose turn it was waits for the others.
        del self._walks[position.symbol]
        if past is None:
            self._walks[position.symbol] = walk
            return None
        return position, past

    def _step(self, walk: _Walk, purpose: Purpose) -> Past | None:
        now = self._client.now() + timedelta(milliseconds=self._client.clock_offset_ms)
        symbol = walk.position.symbol
        if walk.onward is not None:
            page = self._ledger.page(symbol, purpose, fromId=walk.onward)
            fresh = [row for row in page if row.id >= (walk.onward or 0)]
            met = any(row.id in walk.rows for row in fresh)
            walk.onward = max(r.id for r in fresh) + 1 if len(page) == PAGE and not met else None
            self._keep(walk, fresh)
        elif walk.until is None:
            page = self._ledger.page(symbol, purpose)
            # The latest ones; of a full page the week is not over.
            walk.until = min((row.time for row in page), default=now) if page else now - _WEEK
            if len(page) < PAGE:
                walk.until = now - _WEEK
            self._keep(walk, page)
        else:
            since = max(walk.until - _WEEK, now - _REACH)
            if since >= walk.until:
                return _unknown(walk.position)
            page = self._ledger.page(symbol, purpose, startTime=_ms(since), endTime=_ms(walk.until))
            walk.onward = max(row.id for row in page) + 1 if len(page) == PAGE else None
            walk.until = since
            self._keep(walk, page)
        return self._told_by(walk, purpose) if walk.onward is None else None

    def _keep(self, walk: _Walk, page: list[TradeRow]) -> None:
        """Trades after the position was seen are told as news; they are no part of its past."""
        last = walk.position.updated_at
        walk.rows |= {row.id: row for row in page if last is None or row.time <= last}

    def _told_by(self, walk: _Walk, purpose: Purpose) -> Past | None:
        rows = [walk.rows[key] for key in sorted(walk.rows)]
        opening = opening_of(walk.position, rows)
        if opening is None:
            return None
        fills = self._ledger.fills(walk.position.symbol, rows[opening:], purpose)
        return past_of(walk.position, fills)


def _has_changed(before: VenuePosition, now: VenuePosition) -> bool:
    return (before.side, before.qty, before.updated_at) != (now.side, now.qty, now.updated_at)


def _unknown(position: VenuePosition) -> Past:
    return Past(position.qty, position.opened_at, known=False)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def with_its_past(position: VenuePosition, trades: Sequence[OrderFilled]) -> VenuePosition:
    """A position with what these trades tell of it, if they reach back to its opening.

    With an older state restored, it may be ours without our remembering it.
    """
    past = past_of(position, trades)
    return replace(position, past=past, opened_at=past.opened_at) if past.known else position
