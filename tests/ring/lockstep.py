"""A replay at `--speed max` in one process: many symbols, tight caps, and turns drawn by chance.

The feed's own decision says when a step goes out. A seed decides whose turn it is, and how slow
each daemon is; whatever it draws, the trades must be the same.
"""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from services.market_feed.__main__ import readers_of
from services.market_feed.decider import Anchor, Offer, Policy, State, decide
from services.market_feed.replay import Tick, TickKind
from services.trading_bot.strategies import MarketView, Signal
from shared.bus import MemoryBus, MemoryServer
from shared.contracts import MarketTick, encode
from shared.decisions import Received
from shared.metrics import RunnerMetrics
from shared.runner import Runner
from shared.settings import Settings
from shared.sides import Side
from shared.streams import DAEMONS, MARKET_TICK, STREAMS

from .memory import NeverWaits

SYMBOLS = ("ADAUSDT", "BNBUSDT", "LTCUSDT", "RIVERUSDT", "SOLUSDT", "XRPUSDT")
START = datetime(2025, 6, 1, tzinfo=UTC)
MINUTES = 40
READERS = tuple(daemon for daemon in DAEMONS if daemon != "market_feed")
#: Caps that are met in nearly every minute.
SETTINGS = {
    "intent_bridge": {
        "max_open_positions": 2,
        "max_exposure": "2500",
        "max_order_notional": "2000",
        "cooldown_s": 0,
        "max_price_deviation": "0.5",
    },
    "exitbrain": {"exits": {"stop_max_fraction": "0.01"}},
}


@dataclass(frozen=True, slots=True)
class OftenAnother:
    """Buys or sells by the price's last digits, so that a minute brings many entries."""

    name: ClassVar[str] = "often_another"

    def signal(self, view: MarketView) -> Signal | None:
        side = (None, Side.BUY, Side.SELL)[int(view.price * 100) % 3]
        return None if side is None else Signal(side, Decimal("0.8"), "the digits say so")


def minutes_of_ticks() -> Iterator[tuple[Tick, ...]]:
    """A step for each minute: four prices of each symbol, in time order."""
    chance = random.Random(5)
    prices = dict.fromkeys(SYMBOLS, 100.0)
    for minute in range(MINUTES):
        opens_at = START + timedelta(minutes=minute)
        step = []
        for second, kind in ((0, "OPEN"), (20, "LOW"), (40, "HIGH"), (59, "CLOSE")):
            for symbol in SYMBOLS:
                prices[symbol] *= math.exp(chance.gauss(0, 0.004))
                price = Decimal(f"{prices[symbol]:.2f}")
                at = opens_at + timedelta(seconds=second)
                step.append(Tick(symbol, at, price, TickKind(kind), opens_at))
        yield tuple(step)


class Lockstep:
    """One run of the replay; `streams` is what it came to."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self.server = MemoryServer()
        self._feed = MemoryBus(self.server, "market_feed")
        self._progress = State()
        # One daemon is slow, as on a loaded machine; which one is chance.
        turns = [self._chance.choice((1, 4, 12)) for _ in (*READERS, "market_feed")]
        self._whose = [
            d for d, n in zip((*READERS, "market_feed"), turns, strict=True) for _ in range(n)
        ]
        self._runners = {daemon: self._start(daemon) for daemon in READERS}
        for runner in self._runners.values():
            runner.start()
            runner.step(block_ms=0)

    def run(self) -> Lockstep:
        """All steps, and then on until everything is done."""
        for ticks in minutes_of_ticks():
            while not self._goes_out(ticks):
                self._turn()
        for _ in range(2000):
            self._turn()
        return self

    def _turn(self) -> None:
        self._now += timedelta(milliseconds=self._chance.randint(0, 3))
        daemon = self._chance.choice(self._whose)
        if daemon in self._runners:
            self._runners[daemon].step(block_ms=0)

    def _goes_out(self, ticks: tuple[Tick, ...]) -> bool:
        if self._chance.choice(self._whose) != "market_feed":
            return False
        at = ticks[-1].at
        offer = Offer("replay", at, ticks, Anchor(at, self._now), readers_of(self._feed))
        policy = Policy(speed=None)
        self._progress, outputs = decide(self._progress, Received(offer, self._now), policy)
        published = [tick for tick in outputs if isinstance(tick, MarketTick)]
        for tick in published:
            fields = [(name.encode(), value.encode()) for name, value in encode(tick)]
            self.server.add(MARKET_TICK.key, fields)
        return bool(published)

    def _start(self, daemon: str) -> Runner[Any, Any]:
        metrics = RunnerMetrics()
        module = importlib.import_module(f"services.{daemon}.__main__")
        service = module.service(Settings(SETTINGS, "the test"), metrics)
        if daemon == "trading_bot":
            own = replace(service.policy, strategy=OftenAnother())
            service = replace(service, policy=own)
        return Runner(
            service,
            MemoryBus(self.server, daemon),
            metrics=metrics,
            stop=NeverWaits(),
            now=lambda: self._now,
            cycle_s=0.0,
        )

    @property
    def streams(self) -> dict[str, list[dict[str, str]]]:
        """Every message, without the wall clock."""
        found = {stream.name: self.server.entries(stream.key) for stream in STREAMS}
        for message in (message for messages in found.values() for message in messages):
            del message["produced_at"]
        return found
