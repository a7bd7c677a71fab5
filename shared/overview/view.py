"""From what the server says to the values of an overview. Pure; reads and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from shared.contracts import HISTORY_SOURCE, BadMessage, MarketTick, decode
from shared.contracts.wire import RawFields
from shared.formulas import r_multiple
from shared.overview.values import Alarm, Daemon, Event, Position, Price, Rung, Venue, Watch
from shared.records import figure, moment, moment_of
from shared.streams import COMPANIONS
from shared.streams import Stream as Known
from shared.ticks import is_ahead
from shared.why.lines import line_of
from shared.why.picture import Picture, Rules, Said, Terms
from shared.why.rungs import rungs_of
from shared.why.story import Held, number, story_of
from shared.why.words import on_tick, safe

#: A heartbeat comes every two seconds; one that is older than this belongs to nobody.
LOST_AFTER = timedelta(seconds=15)
#: What watcher said counts for so long after it last looked.
STALE_AFTER = timedelta(seconds=15)
_SEEN_AT = "seen_at"
#: Alarms that come before all others, however short they have lasted: money is at stake, or they
#: are the cause of others.
_WORST = (
    "position_without_stop",
    "over_cap",
    "symbol_quarantined",
    "entries_barred",
    "rung_not_taken",
    "unknown_order",
    "unreadable",
)
_TARGETS = ("take_profit", "take_profit_2", "take_profit_3")


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one symbol: the records of the position and of the harvest, and the rest.

    `price` is the newest, with the message that brought it.
    """

    position: Mapping[str, str]
    harvest: Mapping[str, str]
    rules: Rules | None = None
    naked_since: datetime | None = None
    tick: Said | None = None


def position_of(kept: Kept, terms: Terms, now: datetime) -> Position:
    """The position of one symbol.

    Raises:
        One of `NONSENSE`: a record lacks something or is no position.
    """
    record, harvest = kept.position, kept.harvest
    story = story_of(
        Picture(
            symbol=record["symbol"],
            now=now,
            terms=terms,
            tick=kept.tick,
            position=record,
            harvest=harvest,
            rules=kept.rules,
        )
    )
    held = story.held
    if held is None:
        raise ValueError("the record of the position is empty")
    if not story.watched:
        harvest = {}
    stop = held.stop_loss
    favour = held.side.sign * (held.mark_price - held.entry_price)
    return Position(
        symbol=record["symbol"],
        position_id=held.position_id,
        side=held.side,
        qty=held.qty,
        initial_qty=held.initial_qty,
        harvested_qty=held.harvested_qty,
        entry_price=held.entry_price,
        mark_price=held.mark_price,
        initial_stop=number(record.get("initial_stop")),
        stop_loss=stop,
        stop_r=None if stop is None else _r_at(held, stop, terms),
        stop_away_pct=None if stop is None else _percent(abs(held.mark_price - stop), held),
        naked_since=None if stop is not None else kept.naked_since,
        targets=tuple(figure(record[name]) for name in _TARGETS if name in record),
        leverage=held.leverage,
        r_net=round(held.r, 4),
        r_max=round(max(held.r, held.r_max), 4),
        risk_per_unit=held.risk_per_unit,
        unrealized_pnl=favour * held.qty,
        realized_pnl=figure(record["realized_pnl"]),
        fees=figure(record["fees"]),
        funding=figure(record["funding"]),
        rungs=tuple(
            Rung(
                name=rung.name,
                r_level=rung.r_level,
                price=Decimal(on_tick(rung.price, story.tick_size)),
                qty=rung.qty,
                state=rung.state,
                away_pct=rung.away_pct,
            )
            for rung in rungs_of(story)
        ),
        kill_score=story.kill_score,
        kill_threshold=terms.kill_threshold,
        kill_parts=story.kill if harvest else {},
        awaiting=tuple(harvest.get("awaiting", "").split()),
        refusals=int(harvest.get("refusals", 0)),
        opened_at=held.opened_at,
        updated_at=moment(record["updated_at"]),
        evaluated_at=story.evaluated_at,
    )


def _r_at(held: Held, price: Decimal, terms: Terms) -> Decimal:
    return round(
        r_multiple(
            side=held.side,
            entry_price=held.entry_price,
            mark_price=price,
            risk_per_unit=held.risk_per_unit,
            cost_bps=terms.cost_bps,
        ),
        4,
    )


def _percent(distance: Decimal, held: Held) -> Decimal:
    # A symbol that is being settled has a mark of 0.
    return round(distance / held.mark_price * 100, 2) if held.mark_price else Decimal(0)


def daemon_of(name: str, sign: Mapping[str, str], now: datetime) -> Daemon:
    """One program by its heartbeat, which is empty where there is none."""
    at = _moment(sign.get("at"))
    if at is None:
        return Daemon(name, "off" if name in COMPANIONS else "lost")
    age = max(now - at, timedelta())
    pid = sign.get("pid", "")
    return Daemon(
        name=name,
        state="lost" if age > LOST_AFTER else "up",
        at=at,
        age_s=age.total_seconds(),
        started_at=_moment(sign.get("started_at")),
        pid=int(pid) if pid.isdecimal() else None,
        host=sign.get("host", ""),
        version=sign.get("version", ""),
    )


def watch_of(record: Mapping[str, str], now: datetime) -> Watch:
    """What watcher says; the worst alarms first, of equal ones that which has lasted longest."""
    seen_at = _moment(record.get(_SEEN_AT))
    alarms = tuple(
        sorted(
            (_alarm(field, text) for field, text in record.items() if field != _SEEN_AT),
            key=lambda alarm: (_rank(alarm), alarm.since or now, alarm.name, alarm.subject),
        )
    )
    if seen_at is None:
        return Watch("off", None, alarms)
    return Watch("stale" if now - seen_at > STALE_AFTER else "looking", seen_at, alarms)


def _rank(alarm: Alarm) -> int:
    return _WORST.index(alarm.name) if alarm.name in _WORST else len(_WORST)


def _alarm(field: str, value: str) -> Alarm:
    name, _, subject = field.partition(".")
    first, _, rest = value.partition(" ")
    since = _moment(first)
    return Alarm(safe(name), safe(subject), since, safe(value if since is None else rest))


def venue_of(record: Mapping[str, str]) -> Venue:
    """What apply_layer says of the venue."""
    entries = record.get("entries", "")
    return Venue(
        entries="open" if entries == "open" else "barred" if entries else "",
        barriers=dict(_named("barrier.", record)),
        unknown_orders=dict(_named("unknown.", record)),
        stops_refused=dict(_named("stop_refused.", record)),
        quarantined=dict(_named("quarantine.", record)),
        over_cap=dict(_named("over_cap.", record)),
    )


def _named(prefix: str, record: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, text in record.items():
        if name.startswith(prefix):
            yield name.removeprefix(prefix), safe(text)


def ticks_of(entries: Iterable[tuple[str, RawFields]]) -> dict[str, Said]:
    """The newest price of each symbol, from entries of which the newest comes first.

    One from ahead of time, which nobody takes, is shown only where there is no other.
    """
    newest: dict[str, Said] = {}
    ahead: dict[str, Said] = {}
    for id_, fields in entries:
        # Hundreds of prices are looked at each second: whose is older is not decoded.
        if str(dict(fields).get(b"symbol", b""), "utf-8", "replace") in newest:
            continue
        try:
            tick: Any = decode(MarketTick, fields)
        except BadMessage:
            continue
        if tick.source == HISTORY_SOURCE:
            continue
        known = ahead if is_ahead(tick.timestamp, moment_of(id_)) else newest
        known.setdefault(tick.symbol, Said(id_, tick))
    return ahead | newest


def price_of(tick: Said) -> Price:
    """A price as it is shown."""
    message: Any = tick.message
    return Price(message.symbol, message.mark_price, tick.at, message.timestamp)


def event_of(stream: Known, id_: str, fields: RawFields) -> Event:
    """One entry in a line."""
    at = moment_of(id_)
    try:
        message: Any = decode(stream.contract, fields)
    except BadMessage as bad:
        line = safe(f"unreadable: {bad.code}, {bad.detail}")
        return Event(stream.name, id_, at, "", line, readable=False)
    name = getattr(message, "plan_id", None) or getattr(message, "intent_id", None) or ""
    return Event(stream.name, id_, at, message.symbol, line_of(message), safe(name))


def _moment(text: str | None) -> datetime | None:
    """A moment that somebody wrote, or None if it is none or without its zone."""
    try:
        return moment(text or "")
    except ValueError:
        return None
