"""What notifier hears from the server: it reads without a group, so nothing is kept for its sake.

Reads apply.result, apply.plan, the dead letters of every stream, the operator's switch, and the
records of the venue and of the watcher. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from services.notifier.values import Cursor, Heard, Looked, Missed, Rewound
from shared.bus.client import connect, plainly
from shared.contracts import BadMessage, decode
from shared.reading import Reading
from shared.records import moment_of, pairs, place, row_of, text_of, texts_of
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    MODE_KEY,
    STREAMS,
    VENUE_KEY,
    WATCH_KEY,
)

BATCH = 200
_CONTRACTS = {stream.key: stream.contract for stream in (APPLY_RESULT, APPLY_PLAN)}
KEYS = (*_CONTRACTS, *(stream.dead_key for stream in STREAMS))


class Listener:
    """The server as notifier hears it. Every call raises BusDown or NotReady if it cannot."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)

    def ends(self) -> dict[str, Cursor]:
        """Where each stream ends now: what was before is not told."""
        with plainly():
            described = self._describe(KEYS)
        return {key: _end(described[key]) for key in KEYS}

    def hear(
        self, cursors: Mapping[str, Cursor], *, block_ms: int
    ) -> Iterator[Heard | Missed | Rewound]:
        """What is new on the streams, and what was trimmed away before it was heard."""
        after = {key: cursors.get(key, Cursor()) for key in KEYS}
        ids = {key: cursor.id for key, cursor in after.items()}
        with plainly():
            found = Reading(self._client).news(ids, block_ms=block_ms, count=BATCH)
            described = self._describe(found or KEYS)
        for key, about in described.items():
            entries = found.get(key, [])
            if not entries and place(after[key].id) > place(_end(about).id):
                yield Rewound(key, _end(about))
            elif gap := _gap(about, after[key], entries):
                yield Missed(key, gap)
            for entry_id, flat in entries:
                yield Heard(key, entry_id, moment_of(entry_id), _message(key, flat))

    def look(self) -> Looked:
        """The switch and the records as they stand."""
        reading = Reading(self._client)
        with plainly():
            found = reading.ask_all(
                {key: (how, key) for how, key in (
                    ("GET", MODE_KEY), ("HGETALL", VENUE_KEY), ("HGETALL", WATCH_KEY),
                )}
            )  # fmt: skip
        mode = found[MODE_KEY]
        return Looked(
            None if mode is None else text_of(mode),
            texts_of(found[VENUE_KEY]),
            texts_of(found[WATCH_KEY]),
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _describe(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """What the server says of some streams; nothing of one that is not there."""
        reading = Reading(self._client)
        found = reading.ask_all({key: ("XINFO STREAM", key) for key in keys})
        return {key: row_of(flat) for key, flat in found.items()}


def _end(about: Mapping[str, Any]) -> Cursor:
    """Where a stream ends."""
    if not about:
        return Cursor()
    return Cursor(text_of(about["last-generated-id"]), about["entries-added"])


def _gap(about: Mapping[str, Any], cursor: Cursor, entries: list[tuple[str, list[bytes]]]) -> int:
    """How many entries behind the cursor were removed unheard.

    Those before the first that the stream still has are gone; some of them were heard, earlier
    or just now.
    """
    if not entries or not about or not about["first-entry"]:
        return 0
    first = place(text_of(about["first-entry"][0]))
    gone = about["entries-added"] - about["length"]
    just_heard = sum(place(id_) < first for id_, _ in entries)
    return max(int(gone) - cursor.heard - just_heard, 0)


def _message(key: str, flat: list[bytes]) -> Any:
    """The message of an entry, or the fields of a dead letter; None for what cannot be read."""
    contract = _CONTRACTS.get(key)
    if contract is None:
        return _letter(flat)
    try:
        return decode(contract, pairs(flat))
    except BadMessage:
        return None


def _letter(flat: list[bytes]) -> dict[str, str]:
    """A dead letter as far as it is told: its own fields, and the symbol of what is in it."""
    fields = texts_of(flat)
    letter = {name: fields.get(name, "") for name in ("stream", "code", "detail")}
    symbol = fields.get("original:symbol")
    return letter if symbol is None else letter | {"symbol": symbol}
