"""watcher: what stands still or stands naked, judged by somebody who has no part in it.

What a daemon says of itself is worth nothing while it hangs. watcher reads every stream and record
with a cursor of its own, so that it holds up nobody, and nobody has to answer it. It writes
`quantum:watch`, one field for each alarm, and the figures that Prometheus goes by.

A message is taken in as it comes. Everything is judged at a look, about once a second, by the
server's clock. Until the ring has had time to answer (`settle_s`) only figures are told, and the
record stands as it was: after a start of the whole machine, or an outage of the server, much is
late for a moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from services.watcher import holding as positions
from services.watcher import intents as waiting
from services.watcher.alarms import alarms_of
from services.watcher.figures import figures_of
from services.watcher.holding import Holding, Price
from services.watcher.sights import Heard, Look, Unread
from services.watcher.state import Alarm, Policy, State
from shared.contracts import HISTORY_SOURCE, FillResult, MarketTick
from shared.contracts.values import format_timestamp
from shared.decisions import Note, Record
from shared.overview.values import Position
from shared.overview.view import Kept, position_of
from shared.records import NONSENSE
from shared.streams import WATCH_KEY
from shared.ticks import is_late
from shared.why.picture import Said

#: Entries that cannot be read, of which so many are remembered, the newest.
_UNREAD_KEPT = 100


def decide(state: State, event: Heard | Look, policy: Policy) -> tuple[State, Sequence[object]]:
    """Decide one event: messages that were heard, or a look, which brings the time with it."""
    if isinstance(event, Heard):
        return _hear(state, event), ()
    return _judge(state, event, policy)


def _hear(state: State, heard: Heard) -> State:
    prices, held = dict(state.prices), dict(state.held)
    for said in heard.said:
        message: Any = said.message
        if isinstance(message, MarketTick):
            _take_price(prices, held, said)
        elif isinstance(message, FillResult) and not message.reduceOnly:
            grown = held.get(message.symbol)
            if grown is not None and grown.position.position_id == message.position_id:
                held[message.symbol] = positions.whole(grown, said.at)
    trade = [said for said in heard.said if not isinstance(said.message, MarketTick)]
    if trade or heard.letters:
        state = replace(state, intents=waiting.heard(state.intents, trade, heard.letters))
    if state.unread or heard.unread:
        state = replace(state, unread=_unread(state, heard))
    return replace(state, prices=prices, held=held)


def _unread(state: State, heard: Heard) -> Mapping[Unread, datetime | None]:
    """The entries that cannot be read, without those that have their dead letter now."""
    known = {(letter.stream, letter.id) for letter in heard.letters}
    unread = {**dict.fromkeys(heard.unread), **state.unread}
    kept = [entry for entry in unread if (entry.stream, entry.id) not in known]
    return {entry: unread[entry] for entry in kept[-_UNREAD_KEPT:]}


def _take_price(prices: dict[str, Price], held: dict[str, Holding], said: Said) -> None:
    tick: MarketTick = said.message
    before = prices.get(tick.symbol)
    if tick.source == HISTORY_SOURCE:
        return
    if before is not None and is_late(tick, before.market_at, said.at):
        # Nobody decides by it; it shows that the feed is alive, and no more.
        prices[tick.symbol] = replace(before, alive_at=said.at)
        return
    prices[tick.symbol] = price = positions.price_of(before, said)
    if tick.symbol in held:
        held[tick.symbol] = positions.at_price(held[tick.symbol], price, said.at)


def _judge(state: State, look: Look, policy: Policy) -> tuple[State, Sequence[object]]:
    now = look.overview.now
    state = _until(state, look)
    state = replace(
        state,
        unread={entry: since or now for entry, since in state.unread.items()},
        barred={code: state.barred.get(code, now) for code in look.overview.venue.barriers},
        started_at=now if look.after_outage else state.started_at or now,
        held=dict(_held(state, look, policy)),
        intents=waiting.forgotten(state.intents, now - timedelta(seconds=policy.read_back_s)),
    )
    settled = state.started_at is not None and (
        (now - state.started_at).total_seconds() >= policy.settle_s
    )
    if not settled:
        return state, [figures_of(look, state, policy)]
    before = state.standing
    # An alarm that goes on is as old as it was, though what it tells of has become another.
    standing = {
        alarm.field: replace(alarm, since=min(alarm.since, before[alarm.field].since))
        if alarm.field in before
        else alarm
        for alarm in alarms_of(look, state, policy)
    }
    state = replace(state, standing=standing)
    fields = {"seen_at": format_timestamp(now)}
    fields |= {
        name: f"{format_timestamp(alarm.since)} {alarm.text}"
        for name, alarm in sorted(standing.items())
    }
    outputs = [figures_of(look, state, policy), Record(WATCH_KEY, fields)]
    return state, [*outputs, *_changes(before, standing)]


def _until(state: State, look: Look) -> State:
    """The state without times that have not come, as after the server's clock was set back.

    What has stood for a while by a clock that was ahead has stood since this look at least: no
    alarm waits for that clock's time to come again.
    """
    now = look.overview.now
    prices = {
        symbol: replace(price, at=min(price.at, now), alive_at=min(price.alive_at, now))
        for symbol, price in state.prices.items()
    }
    beats = {}
    for daemon in look.overview.daemons:
        if daemon.at is not None and daemon.at > now:
            told, since = state.beats.get(daemon.name, (daemon.at, now))
            beats[daemon.name] = (daemon.at, min(since, now) if told == daemon.at else now)
    return replace(
        state,
        started_at=state.started_at and min(state.started_at, now),
        prices=prices,
        intents=waiting.until(state.intents, now),
        held={symbol: positions.until(held, now) for symbol, held in state.held.items()},
        standing={
            name: replace(alarm, since=min(alarm.since, now))
            for name, alarm in state.standing.items()
        },
        beats=beats,
    )


def _held(state: State, look: Look, policy: Policy) -> Iterator[tuple[str, Holding]]:
    """What is held, by symbol; a record that makes no sense is told as an alarm."""
    for symbol, kept in look.held.items():
        position = _read_position(symbol, kept, policy, look.overview.now)
        if position is None:
            continue
        before = state.held.get(symbol)
        cost_bps = policy.terms_of(symbol).cost_bps
        holding = positions.seen(before, position, cost_bps, look.overview.now)
        price = state.prices.get(symbol)
        if price is not None:
            holding = positions.at_price(holding, price, look.overview.now)
        yield symbol, holding


def _read_position(symbol: str, kept: Kept, policy: Policy, now: datetime) -> Position | None:
    """The position that a record tells of, or None if it makes no sense."""
    if kept.position.get("symbol") != symbol:
        return None
    try:
        return position_of(kept, policy.terms_of(symbol), now)
    except NONSENSE:
        return None


def _changes(before: Mapping[str, Alarm], standing: Mapping[str, Alarm]) -> Iterator[Note]:
    for name in standing.keys() - before.keys():
        alarm = standing[name]
        yield Note("alarm", {"alarm": name, "since": alarm.since, "detail": alarm.text}, "error")
    for name in before.keys() - standing.keys():
        yield Note("alarm_ended", {"alarm": name, "since": before[name].since})
