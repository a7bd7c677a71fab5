"""trading_bot: turn prices into entry intents.

Reads market.tick; writes trade.intent (ENTRY), one for each change of a symbol's signal. An entry
says what it was decided from and carries no stop and no target: exitbrain computes these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from services.trading_bot.bars import (
    EPOCH,
    HOUR_MINUTES,
    NO_HISTORY,
    NO_HOURS,
    NO_MINUTES,
    STEP_MINUTES,
    Forming,
    History,
    Hours,
    back_at,
    bars_until,
    change_24h,
    close_hour,
    close_minute,
    close_step,
    closes_until,
    minute_of,
    recent_divergence,
    with_tick,
)
from services.trading_bot.strategies import MarketView, Signal, Strategy
from shared.contracts import HISTORY_SOURCE, VENUE_SOURCE, EntryIntent, MarketTick
from shared.contracts.values import LEVERAGE_MAX
from shared.decisions import Note, Received
from shared.formulas import MarketState, Regime
from shared.sides import Side
from shared.symbols import slug
from shared.ticks import is_late

#: Of the 56 characters of an intent id, symbol, milliseconds, side and dots may take 41.
MODEL_IN_ID_CHARS = 15
REASON_CHARS = 512
VOLATILITY_FACTOR_MAX = 5.0

_MILLISECOND = timedelta(milliseconds=1)
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_:-]")
_FOUR_PLACES = Decimal("0.0001")
_TWELVE_PLACES = Decimal("0.000000000001")
#: Digits enough to round any price that a message can hold.
_WIDE = Context(prec=64)


@dataclass(frozen=True, slots=True)
class SymbolPolicy:
    """What one symbol has of its own; None leaves the general value."""

    position_size_usd: Decimal | None = None
    leverage: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """`symbols=None` trades whatever has ticks; `position_size_usd` is the notional of an entry.

    A price that was produced more than `max_price_age_s` ago, by the wall clock, makes no entry.

    Raises ValueError for a size or a leverage that no intent could carry.
    """

    strategy: Strategy
    symbols: frozenset[str] | None = None
    min_confidence: Decimal = Decimal("0.45")
    position_size_usd: Decimal = Decimal(200)
    leverage: int = 10
    max_price_age_s: Decimal = Decimal(30)
    overrides: Mapping[str, SymbolPolicy] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse at the start what would else come to light at the first signal."""
        for symbol in (*self.overrides, ""):
            size, leverage = self.size_of(symbol)
            if not (size > 0 and 1 <= leverage <= LEVERAGE_MAX):
                raise ValueError(f"{symbol} size {size} and leverage {leverage} are not tradable")

    def size_of(self, symbol: str) -> tuple[Decimal, int]:
        """The notional (quote units) and the leverage of an entry."""
        own = self.overrides.get(symbol, SymbolPolicy())
        size = self.position_size_usd if own.position_size_usd is None else own.position_size_usd
        return size, self.leverage if own.leverage is None else own.leverage


@dataclass(frozen=True, slots=True)
class State:
    """By symbol, apart by how often it changes: every tick, minute, five minutes, hour, signal.

    `signals` is the side of the last signal; without one a symbol is not in it.
    """

    forming: Mapping[str, Forming] = field(default_factory=dict)
    minutes: Mapping[str, MarketState] = field(default_factory=dict)
    history: Mapping[str, History] = field(default_factory=dict)
    hours: Mapping[str, Hours] = field(default_factory=dict)
    signals: Mapping[str, Side] = field(default_factory=dict)


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[object]]:
    """Decide one tick. One that is not newer than the last of its symbol changes nothing."""
    tick = received.event
    if not isinstance(tick, MarketTick) or tick.source == VENUE_SOURCE:
        return state, ()
    symbol = tick.symbol
    if policy.symbols is not None and symbol not in policy.symbols:
        return state, ()
    closing = state.forming.get(symbol)
    if closing is not None and tick.timestamp <= closing.at:
        if is_late(tick, closing.at, received.received_at):
            return state, ()
        state, closing = _back_in_time(state, symbol, closing, tick.timestamp)
    minute = minute_of(tick.timestamp)
    formed = with_tick(closing, tick, minute)
    forming = {**state.forming, symbol: formed}
    # Not `replace`: it would cost more than all the rest of a tick that closes nothing.
    state = State(forming, state.minutes, state.history, state.hours, state.signals)
    if closing is None or closing.minute == minute:
        return state, ()
    state = _close(state, symbol, closing, minute)
    if _is_history(tick, received.received_at, policy):
        return state, ()
    return _ask(state, _view(state, symbol, formed), received.received_at, policy)


def _back_in_time(
    state: State, symbol: str, closing: Forming, at: datetime
) -> tuple[State, Forming]:
    """The state without what a tick from ahead of time left in it; nothing closes by that."""
    history = closes_until(state.history.get(symbol, NO_HISTORY), minute_of(at))
    hours = bars_until(state.hours.get(symbol, NO_HOURS), at)
    state = replace(
        state,
        history={**state.history, symbol: history},
        hours={**state.hours, symbol: hours},
    )
    return state, back_at(closing, at)


def _is_history(tick: MarketTick, now: datetime, policy: Policy) -> bool:
    """Whether a price is told of afterwards: bars are built from it, but nobody trades at it.

    A signal that holds is then asked for again with the next minute that is told as it happens.
    """
    age_s = (now - tick.produced_at).total_seconds()
    return tick.source == HISTORY_SOURCE or age_s > policy.max_price_age_s


def _close(state: State, symbol: str, closing: Forming, minute: int) -> State:
    """Close the minute of the tick before, and what else ended before `minute`."""
    market = close_minute(state.minutes.get(symbol, NO_MINUTES), closing, minute)
    history, hours = state.history, state.hours
    if closing.minute // STEP_MINUTES != minute // STEP_MINUTES:
        closes = close_step(history.get(symbol, NO_HISTORY), closing, minute)
        history = {**history, symbol: closes}
    if closing.minute // HOUR_MINUTES != minute // HOUR_MINUTES:
        hours = {**hours, symbol: close_hour(hours.get(symbol, NO_HOURS), closing, minute)}
    return replace(state, minutes={**state.minutes, symbol: market}, history=history, hours=hours)


def _view(state: State, symbol: str, formed: Forming) -> MarketView:
    market = state.minutes[symbol]
    history = state.history.get(symbol, NO_HISTORY)
    hours = state.hours.get(symbol, NO_HOURS)
    atr = hours.atr.value
    return MarketView(
        symbol=symbol,
        at=formed.at,
        price=formed.price,
        change_24h=change_24h(history, formed.price, formed.minute),
        atr_1h=None if atr is None else atr.quantize(_TWELVE_PLACES, context=_WIDE),
        volatility_factor=Decimal(min(market.sigma_ratio, VOLATILITY_FACTOR_MAX)).quantize(
            _FOUR_PLACES
        ),
        funding_rate=formed.funding_rate or Decimal(0),
        regime=_regime(market),
        hours=hours.bars,
        closes=history.closes,
    )


def _regime(market: MarketState) -> Regime:
    """The market's own regime. From |ts| 0.5 it is a trend, below 0.3 there is none."""
    if market.ts is None:
        return Regime.UNKNOWN
    if market.ts >= 0.5:
        return Regime.BULL
    if market.ts <= -0.5:
        return Regime.BEAR
    return Regime.RANGE if market.p_trend < 0.3 else Regime.NORMAL


def _ask(
    state: State, view: MarketView, now: datetime, policy: Policy
) -> tuple[State, Sequence[object]]:
    """Ask the strategy; only another answer than the last one is news.

    A signal below the least confidence counts as none.
    """
    signal = policy.strategy.signal(view)
    if signal is not None and signal.confidence < policy.min_confidence:
        signal = None
    side = None if signal is None else signal.side
    if side == state.signals.get(view.symbol):
        return state, ()
    signals = {symbol: last for symbol, last in state.signals.items() if symbol != view.symbol}
    if signal is None:
        return replace(state, signals=signals), ()
    signals[view.symbol] = signal.side
    divergence = recent_divergence(state.forming[view.symbol])
    intent = _entry(view, signal, divergence, now, policy)
    return replace(state, signals=signals), [intent, Note("signal", _story(intent))]


def _entry(
    view: MarketView, signal: Signal, divergence: Decimal, now: datetime, policy: Policy
) -> EntryIntent:
    position_size_usd, leverage = policy.size_of(view.symbol)
    return EntryIntent(
        timestamp=view.at,
        produced_at=now,
        source="trading_bot",
        intent_id=intent_id_of(view.symbol, policy.strategy.name, view.at, signal.side),
        intent_type="ENTRY",
        symbol=view.symbol,
        side=signal.side,
        confidence=signal.confidence.quantize(_FOUR_PLACES),
        entry_price=view.price,
        leverage=leverage,
        position_size_usd=position_size_usd,
        atr_value=view.atr_1h,
        volatility_factor=view.volatility_factor,
        exchange_divergence=divergence,
        funding_rate=view.funding_rate,
        regime=view.regime,
        model=policy.strategy.name,
        reason=signal.reason[:REASON_CHARS],
    )


def intent_id_of(symbol: str, model: str, at: datetime, side: Side) -> str:
    """The one entry of a symbol at a market time, by name."""
    short = _NOT_IN_ID.sub("-", model[:MODEL_IN_ID_CHARS])
    return f"{slug(symbol)}.{short}.{(at - EPOCH) // _MILLISECOND}.{side}"


def _story(intent: EntryIntent) -> dict[str, object]:
    return {
        "symbol": intent.symbol,
        "side": intent.side,
        "confidence": intent.confidence,
        "entry_price": intent.entry_price,
        "regime": intent.regime,
        "intent_id": intent.intent_id,
        "model": intent.model,
        "reason": intent.reason,
    }
