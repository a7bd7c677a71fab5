"""True answers of the double, recorded once, and what answers in its place afterwards."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from services.apply_layer.binance.http import Http, Reply
from services.apply_layer.double.garbage import garbage
from tests.binance.desk import BTC, SOL, D, desk_at

#: How an answer may be spoiled that comes whole; what drips or breaks off is the connection's.
KINDS = ("html", "empty", "cut", "not_json", "wrong_type", *("mutated",) * 6)
_STATUS = (200, 200, 200, 200, 201, 301, 400, 403, 404, 500, 503)
Key = tuple[str, str]


def key_of(method: str, url: str) -> Key:
    """An endpoint, by its method and path."""
    return method, urlsplit(url).path


@dataclass
class Recorded:
    """Answers by endpoint, those of one symbol apart; one of them at a time may be `spoiled`."""

    answers: dict[Key, dict[str, Reply]] = field(default_factory=dict)
    spoiled: Key | None = None
    chance: random.Random = field(default_factory=random.Random)
    struck: int = 0

    def keep(self, method: str, url: str, body: str | None, reply: Reply) -> None:
        """Remember a true answer."""
        if reply.http == 200:
            self.answers.setdefault(key_of(method, url), {})[_symbol(url, body)] = reply

    def answer(self, method: str, url: str, body: str | None) -> Reply:
        """A true answer, or garbage in its place; what nobody recorded is not found."""
        key = key_of(method, url)
        known = self.answers.get(key, {})
        reply = known.get(_symbol(url, body)) or next(iter(known.values()), None)
        if reply is None:
            return Reply(400, {}, b'{"code": -2013, "msg": "Order does not exist."}')
        if key != self.spoiled:
            return reply
        self.struck += 1
        text = garbage(self.chance.choice(KINDS), reply.body.decode(), self.chance)
        return Reply(self.chance.choice(_STATUS), reply.headers, text.encode(errors="replace"))


def _symbol(url: str, body: str | None) -> str:
    words: Mapping[str, list[str]] = parse_qs(urlsplit(url).query) | parse_qs(body or "")
    return words.get("symbol", [""])[0]


def record(folder: Path) -> Recorded:
    """Every answer that the adapter asks for, with positions, stops, trades and a harvest."""
    recorded = Recorded()
    real = Http.exchange

    def told(self: Http, method: str, url: str, headers: Any, body: Any) -> Reply:
        reply = real(self, method, url, headers, body)
        recorded.keep(method, url, body, reply)
        return reply

    Http.exchange = told  # type: ignore[method-assign]
    try:
        with desk_at(folder, {"reconcile_every_s": "0.2"}) as desk:
            desk.ready()
            desk.venue.by_hand(SOL, "SELL", D(4))
            desk.until(lambda: desk.holds(SOL))
            desk.enter()
            desk.until(desk.holds)
            (stop,) = desk.stops()
            desk.venue.cancel_by_hand(stop["clientAlgoId"])
            desk.until(lambda: desk.stops() and desk.holds())
            desk.for_s(1.0)
    finally:
        Http.exchange = real  # type: ignore[method-assign]
    return recorded


def true_events() -> list[dict[str, Any]]:
    """Frames of the user stream as the venue sends them."""
    order = {"s": BTC, "c": "x1-0", "S": "SELL", "o": "MARKET", "X": "FILLED", "q": "0.1"}
    return [
        {"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": order},
        {"e": "ALGO_UPDATE", "E": 1, "T": 1, "o": {"s": SOL, "X": "REJECTED", "caid": "s1-0"}},
        {"e": "ACCOUNT_UPDATE", "E": 1, "a": {"m": "ORDER", "P": [{"s": BTC, "pa": "0.1"}]}},
        {"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "ac": {"s": BTC, "l": 25}},
        json.loads('{"e": "MARGIN_CALL", "E": 1, "p": []}'),
    ]
