"""`[market_feed]`: which candle files to replay, and how fast."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from services.market_feed.decider import Policy
from shared.settings import Section
from shared.streams import BATCH


class MarketFeedSettings(Section):
    """`speed` is a factor on real time, or `max`. `until_end` ends the daemon after the last bar.

    A file is a path, or `SYMBOL=path` where the name does not begin with the symbol.
    """

    files: tuple[str, ...] = ()
    speed: Annotated[Decimal, Field(gt=0)] | Literal["max"] = Decimal(1)
    max_ticks_ahead: int = Field(default=BATCH, ge=1, le=BATCH)
    until_end: bool = False

    def policy(self) -> Policy:
        """What the decider goes by."""
        speed = None if self.speed == "max" else Decimal(self.speed)
        return Policy(speed, self.max_ticks_ahead)
