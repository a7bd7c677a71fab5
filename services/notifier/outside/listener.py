"""What notifier hears from the server: it reads without a group, so nothing is kept for its sake.

Reads apply.result, apply.plan, the dead letters of every stream, the operator's switch, and the
records of the venue and of the watcher. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import ResponseError

from services.notifier.values import Cursor, Heard, Looked, Missed
from shared.bus.client import call, call_all, connect, plainly
from shared.contracts import BadMessage, decode
from shared.records import moment_of, place
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
_RAW = ("XREAD", "XINFO STREAM", "HGETALL")


class Listener:
    """The server as notifier hears it. Every call raises BusDown or NotReady if it cannot."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        for command in _RAW:
            self._client.set_response_callback(command, lambda reply, **_: reply)

    def ends(self) -> dict[str, Cursor]:
        """Where each stream ends now: what was before is not told."""
        with plainly():
            described = {key: self._describe(key) for key in KEYS}
        return {
            key: Cursor()
            if about is None
            else Cursor(_text(about["last-generated-id"]), about["entries-added"])
            for key, about in described.items()
        }

    def hear(self, cursors: Mapping[str, Cursor], *, block_ms: int) -> Iterator[Heard | Missed]:
        """What is new on the streams, and what was trimmed away before it was heard."""
        after = {key: cursors.get(key, Cursor()) for key in KEYS}
        ids = [cursor.id for cursor in after.values()]
        with plainly():
            reply = call(
                self._client,
                *("XREAD", "COUNT", BATCH, "BLOCK", block_ms, "STREAMS", *after, *ids),
            )
            found = {_text(key): entries for key, entries in reply or ()}
            gaps = {key: self._gap(key, after[key], entries) for key, entries in found.items()}
        for key, entries in found.items():
            if gaps[key]:
                yield Missed(key, gaps[key])
            for id_, flat in entries:
                entry_id = _text(id_)
                yield Heard(key, entry_id, moment_of(entry_id), _message(key, flat))

    def look(self) -> Looked:
        """The switch and the records as they stand."""
        with plainly():
            mode, venue, watch = call_all(
                self._client, ("GET", MODE_KEY), ("HGETALL", VENUE_KEY), ("HGETALL", WATCH_KEY)
            )
        return Looked(None if mode is None else _text(mode), _texts(venue), _texts(watch))

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _gap(self, key: str, cursor: Cursor, entries: list[Any]) -> int:
        """How many entries behind the cursor were removed unheard.

        Those before the first that the stream still has are gone; some of them were heard, earlier
        or just now.
        """
        about = self._describe(key)
        if about is None or not about["first-entry"]:
            return 0
        first = place(_text(about["first-entry"][0]))
        gone = about["entries-added"] - about["length"]
        just_heard = sum(place(_text(id_)) < first for id_, _ in entries)
        return max(int(gone) - cursor.heard - just_heard, 0)

    def _describe(self, key: str) -> dict[str, Any] | None:
        """What the server says of a stream; None if there is none."""
        try:
            flat = call(self._client, "XINFO STREAM", key)
        except ResponseError as error:
            if "no such key" in str(error):
                return None
            raise
        return {_text(name): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _message(key: str, flat: list[bytes]) -> Any:
    """The message of an entry, or the fields of a dead letter; None for what cannot be read."""
    contract = _CONTRACTS.get(key)
    if contract is None:
        return _letter(flat)
    try:
        return decode(contract, tuple(zip(flat[::2], flat[1::2], strict=True)))
    except BadMessage:
        return None


def _letter(flat: list[bytes]) -> dict[str, str]:
    """A dead letter as far as it is told: its own fields, and the symbol of what is in it."""
    fields = _texts(flat)
    letter = {name: fields.get(name, "") for name in ("stream", "code", "detail")}
    symbol = fields.get("original:symbol")
    return letter if symbol is None else letter | {"symbol": symbol}


def _texts(flat: list[bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _text(word: bytes) -> str:
    return str(word, "utf-8", "replace")
