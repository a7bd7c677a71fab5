"""Every stream, key, consumer group and limit of the suite, each with its writers and readers.

A consumer group has the name of the daemon that reads by it, and so has its one consumer: a
daemon that comes back finds what it had not finished under the name it had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.contracts import ApplyPlan, ApplyResult, MarketTick, TradeIntent

PREFIX = "quantum"

#: What the key of a stream's dead letters ends in.
DEAD_SUFFIX = ".dead"
_STREAM_PREFIX = f"{PREFIX}:stream:"

#: The operator's switch: RUN, EXITS_ONLY or HALT. Absent means RUN.
MODE_KEY = f"{PREFIX}:mode"

#: Whether the venue takes entries now, and which orders are unknown; written by apply_layer alone.
VENUE_KEY = f"{PREFIX}:venue"

#: The code of the barrier that stands at every start, until the venue's own stream is up.
STARTING = "starting"

#: What stands still or stands naked now, one field for each alarm; written by watcher alone.
WATCH_KEY = f"{PREFIX}:watch"

#: Messages read, decided and committed together; one commit of this size holds the server ~1 ms.
BATCH = 100
#: How long a read waits for something new before it looks at timers and signals again.
BLOCK_MS = 200
#: A message that was delivered this often without being finished goes to the dead letters.
MAX_DELIVERIES = 5
#: Entries that a stream of dead letters keeps.
DEAD_KEPT = 10_000
#: Entries of a producer's stream that stay readable once they were passed on.
PRODUCER_KEPT = 1_000
#: What a producer's stream may hold unread, in entries and in bytes: so much a burst may bring.
#: What is beyond goes, the oldest first, so that no producer fills the server.
PRODUCER_MOST = (10_000, 16_000_000)
#: How long a daemon that has gone is remembered, in seconds.
HEARTBEAT_KEPT_S = 86_400


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream. `kept` entries stay readable; nothing that a reader still needs is trimmed.

    Every group reads every entry, so an entry that breaks the contract would be reported by each.
    The first of `readers` is the one that writes its dead letter; the others count it and go on.
    `producer` is the program outside the suite that alone writes to it, if it is a producer's own.
    """

    name: str
    contract: Any
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    kept: int
    producer: str = ""

    @property
    def key(self) -> str:
        """The Redis key."""
        if self.producer:
            return producer_key(self.producer)
        return f"{_STREAM_PREFIX}{self.name}"

    @property
    def dead_key(self) -> str:
        """The Redis key of its dead letters: a producer's stand with all other intents."""
        if self.producer:
            return TRADE_INTENT.dead_key
        return f"{self.key}{DEAD_SUFFIX}"


MARKET_TICK = Stream(
    "market.tick",
    MarketTick,
    writers=("market_feed", "apply_layer"),
    readers=("harvest_brain", "trading_bot", "apply_layer", "intent_bridge"),
    kept=20_000,
)
TRADE_INTENT = Stream(
    "trade.intent",
    TradeIntent,
    # intent_bridge passes on what producers outside have written to their own streams.
    writers=("trading_bot", "harvest_brain", "intent_bridge"),
    readers=("intent_bridge",),
    kept=50_000,
)
APPLY_PLAN = Stream(
    "apply.plan",
    ApplyPlan,
    writers=("intent_bridge", "exitbrain"),
    readers=("apply_layer", "exitbrain", "intent_bridge"),
    kept=50_000,
)
APPLY_RESULT = Stream(
    "apply.result",
    ApplyResult,
    writers=("apply_layer",),
    readers=("harvest_brain", "intent_bridge"),
    kept=50_000,
)

STREAMS = (MARKET_TICK, TRADE_INTENT, APPLY_PLAN, APPLY_RESULT)
BY_NAME = {stream.name: stream for stream in STREAMS}
DAEMONS = (
    "market_feed",
    "trading_bot",
    "intent_bridge",
    "exitbrain",
    "apply_layer",
    "harvest_brain",
)
#: Those that only look on: the ring trades the same without them.
COMPANIONS = ("watcher", "notifier", "dashboard")
PROGRAMS = (*DAEMONS, *COMPANIONS)


def producer_key(producer: str) -> str:
    """The Redis key of a producer's own stream."""
    return f"{PREFIX}:producer:{producer}"


def producer_stream(producer: str) -> Stream:
    """The stream that a producer outside the suite writes to, and nobody else."""
    return Stream(
        f"producer:{producer}",
        TradeIntent,
        writers=(producer,),
        readers=("intent_bridge",),
        kept=PRODUCER_KEPT,
        producer=producer,
    )


def inputs_of(daemon: str) -> tuple[Stream, ...]:
    """The streams that a daemon reads, in the order in which it takes what one read brings.

    Prices come first, then outcomes, plans and intents: whatever is decided is decided knowing all
    that led to it. It also makes a replay reproducible: who sees a plan has seen its prices.
    """
    order = (MARKET_TICK, APPLY_RESULT, APPLY_PLAN, TRADE_INTENT)
    return tuple(stream for stream in order if daemon in stream.readers)


def name_of(key: str) -> str:
    """The name of the stream behind a key."""
    return key.removeprefix(_STREAM_PREFIX).removeprefix(f"{PREFIX}:")


def position_key(symbol: str) -> str:
    """The position record of a symbol; written by apply_layer alone."""
    return f"{PREFIX}:position:{symbol}"


def harvest_key(symbol: str) -> str:
    """The harvest record of a symbol; written by harvest_brain alone."""
    return f"{PREFIX}:harvest:{symbol}"


def heartbeat_key(daemon: str) -> str:
    """The sign that a daemon's loop goes round, with who and which version it is."""
    return f"{PREFIX}:heartbeat:{daemon}"


def state_key(daemon: str) -> str:
    """A daemon's own state and its ownership record; nobody else reads it to decide."""
    return f"{PREFIX}:state:{daemon}"
