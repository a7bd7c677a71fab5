"""Where the ring stands still for a symbol: prices, the operator's switch, and each daemon's queue.

Pure; reads and writes nothing. A daemon is told by its heartbeat and by what it leaves lying: its
loop goes round several times a second, so one that has not shown itself for long is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from shared.decisions import Mode
from shared.records import moment_of
from shared.streams import APPLY_PLAN, APPLY_RESULT, MARKET_TICK, MAX_DELIVERIES, TRADE_INTENT
from shared.why.picture import Picture, Queue, Said
from shared.why.story import Story
from shared.why.words import Finding, clock, span

#: A daemon that has not shown itself for this long is away, in seconds.
AWAY_S = 5.0
#: What waits no longer than this is on its way, in seconds.
LATE_S = 2.0
#: A price that is older than this is no price to trade at, in seconds.
STALE_S = 30.0
#: An entry that was handed out this often and never finished is what stops its reader.
_OFTEN = 3

Hop = tuple[str, str]

#: The way of an exit, from a price to the position after it, and what stands beside it.
EXIT_HOPS: tuple[Hop, ...] = (
    (MARKET_TICK.name, "harvest_brain"),
    (TRADE_INTENT.name, "intent_bridge"),
    (APPLY_PLAN.name, "apply_layer"),
    (APPLY_RESULT.name, "harvest_brain"),
    (MARKET_TICK.name, "apply_layer"),
)
ENTRY_HOPS: tuple[Hop, ...] = (
    (MARKET_TICK.name, "trading_bot"),
    (TRADE_INTENT.name, "intent_bridge"),
    (APPLY_PLAN.name, "exitbrain"),
    (APPLY_PLAN.name, "apply_layer"),
    (APPLY_RESULT.name, "intent_bridge"),
)


def halted(picture: Picture) -> Iterator[Finding]:
    """The operator's switch, where it lets nothing through."""
    if Mode.of(picture.mode) is Mode.HALT:
        text = "the mode is HALT: apply_layer refuses every plan, exits as well"
        yield Finding("mode_halt", "fail", f"{text}; `quantum mode run` lets them go on")


def no_entries(picture: Picture) -> Iterator[Finding]:
    """The operator's switch, where it holds entries back."""
    if Mode.of(picture.mode) is Mode.EXITS_ONLY:
        known = picture.mode in Mode.__members__
        told = "EXITS_ONLY" if known else f"{picture.mode!r}, no mode, and counts as EXITS_ONLY"
        yield Finding("mode_exits_only", "warn", f"the mode is {told}: no entry is admitted")


def feed(story: Story) -> Iterator[Finding]:
    """Whether there are prices to decide by."""
    picture, tick = story.picture, story.picture.tick
    others = picture.last_tick_at
    if tick is None:
        text = f"there is no price of {picture.symbol} on {MARKET_TICK.name}"
        asks = _about_feed(picture) if others is None else "does market_feed list it?"
        yield Finding("feed_stale", "fail", f"{text}: {asks}")
        return
    age_s = picture.age_s(tick.message.produced_at)
    if age_s > STALE_S:
        text = (
            f"the last price of {picture.symbol}, {tick.message.mark_price}, is of "
            f"{clock(tick.message.produced_at, picture.now)}, {span(age_s)} ago"
        )
        if others is not None and picture.age_s(others) <= STALE_S:
            text += "; other symbols have newer ones: is it still among market_feed.symbols?"
        else:
            text += f"; no other symbol has a newer one: {_about_feed(picture)}"
        yield Finding("feed_stale", "fail", f"{text} Nothing is decided without prices")
        return
    seen = story.evaluated_at
    if seen is not None and (seen - tick.message.timestamp).total_seconds() > STALE_S:
        yield Finding(
            "prices_of_the_past",
            "fail",
            f"the prices that come now are of {tick.message.timestamp:%d %b %Y %H:%M:%S} in market "
            f"time, and harvest_brain has seen {seen:%d %b %Y %H:%M:%S}: it takes none that is "
            "older than its last",
        )


def _about_feed(picture: Picture) -> str:
    """Why no price of any symbol comes, as far as market_feed's heartbeat tells."""
    seen_at = picture.heartbeats.get("market_feed")
    if seen_at is None:
        return "is market_feed running?"
    seen = f"{clock(seen_at, picture.now)}, {span(picture.age_s(seen_at))} ago"
    if picture.age_s(seen_at) > AWAY_S:
        return f"market_feed was last seen {seen}: is it running?"
    return f"market_feed runs (seen {seen}): has its replay ended, or does its venue send nothing?"


def standing(
    story: Story, hops: tuple[Hop, ...], told: set[str] | None = None
) -> Iterator[Finding]:
    """The hops at which something stands still, in the order of the ring; each daemon once.

    `told` are daemons that were told of before; those that are told of now are added to it.
    """
    told = set() if told is None else told
    for name, group in hops:
        queue = story.picture.queues.get((name, group))
        if queue is None or group in told:
            continue
        state = _state(queue, story.picture.now)
        if state is not None:
            told.add(group)
            yield _finding(story, queue, state)


State = Literal["never", "bad_message", "down", "lags"]


def _state(queue: Queue, now: datetime) -> State | None:
    """What is wrong with a queue, if anything is."""
    if not queue.exists:
        return "never"
    if queue.deliveries >= _OFTEN:
        return "bad_message"
    away = queue.seen_at is None or (now - queue.seen_at).total_seconds() > AWAY_S
    waits_s = 0.0 if queue.oldest is None else (now - moment_of(queue.oldest)).total_seconds()
    if waits_s > LATE_S:
        return "down" if away else "lags"
    silent = queue.beats and queue.seen_at is not None and away
    return "down" if silent else None


def _finding(story: Story, queue: Queue, state: State) -> Finding:
    now, group = story.picture.now, queue.group
    if state == "never":
        text = f"{group} has never read {queue.stream} on this server: was it started?"
        return Finding("daemon_down", "fail", text)
    count = f"{queue.waiting:,}" if queue.lag is not None else "more than can be counted"
    lies = f"{group} has {count} waiting on {queue.stream}"
    if queue.pending:
        lies += f", {len(queue.pending):,} of them handed out and not finished"
    if queue.oldest is None:
        lies = f"{group} has nothing waiting on {queue.stream}"
    if state == "bad_message":
        wrong = f" ({queue.front})" if queue.front else ""
        text = (
            f"{queue.oldest} on {queue.stream}{wrong} was handed to {group} {queue.deliveries} "
            f"times and never finished: it stops its reader, and {queue.waiting - 1:,} wait behind "
            f"it. After {MAX_DELIVERIES} times it goes to the dead letters by itself"
        )
        return Finding("bad_message", "fail", text)
    begin = _what_waits(story, queue)
    seen_at = queue.seen_at
    seen = (
        "was never seen"
        if seen_at is None
        else f"was last seen {clock(seen_at, now)}, {span(story.picture.age_s(seen_at))} ago"
    )
    if state == "lags":
        unless = ", or it waits for its venue" if group == "apply_layer" else ""
        text = f"{begin}{lies} and runs ({seen}): it is behind, not away{unless}"
        return Finding("group_lags", "fail", text)
    return Finding("daemon_down", "fail", f"{begin}{lies} and {seen}: is the daemon running?")


def _what_waits(story: Story, queue: Queue) -> str:
    """What of this symbol waits in a queue, else how old the oldest is."""
    now = story.picture.now
    for said, what in _of_symbol(story, queue):
        if not queue.finished(said.id):
            return f"{what} published {clock(said.at, now)}; "
    if queue.oldest is None:
        return ""
    return f"the oldest was published {clock(moment_of(queue.oldest), now)}; "


def _of_symbol(story: Story, queue: Queue) -> Iterator[tuple[Said, str]]:
    """What of this symbol may wait in a queue, the oldest first."""
    if queue.stream == MARKET_TICK.name and story.picture.tick is not None:
        tick = story.picture.tick
        yield tick, f"{tick.message.symbol} at {tick.message.mark_price}"
    for chain in story.chains.values():
        if queue.stream == TRADE_INTENT.name and chain.intent is not None:
            yield chain.intent, chain.kind
        elif queue.stream == APPLY_PLAN.name and chain.plans:
            last = chain.plans[-1]
            if queue.group == "exitbrain" and chain.awaits_exits:
                yield last, f"the plan of {chain.intent_id}"
            elif queue.group == "apply_layer" and chain.to_execute is not None:
                yield chain.to_execute, f"the plan for {chain.kind}"
    if queue.stream == APPLY_RESULT.name:
        for said in story.picture.results:
            yield said, f"the result {said.message.status}"
