"""The client of a Redis-compatible server: raw replies, no silent repeats, errors by their meaning.

Replies are taken as the server sends them (RESP 2, bytes) and decoded by the bus, in one place: the
client's own decoding turns an entry's fields into a dict and would hide a field given twice.
Its silent retries are off: only a commit may be repeated, because only it can tell a repeat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,
)
from redis.retry import Retry

from shared.bus.port import BusDown, NotReady, ServerFull, StateLost

LIBRARY_VERSION = b"2"
#: Seconds that a command may take; a read waits this much longer than it blocks.
TIMEOUT_S = 5.0
_RAW = ("XREADGROUP", "XPENDING", "HGETALL", "XINFO STREAM")

#: What a server says instead of an answer: how its text begins (or what is in it), what a program
#: makes of it, and the sentence for people. It waits while the server is down or not ready, and
#: starts afresh where it was forgotten. What is in no row is a bug of ours, or of a message: it
#: ends the program, so that a message that ends it time and again is put aside.
ANSWERS: tuple[tuple[str, type[Exception], str], ...] = (
    ("READONLY", BusDown, "the server is a replica"),
    ("UNBLOCKED", BusDown, "the server became a replica, or a stream was removed"),
    ("MASTERDOWN", BusDown, "the server is a replica that has lost its master"),
    ("LOADING", BusDown, "the server reads its file"),
    ("BUSY ", BusDown, "the server is busy with a script"),
    ("MISCONF", BusDown, "the server cannot write to its disk"),
    ("NOREPLICAS", BusDown, "the server has too few replicas"),
    ("OOM", ServerFull, "the server is out of memory"),
    ("CLUSTERDOWN", BusDown, "the cluster is down"),
    ("max number of clients", BusDown, "the server takes no further connection"),
    ("NOGROUP", StateLost, "a consumer group is gone, was the server flushed?"),
    ("WRONGTYPE", NotReady, "a key is not what it should be"),
    ("NOPERM", NotReady, "the server's user lacks a right"),
    ("ACL failure", NotReady, "the server's user lacks a right"),
    ("The user executing the script can't", NotReady, "the server's user lacks a right"),
    ("this user has no permissions", NotReady, "the server's user lacks a right"),
    ("WRONGPASS", NotReady, "the server refuses the user or the password"),
    ("invalid username-password", NotReady, "the server refuses the user or the password"),
    ("NOAUTH", NotReady, "the server wants a user and a password"),
    ("Authentication required", NotReady, "the server wants a user and a password"),
    ("Function not found", NotReady, "the Function library is missing: run `quantum init`"),
    ("unknown command", NotReady, "the server is older than Redis 7.0"),
    ("DB index is out of range", NotReady, "the server has no such database"),
)
#: The first word of an error, which the client takes away where it has a class for it.
_TAKEN: dict[type[RedisError], str] = {
    BusyLoadingError: "LOADING",
    ClusterDownError: "CLUSTERDOWN",
    MasterDownError: "MASTERDOWN",
    NoPermissionError: "NOPERM",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
}
_PASSWORD = re.compile(r"(//[^/@:]*):[^/]*@")


def library_code() -> str:
    """The source of the Function library `quantum`."""
    return resources.files("shared.bus").joinpath("quantum.lua").read_text(encoding="utf-8")


def load_library(client: Redis) -> None:
    """Load or replace the Function library; for an administrator, once per server."""
    client.function_load(library_code(), replace=True)


def connect(url: str, *, timeout_s: float = TIMEOUT_S) -> Redis:
    """Open a client whose replies are raw and which repeats nothing by itself."""
    client = Redis.from_url(
        url,
        protocol=2,
        decode_responses=False,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # It would introduce itself on each connection, which a daemon's user has no right to do.
        driver_info=None,
    )
    for command in _RAW:
        client.set_response_callback(command, lambda reply, **_: reply)
    return client


def without_password(url: str) -> str:
    """An address that may be shown: what stands between the user and the host is left out."""
    return _PASSWORD.sub(r"\1:***@", url)


def call(client: Redis, *words: Any) -> Any:
    """Send one command and return its raw reply."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def call_all(client: Redis, *commands: tuple[Any, ...]) -> list[Any]:
    """Send commands in one go and return their raw replies; the first error is raised."""
    pipeline = client.pipeline(transaction=False)
    for words in commands:
        pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
    # The client would change the text of an error that it raises itself.
    replies = pipeline.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


@contextmanager
def plainly() -> Iterator[None]:
    """Say in the port's words what is wrong with the server.

    Raises:
        BusDown, StateLost, NotReady.
    """
    try:
        yield
    except RedisError as error:
        raise _meaning(error) from error


def _meaning(error: RedisError) -> Exception:
    """The error in the port's words, or itself where it has none."""
    words = " ".join(filter(None, (_TAKEN.get(type(error)), str(error))))
    for known, kind, sentence in ANSWERS:
        if words.startswith(known) if known.isupper() else known in words:
            return kind(f"{sentence}: {words}")
    if isinstance(error, (ConnectionError, TimeoutError)):
        return BusDown(str(error))
    return error
