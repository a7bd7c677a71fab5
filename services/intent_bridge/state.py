"""What intent_bridge decides by and what it remembers. Pure values, all bounded.

Reads and writes nothing. All that is kept by symbol is kept for symbols with rules alone, which are
those that the venue lists; of all others together a little is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from shared.formulas import Marks, confirmed
from shared.repeats import Memory

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Producer:
    """What one producer outside the suite may do besides entering."""

    may_exit: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """Money in quote units, times in seconds. `symbols=None` allows every symbol with rules.

    `max_price_deviation` is a fraction of the mark price; a mark older than `max_mark_age_s` is
    not believed.
    """

    symbols: tuple[str, ...] | None = None
    max_intent_age_s: Decimal = Decimal(30)
    max_ahead_s: Decimal = Decimal(2)
    max_mark_age_s: Decimal = Decimal(30)
    max_price_deviation: Decimal = Decimal("0.02")
    max_order_notional: Decimal = Decimal(1000)
    max_exposure: Decimal = Decimal(5000)
    max_open_positions: int = 5
    cooldown_s: Decimal = Decimal(300)
    max_leverage: Mapping[str, int] = field(default_factory=dict)
    producers: Mapping[str, Producer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the venue demands of an order in one symbol, as apply_layer last stated it."""

    lot_step: Decimal
    tick_size: Decimal
    min_qty: Decimal
    min_notional: Decimal
    max_leverage: int
    maintenance_margin_rate: Decimal


@dataclass(frozen=True, slots=True)
class Mark:
    """The last mark prices of a symbol, the newest one's market time, and when it was told of."""

    marks: Marks
    at: datetime
    produced_at: datetime

    @property
    def price(self) -> Decimal:
        """The confirmed price: one wrong tick is not believed."""
        return confirmed(self.marks)


@dataclass(frozen=True, slots=True)
class Held:
    """An open position's share of the exposure; `notional` is at its entry price."""

    position_id: str
    notional: Decimal
    qty: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class Awaited:
    """An admitted entry whose outcome is not known yet; it holds its place in every cap.

    `notional` is at the mark at which it was admitted, `at` when that was, by the wall clock.
    """

    plan_id: str
    notional: Decimal
    at: datetime
    qty: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class State:
    """All by symbol. `closed` is the market time at which the last position ended.

    `seen` remembers what the suite's own daemons asked for, `seen_of_producers` what others did.
    """

    rules: Mapping[str, Rules] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)
    awaited: Mapping[str, Awaited] = field(default_factory=dict)
    closed: Mapping[str, datetime] = field(default_factory=dict)
    seen: Memory = field(default_factory=dict)
    seen_of_producers: Memory = field(default_factory=dict)

    @property
    def exposure(self) -> Decimal:
        """Notional held and on its way, each at the larger of its own price and the mark."""
        owned: list[tuple[str, Held | Awaited]] = [*self.held.items(), *self.awaited.items()]
        return sum((self._worth(symbol, share) for symbol, share in owned), _ZERO)

    def _worth(self, symbol: str, share: Held | Awaited) -> Decimal:
        mark = self.marks.get(symbol)
        return share.notional if mark is None else max(share.notional, share.qty * mark.price)

    def market_time(self, symbol: str, now: datetime) -> datetime:
        """The market time of a symbol at `now` (wall clock): that of its last mark, and on since.

        In a replay that is not the wall clock. Nothing known makes it later than `now`.
        """
        mark = self.marks.get(symbol)
        if mark is None:
            return now
        return min(mark.at + max(now - mark.produced_at, timedelta(0)), now)
