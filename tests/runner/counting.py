"""A small real decider: it counts ticks and answers each with one intent.

It runs as harvest_brain, the first reader of market.tick, unless it is told another name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from shared.contracts import FullCloseIntent, MarketTick
from shared.decisions import DeadLetter, Note, Received, Record
from shared.service import Service
from shared.streams import MARKET_TICK, harvest_key
from tests.worlds import World

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Count:
    ticks: int
    total: Decimal
    last: str


@dataclass(frozen=True, slots=True)
class State:
    counts: Mapping[str, Count] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    #: Ticks that the decider has a bug for.
    poison: frozenset[str] = frozenset()
    #: Ticks that it must not act on.
    refused: frozenset[str] = frozenset()
    #: Called with each tick, for a test that wants to die or to look around just then.
    on_decide: Callable[[str], None] = lambda _tick_id: None


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[object]]:
    tick = received.event
    assert isinstance(tick, MarketTick)
    policy.on_decide(tick.tick_id)
    if tick.tick_id in policy.poison:
        raise ZeroDivisionError(tick.tick_id)
    if tick.tick_id in policy.refused:
        return state, [DeadLetter("refused", "not this one")]
    before = state.counts.get(tick.symbol, Count(0, Decimal(0), ""))
    count = Count(before.ticks + 1, before.total + tick.mark_price, tick.tick_id)
    state = replace(state, counts={**state.counts, tick.symbol: count})
    record = Record(harvest_key(tick.symbol), {"ticks": str(count.ticks)})
    note = Note("counted", {"tick_id": tick.tick_id, "mode": received.mode})
    intent = intent_for(tick.tick_id, tick.symbol, tick.timestamp, received.received_at)
    return state, [intent, record, note]


def intent_for(tick_id: str, symbol: str, timestamp: datetime, at: datetime) -> FullCloseIntent:
    return FullCloseIntent.model_validate(
        {
            "timestamp": timestamp,
            "produced_at": at,
            "source": "harvest_brain",
            "intent_id": f"close.{tick_id}",
            "symbol": symbol,
            "side": "SELL",
            "position_id": "p1",
            "reduceOnly": True,
            "intent_type": "FULL_CLOSE_PROPOSED",
            "qty": Decimal(1),
        }
    )


def service(
    policy: Policy | None = None,
    *,
    name: str = "harvest_brain",
    obeys_mode: bool = False,
    measure: Callable[[object], None] = lambda _output: None,
) -> Service[State, Policy]:
    return Service(name, State, decide, policy or Policy(), obeys_mode=obeys_mode, measure=measure)


def tick_fields(tick_id: str, symbol: str = "BTCUSDT", price: str = "100.5") -> dict[str, str]:
    return {
        "version": "1",
        "timestamp": "2025-06-01T00:00:00.000Z",
        "produced_at": "2025-06-01T00:00:00.000Z",
        "source": "market_feed",
        "tick_id": tick_id,
        "symbol": symbol,
        "mark_price": price,
    }


def add_ticks(world: World, *tick_ids: str) -> None:
    for tick_id in tick_ids:
        world.add(MARKET_TICK.key, tick_fields(tick_id))
