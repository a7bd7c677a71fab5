"""market.tick: one mark price of one symbol."""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.fields import FundingRate, Id, Price, Symbol, UnitInterval
from shared.contracts.message import Message

#: The source of a price that was asked for afterwards, to fill a gap: nobody may trade at it.
HISTORY_SOURCE = "market_feed.history"
#: The source of a price of recorded candles, which is taken as it is (shared/formulas/confirmed).
REPLAY_SOURCE = "market_feed.replay"
#: The same of a replay that waits for its readers: each step is over before the next begins.
LOCKSTEP_SOURCE = "market_feed.lockstep"
#: The source of a mark that the venue stated of a held symbol whose feed is silent: a position is
#: harvested by it, and nothing is opened.
VENUE_SOURCE = "apply_layer"


class MarketTick(Message):
    """A mark price at `timestamp`, in quote units; the funding rate where the source knows it.

    `exchange_divergence` is how far another exchange's price was from this one, as a fraction;
    it stands only on the first tick after it was measured.
    """

    stream_name: ClassVar[str] = "market.tick"

    tick_id: Id
    symbol: Symbol
    mark_price: Price
    funding_rate: FundingRate | None = None
    exchange_divergence: UnitInterval | None = None

    @property
    def recorded(self) -> bool:
        """Whether it is a price of recorded candles, to be taken as it is."""
        return self.source in (REPLAY_SOURCE, LOCKSTEP_SOURCE)
