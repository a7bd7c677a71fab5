"""What the runner costs: one whole stage against the barest loop that keeps the same promises.

Both read 100 messages, acknowledge them and write 100 in one atomic commit. The bare loop uses the
client alone and sends words prepared beforehand: it reads nothing of a message, decides nothing and
validates nothing. The stage is the runner as the daemons run it. Two of its deciders pass on what
was read, which shows the runner's own cost; the third builds an entry of 19 checked fields from
each price, which shows what a decision adds. All are measured in turn on one server in one run.
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
from shared.contracts import EntryIntent, MarketTick, Message, encode
from shared.decisions import Received
from shared.formulas import Regime
from shared.runner import Runner
from shared.service import Service
from shared.session import flat
from shared.sides import Side
from shared.streams import BATCH, BY_NAME, MARKET_TICK, TRADE_INTENT, Stream, state_key

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
    #: Where the answers go. What is passed on to the same stream is not read again: a run ends
    #: after as many messages as it began with.
    output: str

    @property
    def input(self) -> Stream:
        """The stream that is read."""
        return BY_NAME[self.message.stream_name]


#: Consumes so many messages of a stage and says how many seconds it took.
Run = Callable[[Redis, RedisBus, Stage, int], float]


@dataclass(frozen=True, slots=True)
class Figures:
    """Rates in messages a second, medians over the rounds; `ratio` is the stage's to the bare."""

    name: str
    stage: float
    bare: float
    ratio: float


def passed_on(message: Message, _at: datetime) -> Message:
    """What was read, as it is."""
    return message


def tick_to_entry(tick: MarketTick, at: datetime) -> EntryIntent:
    """A price in, an entry out."""
    return EntryIntent(
        timestamp=tick.timestamp,
        produced_at=at,
        source="trading_bot",
        intent_id=f"entry.{tick.tick_id}",
        intent_type="ENTRY",
        symbol=tick.symbol,
        side=Side.BUY,
        reason="fast average crossed the slow one",
        model="trend_following",
        confidence=Decimal("0.71"),
        entry_price=tick.mark_price,
        leverage=10,
        qty=Decimal("0.005"),
        atr_value=Decimal("812.4"),
        volatility_factor=Decimal("1.2"),
        exchange_divergence=tick.exchange_divergence or Decimal(0),
        funding_rate=tick.funding_rate or Decimal(0),
        regime=Regime.UNKNOWN,
    )


_TICK = MarketTick(
    timestamp=NOW,
    produced_at=NOW,
    source="market_feed",
    tick_id="BTCUSDT.1748736000000",
    symbol="BTCUSDT",
    mark_price=Decimal("104321.5"),
    funding_rate=Decimal("0.0001"),
)
TICKS = Stage(
    "market.tick, passed on",
    "trading_bot",
    _TICK,
    passed_on,
    output=MARKET_TICK.name,
)
INTENTS = Stage(
    "trade.intent, passed on",
    "intent_bridge",
    tick_to_entry(_TICK, NOW),
    passed_on,
    output=TRADE_INTENT.name,
)
ENTRIES = Stage(
    "market.tick -> trade.intent",
    TICKS.daemon,
    TICKS.message,
    tick_to_entry,
    output=TRADE_INTENT.name,
)
STAGES = (TICKS, INTENTS, ENTRIES)


def measure(
    url: str, stages: Sequence[Stage] = STAGES, *, messages: int = 5_000, rounds: int = 5
) -> list[Figures]:
    """Measure every stage on an empty server at `url`; it is empty again afterwards.

    `messages` pass in each round, through the bare loop and then through the stage.

    Raises:
        ValueError: the server holds data, which this must not touch.
    """
    with connect(url) as client:
        if client.dbsize():
            raise ValueError("the server holds data; a measurement needs one of its own")
        load_library(client)
        figures = []
        for stage in stages:
            pairs = [
                (
                    _rate(client, url, stage, messages, _stage),
                    _rate(client, url, stage, messages, _bare),
                )
                for _ in range(rounds)
            ]
            figures.append(
                Figures(
                    stage.name,
                    stage=statistics.median(rate for rate, _ in pairs),
                    bare=statistics.median(bare for _, bare in pairs),
                    ratio=statistics.median(rate / bare for rate, bare in pairs),
                )
            )
    return figures


def _rate(client: Redis, url: str, stage: Stage, messages: int, run: Run) -> float:
    """Messages a second of one run over a stream that was filled before."""
    bus = RedisBus(url, stage.daemon)
    try:
        bus.acquire()
        key, words = flat(stage.input, encode(stage.message))
        with client.pipeline(transaction=False) as pipeline:
            for _ in range(messages):
                pipeline.execute_command("XADD", key, "*", *words)  # type: ignore[no-untyped-call]
            pipeline.execute()
        seconds = run(client, bus, stage, messages)
        passes_on = stage.output == stage.input.name
        if client.xlen(BY_NAME[stage.output].key) != messages * (2 if passes_on else 1):
            raise AssertionError(f"{stage.name}: not every message was answered once")
    finally:
        bus.close()
        client.flushdb()
    return messages / seconds


def _stage(_client: Redis, bus: RedisBus, stage: Stage, messages: int) -> float:
    def decide(state: State, received: Received[Any], _policy: None) -> tuple[State, list[Message]]:
        return state, [stage.answer(received.event, received.received_at)]

    runner = Runner(Service(stage.daemon, State, decide, None), bus)
    runner.start()
    started = time.perf_counter()
    done = 0
    while done < messages:
        done += runner.step()
    return time.perf_counter() - started


def _bare(client: Redis, _bus: RedisBus, stage: Stage, messages: int) -> float:
    """Read and commit, with the outputs of a batch prepared beforehand."""
    answer = stage.answer(stage.message, NOW)
    published = [flat(BY_NAME[stage.output], encode(answer))] * BATCH
    acknowledged = {stage.input.key: [""] * BATCH}
    keys, prepared = commit_words(Commit(acknowledged, published), stage.daemon)
    # The ids stand behind the letter, the key's position, their number and the group.
    before, after = prepared[:4], prepared[4 + BATCH :]
    state = state_key(stage.daemon)
    epoch = call(client, "HGET", state, "_epoch")
    read = ("XREADGROUP", "GROUP", stage.daemon, stage.daemon, "COUNT", BATCH)
    started = time.perf_counter()
    for sequence in range(1, messages // BATCH + 1):
        reply = call(client, *read, "STREAMS", stage.input.key, ">")
        ids = [id_ for id_, _ in reply[0][1]]
        said = call(client, "FCALL", "quantum_commit", len(keys), *keys, epoch, sequence,
            *before, *ids, *after)  # fmt: skip
        if said != b"OK":
            raise AssertionError(f"the bare loop was told {said!r}")
    return time.perf_counter() - started
