"""market_feed live: which prices of a venue's stream go out, and what is filled in before them.

Reads what the venue said (marks, ends of minutes, candles that fill a gap, a second venue's price)
as events; writes market.tick and requests for candles (FillGap). Pure.

A symbol's ticks are in market time, which is the venue's, and at most one a second. A price that
comes more than `gap` after the last one of its symbol waits while the minutes between are asked
for; they go out first. It does not wait longer than `hold`: the price of now is worth more than
those of before. What was not filled then stays a gap, as no tick is older than the one before it.

The venue's one-minute candles are the second witness: a minute that ended without a tick is a gap
even while the stream of marks is silent and the connection is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from services.market_feed.events import (
    Filled,
    FillGap,
    GapClosed,
    Mark,
    MinuteEnded,
    NotFilled,
    Refused,
    SecondPrice,
)
from services.market_feed.replay import ticks
from shared.contracts import HISTORY_SOURCE, MarketTick
from shared.decisions import Note, Received
from shared.symbols import slug
from shared.ticks import MAX_AHEAD

_MILLISECOND, _SECOND, _MINUTE = (
    timedelta(milliseconds=1),
    timedelta(seconds=1),
    timedelta(minutes=1),
)
#: What readers refuse, so it must not go out however well its clock agrees with itself.
_ANOTHER_AGE = timedelta(days=1)
_WIDE = Context(prec=64)
_SIX_PLACES = Decimal("0.000001")

#: The source of a price that the stream told as it was.
LIVE = "market_feed"


@dataclass(frozen=True, slots=True)
class Policy:
    """`gap` is the longest silence that is none; beyond `longest_gap` a symbol starts afresh.

    `ahead` is how far a price's time may be ahead of the clock here without a second one that
    agrees; `fresh` is how long a measured divergence holds.
    """

    symbols: frozenset[str]
    gap: timedelta = timedelta(seconds=60)
    longest_gap: timedelta = timedelta(hours=24)
    hold: timedelta = timedelta(seconds=10)
    ahead: timedelta = MAX_AHEAD
    fresh: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Seen:
    """A price's market time, and the wall clock here when it was decided."""

    at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Filling:
    """A gap that is being filled, and the prices that wait for it."""

    gap: FillGap
    asked_at: datetime
    held: tuple[Mark, ...] = ()
    minutes: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What a restart needs: the last price of each symbol that went out."""

    last: Mapping[str, Seen] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    """`kept` is durable. The rest is of this connection, by symbol.

    `suspects` came from too far ahead, `prices` is the last live price and when it came,
    `divergence` was measured at a time and not told yet.
    """

    kept: Kept = field(default_factory=Kept)
    filling: Mapping[str, Filling] = field(default_factory=dict)
    suspects: Mapping[str, Seen] = field(default_factory=dict)
    prices: Mapping[str, tuple[Decimal, datetime]] = field(default_factory=dict)
    divergence: Mapping[str, tuple[Decimal, datetime]] = field(default_factory=dict)


Outputs = list[object]


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[object]]:
    """Decide one event; events of symbols that are not ours change nothing."""
    event, now = received.event, received.received_at
    match event:
        case Refused():
            return state, [event]
        case Filled(gap=gap) if _is_open(state, gap):
            return _filled(state, event, now, policy)
        case NotFilled(gap=gap, reason=reason) if _is_open(state, gap):
            return _close(state, gap.symbol, now, reason, policy)
        case Mark(symbol=symbol) if symbol in policy.symbols:
            return _marked(state, event, now, policy)
        case MinuteEnded(symbol=symbol) if symbol in policy.symbols:
            return _minute_ended(state, event, now, policy)
        case SecondPrice(symbol=symbol) if symbol in state.prices:
            return _compared(state, event, now, policy), ()
    return state, ()


def _compared(state: State, second: SecondPrice, now: datetime, policy: Policy) -> State:
    """Measure the divergence, but only against a price of now."""
    price, seen_at = state.prices[second.symbol]
    if now - seen_at > policy.hold:
        return state
    apart = divergence_of(price, second.price)
    return replace(state, divergence={**state.divergence, second.symbol: (apart, now)})


def divergence_of(price: Decimal, second: Decimal) -> Decimal:
    """How far a second venue's price is from ours: 0 is equal, 1 is as far as it counts."""
    apart = abs(_WIDE.divide(second, price) - 1)
    return min(apart, Decimal(1)).quantize(_SIX_PLACES)


def _marked(
    state: State, mark: Mark, now: datetime, policy: Policy
) -> tuple[State, Sequence[object]]:
    symbol, last = mark.symbol, state.kept.last.get(mark.symbol)
    if _leaps(state, mark, now, policy):
        suspects = {**state.suspects, symbol: Seen(mark.at, now)}
        why = f"its time {mark.at.isoformat()} is far ahead of the clock here"
        return replace(state, suspects=suspects), [Refused(symbol, why)]
    filling = state.filling.get(symbol)
    before = filling.held[-1].at if filling and filling.held else last.at if last else None
    if before is not None and not _later_second(before, mark.at):
        if _second(mark.at) == _second(before):
            return state, ()
        why = f"its time {mark.at.isoformat()} is before {before.isoformat()}"
        return state, [Refused(symbol, why)]
    if filling is not None:
        held = replace(filling, held=(*filling.held, mark))
        state = replace(state, filling={**state.filling, symbol: held})
        if now - filling.asked_at < policy.hold:
            return state, ()
        reason = f"not filled within {policy.hold.total_seconds():g} s"
        return _close(state, symbol, now, reason, policy)
    if last is not None and mark.at - last.at > policy.gap:
        if mark.at - last.at <= policy.longest_gap:
            return _ask(state, FillGap(symbol, last.at, mark.at), now, (mark,))
        state, tick = _live_tick(state, mark, now, policy)
        gap = {"symbol": symbol, "since": last.at.isoformat()}
        return state, [Note("started_afresh", gap, level="warning"), tick]
    state, tick = _live_tick(state, mark, now, policy)
    return state, [tick]


def _minute_ended(
    state: State, ended: MinuteEnded, now: datetime, policy: Policy
) -> tuple[State, Sequence[object]]:
    last = state.kept.last.get(ended.symbol)
    until = ended.opened_at + _MINUTE
    if last is None or until - last.at > policy.longest_gap:
        since = ended.opened_at - _MILLISECOND
    else:
        since = last.at
    if ended.symbol in state.filling or since >= ended.opened_at:
        return state, ()
    return _ask(state, FillGap(ended.symbol, since, until), now, ())


def _ask(
    state: State, gap: FillGap, now: datetime, held: tuple[Mark, ...]
) -> tuple[State, Sequence[object]]:
    filling = {**state.filling, gap.symbol: Filling(gap, now, held)}
    story = {
        "symbol": gap.symbol,
        "since": gap.since.isoformat(),
        "minutes": _minutes(gap.since, gap.until),
    }
    return replace(state, filling=filling), [gap, Note("gap", story, level="warning")]


def _filled(
    state: State, event: Filled, now: datetime, policy: Policy
) -> tuple[State, Sequence[object]]:
    """Publish what lies in the gap; the candles come in order, a part at a time."""
    symbol = event.gap.symbol
    filling = state.filling[symbol]
    last, minutes, outputs = state.kept.last.get(symbol), filling.minutes, Outputs()
    for candle in event.candles:
        told = False
        for tick in ticks(candle):
            if last is not None and not _later_second(last.at, tick.at):
                continue
            if not _later_second(tick.at, event.gap.until):
                continue
            outputs.append(_message(symbol, tick.at, tick.price, now, source=HISTORY_SOURCE))
            last, told = Seen(tick.at, now), True
        minutes += told
    if last is not None:
        state = replace(state, kept=Kept({**state.kept.last, symbol: last}))
    state = replace(state, filling={**state.filling, symbol: replace(filling, minutes=minutes)})
    if not event.done:
        return state, outputs
    state, rest = _close(state, symbol, now, "filled", policy)
    return state, [*outputs, *rest]


def _close(
    state: State, symbol: str, now: datetime, reason: str, policy: Policy
) -> tuple[State, Sequence[object]]:
    """End the filling of a gap, whatever came of it, and let the prices go that waited."""
    filling = state.filling[symbol]
    others = {other: gap for other, gap in state.filling.items() if other != symbol}
    state, outputs = replace(state, filling=others), Outputs()
    for mark in filling.held:
        last = state.kept.last.get(symbol)
        # A late price may lie in a minute that was filled meanwhile.
        if last is None or _later_second(last.at, mark.at):
            state, tick = _live_tick(state, mark, now, policy)
            outputs.append(tick)
    lost = max(0, _minutes(filling.gap.since, filling.gap.until) - filling.minutes)
    return state, [*outputs, GapClosed(filling.gap, filling.minutes, lost, reason)]


def _live_tick(state: State, mark: Mark, now: datetime, policy: Policy) -> tuple[State, MarketTick]:
    """The tick of a mark; it carries the divergence if one was measured since the last."""
    symbol, apart, divergence = mark.symbol, None, state.divergence
    if symbol in divergence:
        value, measured_at = divergence[symbol]
        apart = value if now - measured_at <= policy.fresh else None
        divergence = {other: one for other, one in divergence.items() if other != symbol}
    tick = _message(symbol, mark.at, mark.price, now, rate=mark.funding_rate, apart=apart)
    state = replace(
        state,
        kept=Kept({**state.kept.last, symbol: Seen(mark.at, now)}),
        prices={**state.prices, symbol: (mark.price, now)},
        divergence=divergence,
    )
    return state, tick


def _message(
    symbol: str,
    at: datetime,
    price: Decimal,
    now: datetime,
    *,
    source: str = LIVE,
    rate: Decimal | None = None,
    apart: Decimal | None = None,
) -> MarketTick:
    return MarketTick(
        timestamp=at,
        produced_at=now,
        source=source,
        tick_id=f"{slug(symbol)}-{int(at.timestamp() * 1000)}",
        symbol=symbol,
        mark_price=price,
        funding_rate=rate,
        exchange_divergence=apart,
    )


def _is_open(state: State, gap: FillGap) -> bool:
    """Whether the answer is of the request that is under way, not of one that was given up."""
    filling = state.filling.get(gap.symbol)
    return filling is not None and filling.gap == gap


def _leaps(state: State, mark: Mark, now: datetime, policy: Policy) -> bool:
    """Whether a price comes from a time that nothing else speaks for.

    Far ahead of the clock here it needs a witness: the last price of its symbol, or one refused
    before, from which market time and the clock here went on alike. So one wrong time is refused,
    and a clock here that is an hour off stops no feed.
    """
    ahead = mark.at - now
    if ahead <= policy.ahead:
        return False
    witnesses = (state.kept.last.get(mark.symbol), state.suspects.get(mark.symbol))
    return ahead > _ANOTHER_AGE or not any(
        seen is not None and abs((mark.at - seen.at) - (now - seen.received_at)) <= policy.ahead
        for seen in witnesses
    )


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _later_second(before: datetime, at: datetime) -> bool:
    return _second(at) > _second(before)


def _minutes(since: datetime, until: datetime) -> int:
    """How many candles of a minute can give a tick after `since`, and closed by `until`."""
    return (_minute(until) - _minute(since + _SECOND)) // _MINUTE


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
