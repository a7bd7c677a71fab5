"""Reading for watcher: the streams by a cursor of its own, and all that stands.

No consumer group, so that nothing is kept for its sake and nothing waits for it. A start and the
going on are one path: the streams are read on from where the cursor stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from redis import Redis

from services.watcher.sights import Heard, Look, Unread
from shared.bus.client import connect
from shared.contracts import BadMessage, decode
from shared.overview.read import read_overview
from shared.overview.view import Kept
from shared.reading import Reading
from shared.records import pairs, place, row_of, text_of, texts_of
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
from shared.why.journal import rules_in
from shared.why.picture import Letter, Said, Terms
from shared.why.read import letter_of, server_time

#: An intent is read before whatever came of it, so that an outcome finds what it is of.
_ORDER = (TRADE_INTENT, APPLY_PLAN, APPLY_RESULT, MARKET_TICK)
_BY_KEY = {stream.key: stream for stream in STREAMS}


class Reader:
    """Where watcher has read to, in each stream and its dead letters."""

    def __init__(
        self, url: str, terms_of: Callable[[str], Terms], max_tick_ahead: timedelta = MAX_AHEAD
    ) -> None:
        self.client: Redis = connect(url)
        self._terms_of = terms_of
        self._cursors: dict[str, str] = {}
        self._read_back = timedelta()
        self._gate = TickGate(max_tick_ahead)

    def begin(self, read_back_s: float) -> None:
        """Put every cursor to so long ago."""
        self._read_back = timedelta(seconds=read_back_s)
        keys = [key for stream in _ORDER for key in (stream.key, stream.dead_key)]
        self._cursors = dict.fromkeys(keys, self._start())

    def _start(self) -> str:
        start = server_time(self.client) - self._read_back
        return f"{max(int(start.timestamp() * 1000), 0)}-0"

    def next_page(self) -> Heard | None:
        """A part of what is there, one stream after the other; None if there is no more."""
        reading = Reading(self.client)
        for key, id_ in self._cursors.items():
            if news := reading.news({key: id_}):
                return self._heard(news)
        return None

    def hear(self, block_ms: int) -> Heard:
        """What has come on any stream; waits for it so long."""
        return self._heard(Reading(self.client).news(self._cursors, block_ms=block_ms))

    def _heard(self, news: Mapping[str, Sequence[tuple[str, list[bytes]]]]) -> Heard:
        said: list[Said] = []
        letters: list[Letter] = []
        unread: list[Unread] = []
        for key, entries in news.items():
            self._cursors[key] = entries[-1][0]
            stream = _BY_KEY.get(key)
            for id_, flat in entries:
                if stream is None:
                    letters.append(letter_of(id_, flat))
                    continue
                try:
                    one = Said(id_, decode(stream.contract, pairs(flat)))
                except BadMessage as bad:
                    unread.append(Unread(stream.name, id_, bad.code))
                    continue
                # By the clock of the server that took it, which is the same whenever it is read.
                if stream is not MARKET_TICK or not self._gate.refusal_of(one.message, one.at):
                    said.append(one)
        return Heard(tuple(said), tuple(letters), tuple(unread))

    def look(self) -> Look:
        """All that stands now."""
        overview = read_overview(self.client, self._terms_of, events=1)
        reading = Reading(self.client)
        self._go_back(reading)
        own = position_key("")
        lost = [
            each.what.removeprefix(own) for each in overview.unreadable if each.what.startswith(own)
        ]
        held = {}
        for symbol in [*(position.symbol for position in overview.positions), *lost]:
            found = reading.ask_all(
                {
                    "position": ("HGETALL", position_key(symbol)),
                    "rules": ("HMGET", state_key("apply_layer"), f"rules/{symbol}"),
                    "harvest": ("HMGET", harvest_key(symbol), "position_id", "rungs"),
                }
            )
            record = texts_of(found["position"])
            if record or symbol in lost:
                name, rungs = (word and text_of(word) for word in found["harvest"])
                # The ladder that the position was opened under; of how it stands, not a word.
                harvest = {"rungs": rungs} if rungs and name == record.get("position_id") else {}
                rules = reading.made(symbol, partial(rules_in, found["rules"][0]), None)
                held[symbol] = Kept(position=record, harvest=harvest, rules=rules)
        persistence: Any = self.client.info("persistence")
        return Look(overview, held, {name: str(value) for name, value in persistence.items()})

    def _go_back(self, reading: Reading) -> None:
        """Where a stream ends before its cursor, it was mended or emptied: read it back anew."""
        ends = reading.ask_all({key: ("XINFO STREAM", key) for key in self._cursors})
        for key, about in ends.items():
            last = text_of(row_of(about)["last-generated-id"]) if about else "0-0"
            if place(self._cursors[key]) > place(last):
                self._cursors[key] = min(self._cursors[key], self._start(), key=place)
