"""The readers of the ring in this process, on a real server, each turned by hand.

Every daemon is built by its own wiring and reads and commits as its process would; what a test
does not turn is a daemon that is down. Prices are put in with the age that a test wants.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from redis import Redis

from shared.bus import RedisBus, load_library
from shared.bus.client import call
from shared.cli.story import reader
from shared.contracts import REPLAY_SOURCE, EntryIntent, MarketTick, Message, encode
from shared.metrics import RunnerMetrics
from shared.runner import Runner
from shared.settings import Settings
from shared.streams import BY_NAME, MARKET_TICK
from tests.runner.hooked import HookedBus

READERS = ("harvest_brain", "intent_bridge", "exitbrain", "apply_layer", "trading_bot")
SYMBOL = "RIVERUSDT"
ENTRY = Decimal("12.32")
#: One R of the seeded position.
RISK = Decimal("0.2464")


def seed(**changes: Any) -> dict[str, Any]:
    """Settings with the reference position: LONG 1.83 at 12.32, its stop 2 % below."""
    position = {
        "symbol": SYMBOL,
        "side": "LONG",
        "qty": "1.83",
        "entry_price": str(ENTRY),
        "mark_price": str(ENTRY),
        "stop_loss": "12.0736",
        "leverage": 10,
        "opened_at": datetime.now(UTC) - timedelta(hours=1),
    } | changes
    kept = {name: value for name, value in position.items() if value is not None}
    return {"apply_layer": {"paper": {"position": [kept]}}}


def at_r(r: str | int) -> Decimal:
    """The price at which the reference position has a net R of `r`, on the tick above."""
    return (ENTRY + Decimal(r) * RISK + Decimal("0.01232") + Decimal("0.00005")).quantize(
        Decimal("0.0001")
    )


class SmallRing:
    """The readers that were started, on one server."""

    def __init__(self, url: str, settings: Mapping[str, Any]) -> None:
        self.url = url
        self.client: Redis = reader(url)
        self.settings = dict(settings)
        self.runners: dict[str, Runner[Any, Any]] = {}
        self._buses: dict[str, RedisBus] = {}
        self._ticks = 0

    def start(self, *daemons: str, hook: Callable[[str], None] = lambda _step: None) -> None:
        """Start daemons, as a supervisor would; `hook` strikes at the steps of a turn."""
        for daemon in daemons:
            self.stop(daemon)
            metrics = RunnerMetrics()
            module = importlib.import_module(f"services.{daemon}.__main__")
            service = module.service(Settings(self.settings, "the test"), metrics)
            bus = self._buses[daemon] = RedisBus(self.url, daemon, producers=service.producers)
            runner: Runner[Any, Any] = Runner(
                service, HookedBus(bus, hook), metrics=metrics, cycle_s=0.0
            )
            runner.start()
            self.runners[daemon] = runner

    def stop(self, *daemons: str) -> None:
        """Let daemons go, as a kill would: nothing is finished first."""
        for daemon in daemons:
            if self.runners.pop(daemon, None) is not None:
                self._buses.pop(daemon).close()

    def turn(self, daemon: str) -> int:
        """One turn of a daemon; returns how many messages it took."""
        return self.runners[daemon].turn(block_ms=1)

    def settle(self, *daemons: str) -> None:
        """Turn daemons (or all that were started) until none finds anything to do."""
        quiet = 0
        for _ in range(200):
            quiet = quiet + 1 if not sum(map(self.turn, daemons or tuple(self.runners))) else 0
            # What a look at the venue brought is taken by the others a round later.
            if quiet == 2:
                return
        raise AssertionError("the ring does not come to rest")

    def now(self) -> datetime:
        """The server's clock, in whole milliseconds."""
        seconds, micros = self.client.time()
        return datetime.fromtimestamp(seconds, UTC) + timedelta(milliseconds=micros // 1000)

    def tick(self, price: Decimal | str, *, age_s: float = 0, symbol: str = SYMBOL) -> None:
        """A price that was published so long ago."""
        at = self.now() - timedelta(seconds=age_s)
        message = self.price(price, at=at, produced_at=at, symbol=symbol)
        self.put(message, id_=f"{int(at.timestamp() * 1000)}-{self._ticks}")

    def price(
        self,
        price: Decimal | str,
        *,
        at: datetime,
        produced_at: datetime,
        symbol: str = SYMBOL,
        source: str = REPLAY_SOURCE,
    ) -> MarketTick:
        """A price of its own market time, recorded, so that it needs no other."""
        self._ticks += 1
        return MarketTick(
            timestamp=at,
            produced_at=produced_at,
            source=source,
            tick_id=f"{symbol}-{self._ticks}",
            symbol=symbol,
            mark_price=Decimal(price),
        )

    def put(self, message: Message, *, id_: str = "*") -> str:
        """A message by somebody outside; returns its entry's id."""
        words = [word for pair in encode(message) for word in pair]
        return self.raw(BY_NAME[message.stream_name].key, words, id_=id_)

    def raw(self, key: str, words: list[str], *, id_: str = "*") -> str:
        """An entry as it is; returns its id."""
        return str(call(self.client, "XADD", key, id_, *words), "ascii")

    def entry(self, **changes: Any) -> EntryIntent:
        """A stranger's wish to buy 10 SOL at 150, with exits of its own."""
        at = self.now()
        fields: dict[str, Any] = {
            "timestamp": at,
            "produced_at": at,
            "source": "stranger",
            "intent_id": "stranger.1",
            "intent_type": "ENTRY",
            "symbol": "SOLUSDT",
            "side": "BUY",
            "confidence": Decimal("0.7"),
            "entry_price": Decimal(150),
            "leverage": 10,
            "qty": Decimal(10),
            "reason": "it looked cheap",
        }
        return EntryIntent(**(fields | changes))

    def wait_for(self, key: str, count: int, *, within_s: float = 20.0) -> None:
        """Wait until a stream has so many entries."""
        deadline = time.monotonic() + within_s
        while self.length(key) < count:
            assert time.monotonic() < deadline, f"{key} has not got {count} entries"

    def length(self, key: str = MARKET_TICK.key) -> int:
        """Entries of a stream."""
        return int(call(self.client, "XLEN", key))


@contextmanager
def a_small_ring(url: str, settings: Mapping[str, Any] | None = None) -> Iterator[SmallRing]:
    """A ring on a server that holds nothing; all readers stand and have learnt the rules."""
    ring = SmallRing(url, seed() if settings is None else settings)
    load_library(ring.client)
    # A server notices that a read has waited long enough at its own beat, ten times a second.
    hz = str(ring.client.config_get("hz")["hz"])
    ring.client.config_set("hz", 500)
    try:
        ring.start(*READERS)
        ring.settle()
        yield ring
    finally:
        ring.stop(*READERS)
        ring.client.config_set("hz", hz)
        ring.client.close()
