"""A dead letter: a message that is put aside whole, with the reason, for people to look at.

Its own fields say why, where from and when; each of the message's fields stands behind them with
its bytes untouched, as `original:<name>`.
"""

from __future__ import annotations

from datetime import datetime

from shared.bus import Entry
from shared.bus.mending import ID_AHEAD
from shared.contracts import wire

#: Every code of a dead letter: those of a message that breaks its contract or is of a far future;
#: of one that was trimmed away unread, or that ended its reader time and again; of a stream whose
#: ids were driven up and that was mended; and those of deciders, for an id that came with other
#: content, a symbol that the venue does not list, and a producer that speaks in another's name.
CODES = wire.CODES | {
    *("ahead_of_time", "trimmed", "poison"),
    ID_AHEAD,
    *("id_conflict", "symbol_not_listed", "foreign_source"),
}

#: With more fields than this the message is kept in one field, `original`, as netstrings
#: (`4:name,5:value,` and so on): a server takes only so many words in one call.
MOST_FIELDS = 500


def dead_letter(
    entry: Entry, *, code: str, detail: str, group: str, at: datetime
) -> list[str | bytes]:
    """The fields of the letter, flat; `at` is the wall clock at the reader."""
    letter: list[str | bytes] = [
        "code", code, "detail", detail, "stream", entry.stream.name, "id", entry.id,
        "group", group, "at", at.isoformat(timespec="milliseconds"),
    ]  # fmt: skip
    if len(entry.fields) > MOST_FIELDS:
        words = (word for pair in entry.fields for word in pair)
        return [*letter, "original", b"".join(b"%d:%b," % (len(word), word) for word in words)]
    for name, value in entry.fields:
        letter += (b"original:" + name, value)
    return letter
