"""What is wrong, as a look shows it: one alarm for each thing that stands longer than it may.

Pure; reads and writes nothing. The texts hold no figure that changes from look to look: an alarm
that says the same is the same alarm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from services.watcher.holding import Holding
from services.watcher.sights import Look
from services.watcher.state import Alarm, Policy, State
from shared.decisions import Mode
from shared.overview.values import Daemon, Group, Stream, Venue
from shared.streams import DAEMONS
from shared.why.words import plain, safe

#: The names of all alarms.
NAMES = (
    "rung_not_taken",
    "position_without_stop",
    "intent_without_outcome",
    "group_lags",
    "dead_letters",
    "feed_stale",
    "unknown_order",
    "redis_not_durable",
    "daemon_silent",
    "entries_barred",
    "symbol_quarantined",
    "over_cap",
    "unreadable",
)
_WATCHER = "watcher"
#: The one that waits for the venue.
_VENUES = "apply_layer"
#: Ids that are named in one sentence; the others are counted.
_TOLD = 3


def alarms_of(look: Look, state: State, policy: Policy) -> list[Alarm]:
    """All that is wrong at a look; what has no time of its own is as old as the look."""
    return [
        *_rungs(look, state.held, policy),
        *_naked(look, state, policy),
        *_unanswered(look, state, policy),
        *_lags(look, policy),
        *_letters(look),
        *_feed(look, state, policy),
        *_orders(look),
        *_durability(look),
        *_silent(look, state, policy),
        *_barred(look, state, policy),
        *_symbols(look),
        *_unreadable(look, state, policy),
    ]


def _rungs(look: Look, held: Mapping[str, Holding], policy: Policy) -> Iterator[Alarm]:
    for symbol, holding in held.items():
        for rung, since in holding.untaken[:1]:
            if _age_s(look, since) < policy.rung_within_s:
                continue
            others = [name for name, _ in holding.untaken[1:]]
            names = " and ".join([rung, *others])
            verb = "are" if others else "is"
            text = f"{names} of {symbol} {verb} due, the price was there, and nothing was sold"
            if look.overview.mode is Mode.HALT:
                text += "; the mode is HALT, which lets no exit through"
            yield Alarm("rung_not_taken", symbol, since, f"{text}: `quantum why {symbol}`")


def _naked(look: Look, state: State, policy: Policy) -> Iterator[Alarm]:
    for symbol in look.held:
        holding = state.held.get(symbol)
        if holding is None:
            text = f"the record of {symbol} makes no sense, so that nobody knows of its stop"
            yield Alarm("position_without_stop", symbol, look.overview.now, text)
        elif (
            holding.naked_since is not None
            and _age_s(look, holding.naked_since) >= policy.stop_within_s
        ):
            position = holding.position
            text = f"{position.side.value} {plain(position.qty)} {symbol} stands without a stop"
            refused = look.overview.venue.stops_refused.get(symbol)
            text += f": {refused}" if refused else ""
            yield Alarm("position_without_stop", symbol, holding.naked_since, text)


def _unanswered(look: Look, state: State, policy: Policy) -> Iterator[Alarm]:
    late = [
        one
        for one in state.intents.waiting.values()
        if _age_s(look, one.since) >= policy.outcome_within_s
    ]
    for symbol in sorted({one.symbol for one in late}):
        own = sorted((one for one in late if one.symbol == symbol), key=lambda one: one.since)
        names = _some([f"{one.kind} {safe(one.intent_id)}" for one in own])
        text = f"nobody has answered {names} of {symbol}: `quantum why {symbol}`"
        yield Alarm("intent_without_outcome", symbol, own[0].since, text)


def _lags(look: Look, policy: Policy) -> Iterator[Alarm]:
    for stream, group in groups_of(look):
        age_s = group.oldest_age_s
        if age_s is None or age_s < policy.lag_within_s:
            continue
        since = look.overview.now - timedelta(seconds=age_s)
        text = f"{group.daemon} does not get on with {stream.name}: messages wait for it"
        if group.daemon == _VENUES:
            text += "".join(f"; the venue: {why}" for why in _causes(look.overview.venue))
        yield Alarm("group_lags", f"{stream.name}/{group.daemon}", since, text)


def _causes(venue: Venue) -> Iterator[str]:
    """What apply_layer says of the venue that may hold it up."""
    yield from (f"{code}, {text}" for code, text in venue.barriers.items())
    yield from (f"{symbol}, {text}" for symbol, text in venue.stops_refused.items())


def groups_of(look: Look) -> Iterator[tuple[Stream, Group]]:
    """Every group of every stream that was ever read."""
    for stream in look.overview.streams:
        for group in stream.groups:
            if group.exists:
                yield stream, group


def _letters(look: Look) -> Iterator[Alarm]:
    for stream in look.overview.streams:
        if stream.dead:
            text = f"{stream.name} has messages that could not be read: `quantum dead list`"
            yield Alarm("dead_letters", stream.name, look.overview.now, text)


def watched_symbols(look: Look, policy: Policy) -> list[str]:
    """Those that must have prices: what market_feed is to bring, and whatever is held."""
    return sorted(policy.symbols | look.held.keys())


def _feed(look: Look, state: State, policy: Policy) -> Iterator[Alarm]:
    for symbol in watched_symbols(look, policy):
        price = state.prices.get(symbol)
        since = price.alive_at if price is not None else state.started_at or look.overview.now
        if _age_s(look, since) < policy.price_within_s:
            continue
        told = "no price of" if price is None else "no new price of"
        held = ", which is held" if symbol in look.held else ""
        yield Alarm("feed_stale", symbol, since, f"there is {told} {symbol}{held}")


def _orders(look: Look) -> Iterator[Alarm]:
    by_symbol: dict[str, list[str]] = {}
    for order_id, told in look.overview.venue.unknown_orders.items():
        by_symbol.setdefault(told.partition(" ")[0], []).append(order_id)
    for symbol, ids in by_symbol.items():
        text = f"{_some(ids)} in {symbol} may have been executed or not; it is being asked for"
        yield Alarm("unknown_order", symbol, look.overview.now, text)


def undurable(persistence: Mapping[str, str]) -> list[str]:
    """Why a crash of the server would lose what it confirmed; empty if it would not."""
    found = []
    if persistence.get("aof_enabled") != "1":
        found.append("it writes no append-only file")
    if persistence.get("aof_last_write_status", "ok") != "ok":
        found.append("its last write to the append-only file failed")
    if persistence.get("aof_last_bgrewrite_status", "ok") != "ok":
        found.append("it cannot rewrite its append-only file, which will fill the disk")
    return found


def _durability(look: Look) -> Iterator[Alarm]:
    found = undurable(look.persistence)
    if found:
        text = f"Redis may lose what it confirmed: {'; '.join(found)}"
        yield Alarm("redis_not_durable", "", look.overview.now, text)


def expected(daemon: Daemon) -> bool:
    """Whether a program's heartbeat must be there: the ring's always, a companion's once it ran."""
    return daemon.name != _WATCHER and (daemon.name in DAEMONS or daemon.at is not None)


def _silent(look: Look, state: State, policy: Policy) -> Iterator[Alarm]:
    for daemon in filter(expected, look.overview.daemons):
        since = daemon.at or state.started_at or look.overview.now
        if daemon.name in state.beats:
            since = state.beats[daemon.name][1]
        if _age_s(look, since) < policy.heartbeat_within_s:
            continue
        told = "was never seen" if daemon.at is None else "has gone silent"
        text = f"{daemon.name} {told}: it hangs, or it does not run"
        yield Alarm("daemon_silent", daemon.name, since, text)


def _barred(look: Look, state: State, policy: Policy) -> Iterator[Alarm]:
    for code, text in look.overview.venue.barriers.items():
        since = state.barred.get(code, look.overview.now)
        if _age_s(look, since) >= policy.barred_within_s:
            yield Alarm("entries_barred", safe(code), since, f"the venue takes no entries: {text}")


def _symbols(look: Look) -> Iterator[Alarm]:
    """What apply_layer says of one symbol: it is left alone, or more is held than may be."""
    venue, now = look.overview.venue, look.overview.now
    for symbol, text in venue.quarantined.items():
        yield Alarm(
            "symbol_quarantined", safe(symbol), now, f"{safe(symbol)} is left alone: {text}"
        )
    for symbol, text in venue.over_cap.items():
        yield Alarm("over_cap", safe(symbol), now, text)


def _unreadable(look: Look, state: State, policy: Policy) -> Iterator[Alarm]:
    """Keys, streams and entries that nobody can read; a dead letter has an alarm of its own."""
    now = look.overview.now
    for each in look.overview.unreadable:
        yield Alarm("unreadable", safe(each.what), now, f"{safe(each.what)}: {safe(each.why)}")
    late: dict[str, list[str]] = {}
    for entry, since in state.unread.items():
        if since is not None and _age_s(look, since) >= policy.lag_within_s:
            late.setdefault(entry.stream, []).append(f"{entry.id} ({entry.code})")
    for stream, entries in late.items():
        text = f"{_some(entries)} on {stream} cannot be read, and no daemon has put it aside"
        yield Alarm("unreadable", f"{stream}/entries", now, text)


def _some(words: list[str]) -> str:
    more = len(words) - _TOLD
    return ", ".join(words[:_TOLD]) + (f" and {more} more" if more > 0 else "")


def _age_s(look: Look, since: datetime) -> float:
    return (look.overview.now - since).total_seconds()
