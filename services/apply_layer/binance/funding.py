"""Funding that was settled, read now and then, from the last that was told on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.endpoints import INCOME, read_rows
from services.apply_layer.exchange import FundingPaid
from shared.log import logger

_EVERY_S = 600.0
_NAME = "venue/funding_until"
_PAGE = 1000


class Funding:
    """How far funding was told is a document of apply_layer's own state."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._until: datetime | None = None
        self._kept = True
        self._due_at = 0.0

    def restore(self, documents: Mapping[str, bytes]) -> None:
        """Take back how far it was told."""
        if _NAME in documents:
            self._until = datetime.fromtimestamp(int(documents[_NAME]) / 1000, UTC)

    def documents(self) -> dict[str, bytes]:
        """How far it was told, if that is news."""
        if self._kept or self._until is None:
            return {}
        self._kept = True
        return {_NAME: str(int(self._until.timestamp() * 1000)).encode()}

    def told(self, until: datetime | None) -> None:
        """Funding up to a moment is being handed out."""
        if until is not None:
            self._until, self._kept = until, False

    def paid(self, now: datetime, monotonic_s: float) -> list[FundingPaid]:
        """Funding settled since it was last told; from the first look on."""
        if self._until is None:
            self._until, self._kept = now, False
        if monotonic_s < self._due_at:
            return []
        self._due_at = monotonic_s + _EVERY_S
        since = self._until + timedelta(milliseconds=1)
        asked = {
            "incomeType": "FUNDING_FEE",
            "startTime": int(since.timestamp() * 1000),
            "limit": _PAGE,
        }
        try:
            told = read_rows(self._client, INCOME, asked, purpose=Purpose.HISTORY)
        except (VenueError, NoAnswer) as error:
            # It is told with a later round; a view must not fail for want of it.
            logger().warning("funding_not_read", reason=str(error))
            return []
        return [FundingPaid(row.symbol, row.income, row.time) for row in told.rows if row.symbol]
