"""From an overview to what the page shows: notices in plain words first, then all that stands.

Pure; reads and writes nothing. Figures are text as in the streams, but for those that are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from services.dashboard.prices import Prices, thinned
from shared.decisions import Mode
from shared.overview.document import as_json
from shared.overview.values import Overview, Position
from shared.why.words import safe

Level = Literal["fail", "warn"]

#: Points of the small curve of a position.
_SPARK = 80

#: What each alarm of watcher means, in the words of a person who does not know its name.
_ALARMS = {
    "rung_not_taken": "A rung is due and was not taken",
    "position_without_stop": "A position stands without a stop",
    "intent_without_outcome": "An intent has no outcome",
    "group_lags": "A daemon is behind",
    "dead_letters": "Messages could not be read",
    "feed_stale": "Prices have stopped coming",
    "unknown_order": "An order may have been executed or not",
    "redis_not_durable": "Redis may forget what it was told",
    "daemon_silent": "A daemon is silent",
    "entries_barred": "The venue takes no entries",
    "symbol_quarantined": "A symbol is left alone",
    "over_cap": "More is held than the caps allow",
    "unreadable": "Something cannot be read",
}
_MODES = {
    Mode.RUN: "Entries and exits are executed.",
    Mode.EXITS_ONLY: "No entry is taken; exits and stops go on.",
    Mode.HALT: "No entry and no exit is executed; only stops are kept up.",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know before anything else; `subject` may be a symbol."""

    level: Level
    title: str
    text: str
    subject: str = ""
    since: datetime | None = None


def page_of(overview: Overview, prices: Prices) -> dict[str, Any]:
    """The whole page as one JSON document."""
    held = {position.symbol for position in overview.positions}
    return {
        **as_json(overview),
        "notices": [
            {**as_json(notice), "held": notice.subject in held} for notice in notices_of(overview)
        ],
        "mode_means": _MODES[overview.mode],
        "positions": [
            {**as_json(position), "spark": spark_of(position, prices)}
            for position in overview.positions
        ],
    }


def notices_of(overview: Overview) -> list[Notice]:
    """What must be mended, then what is worth a thought; each in the order of its beginning."""
    found = [
        *_alarms(overview),
        *_unwatched(overview),
        *_of_symbols(overview),
        *_switches(overview),
    ]
    return sorted(found, key=lambda notice: notice.level)


def _alarms(overview: Overview) -> Iterator[Notice]:
    for alarm in overview.watch.alarms:
        title = _ALARMS.get(alarm.name, alarm.name.replace("_", " ").capitalize())
        yield Notice("fail", title, alarm.text, alarm.subject, alarm.since)


def _unwatched(overview: Overview) -> Iterator[Notice]:
    """What shows without watcher: where it does not look, nobody else would tell."""
    watch = overview.watch
    told = {(alarm.name, alarm.subject) for alarm in watch.alarms}
    for position in overview.positions:
        if position.naked and ("position_without_stop", position.symbol) not in told:
            title = _ALARMS["position_without_stop"]
            text = f"{position.symbol}: no stop stands on the venue."
            yield Notice("fail", title, text, position.symbol, position.naked_since)
    for daemon in overview.daemons:
        if daemon.state == "lost" and ("daemon_silent", daemon.name) not in told:
            text = "It has never been heard of here." if daemon.at is None else "It was running."
            yield Notice("fail", _ALARMS["daemon_silent"], text, daemon.name, daemon.at)
    for order, text in overview.venue.unknown_orders.items():
        if not any(alarm.name == "unknown_order" for alarm in watch.alarms):
            yield Notice("fail", _ALARMS["unknown_order"], f"{order}: {text}")
    for record in overview.unreadable:
        if ("unreadable", safe(record.what)) in told:
            continue
        yield Notice("fail", "Something cannot be read", safe(str(record)), record.what)
    if watch.state == "stale":
        text = "What it said last is below; whether that still holds is not known."
        yield Notice("fail", "The watcher has stopped looking", text, "", watch.seen_at)
    if watch.state == "off":
        text = "Nobody looks for what stands still: start it with `quantum run watcher`."
        yield Notice("warn", "The watcher does not run", text)


def _of_symbols(overview: Overview) -> Iterator[Notice]:
    """What apply_layer says of one symbol, where watcher does not say it already."""
    told = {(alarm.name, alarm.subject) for alarm in overview.watch.alarms}
    venue = overview.venue
    for name, found in (("symbol_quarantined", venue.quarantined), ("over_cap", venue.over_cap)):
        for symbol, text in found.items():
            if (name, safe(symbol)) not in told:
                yield Notice("fail", _ALARMS[name], text, safe(symbol))


def _switches(overview: Overview) -> Iterator[Notice]:
    if overview.mode is not Mode.RUN:
        yield Notice("warn", f"The mode is {overview.mode}", _MODES[overview.mode])
    for code, text in overview.venue.barriers.items():
        yield Notice("warn", "The venue takes no entries now", f"{code}: {text}")


def spark_of(position: Position, prices: Prices) -> list[list[float]]:
    """R through time since the position was opened, as pairs of market time (s) and R."""
    bars = prices.of(position.symbol).since(position.opened_at.timestamp())
    per_unit = position.side.sign / float(position.risk_per_unit)
    # R is linear in the price; the costs are in the R that is known.
    r_now, mark = float(position.r_net), float(position.mark_price)
    return [
        [bar.at, round(r_now + per_unit * (bar.last - mark), 3)] for bar in thinned(bars, _SPARK)
    ]
