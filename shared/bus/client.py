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
    ClusterDownError,
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry

from shared.bus.port import BusDown, NotReady, StateLost

LIBRARY_VERSION = b"1"
#: Seconds that a command may take; a read waits this much longer than it blocks.
TIMEOUT_S = 5.0
_RAW = ("XREADGROUP", "XPENDING", "HGETALL")

# What a server says of itself (down) and of what an administrator has to put right (not ready).
_DOWN = ("BUSY ", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN")
_LOST = ("NOGROUP", "UNBLOCKED")
_NOT_READY = ("WRONGTYPE", "NOPERM")
_PASSWORD = re.compile(r"(//[^/@:]*):[^/]*@")
#: A right that a function's caller lacks, in the words of newer servers and of Redis 7.0.
_REFUSED_INSIDE = ("ACL failure", "The user executing the script can't")


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
    except (ConnectionError, TimeoutError, ClusterDownError, OutOfMemoryError) as error:
        raise BusDown(str(error)) from error
    except ReadOnlyError as error:
        raise BusDown(f"the server is a replica: {error}") from error
    except NoPermissionError as error:
        raise NotReady(f"the server's user lacks a right: {error}") from error
    except ResponseError as error:
        text = str(error)
        if text.startswith(_DOWN):
            raise BusDown(text) from error
        if text.startswith(_LOST):
            raise StateLost(f"a consumer group is gone, was the server flushed? {text}") from error
        if text.startswith(_NOT_READY) or any(words in text for words in _REFUSED_INSIDE):
            raise NotReady(text) from error
        if "Function not found" in text:
            raise NotReady("the Function library is missing: run `quantum init`") from error
        raise
