"""How long an intent takes to its fill, beside a bare round trip over the same server.

intent_bridge, exitbrain and apply_layer run as processes; the bench adds an intent and waits for
its fill. An entry crosses four streams (intent, plan, plan with exits, result), a close three, the
bare round trip two. So a hop is a quarter, a third and a half of what is measured: the time from
the write of one process to the read of the next, with all that the reader does before it writes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from redis import Redis

from shared.bus import RedisBus, load_library
from shared.bus.client import call
from shared.cli.bench_echo import PING, PONG
from shared.cli.bench_figures import BenchFailed, Hops, Samples
from shared.cli.ring import Ring
from shared.cli.story import reader
from shared.contracts import (
    EntryIntent,
    FillResult,
    FullCloseIntent,
    MarketTick,
    Message,
    RefusedResult,
    SkipPlan,
    decode,
    encode,
)
from shared.server import AppendFsync, LocalServer
from shared.sides import Side
from shared.streams import APPLY_PLAN, APPLY_RESULT, BY_NAME, STREAMS, Stream
from shared.symbols import slug

DAEMONS = ("intent_bridge", "exitbrain", "apply_layer")
SYMBOLS = ("ADAUSDT", "RIVERUSDT", "SOLUSDT")
PRICE = Decimal(100)

_ECHO = "import sys; from shared.cli.bench_echo import echo; echo(sys.argv[1])"
#: Intents that are not counted: the first ones wake code and caches.
_WARM_UP_ROUNDS = 2
_START_WITHIN_S = 30.0
_FILL_WITHIN_S = 10.0
_MARKET_START = datetime(2025, 6, 1, tzinfo=UTC)


def measure_hops(folder: Path, appendfsync: AppendFsync, *, intents: int) -> Hops:
    """Send `intents` intents one after the other, half of them closes, with bare trips between.

    Raises:
        BenchFailed: an intent was refused or lost.
    """
    logs = folder / "logs"
    logs.mkdir(parents=True)
    environment = {
        # A file of the caller's would change what is measured.
        "QUANTUM_CONFIG": "",
        "QUANTUM_METRICS__BASE_PORT": "0",
        "QUANTUM_INTENT_BRIDGE__COOLDOWN_S": "0",
    }
    with LocalServer.start(folder / "redis", appendfsync=appendfsync) as server:
        client = reader(server.url)
        load_library(client)
        with Ring(server.url, environment, logs, DAEMONS) as ring, _echo(server.url):
            samples = _Course(server.url, client, ring).run(intents)
        client.close()
    return samples.hops(appendfsync)


@contextmanager
def _echo(url: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", _ECHO, url], stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


class _Tail:
    """The end of one stream: what was added since the last look."""

    def __init__(self, client: Redis, key: str) -> None:
        self._client = client
        self._key = key
        self._after: Any = "0"

    def wait(self) -> list[Any]:
        """The new entries' words, or none after a second."""
        reply = call(self._client, "XREAD", "BLOCK", 1000, "STREAMS", self._key, self._after)
        entries = reply[0][1] if reply else []
        if entries:
            self._after = entries[-1][0]
        return [words for _, words in entries]


class _Course:
    """Rounds of intents, one symbol after the other, each sent when nothing else is under way."""

    def __init__(self, url: str, client: Redis, ring: Ring) -> None:
        self._client = client
        self._ring = ring
        self._bus = RedisBus(url, "market_feed")
        self._results = _Tail(client, APPLY_RESULT.key)
        self._pongs = _Tail(client, PONG)
        self._market_time = _MARKET_START
        self._number = 0

    def run(self, intents: int) -> Samples:
        """All rounds: prices, entries, closes, and as many bare round trips."""
        self._until_rules()
        rounds = -(-intents // (2 * len(SYMBOLS)))
        samples = Samples()
        for number in range(_WARM_UP_ROUNDS + rounds):
            if number == _WARM_UP_ROUNDS:
                samples = Samples()
            self._prices()
            opened = {}
            for symbol in SYMBOLS:
                self._until_idle()
                opened[symbol] = self._timed(self._entry(symbol), samples.entry)
                self._until_idle()
                self._round_trip(samples.bare)
            for symbol in SYMBOLS:
                self._until_idle()
                self._timed(self._close(opened[symbol]), samples.close)
                self._until_idle()
                self._round_trip(samples.bare)
        self._bus.close()
        return samples

    def _until_rules(self) -> None:
        """Wait until the bridge has heard the venue's rules; a price before is none to it."""
        deadline = time.monotonic() + _START_WITHIN_S
        stated: set[str] = set()
        while not stated.issuperset(SYMBOLS):
            if time.monotonic() > deadline:
                raise BenchFailed(f"apply_layer stated no rules, but those of {sorted(stated)}")
            stated |= {_decoded(APPLY_RESULT, words).symbol for words in self._results.wait()}
        self._until_idle(_START_WITHIN_S)

    def _prices(self) -> None:
        """A new mark for each symbol, so that each position has an id and a price of its own."""
        self._market_time += timedelta(seconds=1)
        for symbol in SYMBOLS:
            tick = MarketTick(
                timestamp=self._market_time,
                produced_at=datetime.now(UTC),
                source="market_feed",
                tick_id=f"{slug(symbol)}-{int(self._market_time.timestamp() * 1000)}",
                symbol=symbol,
                mark_price=PRICE,
            )
            self._add(tick)

    def _head(self, symbol: str, source: str = "bench") -> dict[str, Any]:
        self._number += 1
        return {
            "timestamp": self._market_time,
            "produced_at": datetime.now(UTC),
            "source": source,
            "intent_id": f"bench.{self._number}",
            "symbol": symbol,
        }

    def _entry(self, symbol: str) -> EntryIntent:
        return EntryIntent(
            **self._head(symbol),
            intent_type="ENTRY",
            side=Side.BUY,
            confidence=Decimal("0.8"),
            entry_price=PRICE,
            leverage=10,
            position_size_usd=Decimal(500),
            atr_value=Decimal(1),
        )

    def _close(self, opened: FillResult) -> FullCloseIntent:
        return FullCloseIntent(
            **self._head(opened.symbol, source="operator"),
            intent_type="FULL_CLOSE_PROPOSED",
            side=Side.SELL,
            reduceOnly=True,
            position_id=opened.position_id or "",
            qty=opened.position_qty,
        )

    def _timed(self, intent: EntryIntent | FullCloseIntent, into: list[float]) -> FillResult:
        """Send one intent, wait for its fill and note the time between.

        Raises:
            BenchFailed: it was refused, or nothing came.
        """
        words = _words(intent)
        started = time.perf_counter()
        call(self._client, "XADD", _stream_of(intent).key, "*", *words)
        while time.perf_counter() - started < _FILL_WITHIN_S:
            news = self._results.wait()
            ended = time.perf_counter()
            for result in (_decoded(APPLY_RESULT, words) for words in news):
                if result.intent_id != intent.intent_id:
                    continue
                if isinstance(result, RefusedResult):
                    raise BenchFailed(f"{intent.intent_id} was refused: {result.reason}")
                if isinstance(result, FillResult):
                    into.append((ended - started) * 1000)
                    return result
        raise BenchFailed(f"{intent.intent_id} came to nothing: {self._why(intent)}")

    def _round_trip(self, into: list[float]) -> None:
        """The same words there and back through one process that does nothing with them."""
        words = _words(self._entry(SYMBOLS[0]))
        started = time.perf_counter()
        call(self._client, "XADD", PING, "*", *words)
        while not self._pongs.wait():
            if time.perf_counter() - started > _FILL_WITHIN_S:
                raise BenchFailed("the bare round trip got no answer")
        into.append((time.perf_counter() - started) * 1000)

    def _add(self, message: Message) -> None:
        call(self._client, "XADD", _stream_of(message).key, "*", *_words(message))

    def _until_idle(self, within_s: float = _FILL_WITHIN_S) -> None:
        """Wait until the three daemons have finished all there is.

        An earlier fill's aftermath (its stop, the bridge's books) is no part of the next time.
        """
        deadline = time.monotonic() + within_s
        wanted = {(s.name, r) for s in STREAMS for r in s.readers if r in DAEMONS}
        while time.monotonic() < deadline:
            rows = self._bus.backlog()
            if wanted <= {(row.stream, row.group) for row in rows if row.idle}:
                return
            self._ring.watch()
            if self._ring.restarts:
                raise BenchFailed(f"daemons crashed: {self._ring.restarts}")
            time.sleep(0.001)
        raise BenchFailed(f"the daemons did not come to rest: {self._bus.backlog()}")

    def _why(self, intent: EntryIntent | FullCloseIntent) -> str:
        for _, words in call(self._client, "XRANGE", APPLY_PLAN.key, "-", "+"):
            plan = _decoded(APPLY_PLAN, words)
            if plan.intent_id == intent.intent_id and isinstance(plan, SkipPlan):
                return f"{plan.reason}, {plan.detail}"
        return "there is no refusal either"


def _stream_of(message: Message) -> Stream:
    return BY_NAME[message.stream_name]


def _words(message: Message) -> list[str]:
    return [word for pair in encode(message) for word in pair]


def _decoded(stream: Stream, words: Sequence[bytes]) -> Any:
    return decode(stream.contract, tuple(zip(words[::2], words[1::2], strict=True)))
