"""market_feed: when may the next prices of a replay go out, and as what.

Writes market.tick; reads no stream, only how far the readers are. Two paces. With a `speed`, each
instant goes out when its time has come, that many times faster than it was. Without one, a step
(the instants of one minute, at most `max_ticks_ahead` ticks) goes out as soon as every reader is
done with the last and nothing that it set off is under way. Its ticks say so by their source, and
trading_bot, which alone opens positions, takes its turn when all others are done with the step: so
an entry meets the caps after all that the step's prices have closed, never in a race with it. Then
a replay comes out the same however fast the machine is, and an order is filled at the last price of
the step it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.market_feed.replay import Tick
from shared.contracts import LOCKSTEP_SOURCE, REPLAY_SOURCE, MarketTick
from shared.decisions import Received
from shared.streams import BATCH
from shared.symbols import slug

#: How soon to look again whether the readers are done, in seconds.
POLL_S = 0.0003


@dataclass(frozen=True, slots=True)
class Policy:
    """`speed` is market seconds for each second of the wall clock, None for the readers' pace.

    `max_ticks_ahead` bounds how many ticks, over all symbols, may be out and unread.
    """

    speed: Decimal | None = None
    max_ticks_ahead: int = BATCH

    @property
    def step_ticks(self) -> int:
        """How many ticks may go out together: one instant's at a speed."""
        return self.max_ticks_ahead if self.speed is None else 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Where one replay stands; `name` identifies its files."""

    at: datetime


@dataclass(frozen=True, slots=True)
class State:
    """`replays` is by the name of the replay, so that another set of files starts afresh."""

    replays: Mapping[str, Progress] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Anchor:
    """The pair of moments from which a pace is counted: market time and wall clock."""

    market: datetime
    wall: datetime


@dataclass(frozen=True, slots=True)
class Readers:
    """How far the slowest reader of market.tick is behind, and whether trades are under way."""

    ticks_behind: int
    trades_idle: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """The next step of a replay: prices of one or several market times, the last of them `at`."""

    replay: str
    at: datetime
    ticks: tuple[Tick, ...]
    anchor: Anchor
    readers: Readers


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet: ask again in `seconds`."""

    seconds: float


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[object]]:
    """Publish the offered step, or say how long to wait before asking again."""
    offer: Offer = received.event
    if policy.speed is None:
        if offer.readers.ticks_behind or not offer.readers.trades_idle:
            return state, [Wait(POLL_S)]
    elif offer.readers.ticks_behind + len(offer.ticks) > policy.max_ticks_ahead:
        return state, [Wait(0.01)]
    else:
        elapsed = (offer.at - offer.anchor.market) / timedelta(seconds=1)
        due = offer.anchor.wall + timedelta(seconds=elapsed / float(policy.speed))
        early_s = (due - received.received_at).total_seconds()
        if early_s > 0:
            return state, [Wait(min(early_s, 0.2))]
    source = LOCKSTEP_SOURCE if policy.speed is None else REPLAY_SOURCE
    ticks = [_message(tick, received.received_at, source) for tick in offer.ticks]
    return State({**state.replays, offer.replay: Progress(offer.at)}), ticks


def _message(tick: Tick, produced_at: datetime, source: str) -> MarketTick:
    return MarketTick(
        timestamp=tick.at,
        produced_at=produced_at,
        source=source,
        tick_id=f"{slug(tick.symbol)}-{int(tick.at.timestamp() * 1000)}",
        symbol=tick.symbol,
        mark_price=tick.price,
        funding_rate=tick.funding_rate,
    )
