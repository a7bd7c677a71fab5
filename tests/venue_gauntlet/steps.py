"""Every step of apply_layer at which the gauntlet may strike: calls to the bus and to the venue.

A life's bus and its HTTP calls are wrapped; the wrapping tells `reached` of each step, and what it
does is the real thing. Used in the child alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3.connection

from services.apply_layer.binance.http import Http
from shared.bus import Commit, Entry, RedisBus
from shared.bus.redis import commit_words

#: What a call to the venue is for, by method and whether it names an order.
CALLS = ("order", "cancel", "ask", "look", "set")
BUS_STEPS = (
    "before_read", "after_read", "before_commit", "commit_sent", "after_commit",
)  # fmt: skip
#: `sent`: the request has left, the answer was not read.
CALL_STEPS = tuple(f"{when}_{call}" for call in CALLS for when in ("before", "sent", "after"))
STEPS = (*BUS_STEPS, *CALL_STEPS)

_ORDER_PATHS = ("/fapi/v1/order", "/fapi/v1/algoOrder")
_ID_NAMES = ("newClientOrderId", "clientAlgoId", "origClientOrderId")

Reached = Callable[[str, str], None]


class SteppedBus(RedisBus):
    """The bus of a life: `reached(step, "")` at each step, `done(began)` after each commit.

    `dies_in_reply` says whether to end between a commit and its reply.
    """

    reached: Reached
    committed: Callable[[float], None]
    acquired: Callable[[int], None]
    dies_in_reply: Callable[[], bool]
    die: Callable[[], None]
    clock: Callable[[], float]

    def acquire(self) -> dict[str, bytes]:
        documents = super().acquire()
        self.acquired(int(self._epoch))
        return documents

    def read(self, *, count: int, block_ms: int) -> list[Entry]:
        self.reached("before_read", "")
        # Stepping often makes runs short; how often is no part of what is judged.
        entries = super().read(count=count, block_ms=min(block_ms, 50))
        if entries:
            self.reached("after_read", "")
        return entries

    def commit(self, commit: Commit) -> None:
        self.reached("before_commit", "")
        if self.dies_in_reply():
            keys, words = commit_words(commit, self._daemon)
            connection = self._commands.connection_pool.get_connection()
            sequence = self._sequence + 1
            connection.send_command(  # type: ignore[no-untyped-call]
                "FCALL", "quantum_commit", len(keys), *keys, self._epoch, sequence, *words
            )
            self.die()
        began = self.clock()
        super().commit(commit)
        self.committed(began)
        self.reached("after_commit", "")


def step_requests(reached: Reached) -> None:
    """Tell of each HTTP call of this process, before it, while it is under way, and after it."""
    under_way = threading.local()
    connection: Any = urllib3.connection.HTTPConnection
    exchange, getresponse = Http.exchange, connection.getresponse

    def stepped(self: Http, method: str, url: str, headers: Any, body: Any) -> Any:
        call, client_id = call_of(method, url, body)
        under_way.call = (call, client_id)
        reached(f"before_{call}", client_id)
        answer = exchange(self, method, url, headers, body)
        reached(f"after_{call}", client_id)
        return answer

    def answered(self: Any, *args: Any, **kwargs: Any) -> Any:
        call, client_id = under_way.call
        reached(f"sent_{call}", client_id)
        return getresponse(self, *args, **kwargs)

    Http.exchange = stepped  # type: ignore[method-assign]
    connection.getresponse = answered


def call_of(method: str, url: str, body: object) -> tuple[str, str]:
    """What a call is for, and the client id that it names."""
    parts = urlsplit(url)
    text = body.decode() if isinstance(body, bytes) else str(body or "")
    words = parse_qs(parts.query) | parse_qs(text)
    client_id = next((words[name][0] for name in _ID_NAMES if name in words), "")
    if parts.path not in _ORDER_PATHS:
        return ("look" if method == "GET" else "set"), client_id
    return {"POST": "order", "DELETE": "cancel"}.get(method, "ask"), client_id
