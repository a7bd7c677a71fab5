"""The whole ring in one process on the bus in memory, driven by chance from one seed.

Every daemon is built by its own wiring. A seed decides whose turn it is, when a price goes out, who
crashes where, and which replies are lost; the same seed does the same again.
"""

from __future__ import annotations

import importlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from shared.bus import BusDown, MemoryBus, MemoryServer
from shared.contracts import EntryIntent, MarketTick, encode
from shared.contracts.message import Message
from shared.metrics import RunnerMetrics
from shared.runner import Runner
from shared.settings import Settings
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    BY_NAME,
    DAEMONS,
    MODE_KEY,
    STREAMS,
    position_key,
    state_key,
)
from tests.runner.hooked import HookedBus

#: The forgotten position of one symbol, and a stranger's entry into another.
HELD, ENTERED = "RIVERUSDT", "SOLUSDT"
SETTINGS = {
    "apply_layer": {
        "paper": {
            "position": [
                {
                    "symbol": HELD,
                    "side": "LONG",
                    "qty": "1.83",
                    "entry_price": "12.32",
                    "mark_price": "12.32",
                    "stop_loss": "12.0736",
                    "leverage": 10,
                    "opened_at": datetime(2025, 5, 31, 20, tzinfo=UTC),
                }
            ]
        }
    }
}
READERS = tuple(daemon for daemon in DAEMONS if daemon != "market_feed")
WALL = datetime(2026, 1, 1, tzinfo=UTC)
MARKET = datetime(2025, 6, 1, tzinfo=UTC)
#: In units of a tenth of an R: up through the rungs, and down through the locked stop.
PATH = (*range(0, 67, 2), *range(60, -13, -6))
_STEPS_MAX = 20_000
_CRASH_AT = ("before_read", "after_read", "before_commit", "after_commit")


class Crash(BaseException):
    """The end of a process, which nothing in it can catch."""


class NeverWaits(threading.Event):
    """A stop that is never set and for which nobody waits."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


def price(symbol: str, level: int) -> Decimal:
    """The price at `level` tenths of the position's R; both risk 2 % of the entry."""
    entry, tick = (Decimal("12.32"), "0.0001") if symbol == HELD else (Decimal(150), "0.01")
    return (entry * (1 + Decimal("0.002") * level)).quantize(Decimal(tick))


@dataclass
class Sim:
    """One run. `paced` prices wait until all else is done, as a replay's do."""

    seed: int
    paced: bool = True
    crash_share: float = 0.01
    server: MemoryServer = field(default_factory=MemoryServer)
    crashes: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._now = WALL
        self._published = 0
        self._runners: dict[str, Runner[Any, Any]] = {}
        self._backlog = MemoryBus(self.server, "market_feed")

    def run(self) -> None:
        """All prices, and then on until everything is done."""
        self._stranger()
        self._until(lambda: self._published == len(PATH) and self.quiet)

    def run_until_the_entry(self) -> None:
        """As far as the first moment at which the stranger's entry stands and all is quiet."""
        self._stranger()
        self._until(lambda: bool(self.fills(ENTERED)) and self.quiet)

    def _until(self, done: Callable[[], bool]) -> None:
        for _ in range(_STEPS_MAX):
            self._step()
            if done():
                return
        raise AssertionError(self.told("it does not come to an end"))

    @property
    def quiet(self) -> bool:
        """Whether every reader stands and has finished all there is."""
        rows = self._backlog.backlog()
        wanted = sum(len(stream.readers) for stream in STREAMS)
        return len(rows) == wanted and all(row.idle for row in rows)

    def _step(self) -> None:
        self._now += timedelta(milliseconds=self._random.randint(0, 40))
        if self.quiet:
            self.look_at_the_stops()
        if self._random.random() < 0.02 and self.fills(ENTERED):
            self.server.strings[MODE_KEY] = self._random.choice(("RUN", "EXITS_ONLY", "nonsense"))
        daemon = self._random.choice((*READERS, "market_feed"))
        if daemon == "market_feed":
            if self._published < len(PATH) and (self.quiet or self._may_run_ahead()):
                self._publish()
            return
        if self._random.random() < self.crash_share:
            # Killed between two turns.
            self._runners.pop(daemon, None)
            self.crashes["between"] += 1
        try:
            self.turn(daemon)
        except Crash as crash:
            del self._runners[daemon]
            self.crashes[str(crash)] += 1

    def _may_run_ahead(self) -> bool:
        behind = [row.lag or 0 for row in self._backlog.backlog() if row.stream == "market.tick"]
        return not self.paced and max(behind) < 6

    def turn(self, daemon: str) -> None:
        runner = self._runners.get(daemon)
        if runner is None:
            runner = self._runners[daemon] = self._new(daemon)
            runner.start()
        if self._random.random() < self.crash_share:
            self.server.lost_replies = 1
        try:
            runner.step(block_ms=0)
        except BusDown:
            pass  # Nothing could be read, and nothing is in hand.
        finally:
            self.server.lost_replies = 0

    def _new(self, daemon: str) -> Runner[Any, Any]:
        """A process of a daemon, as if it had just been started."""
        metrics = RunnerMetrics()
        module = importlib.import_module(f"services.{daemon}.__main__")

        def strike(step: str) -> None:
            if step in _CRASH_AT and self._random.random() < self.crash_share:
                raise Crash(step)

        return Runner(
            module.service(Settings(SETTINGS, "the simulation"), metrics),
            HookedBus(MemoryBus(self.server, daemon), strike),
            metrics=metrics,
            stop=NeverWaits(),
            now=lambda: self._now,
            cycle_s=0.0,
        )

    def _publish(self) -> None:
        level = PATH[self._published]
        at = MARKET + timedelta(seconds=20 * self._published)
        self._published += 1
        for symbol in (HELD, ENTERED):
            self.add(
                MarketTick(
                    timestamp=at,
                    produced_at=self._now,
                    source="market_feed",
                    tick_id=f"{symbol}-{self._published}",
                    symbol=symbol,
                    mark_price=price(symbol, level),
                )
            )

    def _stranger(self) -> None:
        """An entry by somebody else, delivered twice, in the first market moment."""
        entry = EntryIntent(
            timestamp=MARKET,
            produced_at=self._now,
            source="stranger",
            intent_id="stranger.1",
            intent_type="ENTRY",
            symbol=ENTERED,
            side="BUY",
            confidence=Decimal(1),
            entry_price=price(ENTERED, 0),
            leverage=10,
            qty=Decimal(10),
            stop_loss=price(ENTERED, -10),
            take_profit=price(ENTERED, 100),
        )
        # The rules of the symbol come first; whoever asks earlier is refused.
        while not self.server.entries(APPLY_RESULT.key) or not self.quiet:
            self._now += timedelta(milliseconds=1)
            for daemon in READERS:
                try:
                    self.turn(daemon)
                except Crash as crash:
                    del self._runners[daemon]
                    self.crashes[str(crash)] += 1
        self._publish()
        self.add(entry)
        self.add(entry)

    def add(self, message: Message) -> None:
        """Send a message as somebody outside."""
        fields = [(name.encode(), value.encode()) for name, value in encode(message)]
        self.server.add(BY_NAME[message.stream_name].key, fields)

    def look_at_the_stops(self) -> None:
        """When nothing is under way, what is held has a full stop and what is flat has none."""
        for symbol, book in self.books().items():
            stops = [o for o in book["orders"] if o["type"] == "STOP_MARKET"]
            position = book["position"]
            if position is None:
                assert not book["orders"], self.told(f"{symbol} is flat and has orders")
                continue
            assert len(stops) == 1, self.told(f"{symbol} has {len(stops)} stops")
            [stop] = stops
            assert stop["side"] == "SELL"
            assert Decimal(stop["qty"]) >= Decimal(position["qty"]), self.told("half a stop")
            self.looked_at += 1

    def books(self) -> dict[str, dict[str, Any]]:
        """The paper venue's books by symbol."""
        documents = self.server.hashes.get(state_key("apply_layer"), {})
        prefix = "paper_book/"
        return {
            name.removeprefix(prefix): json.loads(document)
            for name, document in documents.items()
            if name.startswith(prefix)
        }

    def record(self, symbol: str) -> dict[str, bytes]:
        """The position record of a symbol."""
        return self.server.hashes.get(position_key(symbol), {})

    def fills(self, symbol: str) -> list[dict[str, str]]:
        """What was traded in a symbol."""
        return [
            result
            for result in self.server.entries(APPLY_RESULT.key)
            if result["symbol"] == symbol and "filled_qty" in result
        ]

    def told(self, what: str) -> str:
        """A sentence that names the run, so that it can be had again."""
        return f"{what}; again: Sim(seed={self.seed}, paced={self.paced}).run()"

    @property
    def streams(self) -> dict[str, list[dict[str, str]]]:
        """Everything that was said, dead letters included."""
        keys = [key for stream in STREAMS for key in (stream.key, stream.dead_key)]
        return {key: self.server.entries(key) for key in keys}


def plans_of(sim: Sim) -> Sequence[dict[str, str]]:
    """Plans that reach the venue."""
    return [p for p in sim.server.entries(APPLY_PLAN.key) if p["decision"] == "EXECUTE"]
