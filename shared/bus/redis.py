"""The bus on a Redis-compatible server, 7.0 or later.

Replies are taken as the server sends them (RESP 2, bytes) and decoded here, in one place: the
client's own decoding turns an entry's fields into a dict and would hide a field given twice.
Its silent retries are off: only `commit` may be repeated, because only it can tell a repeat.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from time import monotonic
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)
from redis.retry import Retry

from shared.bus.port import Backlog, BusDown, Commit, Entry, NotReady, StateLost, Superseded
from shared.streams import MODE_KEY, STREAMS, Stream, inputs_of, state_key

LIBRARY_VERSION = b"1"
#: Seconds that a command may take; a read waits this much longer than it blocks.
TIMEOUT_S = 5.0
#: A superseded instance that was blocked in a read when it lost its place may still be handed
#: entries, under the name that it shares with its successor. The successor looks for them.
LOOK_AGAIN_S = 1.0
_RAW = ("XREADGROUP", "XAUTOCLAIM", "XPENDING", "HGETALL")


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
    )
    for command in _RAW:
        client.set_response_callback(command, lambda reply, **_: reply)
    return client


@contextmanager
def _down() -> Iterator[None]:
    """Say in the port's words that the server is away or cannot write at present."""
    try:
        yield
    except (ConnectionError, TimeoutError, BusyLoadingError, OutOfMemoryError) as error:
        raise BusDown(str(error)) from error
    except ReadOnlyError as error:
        raise BusDown(f"the server is a replica: {error}") from error
    except ResponseError as error:
        text = str(error)
        if text.startswith(("MISCONF", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN")):
            raise BusDown(text) from error
        if text.startswith(("NOGROUP", "UNBLOCKED")):
            raise StateLost(f"a consumer group is gone, was the server flushed? {text}") from error
        if "Function not found" in text:
            raise NotReady("the Function library is missing: run `quantum init`") from error
        raise


class RedisBus:
    """One daemon's bus; see `Bus` for what each call promises."""

    def __init__(self, url: str, daemon: str) -> None:
        self._daemon = daemon
        self._inputs = inputs_of(daemon)
        self._by_key = {stream.key.encode(): stream for stream in self._inputs}
        self._state_key = state_key(daemon)
        self._commands = connect(url)
        self._reads = connect(url)
        self._epoch = ""
        self._sequence = 0
        self._recovering = True
        self._look_again_at = 0.0

    def acquire(self) -> dict[str, bytes]:
        """Take the state over; see `Bus.acquire`."""
        with _down():
            version = self._commands.fcall("quantum_version", 0)
            if version != LIBRARY_VERSION:
                raise NotReady("the Function library is another version: run `quantum init`")
            for stream in self._inputs:
                self._create_group(stream)
            owner = f"{socket.gethostname()}:{os.getpid()}"
            epoch = self._commands.fcall("quantum_acquire", 1, self._state_key, owner)
            self._epoch, self._sequence, self._recovering = epoch.decode(), 0, True
            for stream in self._inputs:
                self._claim_from_others(stream)
            flat = _call(self._commands, "HGETALL", self._state_key)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return {name.decode(): value for name, value in pairs if not name.startswith(b"_")}

    def _create_group(self, stream: Stream) -> None:
        try:
            self._commands.xgroup_create(stream.key, self._daemon, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _claim_from_others(self, stream: Stream) -> None:
        """Bring entries that another consumer name left unfinished under the one name there is."""
        cursor = b"0-0"
        while True:
            reply = _call(
                self._commands,
                "XAUTOCLAIM",
                stream.key,
                self._daemon,
                self._daemon,
                0,
                cursor,
                "JUSTID",
            )
            cursor = reply[0]
            if cursor == b"0-0":
                return

    def read(self, *, count: int, block_ms: int) -> list[Entry]:
        """Return unfinished entries first, then new ones; see `Bus.read`."""
        if not self._inputs:
            raise ValueError(f"{self._daemon} reads no stream")
        with self._connection_may_break():
            if self._recovering or monotonic() >= self._look_again_at:
                entry = self._next_unfinished()
                self._recovering = entry is not None
                if entry is not None:
                    return [entry]
                self._look_again_at = monotonic() + LOOK_AGAIN_S
            reply = _call(self._reads,
                "XREADGROUP", "GROUP", self._daemon, self._daemon,
                "COUNT", count, "BLOCK", block_ms,
                "STREAMS", *self._by_key, *(">" for _ in self._inputs),
            )  # fmt: skip
        return [
            Entry(self._by_key[key], id_.decode(), _pairs(flat))
            for key, entries in reply or ()
            for id_, flat in entries
        ]

    def _next_unfinished(self) -> Entry | None:
        for stream in self._inputs:
            reply = _call(self._reads,
                "XREADGROUP", "GROUP", self._daemon, self._daemon,
                "COUNT", 1, "STREAMS", stream.key, "0",
            )  # fmt: skip
            for _, entries in reply or ():
                for id_, flat in entries:
                    pending = _call(self._reads, "XPENDING", stream.key, self._daemon, id_, id_, 1)
                    deliveries = pending[0][3] if pending else 1
                    return Entry(stream, id_.decode(), _pairs(flat or ()), deliveries)
        return None

    def commit(self, commit: Commit) -> None:
        """Do it once, or say why not; see `Bus.commit`."""
        sequence = self._sequence + 1
        keys, words = self._commit_words(commit)
        with self._connection_may_break():
            said = _call(
                self._commands,
                "FCALL",
                "quantum_commit",
                len(keys),
                *keys,
                self._epoch,
                sequence,
                *words,
            )
        if said in (b"OK", b"REPEATED"):
            self._sequence = sequence
        elif said == b"SUPERSEDED":
            raise Superseded(f"another instance of {self._daemon} has taken over")
        elif said == b"LOST":
            raise StateLost("the server has forgotten commits that it had confirmed")
        else:
            raise StateLost("the messages of this commit are no longer pending for this daemon")

    def _commit_words(self, commit: Commit) -> tuple[list[str], list[Any]]:
        keys = [self._state_key]
        positions = {self._state_key: 1}
        words: list[Any] = []

        def operation(kind: str, key: str, arguments: Sequence[Any]) -> None:
            position = positions.get(key)
            if position is None:
                keys.append(key)
                position = positions[key] = len(keys)
            words.extend((kind, position, len(arguments)))
            words.extend(arguments)

        for key, ids in commit.acknowledged.items():
            operation("A", key, (self._daemon, *ids))
        for key, fields in commit.published:
            operation("X", key, fields)
        kept = [part for item in commit.documents.items() if item[1] is not None for part in item]
        if kept:
            operation("S", self._state_key, kept)
        dropped = [name for name, document in commit.documents.items() if document is None]
        if dropped:
            operation("U", self._state_key, dropped)
        for key, record in commit.records.items():
            if record is None:
                operation("D", key, ())
            else:
                operation("H", key, [part for item in record.items() for part in item])
        return keys, words

    @contextmanager
    def _connection_may_break(self) -> Iterator[None]:
        """After a break, what was delivered but never reached us is asked for again."""
        try:
            with _down():
                yield
        except BusDown:
            self._recovering = True
            raise

    def mode(self) -> str | None:
        """The operator's switch; see `Bus.mode`."""
        with _down():
            value = self._commands.get(MODE_KEY)
        return None if value is None else str(value, "utf-8", "replace")  # type: ignore[arg-type]

    def backlog(self) -> list[Backlog]:
        """Where every group stands; see `Bus.backlog`."""
        keys = [stream.key for stream in STREAMS]
        with _down():
            rows: Any = self._commands.fcall("quantum_backlog", len(keys), *keys)
        return [
            Backlog(
                stream=key.decode().removeprefix("quantum:stream:"),
                group=group.decode(),
                pending=pending,
                behind=bool(behind),
                lag=None if lag < 0 else lag,
            )
            for key, group, pending, behind, lag in rows
        ]

    def trim(self, stream: Stream) -> None:
        """Remove what nobody needs; see `Bus.trim`."""
        with _down():
            self._commands.fcall("quantum_trim", 1, stream.key, stream.kept)

    def close(self) -> None:
        """Close both connections."""
        self._commands.close()
        self._reads.close()


def _call(client: Redis, *words: Any) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def _pairs(flat: Sequence[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(zip(flat[::2], flat[1::2], strict=True))
