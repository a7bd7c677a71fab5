"""What is read from Redis, in two threads: once for all browsers, and never in the server's loop.

Reads what `shared.overview` and `shared.why` read, and the prices as they come. Writes the
program's heartbeat and nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

from redis import Redis
from redis.exceptions import RedisError

from services.dashboard.chart import symbol_page
from services.dashboard.prices import Prices
from services.dashboard.view import page_of
from services.dashboard.web.board import Board
from shared.bus import connect
from shared.log import logger
from shared.overview.read import read_overview
from shared.reading import Reading
from shared.records import NONSENSE, moment_of, place, reason_of, text_of
from shared.session import Session
from shared.streams import MARKET_TICK
from shared.ticks import MAX_AHEAD, TickGate
from shared.why.findings import findings_of
from shared.why.picture import Terms
from shared.why.read import read_picture, readable
from shared.why.sound import sound_story

_PAGE = 1000
#: Pages of prices that one look takes; a replay at full speed is caught up with over several.
_PAGES = 25
#: Stories are read at most for this share of the time, so that looking stays cheap.
_SHARE = 0.25


class Readers:
    """Reads for the board until told to stop; `overview` and `stories` each fill a thread."""

    def __init__(
        self,
        session: Session,
        url: str,
        terms_of: Callable[[str], Terms],
        board: Board,
        max_tick_ahead: timedelta = MAX_AHEAD,
    ) -> None:
        self.prices = Prices()
        self._session = session
        self._stop = session.stop
        self._url = url
        self._terms_of = terms_of
        self._board = board
        self._read_to = "0-0"
        self._gate = TickGate(max_tick_ahead)

    def overview(self, every_s: float) -> None:
        """Read the ring again and again, and say so when it cannot be read."""
        away = ""
        with closing(connect(self._url)) as client:
            while not self._stop.is_set():
                started = time.monotonic()
                before, away = away, self._read_overview(client)
                if bool(before) != bool(away):
                    logger().warning("server_unavailable" if away else "server_back", reason=away)
                self._session.housekeeping(waits_for=away)
                self._stop.wait(max(every_s - (time.monotonic() - started), every_s / 10))

    def _read_overview(self, client: Redis) -> str:
        """Put the overview up, or why there is none, which is returned."""
        try:
            self._follow_prices(client)
            page = page_of(read_overview(client, self._terms_of), self.prices)
        except RedisError as error:
            self._session.metrics.bus_down.inc()
            self._board.put("down", "down", _json({"reason": str(error)}))
            return f"Redis: {error}"
        self._board.put("overview", "overview", _json(page))
        return ""

    def _follow_prices(self, client: Redis) -> None:
        """Take over the prices that have come since the last look."""
        reading = Reading(client)
        for _ in range(_PAGES):
            after = f"({self._read_to}"
            page = reading.ask("XRANGE", MARKET_TICK.key, after, "+", "COUNT", _PAGE)
            for id_, flat in page:
                self._read_to = id_.decode()
                tick = readable(MARKET_TICK, flat)
                if tick is not None and not self._gate.refusal_of(tick, moment_of(self._read_to)):
                    self.prices.add(tick.symbol, tick.timestamp.timestamp(), float(tick.mark_price))
            if len(page) < _PAGE:
                break
        self._go_back(reading)

    def _go_back(self, reading: Reading) -> None:
        """Where the stream ends before what was read, it was mended or emptied: go on there."""
        last = reading.ask("XREVRANGE", MARKET_TICK.key, "+", "-", "COUNT", 1)
        end = text_of(last[0][0]) if last else "0-0"
        self._read_to = min(self._read_to, end, key=place)

    def stories(self, every_s: float) -> None:
        """Read the stories of the symbols that somebody looks at, each not too often."""
        read_at: dict[str, float] = {}
        with closing(connect(self._url)) as client:
            while not self._stop.is_set():
                self._board.wanted.wait(every_s / 4)
                self._board.wanted.clear()
                looked_at = self._board.symbols()
                read_at = {name: at for name, at in read_at.items() if name in looked_at}
                for symbol in looked_at:
                    if self._stop.is_set() or time.monotonic() < read_at.get(symbol, 0.0):
                        continue
                    took_s = self._read_story(client, symbol)
                    rest_s = max(every_s, took_s * len(looked_at) / _SHARE)
                    read_at[symbol] = time.monotonic() + rest_s

    def _read_story(self, client: Redis, symbol: str) -> float:
        """Put the page of one symbol up; returns how long that took."""
        started = time.monotonic()
        try:
            story = sound_story(read_picture(client, symbol, self._terms_of(symbol)))
            page = symbol_page(story, findings_of(story), self.prices.of(symbol))
        except RedisError:
            return 0.0  # The other thread says so; this one asks again in its time.
        except NONSENSE as error:
            page = {"symbol": symbol, "unreadable": f"a record {reason_of(error)}"}
        self._board.put(symbol, "symbol", _json(page))
        return time.monotonic() - started


def _json(page: object) -> str:
    return json.dumps(page, separators=(",", ":"), allow_nan=False)
