"""The live feed's edge: a socket and two workers bring events, one loop decides and commits.

Reads the venue's combined stream and what the workers ask of it; writes market.tick, its own
documents, logs and metrics. Nothing is told or asked before the batch that it is of is durable.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.market_feed.binance.candles import Answer, Candles
from services.market_feed.binance.second import SecondVenue
from services.market_feed.binance.wire import read_event, streams
from services.market_feed.events import FillGap, GapClosed, Mark, Refused, SecondPrice
from services.market_feed.live import LIVE, Kept, Policy, State, decide
from shared.bus import Commit
from shared.clock import CLOCK
from shared.contracts import MarketTick, encode
from shared.decisions import Note, Received
from shared.log import logger
from shared.session import Session, flat
from shared.state import StateCodec
from shared.streams import BATCH, MARKET_TICK
from shared.websocket import Socket

_TURN_S = 0.2
#: What waits while the server is away; what finds no room is filled in as a gap afterwards.
_WAITING_MOST = 20_000


class FeedMetrics:
    """How old the last price of each symbol is, and what went wrong on the way."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.age = Gauge(
            "quantum_feed_age_seconds",
            "Time since the last live price went out",
            ["symbol"],
            registry=registry,
        )
        self.reconnects = Counter(
            "quantum_feed_reconnects", "Connections after the first", registry=registry
        )
        self.gap_seconds = Counter(
            "quantum_feed_gap_seconds",
            "Time without a live price, by whether candles could be had instead",
            ["symbol", "outcome"],
            registry=registry,
        )
        self.refused = Counter(
            "quantum_feed_refused", "Messages of the venue that were not used", registry=registry
        )
        self.dropped = Counter(
            "quantum_feed_dropped", "Events for which there was no room", registry=registry
        )
        self.second_failures = Counter(
            "quantum_feed_second_venue_failures",
            "Prices that the second venue did not give",
            registry=registry,
        )


class LiveFeed:
    """One feed. `second` may be None; times are seconds."""

    def __init__(
        self,
        session: Session,
        policy: Policy,
        symbols: Sequence[str],
        *,
        ws_url: str,
        candles: Candles,
        metrics: FeedMetrics,
        second: SecondVenue | None = None,
        second_every_s: float = 10.0,
        stale_after_s: float = 10.0,
    ) -> None:
        self._session = session
        self._policy = policy
        self._symbols = symbols
        self._candles = candles
        self._metrics = metrics
        self._second = second
        self._second_every_s = second_every_s
        self._second_at = 0.0
        self._stale_after_s = stale_after_s
        self._codec = StateCodec(Kept)
        self._state = State()
        self._waiting: queue.Queue[object] = queue.Queue(_WAITING_MOST)
        self._answers: list[Future[Answer]] = []
        self._prices: Future[list[SecondPrice]] | None = None
        self._socket = Socket(
            "market",
            lambda: ws_url.rstrip("/") + streams(symbols),
            self._heard,
            silent_after_s=stale_after_s,
            on_up=self._up,
        )
        self._ups = 0
        self._live_at: dict[str, float] = {}
        self._stale: set[str] = set()

    def run(self) -> None:
        """Publish until told to stop.

        Raises:
            Superseded, StateLost, Stopped: as the session says.
        """
        self._state = State(self._codec.load(self._session.acquire()))
        started = time.monotonic()
        for symbol in self._symbols:
            self._live_at[symbol] = started
            self._metrics.age.labels(symbol).set_function(partial(self._age_s, symbol))
        with ExitStack() as workers:
            fill = workers.enter_context(ThreadPoolExecutor(1, "candles"))
            compare = workers.enter_context(ThreadPoolExecutor(1, "second-venue"))
            workers.callback(self._socket.stop)
            self._socket.start()
            while not self._session.stop.is_set():
                self._turn(fill, compare)
        logger().info("stopped")

    def _turn(self, fill: ThreadPoolExecutor, compare: ThreadPoolExecutor) -> None:
        if self._socket.failed is not None:
            raise self._socket.failed
        self._take(self._arrived(), fill)
        for future in [future for future in self._answers if future.done()]:
            self._answers.remove(future)
            for part in future.result():
                self._take([part], fill)
        self._compare(compare, fill)
        self._watch()
        self._session.housekeeping()

    def _arrived(self) -> list[object]:
        """What came in, at most a batch; waits a little for the first."""
        events: list[object] = []
        try:
            events.append(self._waiting.get(timeout=_TURN_S))
            while len(events) < BATCH:
                events.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return events

    def _take(self, events: Iterable[object], fill: ThreadPoolExecutor) -> None:
        """Decide events, commit what came of them, then tell of it and ask for what is missing."""
        state, outputs = self._state, list[object]()
        for event in events:
            state, more = decide(state, Received(event, self._now(event)), self._policy)
            outputs += more
        ticks = [output for output in outputs if isinstance(output, MarketTick)]
        if ticks:
            self._session.commit(
                Commit(
                    published=[flat(MARKET_TICK, encode(tick)) for tick in ticks],
                    documents=self._codec.changes(self._state.kept, state.kept),
                )
            )
        self._state = state
        for output in outputs:
            if isinstance(output, FillGap):
                self._answers.append(fill.submit(self._candles.answer, output))
            else:
                self._tell(output)

    @staticmethod
    def _now(event: object) -> datetime:
        """The time at which an event came; the venue's own tells which of two clocks is right."""
        if isinstance(event, Mark):
            CLOCK.notice()
            CLOCK.follow(event.at, CLOCK.now())
        return CLOCK.now()

    def _tell(self, output: object) -> None:
        match output:
            case MarketTick(symbol=symbol, source=source):
                self._session.metrics.published.labels(MARKET_TICK.name).inc()
                if source == LIVE:
                    self._live_at[symbol] = time.monotonic()
            case GapClosed(gap=gap, filled=filled, lost=lost, reason=reason):
                for outcome, minutes in (("filled", filled), ("lost", lost)):
                    self._metrics.gap_seconds.labels(gap.symbol, outcome).inc(60 * minutes)
                logger().warning(
                    "gap_closed", symbol=gap.symbol, filled=filled, lost=lost, reason=reason
                )
            case Refused(symbol=symbol, reason=reason):
                self._metrics.refused.inc()
                logger().warning("refused", symbol=symbol, reason=reason)
            case Note(event=event, fields=fields, level=level):
                getattr(logger(), level)(event, **fields)

    def _compare(self, compare: ThreadPoolExecutor, fill: ThreadPoolExecutor) -> None:
        """Take the second venue's prices when they are there, and ask again when it is time."""
        if self._prices is not None and self._prices.done():
            prices, self._prices = self._prices.result(), None
            self._take(prices, fill)
        if self._second is None or self._prices is not None:
            return
        if time.monotonic() >= self._second_at:
            self._second_at = time.monotonic() + self._second_every_s
            self._prices = compare.submit(self._second.prices)

    def _watch(self) -> None:
        """Say once when a symbol's price grows old, and once when it is new again."""
        stale = {symbol for symbol in self._symbols if self._age_s(symbol) > self._stale_after_s}
        for symbol in sorted(stale - self._stale):
            logger().error("price_stale", symbol=symbol, after_s=self._stale_after_s)
        for symbol in sorted(self._stale - stale):
            logger().info("price_fresh", symbol=symbol)
        self._stale = stale

    def _age_s(self, symbol: str) -> float:
        return time.monotonic() - self._live_at[symbol]

    def _heard(self, text: str) -> None:
        """In the socket's thread: read a message and leave it for the loop."""
        event = read_event(text)
        if event is None:
            return
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self._metrics.dropped.inc()

    def _up(self) -> None:
        self._ups += 1
        if self._ups > 1:
            self._metrics.reconnects.inc()
        logger().info("stream_up", symbols=len(self._symbols), connection=self._ups)
