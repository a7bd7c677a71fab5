"""Prices of held symbols whose feed is silent: apply_layer publishes what the venue stated.

So a position outside the feed's symbols is harvested like any other, and harvest goes on when the
feed dies. The venue's mark is a price of its own, so that it confirms as any other tick does.
"""

from __future__ import annotations

from services.apply_layer.contained import contained
from services.apply_layer.exchange import MarksSeen
from services.apply_layer.times import age_s
from services.apply_layer.turn import Turn
from shared.contracts import VENUE_SOURCE, MarketTick
from shared.symbols import slug

#: How long a held symbol's feed must have been silent, in seconds.
SILENT_S = 10.0


def on_marks(turn: Turn, fact: MarksSeen) -> None:
    """Publish a tick for each held symbol of which the feed tells nothing."""
    for symbol, price in sorted(fact.prices.items()):
        position = turn.state.positions.get(symbol)
        if position is None or price <= 0:
            continue
        heard = position.heard_at
        if heard is not None and age_s(turn, heard) < SILENT_S:
            continue
        with contained(turn, symbol):
            at = fact.at.replace(microsecond=fact.at.microsecond // 1000 * 1000)
            turn.outputs.append(
                MarketTick(
                    timestamp=at,
                    produced_at=turn.now,
                    source=VENUE_SOURCE,
                    tick_id=f"{slug(symbol)}.{int(at.timestamp() * 1000)}.venue",
                    symbol=symbol,
                    mark_price=price,
                )
            )
