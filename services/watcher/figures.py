"""The figures that Prometheus gets. Pure; reads and writes nothing.

They are told as they are and not judged: from when on one is an alarm stands in the rules of
Prometheus, and for `quantum:watch` in the settings. A symbol, a daemon or an order that is gone has
no figure any more.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from services.watcher.alarms import NAMES, expected, groups_of, undurable, watched_symbols
from services.watcher.sights import Figures, Look, Sample
from services.watcher.state import Policy, State
from shared.decisions import Mode

#: Every name, and what it tells.
HELP = {
    "quantum_position_r_multiple": "R of an open position at its last price, net of costs",
    "quantum_position_unprotected_seconds": "How long a position has had no stop; 0 under one",
    "quantum_rung_overdue_seconds": "How long a rung was reached and not taken; 0 if none is due",
    "quantum_intents_open": "Intents that have no outcome yet",
    "quantum_intent_oldest_open_seconds": "How long the oldest intent has had no outcome",
    "quantum_group_lag": "Entries of a stream that its reader was not given yet",
    "quantum_group_pending": "Entries of a stream that its reader was given and has not finished",
    "quantum_group_oldest_seconds": "How long the oldest entry has waited for its reader",
    "quantum_dead_letters_unhandled": "Dead letters that nobody has put back or dropped",
    "quantum_price_age_seconds": "Age of the last price of a symbol that must have one",
    "quantum_unknown_orders": "Orders that may have been executed, without proof either way",
    "quantum_entry_barriers": "Reasons why the venue takes no entries now",
    "quantum_redis_durable": "1 if a crash of the server loses nothing that it confirmed",
    "quantum_heartbeat_age_seconds": "How long ago the loop of a program was last seen to turn",
    "quantum_mode": "1 for the mode that the operator's switch has",
    "quantum_watch_alarms": "Alarms that stand in quantum:watch",
}


def figures_of(look: Look, state: State, policy: Policy) -> Figures:
    """Every figure of one look."""
    return Figures(tuple(_samples(look, state, policy)))


def _samples(look: Look, state: State, policy: Policy) -> Iterator[Sample]:
    overview = look.overview
    yield from _positions(look, state)
    oldest = state.intents.oldest
    yield Sample("quantum_intents_open", len(state.intents.waiting))
    oldest_since = None if oldest is None else oldest.since
    yield Sample("quantum_intent_oldest_open_seconds", _age_s(look, oldest_since))
    for stream, group in groups_of(look):
        labels = {"stream": stream.name, "group": group.daemon}
        # What the server cannot count must not look like nothing.
        lag = math.nan if group.lag is None else group.lag
        yield Sample("quantum_group_lag", lag, labels)
        yield Sample("quantum_group_pending", group.pending, labels)
        yield Sample("quantum_group_oldest_seconds", group.oldest_age_s or 0.0, labels)
    for stream in overview.streams:
        yield Sample("quantum_dead_letters_unhandled", stream.dead, {"stream": stream.name})
    for symbol in watched_symbols(look, policy):
        price = state.prices.get(symbol)
        since = state.started_at if price is None else price.alive_at
        yield Sample("quantum_price_age_seconds", _age_s(look, since), {"symbol": symbol})
    yield Sample("quantum_unknown_orders", len(overview.venue.unknown_orders))
    yield Sample("quantum_entry_barriers", len(overview.venue.barriers))
    yield Sample("quantum_redis_durable", float(not undurable(look.persistence)))
    for daemon in filter(expected, overview.daemons):
        age_s = _age_s(look, daemon.at or state.started_at)
        yield Sample("quantum_heartbeat_age_seconds", age_s, {"daemon": daemon.name})
    for mode in Mode:
        yield Sample("quantum_mode", float(mode is overview.mode), {"mode": mode.value})
    counted = Counter(alarm.name for alarm in state.standing.values())
    for name in NAMES:
        yield Sample("quantum_watch_alarms", counted[name], {"alarm": name})


def _positions(look: Look, state: State) -> Iterator[Sample]:
    for symbol, holding in state.held.items():
        labels = {"symbol": symbol}
        if holding.r is not None:
            yield Sample("quantum_position_r_multiple", float(holding.r), labels)
        naked_s = _age_s(look, holding.naked_since)
        yield Sample("quantum_position_unprotected_seconds", naked_s, labels)
        overdue = holding.untaken
        since = overdue[0][1] if overdue else None
        yield Sample("quantum_rung_overdue_seconds", _age_s(look, since), labels)


def _age_s(look: Look, since: datetime | None) -> float:
    return 0.0 if since is None else max((look.overview.now - since).total_seconds(), 0.0)
