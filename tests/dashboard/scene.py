"""An afternoon with three positions, for pictures: real decisions over prices that are drawn.

The small ring trades a seeded walk. What was said is then put at its market time, so that
the page shows an afternoon and not the seconds in which it was played.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from shared.bus.client import call
from shared.contracts import decode
from shared.contracts.values import format_timestamp
from shared.reading import raw_replies
from shared.records import pairs
from shared.streams import (
    MARKET_TICK,
    PROGRAMS,
    STREAMS,
    WATCH_KEY,
    Stream,
    heartbeat_key,
    position_key,
)
from tests.cli.small_ring import SmallRing, a_small_ring

#: One price of each symbol in so many seconds, for so many minutes.
STEP_S, MINUTES = 4, 44
OPENED_AT = 4
SETTINGS: dict[str, Any] = {
    "harvest_brain": {"show_every_s": 0, "ratchet": True},
    "intent_bridge": {"max_order_notional": "20000", "max_exposure": "60000"},
    "apply_layer": {"symbols": ["SOLUSDT", "BTCUSDT", "ETHUSDT"]},
}
#: By symbol: the tick size, how restless it is, and where its price is at which minute.
PATHS: dict[str, tuple[str, float, list[tuple[float, float]]]] = {
    "SOLUSDT": ("0.01", 0.16, [(0, 150.4), (4, 150), (9, 150.9), (15, 156.2), (17, 157.8),
                               (22, 155.4), (31, 164.2), (34, 163.1), (40, 166.1), (44, 165.3)]),
    "BTCUSDT": ("0.1", 38, [(0, 104100), (4, 104250), (12, 104700), (22, 103300), (30, 102900),
                            (38, 101450), (44, 101720)]),
    "ETHUSDT": ("0.01", 1.4, [(0, 3466), (4, 3480), (15, 3502), (26, 3461), (35, 3470),
                              (44, 3452)]),
}  # fmt: skip
ENTRIES: dict[str, dict[str, Any]] = {
    "SOLUSDT": {
        "side": "BUY", "qty": Decimal(40), "stop_loss": Decimal("147"),
        "take_profit": Decimal("174"), "reason": "break of the range with volume",
        "atr_value": Decimal("1.1"),
    },
    "BTCUSDT": {
        "side": "SELL", "qty": Decimal("0.12"), "stop_loss": Decimal("106335"),
        "take_profit": Decimal("91000"), "reason": "lower high under the daily average",
    },
    "ETHUSDT": {
        "side": "BUY", "qty": Decimal(2), "stop_loss": Decimal("3410.4"),
        "take_profit": Decimal("3897"), "reason": "reversal at the weekly low",
    },
}  # fmt: skip


@contextmanager
def an_afternoon(url: str) -> Iterator[SmallRing]:
    """Play it on a server that holds nothing; the ring stands at its last price."""
    with a_small_ring(url, SETTINGS) as ring:
        began = ring.now() - timedelta(minutes=MINUTES)
        walks = {symbol: list(_walk(symbol)) for symbol in PATHS}
        for step in range(MINUTES * 60 // STEP_S):
            at = began + timedelta(seconds=step * STEP_S)
            for symbol, walk in walks.items():
                ring.put(ring.price(walk[step], at=at, produced_at=ring.now(), symbol=symbol))
            if step == OPENED_AT * 60 // STEP_S:
                for symbol, wish in ENTRIES.items():
                    ring.put(_entry(ring, symbol, at, walks[symbol][step], wish))
            ring.settle()
        for stream in STREAMS:
            _at_market_time(ring, stream)
        _signs(ring)
        yield ring


def _walk(symbol: str) -> Iterator[Decimal]:
    tick, restless, anchors = PATHS[symbol]
    chance = random.Random(symbol)
    noise = 0.0
    for (start, price), (end, aim) in pairwise(anchors):
        steps = round((end - start) * 60 / STEP_S)
        for step in range(steps):
            noise = 0.9 * noise + chance.gauss(0, restless)
            value = price + (aim - price) * step / steps + noise
            yield Decimal(str(value)).quantize(Decimal(tick))


def _entry(ring: SmallRing, symbol: str, at: datetime, price: Decimal, wish: dict[str, Any]) -> Any:
    return ring.entry(
        symbol=symbol, intent_id=f"trend.{symbol}.1", source="trend_following", timestamp=at,
        entry_price=price, leverage=10, confidence=Decimal("0.72"), **wish,
    )  # fmt: skip


def _at_market_time(ring: SmallRing, stream: Stream) -> None:
    """Give every entry of a stream the id that it would have had, its readers at its end."""
    raw_replies(ring.client)
    rows = call(ring.client, "XRANGE", stream.key, "-", "+")
    ring.client.delete(stream.key)
    last, again = 0, 0
    for _, flat in rows:
        at = decode(stream.contract, pairs(flat)).timestamp
        ms = max(int(at.timestamp() * 1000), last)
        again = again + 1 if ms == last else 0
        last = ms
        call(ring.client, "XADD", stream.key, f"{ms}-{again}", *flat)
    for reader in stream.readers:
        words = ("$", "ENTRIESREAD", len(rows))
        call(ring.client, "XGROUP", "CREATE", stream.key, reader, *words)


def _signs(ring: SmallRing) -> None:
    """What daemons that run would leave, and one alarm: a stop that is gone."""
    now = ring.now()
    for number, program in enumerate(PROGRAMS):
        if program != "notifier":
            sign: dict[Any, Any] = {
                "at": format_timestamp(now - timedelta(milliseconds=130 * number)),
                "started_at": format_timestamp(now - timedelta(days=3, hours=4)),
                "pid": str(700 + number), "host": "vps", "version": "0.1.0",
            }  # fmt: skip
            ring.client.hset(heartbeat_key(program), mapping=sign)
    since = format_timestamp(now - timedelta(seconds=6))
    ring.client.hdel(position_key("ETHUSDT"), "stop_loss")
    text = f"{since} ETHUSDT LONG 2 has stood without a stop on the venue for 6 s."
    seen: dict[Any, Any] = {"position_without_stop.ETHUSDT": text, "seen_at": format_timestamp(now)}
    ring.client.hset(WATCH_KEY, mapping=seen)


def keep_alive(ring: SmallRing) -> None:
    """A last price of each symbol now, and signs that are fresh."""
    for symbol in PATHS:
        last = call(ring.client, "XREVRANGE", MARKET_TICK.key, "+", "-", "COUNT", 20)
        for _, flat in last:
            tick = decode(MARKET_TICK.contract, pairs(flat))
            if tick.symbol == symbol:
                now = ring.now()
                ring.put(ring.price(tick.mark_price, at=now, produced_at=now, symbol=symbol))
                break
    ring.settle()
    _signs(ring)
