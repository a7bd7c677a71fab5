"""`[market_feed]`: a replay of candle files, or a live venue's prices."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.market_feed.decider import Policy
from shared.contracts.fields import Symbol
from shared.settings import Section
from shared.streams import BATCH

#: Two streams for each symbol; the venue takes 1024 on one connection, and an address has limits.
_MOST_SYMBOLS = 200

_LOOPBACK = r"^{}://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{{1,5}})?/?$"


class LiveSettings(Section):
    """`[market_feed.live]`. Times in seconds.

    `network = "testnet"` is the exchange's demo trading. `rest_url` and `ws_url` go together and
    name a double on this machine. `second_venue` is ccxt's id of another exchange, whose price
    tells how far the two are apart; empty asks nobody. A connection without a message for
    `stale_after_s` is replaced, and a price waits no longer than that for a gap to be filled.
    """

    network: Literal["testnet", "production"] = "testnet"
    rest_url: str | None = Field(default=None, pattern=_LOOPBACK.format("http"))
    ws_url: str | None = Field(default=None, pattern=_LOOPBACK.format("ws"))
    second_venue: str = ""
    divergence_every_s: Decimal = Field(default=Decimal(10), ge=1)
    stale_after_s: Decimal = Field(default=Decimal(10), gt=0, le=60)

    @model_validator(mode="after")
    def _one_double(self) -> Self:
        if (self.rest_url is None) != (self.ws_url is None):
            raise ValueError("rest_url and ws_url go together")
        return self


class MarketFeedSettings(Section):
    """`source = "replay"` plays `files`, `source = "binance-usdm"` brings the prices of `symbols`.

    For a replay, `speed` is a factor on real time, or `max`; `until_end` ends the daemon after the
    last bar. A file is a path, or `SYMBOL=path` where the name does not begin with the symbol.
    """

    source: Literal["replay", "binance-usdm"] = "replay"
    files: tuple[str, ...] = ()
    speed: Annotated[Decimal, Field(gt=0)] | Literal["max"] = Decimal(1)
    max_ticks_ahead: int = Field(default=BATCH, ge=1, le=BATCH)
    until_end: bool = False
    symbols: tuple[Symbol, ...] = Field(default=(), max_length=_MOST_SYMBOLS)
    live: LiveSettings = LiveSettings()

    def policy(self) -> Policy:
        """What the decider of a replay goes by."""
        speed = None if self.speed == "max" else Decimal(self.speed)
        return Policy(speed, self.max_ticks_ahead)
