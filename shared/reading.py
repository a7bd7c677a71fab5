"""Reading for those who only look: whatever stands in the server, a look goes on.

Anybody may have written a key or an entry, by hand or by mistake. What cannot be read counts as not
there and is named, with the reason, for whoever looks. Reads what it is asked for; writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import ResponseError

from shared.bus.client import call
from shared.records import NONSENSE, Unreadable, reason_of, text_of, texts_of

_RAW = (
    "XRANGE", "XREVRANGE", "XREAD", "XPENDING", "XINFO STREAM", "XINFO GROUPS", "XINFO CONSUMERS",
    "HGETALL", "HMGET",
)  # fmt: skip
#: What a command answers where there is nothing.
_NOTHING: dict[str, Any] = {"GET": None, "HGET": None, "XLEN": 0, "EXISTS": 0}
#: What is gone, or lies behind the last id that there can be: nothing is there.
_NOT_THERE = ("no such key", "NOGROUP", "invalid start ID", "invalid end ID")

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Words = tuple[Any, ...]


class Reading:
    """One look at the server; `unreadable` is what it could not read, each once."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self._unreadable: dict[str, str] = {}
        raw_replies(client)

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """What could not be read, in the order in which it was come upon."""
        return tuple(Unreadable(what, why) for what, why in self._unreadable.items())

    def note(self, what: str, why: str) -> None:
        """Name something that cannot be read; what was said of it first stays."""
        self._unreadable.setdefault(what, why)

    def ask(self, *words: Any) -> Any:
        """The raw reply to one command; nothing, where a key is of another type.

        Raises:
            redis.RedisError: the server cannot be asked, or the user may not look.
        """
        try:
            return call(self.client, *words)
        except ResponseError as error:
            return self._instead(words, error)

    def ask_all(self, commands: Mapping[K, Words]) -> dict[K, Any]:
        """The same for many commands in one round trip, each reply under its name."""
        pipeline = self.client.pipeline(transaction=False)
        for words in commands.values():
            pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
        replies = pipeline.execute(raise_on_error=False) if commands else []
        return {
            name: self._instead(words, reply) if isinstance(reply, Exception) else reply
            for (name, words), reply in zip(commands.items(), replies, strict=True)
        }

    def news(
        self, cursors: Mapping[str, str], *, block_ms: int | None = None, count: int = 1000
    ) -> dict[str, list[tuple[str, list[bytes]]]]:
        """What has come behind an id on each stream; waits for it so long, if at all.

        A key that is no stream is left out.
        """
        wait = () if block_ms is None else ("BLOCK", block_ms)
        words = ("XREAD", "COUNT", count, *wait, "STREAMS", *cursors, *cursors.values())
        try:
            reply = call(self.client, *words)
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            streams = {key: id_ for key, id_ in cursors.items() if self._is_stream(key)}
            if streams:
                return self.news(streams, block_ms=block_ms, count=count)
            time.sleep((block_ms or 0) / 1000)
            return {}
        return {
            text_of(key): [(text_of(id_), flat or []) for id_, flat in entries]
            for key, entries in reply or ()
        }

    def _is_stream(self, key: str) -> bool:
        """Whether a stream can be read under a key; one that is not there can."""
        try:
            call(self.client, "XREAD", "COUNT", 1, "STREAMS", key, "0")
        except ResponseError as error:
            self._instead(("XREAD", key), error)
            return False
        return True

    def hash(self, key: str) -> dict[str, str]:
        """The fields of a hash as text."""
        return texts_of(self.ask("HGETALL", key))

    def made(self, what: str, make: Callable[[], T], otherwise: T) -> T:
        """What `make` makes of something that was read; where it makes no sense, that is noted."""
        try:
            return make()
        except NONSENSE as error:
            self.note(what, reason_of(error))
            return otherwise

    def _instead(self, words: Words, error: Exception) -> Any:
        text = str(error)
        if not isinstance(error, ResponseError):
            raise error
        if text.startswith("WRONGTYPE"):
            self.note(_key_of(words), "is a key of another type; nothing in the ring wrote it")
        elif not any(part in text for part in _NOT_THERE):
            raise error
        return nothing(words)


def nothing(words: Words) -> Any:
    """What a command answers where there is nothing."""
    name = str(words[0])
    if name == "HMGET":
        return [None] * (len(words) - 2)
    if name == "XPENDING" and len(words) == 3:
        return [0, None, None, None]
    return _NOTHING.get(name, [])


def raw_replies(client: Redis) -> None:
    """Take replies as the server sends them."""
    for command in _RAW:
        client.set_response_callback(command, lambda reply, **_: reply)


def _key_of(words: Words) -> str:
    key = words[1]
    return text_of(key) if isinstance(key, bytes) else str(key)
