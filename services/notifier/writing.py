"""How news becomes the title and the text of a notice. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from services.notifier.news import money
from services.notifier.values import Bundle, Kind, Line, Notice, Severity

#: News that is older than this says when it was.
_OLD = timedelta(seconds=60)
_TITLES = {
    Kind.FILL: "Filled",
    Kind.RUNG: "Profit taken",
    Kind.STOP_HIT: "Stop hit",
    Kind.STOP_MOVED: "Stop moved",
    Kind.REFUSAL: "Refused",
    Kind.LIQUIDATION: "Liquidated",
    Kind.ADOPTION: "Position adopted",
    Kind.DEAD_LETTER: "Message put aside",
    Kind.MODE: "Mode",
    Kind.VENUE: "Venue",
    Kind.UNKNOWN_ORDER: "Order in doubt",
    Kind.ALARM: "Alarm",
    Kind.GAP: "Not all was heard",
    Kind.SERVER: "Redis",
}
#: One of it, and several.
_NAMES = {
    Kind.FILL: ("fill", "fills"),
    Kind.RUNG: ("rung taken", "rungs taken"),
    Kind.STOP_HIT: ("stop hit", "stops hit"),
    Kind.STOP_MOVED: ("stop moved", "stops moved"),
    Kind.REFUSAL: ("refusal", "refusals"),
    Kind.LIQUIDATION: ("liquidation", "liquidations"),
    Kind.ADOPTION: ("adoption", "adoptions"),
    Kind.DEAD_LETTER: ("message put aside", "messages put aside"),
    Kind.MODE: ("change of mode", "changes of mode"),
    Kind.VENUE: ("word of the venue", "words of the venue"),
    Kind.UNKNOWN_ORDER: ("word of an order in doubt", "words of orders in doubt"),
    Kind.ALARM: ("alarm", "alarms"),
    Kind.GAP: ("gap", "gaps"),
    Kind.SERVER: ("word of Redis", "words of Redis"),
}


def written(news: Bundle, now: datetime, zone: tzinfo) -> Notice:
    """News of one topic: the first few word by word, and how many more there were."""
    [kind] = news.tally
    title = _TITLES[kind]
    if news.severity is Severity.URGENT:
        title = f"URGENT: {title}"
    lines = [_line(line, now, zone) for line in news.lines]
    more = news.count - len(lines)
    if more:
        lines.append(f"and {more} more")
    return Notice(now, title, "\n".join(lines), news)


def summary(news: Bundle, now: datetime, zone: tzinfo) -> Notice:
    """What was not told at its time: how many of each kind, what it came to, and the alarms."""
    counts = (f"{count} {_NAMES[kind][count > 1]}" for kind, count in sorted(news.tally.items()))
    when = _clock(news.since, now, zone)
    if _clock(news.until, now, zone) != when:
        when += f" to {_clock(news.until, now, zone)}"
    text = f"{when}: {', '.join(counts)}"
    if news.realised:
        text += f"; {money(news.realised)} realised after fees"
    title = "URGENT, told late" if news.severity is Severity.URGENT else "Summed up"
    lines = (text, *(_line(line, now, zone) for line in news.lines))
    return Notice(now, title, "\n".join(lines), news)


def _line(line: Line, now: datetime, zone: tzinfo) -> str:
    return f"{_clock(line.at, now, zone)} {line.text}" if now - line.at > _OLD else line.text


def _clock(at: datetime, now: datetime, zone: tzinfo) -> str:
    """The time of day where the reader is, with the date if that was not today."""
    at, now = at.astimezone(zone), now.astimezone(zone)
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%d %b %H:%M}"
