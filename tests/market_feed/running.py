"""The feed's real body on a real server, in a thread of the test, and how a test looks at it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from services.market_feed.__main__ import body as real_body
from shared.bus import Bus
from shared.metrics import RunnerMetrics
from shared.session import Session
from shared.settings import Settings
from shared.streams import MARKET_TICK
from tests.worlds import RedisWorld

WITHIN_S = 15.0
T = TypeVar("T")


def eventually(look: Callable[[], T], what: str, within_s: float = WITHIN_S) -> T:
    """Look until it is so; fail with `what` after the deadline."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.01)
    return found


@dataclass
class Running:
    """One feed under way."""

    world: RedisWorld
    metrics: RunnerMetrics
    stop: threading.Event
    end: Future[None]

    def ticks(self) -> list[dict[str, str]]:
        return self.world.entries(MARKET_TICK.key)

    def await_ticks(self, count: int) -> list[dict[str, str]]:
        """Wait until at least so many ticks stand in the stream, and return them all."""

        def enough() -> list[dict[str, str]]:
            if self.end.done():
                self.end.result()
            found = self.ticks()
            return found if len(found) >= count else []

        return eventually(enough, f"{count} ticks; there are {len(self.ticks())}")

    def metric(self, name: str, **labels: str) -> float:
        value: float | None = self.metrics.registry.get_sample_value(name, labels)
        return value or 0.0

    def await_metric(self, value: float, name: str, **labels: str) -> None:
        """Wait for a figure: it is counted right after what it counts can be seen."""
        eventually(
            lambda: self.metric(name, **labels) == value,
            f"{name} {labels} of {value}; it is {self.metric(name, **labels)}",
        )


@contextlib.contextmanager
def running(
    world: RedisWorld,
    *,
    rest_url: str,
    ws_url: str,
    symbols: tuple[str, ...] = ("BTCUSDT",),
    bus: Bus | None = None,
    body: Callable[[Settings, Session, threading.Event], None] = real_body,
    **live: Any,
) -> Iterator[Running]:
    """The feed of these settings until the block ends; what ended it early is raised then."""
    tables = {
        "market_feed": {
            "source": "binance-usdm",
            "symbols": symbols,
            "live": {"rest_url": rest_url, "ws_url": ws_url} | live,
        }
    }
    settings = Settings(tables, "test")
    stop, metrics = threading.Event(), RunnerMetrics()
    session = Session(bus or world.bus("market_feed"), "market_feed", metrics=metrics, stop=stop)

    with ThreadPoolExecutor(1, "feed") as thread:
        end = thread.submit(body, settings, session, stop)
        try:
            yield Running(world, metrics, stop, end)
        finally:
            stop.set()
            end.result(WITHIN_S)
