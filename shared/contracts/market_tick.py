"""market.tick: one mark price of one symbol."""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.fields import FundingRate, Id, Price, Symbol
from shared.contracts.message import Message


class MarketTick(Message):
    """A mark price at `timestamp`, in quote units; the funding rate where the source knows it."""

    stream_name: ClassVar[str] = "market.tick"

    tick_id: Id
    symbol: Symbol
    mark_price: Price
    funding_rate: FundingRate | None = None
