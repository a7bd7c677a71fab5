"""Feeds a price path to the decider as real messages, and strategies that are easy to foresee."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from services.trading_bot.decider import Policy, State, decide
from services.trading_bot.strategies import MarketView, Signal
from services.trading_bot.trend_following import TrendFollowing
from shared.contracts import REPLAY_SOURCE, EntryIntent, MarketTick, Message, encode
from shared.decisions import Received
from shared.sides import Side

START = datetime(2026, 3, 1, tzinfo=UTC)
WALL = datetime(2026, 7, 9, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DAY = 24 * HOUR

BTC, SOL = "BTCUSDT", "SOLUSDT"

Price = tuple[datetime, Decimal]


def tick(
    at: datetime,
    price: Decimal | int | str,
    symbol: str = BTC,
    funding_rate: str | None = None,
    divergence: str | None = None,
    *,
    source: str = REPLAY_SOURCE,
    age_s: float = 0,
) -> MarketTick:
    return MarketTick(
        timestamp=at,
        produced_at=WALL - timedelta(seconds=age_s),
        source=source,
        tick_id=f"{symbol}.{at:%Y%m%d%H%M%S}",
        symbol=symbol,
        mark_price=Decimal(price),
        funding_rate=None if funding_rate is None else Decimal(funding_rate),
        exchange_divergence=None if divergence is None else Decimal(divergence),
    )


def ticks(path: Iterable[Price], symbol: str = BTC) -> list[MarketTick]:
    return [tick(at, price, symbol) for at, price in path]


def flat(
    length: timedelta,
    price: Decimal | int | str = 100,
    start: datetime = START,
    step: timedelta = MINUTE,
) -> Iterator[Price]:
    """The same price from `start` up to, not into, the end."""
    for index in range(length // step):
        yield start + index * step, Decimal(price)


def random_walk(length: timedelta, step: timedelta, seed: int = 7) -> Iterator[Price]:
    """A price near 100 that wanders by up to 0.2 % a step, in cents."""
    chance, price = Random(seed), Decimal(100)
    for at, _ in flat(length, step=step):
        price = max(price + Decimal(chance.randint(-20, 20)) / 100, Decimal(50))
        yield at, price


@dataclass
class Bot:
    """The decider with its state between the ticks; `outputs` has all that came out."""

    policy: Policy = field(default_factory=lambda: Policy(TrendFollowing()))
    state: State = field(default_factory=State)
    outputs: list[object] = field(default_factory=list)

    def take(self, event: Any) -> Sequence[object]:
        self.state, outputs = decide(self.state, Received(event, WALL), self.policy)
        self.outputs += outputs
        return outputs

    def play(self, events: Iterable[MarketTick]) -> list[EntryIntent]:
        """Take every tick; what intents came of them."""
        outputs = [output for event in events for output in self.take(event)]
        return [output for output in outputs if isinstance(output, EntryIntent)]


def bot_after_a_day(price: int = 100, policy: Policy | None = None) -> tuple[Bot, datetime]:
    """A bot that has seen 24 h at one price, and the next minute: it knows the change from now."""
    bot = Bot(policy) if policy else Bot()
    assert bot.play(ticks(flat(DAY + 5 * MINUTE, price))) == []
    return bot, START + DAY + 5 * MINUTE


def wire(outputs: Iterable[object]) -> list[object]:
    """What leaves the daemon: messages as they are written, the rest as it is."""
    return [encode(output) if isinstance(output, Message) else output for output in outputs]


@dataclass(frozen=True)
class ByPrice:
    """BUY above 110, SELL below 90, with half confidence."""

    name: str = "by_price"
    reason: str = ""

    def signal(self, view: MarketView) -> Signal | None:
        if Decimal(90) <= view.price <= Decimal(110):
            return None
        side = Side.BUY if view.price > Decimal(110) else Side.SELL
        return Signal(side, Decimal("0.5"), self.reason)


@dataclass(frozen=True)
class EveryMinute:
    """Another side each minute, so that each minute's view becomes an intent."""

    name: str = "every_minute"

    def signal(self, view: MarketView) -> Signal:
        side = Side.BUY if view.at.minute % 2 else Side.SELL
        return Signal(side, Decimal(1), f"{view.change_24h}")


@dataclass
class Watching:
    """Never a signal; remembers what it was shown."""

    name: str = "watching"
    views: list[MarketView] = field(default_factory=list)

    def signal(self, view: MarketView) -> Signal | None:
        self.views.append(view)
        return None


def by_symbol(intents: Iterable[EntryIntent]) -> dict[str, list[object]]:
    told: dict[str, list[object]] = {}
    for intent in intents:
        told.setdefault(intent.symbol, []).append(encode(intent))
    return told
