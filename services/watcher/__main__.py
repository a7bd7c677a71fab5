"""Wiring of watcher: reads, has it judged, writes `quantum:watch` and serves the figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, TypeVar

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.watcher.decider import decide
from services.watcher.figures import HELP
from services.watcher.reading import Reader
from services.watcher.settings import WatcherSettings
from services.watcher.sights import Figures, Heard, Look
from services.watcher.state import State
from shared.bus import BusDown, NotReady
from shared.bus.client import call, call_all, plainly
from shared.daemon import run_producer
from shared.decisions import Note, Record
from shared.log import logger
from shared.sections import settings_of, terms_of
from shared.session import Session, Stopped
from shared.settings import Settings
from shared.streams import BLOCK_MS, WATCH_KEY

T = TypeVar("T")

#: Figures that are older than this are none, in seconds.
_FRESH_S = 10.0


class WatchMetrics(Collector):
    """The figures of the last look, as long as they tell how things are."""

    def __init__(self, fresh_s: float = _FRESH_S) -> None:
        self._fresh_s = fresh_s
        self._figures = Figures(())
        self._fresh_until = 0.0
        self._looked_at = 0.0
        self.server_up = False

    def show(self, figures: Figures) -> None:
        """Take over the figures of a look."""
        self._figures = figures
        self._fresh_until = time.monotonic() + self._fresh_s
        self._looked_at = time.time()

    def collect(self) -> Iterable[Metric]:
        """Every series that there is now."""
        yield GaugeMetricFamily(
            "quantum_redis_up", "1 if the server answers watcher", value=float(self.server_up)
        )
        yield GaugeMetricFamily(
            "quantum_watch_last_look_timestamp_seconds",
            "When watcher last looked at all that stands; 0 before its first look",
            value=self._looked_at,
        )
        if time.monotonic() > self._fresh_until:
            return
        families: dict[str, GaugeMetricFamily] = {}
        for sample in self._figures.samples:
            family = families.get(sample.name)
            if family is None:
                family = families[sample.name] = GaugeMetricFamily(
                    sample.name, HELP[sample.name], labels=list(sample.labels)
                )
            family.add_metric(list(sample.labels.values()), sample.value)
        yield from families.values()


class Watcher:
    """The loop: hear what is said, and look every so often."""

    def __init__(
        self, own: WatcherSettings, settings: Settings, session: Session, stop: threading.Event
    ) -> None:
        terms = cache(partial(terms_of, settings))
        feed = settings_of("market_feed", settings)
        live = () if feed.source == "replay" else feed.symbols
        self._policy = own.policy(live, terms)
        self._every_s = own.look_every_s
        self._reader = Reader(settings.redis.url, terms, settings.clock.max_tick_ahead)
        self._session = session
        self._stop = stop
        self._state = State()
        self._was_away = False
        self._metrics = WatchMetrics()
        session.metrics.registry.register(self._metrics)

    def run(self) -> None:
        """Look once, so that it is known what is held; read the streams back; go on for good."""
        self._ask(lambda: self._reader.begin(self._policy.read_back_s))
        self._look()
        while (heard := self._ask(self._reader.next_page)) is not None and not self._stop.is_set():
            self._decide(heard)
            self._session.housekeeping()
        look_at = 0.0
        while not self._stop.is_set():
            self._decide(self._ask(lambda: self._reader.hear(BLOCK_MS)))
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + self._every_s
                self._look()
            self._session.housekeeping()
        logger().info("stopped")

    def _look(self) -> None:
        look = self._ask(self._reader.look)
        self._decide(replace(look, after_outage=self._was_away))
        self._was_away = False

    def _decide(self, event: Heard | Look) -> None:
        self._state, outputs = decide(self._state, event, self._policy)
        for output in outputs:
            if isinstance(output, Figures):
                self._metrics.show(output)
            elif isinstance(output, Record):
                self._ask(partial(self._write, output.fields or {}))
            elif isinstance(output, Note):
                getattr(logger(), output.level)(output.event, **output.fields)

    def _write(self, fields: Mapping[str, str]) -> None:
        """Put the record in place: what is new first, then what is over goes."""
        client = self._reader.client
        names = call(client, "HGETALL", WATCH_KEY)[::2]
        gone = [name for name in names if name.decode() not in fields]
        words = [word for item in fields.items() for word in item]
        commands: list[tuple[Any, ...]] = [("HSET", WATCH_KEY, *words)]
        if gone:
            commands.append(("HDEL", WATCH_KEY, *gone))
        call_all(client, *commands)

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask the server until it answers; that it does not is a figure."""

        def asked() -> T:
            try:
                with plainly():
                    answer = question()
            except (BusDown, NotReady):
                self._metrics.server_up = False
                self._was_away = True
                raise
            self._metrics.server_up = True
            return answer

        return self._session.patiently(asked)


def body(settings: Settings, session: Session, stop: threading.Event) -> None:
    """Watch until told to stop."""
    own = settings.section("watcher", WatcherSettings)
    try:
        Watcher(own, settings, session, stop).run()
    except Stopped:
        logger().warning("stopped_without_server")


def main() -> None:
    """Run until told to stop."""
    run_producer("watcher", body)


if __name__ == "__main__":
    main()
