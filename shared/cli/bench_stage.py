"""What the runner costs: one whole stage against the barest loop that keeps the same promises.

Both read 100 messages, acknowledge them and write 100 in one atomic commit. The bare loop uses the
client alone and sends words prepared beforehand: it reads nothing of a message, decides nothing and
validates nothing. The stage is the runner as the daemons run it, with a decider that only passes
on. Both are measured in turn on the same server in the same run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from redis import Redis

from shared.bus import RedisBus, connect, load_library
from shared.bus.client import call
from shared.bus.port import Commit
from shared.bus.redis import commit_words
from shared.contracts import AwaitingExitsPlan, EntryIntent, MarketTick, Message, encode
from shared.decisions import Received
from shared.formulas import Regime
from shared.runner import Runner, Service
from shared.session import flat
from shared.sides import Side
from shared.streams import APPLY_PLAN, BATCH, BY_NAME, MARKET_TICK, TRADE_INTENT, Stream, state_key

NOW = datetime(2025, 6, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class State:
    """A pass-through remembers nothing."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One kind of stage: the daemon whose group reads, what it reads and what it makes of it."""

    name: str
    daemon: str
    message: Message
    answer: Callable[[Any, datetime], Message]


@dataclass(frozen=True, slots=True)
class Figures:
    """Rates in messages a second, medians over the rounds; `ratio` is the stage's to the bare."""

    name: str
    stage: float
    bare: float
    ratio: float


def tick_to_tick(tick: MarketTick, at: datetime) -> MarketTick:
    """A price in, a message of a price's size out."""
    return MarketTick(
        timestamp=tick.timestamp,
        produced_at=at,
        source="bench",
        tick_id=tick.tick_id,
        symbol=tick.symbol,
        mark_price=tick.mark_price,
        funding_rate=tick.funding_rate,
    )


def intent_to_plan(intent: EntryIntent, at: datetime) -> AwaitingExitsPlan:
    """An entry in, its plan out."""
    return AwaitingExitsPlan(
        timestamp=intent.timestamp,
        produced_at=at,
        source="intent_bridge",
        plan_id=f"plan.{intent.intent_id}",
        intent_id=intent.intent_id,
        decision="AWAITING_EXITS",
        action="ENTRY_PROPOSED",
        symbol=intent.symbol,
        side=intent.side,
        qty=intent.qty or Decimal(1),
        leverage=intent.leverage,
        entry_price=intent.entry_price,
        tick_size=Decimal("0.1"),
        maintenance_margin_rate=Decimal("0.004"),
        confidence=intent.confidence,
        atr_value=intent.atr_value,
        volatility_factor=intent.volatility_factor,
        exchange_divergence=intent.exchange_divergence,
        funding_rate=intent.funding_rate,
        regime=intent.regime,
        model=intent.model,
        reason=intent.reason,
    )


TICKS = Stage(
    "market.tick -> market.tick",
    "trading_bot",
    MarketTick(
        timestamp=NOW,
        produced_at=NOW,
        source="market_feed",
        tick_id="BTCUSDT.1748736000000",
        symbol="BTCUSDT",
        mark_price=Decimal("104321.5"),
        funding_rate=Decimal("0.0001"),
    ),
    tick_to_tick,
)
INTENTS = Stage(
    "trade.intent -> apply.plan",
    "intent_bridge",
    EntryIntent(
        timestamp=NOW,
        produced_at=NOW,
        source="trading_bot",
        intent_id="entry.BTCUSDT.1748736000000",
        intent_type="ENTRY",
        symbol="BTCUSDT",
        side=Side.BUY,
        reason="fast average crossed the slow one",
        model="trend_following",
        confidence=Decimal("0.71"),
        entry_price=Decimal("104321.5"),
        leverage=10,
        qty=Decimal("0.005"),
        atr_value=Decimal("812.4"),
        volatility_factor=Decimal("1.2"),
        funding_rate=Decimal("0.0001"),
        regime=Regime.UNKNOWN,
    ),
    intent_to_plan,
)


def measure(
    url: str, stages: Sequence[Stage] = (TICKS, INTENTS), *, messages: int = 5_000, rounds: int = 5
) -> list[Figures]:
    """Measure every stage on the server at `url`, whose data is flushed.

    `messages` pass in each round, through the bare loop and then through the stage.
    """
    with connect(url) as client:
        load_library(client)
        figures = []
        for stage in stages:
            pairs = []
            for _ in range(rounds):
                bare = messages / _timed(lambda: _bare(client, url, stage, messages))  # noqa: B023
                pairs.append(
                    (messages / _timed(lambda: _runner(client, url, stage, messages)), bare)
                )  # noqa: B023
        return figures
