"""What changed in the switch and the records since they were last told, as news. Pure.

`shown` is what was told: the mode, each field of the venue's record and of the watcher's that is
news while it stands, and since when the server is away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from services.notifier.news import brief
from services.notifier.values import Kind, Looked, News, Severity
from shared.decisions import Mode
from shared.streams import STARTING
from shared.symbols import is_symbol
from shared.why.words import span

#: After this long without an answer of the server it is told.
AWAY_AFTER = timedelta(seconds=30)
#: A watcher that has not looked for this long sees nothing.
BLIND_AFTER = timedelta(seconds=60)

_MODES = {
    Mode.RUN: "entries and exits pass",
    Mode.EXITS_ONLY: "no entry is admitted, exits pass",
    Mode.HALT: "nothing is executed, positions keep their stops",
}
#: Barriers that most starts have for a moment are told once they have stood for so long.
_PASSING = ("barrier.user_stream_down",)
BARRED_AFTER = timedelta(seconds=10)
_URGENT = {
    "over_cap",
    "rung_not_taken",
    "position_without_stop",
    "redis_not_durable",
    "watcher_silent",
}
#: Told from the venue's record itself, which stands whether watcher looks or not.
_TOLD_ALREADY = ("unknown_order", "entries_barred")
_MODE, _AWAY, _AWAY_TOLD = "mode", "server", "server_told"
_VENUE, _WATCH, _YOUNG = "venue/", "watch/", "young/"


def seen(
    shown: Mapping[str, str], looked: Looked, now: datetime
) -> tuple[Mapping[str, str], list[News]]:
    """The records as they are told from now on, and the news in that."""
    after = {_MODE: Mode.of(looked.mode).value}
    after |= _standing(shown, looked.venue, now)
    after |= {
        _VENUE + field: text
        for field, text in looked.venue.items()
        if field.startswith(("unknown.", "stop_refused."))
    }
    after |= {_WATCH + field: text for field, text in _alarms(looked.watch, now).items()}
    news = [*_server_back(shown, now), *_mode(shown, after[_MODE], now)]
    for field in sorted(shown.keys() | after.keys()):
        before, text = shown.get(field), after.get(field)
        if field.startswith(_VENUE):
            news += _of_venue(field.removeprefix(_VENUE), before, text, now)
        elif field.startswith(_WATCH):
            news += _of_watch(field.removeprefix(_WATCH), before, text, now)
    return (shown if dict(shown) == after else after), news


def _standing(shown: Mapping[str, str], venue: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The barriers that are told; of those that pass by themselves, since when they stand."""
    found = {}
    for field, text in venue.items():
        # The one of a start stands for a moment, each time.
        if not field.startswith("barrier.") or field == f"barrier.{STARTING}":
            continue
        since = _moment(shown.get(_YOUNG + field, "")) or now
        young = field in _PASSING and now - since < BARRED_AFTER
        if _VENUE + field in shown or not young:
            found[_VENUE + field] = text
        else:
            found[_YOUNG + field] = since.isoformat()
    return found


def unseen(
    shown: Mapping[str, str], reason: str, now: datetime
) -> tuple[Mapping[str, str], list[News]]:
    """The same while the server cannot be asked."""
    if _AWAY not in shown:
        return {**shown, _AWAY: now.isoformat()}, []
    since = datetime.fromisoformat(shown[_AWAY])
    if _AWAY_TOLD in shown or now - since < AWAY_AFTER:
        return shown, []
    text = (
        f"Redis cannot be asked for {span((now - since).total_seconds())}: the ring stands still, "
        f"stops on the venue stay ({reason})"
    )
    news = News(Kind.SERVER, Severity.URGENT, now, brief(text))
    return {**shown, _AWAY_TOLD: "yes"}, [news]


def away(shown: Mapping[str, str]) -> dict[str, str]:
    """Of what was shown, what tells of the server itself."""
    return {field: text for field, text in shown.items() if field in (_AWAY, _AWAY_TOLD)}


def _server_back(shown: Mapping[str, str], now: datetime) -> Iterator[News]:
    if _AWAY_TOLD in shown:
        gone = span((now - datetime.fromisoformat(shown[_AWAY])).total_seconds())
        yield News(Kind.SERVER, Severity.URGENT, now, f"Redis answers again, after {gone}")


def _mode(shown: Mapping[str, str], mode: str, now: datetime) -> Iterator[News]:
    was = shown.get(_MODE, Mode.RUN.value)
    if mode != was:
        severity = Severity.INFO if mode == Mode.RUN else Severity.WARNING
        text = f"The mode is {mode}, it was {was}: {_MODES[Mode(mode)]}"
        yield News(Kind.MODE, severity, now, text)


def _of_venue(field: str, before: str | None, text: str | None, now: datetime) -> Iterator[News]:
    if (before is None) == (text is None):
        return
    what, _, name = field.partition(".")
    if what == "barrier":
        told = (
            f"No entries: the venue says {name}: {text}"
            if text is not None
            else f"The venue no longer says {name}"
        )
        yield News(Kind.VENUE, Severity.WARNING, now, brief(told))
    elif what == "stop_refused":
        if text is not None:
            told = f"{name}: no stop yet: {text}"
            yield News(Kind.VENUE, Severity.WARNING, now, brief(told), name)
    else:
        symbol, _, rest = (text or before or "").partition(" ")
        leg = rest.partition(" ")[0].lower()
        told = (
            f"{symbol}: an order ({leg}) got no answer; it may have been executed, and is asked for"
            if text is not None
            else f"{symbol}: what became of the order ({leg}) is known now"
        )
        yield News(Kind.UNKNOWN_ORDER, Severity.URGENT, now, brief(told), symbol)


def _of_watch(field: str, before: str | None, text: str | None, now: datetime) -> Iterator[News]:
    """An alarm that begins, ends, or began anew between two looks."""
    since, sentence = _alarm(text or before or "", now)
    if text is not None and before is not None and _alarm(before, now)[0] == since:
        return
    alarm, _, name = field.partition(".")
    symbol = name if is_symbol(name) else None
    told = sentence
    if text is None:
        told = f"Over, it lasted {span((now - since).total_seconds())}: {sentence}"
    severity = Severity.URGENT if alarm in _URGENT else Severity.WARNING
    yield News(Kind.ALARM, severity, now, brief(told), symbol, alarm)


def _alarms(watch: Mapping[str, str], now: datetime) -> dict[str, str]:
    """What the watcher says stands still, and that it does not look any more, if so."""
    alarms = {
        field: text
        for field, text in watch.items()
        if field != "seen_at" and field.partition(".")[0] not in _TOLD_ALREADY
    }
    seen_at = _moment(watch.get("seen_at", ""))
    if seen_at is not None and now - seen_at > BLIND_AFTER:
        alarms["watcher_silent"] = (
            f"{seen_at.isoformat()} The watcher looks no more: what stands still would not show"
        )
    return alarms


def _alarm(text: str, now: datetime) -> tuple[datetime, str]:
    """Since when, and the sentence; an alarm that does not say when is taken as of now."""
    first, _, sentence = text.partition(" ")
    since = _moment(first)
    return (now, text) if since is None else (since, sentence)


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
