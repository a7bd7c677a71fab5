"""Reading for watcher: the streams by a cursor of its own, and all that stands.

No consumer group, so that nothing is kept for its sake and nothing waits for it. A start and the
going on are one path: the streams are read on from where the cursor stands.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from redis import Redis

from services.watcher.sights import Heard, Look
from shared.bus.client import call, call_all, connect
from shared.overview.read import read_overview
from shared.overview.view import Kept
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    MARKET_TICK,
    STREAMS,
    TRADE_INTENT,
    harvest_key,
    position_key,
    state_key,
)
from shared.ticks import MAX_AHEAD, TickGate
from shared.why.picture import Letter, Said, Terms
from shared.why.read import letter_of, pairs, raw_replies, readable, rules_in, server_time

_PAGE = 1000
#: An intent is read before whatever came of it, so that an outcome finds what it is of.
_ORDER = (TRADE_INTENT, APPLY_PLAN, APPLY_RESULT, MARKET_TICK)
_BY_KEY = {stream.key: stream for stream in STREAMS}


class Reader:
    """Where watcher has read to, in each stream and its dead letters."""

    def __init__(
        self, url: str, terms_of: Callable[[str], Terms], max_tick_ahead: timedelta = MAX_AHEAD
    ) -> None:
        self.client: Redis = connect(url)
        raw_replies(self.client)
        for command in ("XREAD", "HMGET"):
            self.client.set_response_callback(command, lambda reply, **_: reply)
        self._terms_of = terms_of
        self._cursors: dict[str, str] = {}
        self._gate = TickGate(max_tick_ahead)

    def begin(self, read_back_s: float) -> None:
        """Put every cursor to so long ago."""
        start = server_time(self.client) - timedelta(seconds=read_back_s)
        id_ = f"{max(int(start.timestamp() * 1000), 0)}-0"
        keys = [key for stream in _ORDER for key in (stream.key, stream.dead_key)]
        self._cursors = dict.fromkeys(keys, id_)

    def next_page(self) -> Heard | None:
        """A part of what is there, one stream after the other; None if there is no more."""
        for key in self._cursors:
            if entries := self._read(("COUNT", _PAGE), [key]):
                return self._heard(entries)
        return None

    def hear(self, block_ms: int) -> Heard:
        """What has come on any stream; waits for it so long."""
        return self._heard(self._read(("COUNT", _PAGE, "BLOCK", block_ms), [*self._cursors]))

    def _read(self, how: tuple[Any, ...], keys: list[str]) -> list[tuple[str, str, list[bytes]]]:
        ids = [self._cursors[key] for key in keys]
        reply = call(self.client, "XREAD", *how, "STREAMS", *keys, *ids) or ()
        return [
            (raw.decode(), id_.decode(), flat) for raw, entries in reply for id_, flat in entries
        ]

    def _heard(self, entries: list[tuple[str, str, list[bytes]]]) -> Heard:
        said: list[Said] = []
        letters: list[Letter] = []
        for key, id_, flat in entries:
            self._cursors[key] = id_
            stream = _BY_KEY.get(key)
            if stream is None:
                letters.append(letter_of(id_, flat))
            elif (message := readable(stream, flat)) is not None:
                one = Said(id_, message)
                # By the clock of the server that took it, which is the same whenever it is read.
                if stream is not MARKET_TICK or not self._gate.refusal_of(message, one.at):
                    said.append(one)
        return Heard(tuple(said), tuple(letters))

    def look(self) -> Look:
        """All that stands now."""
        overview = read_overview(self.client, self._terms_of, events=1)
        known = [position.symbol for position in overview.positions]
        unreadable = [name.partition(": ")[0].rpartition(":")[2] for name in overview.unreadable]
        held = {}
        for symbol in [*known, *unreadable]:
            flat, [rules], terms = call_all(
                self.client,
                ("HGETALL", position_key(symbol)),
                ("HMGET", state_key("apply_layer"), f"rules/{symbol}"),
                ("HMGET", harvest_key(symbol), "position_id", "rungs"),
            )
            if flat:
                record = _texts(flat)
                own, rungs = (word and str(word, "utf-8") for word in terms)
                # The ladder that the position was opened under; of how it stands, not a word.
                harvest = {"rungs": rungs} if rungs and own == record.get("position_id") else {}
                held[symbol] = Kept(position=record, harvest=harvest, rules=rules_in(rules))
        persistence: Any = self.client.info("persistence")
        return Look(overview, held, {name: str(value) for name, value in persistence.items()})


def _texts(flat: list[bytes]) -> dict[str, str]:
    return {str(name, "utf-8"): str(value, "utf-8") for name, value in pairs(flat)}
