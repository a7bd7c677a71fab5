"""The bus on a Redis-compatible server, 7.0 or later.

What is delivered to a group and not finished is on the server's list of pending entries. Each read
looks at that list too: whatever is on it and was not handed over just now is unfinished, of an
earlier life, of a reply that was lost, or of a superseded instance that was still reading.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import ResponseError

from shared.bus.client import LIBRARY_VERSION, call, call_all, connect, plainly
from shared.bus.mending import mend
from shared.bus.port import Backlog, Commit, Entry, NotReady, StateLost, Superseded
from shared.streams import (
    DEAD_KEPT,
    DEAD_SUFFIX,
    HEARTBEAT_KEPT_S,
    MARKET_TICK,
    MODE_KEY,
    PRODUCER_MOST,
    STREAMS,
    Stream,
    heartbeat_key,
    inputs_of,
    name_of,
    state_key,
)

#: Words that one operation of a commit may have; the library refuses many more.
MOST_WORDS = 2000


class RedisBus:
    """One daemon's bus; see `Bus` for what each call promises."""

    def __init__(self, url: str, daemon: str, *, producers: Sequence[Stream] = ()) -> None:
        self._daemon = daemon
        self._producers = tuple(producers)
        self._inputs = (*inputs_of(daemon), *producers)
        self._by_key = {stream.key.encode(): stream for stream in self._inputs}
        self._state_key = state_key(daemon)
        self._commands = connect(url)
        # A read blocks its connection, so it has one of its own.
        self._reads = connect(url)
        self._epoch = b""
        self._sequence = 0
        self._recovering = True
        self._offered: tuple[str, bytes, int] | None = None
        # Prices that nobody has read are of no use: they are not missed.
        self._missable = [s.key for s in self._inputs if s is not MARKET_TICK]
        # How many entries of each the group was given or robbed of, where that is known.
        self._passed: dict[bytes, int] = {}
        # And how many it was robbed of that no entry has told yet.
        self._owed: dict[bytes, int] = {}
        self._behind = False

    def acquire(self) -> dict[str, bytes]:
        """Take the state over; see `Bus.acquire`."""
        with plainly():
            if self._commands.fcall("quantum_version", 0) != LIBRARY_VERSION:
                raise NotReady("the Function library is another version: run `quantum init`")
            known = _hash(call(self._commands, "HGETALL", self._state_key))
            for stream in self._inputs:
                self._create_group(stream, known.get(f"_at:{stream.key}".encode()))
            owner = f"{socket.gethostname()}:{os.getpid()}"
            self._epoch = call(
                self._commands, "FCALL", "quantum_acquire", 1, self._state_key, owner
            )
            self._sequence, self._recovering, self._offered = 0, True, None
            known = _hash(call(self._commands, "HGETALL", self._state_key))
        return {name.decode(): value for name, value in known.items() if not name.startswith(b"_")}

    def _create_group(self, stream: Stream, finished: bytes | None) -> None:
        """Make the group where it is not there: a new one reads all, a lost one goes on."""
        about: dict[bytes, Any] = {}
        if self._commands.exists(stream.key):
            about = _hash(call(self._commands, "XINFO", "STREAM", stream.key))
        # A stream that was made anew, or whose ids were lowered, is read from its beginning.
        lost = about and finished and _number(about[b"last-generated-id"]) >= _number(finished)
        start = finished if lost else "0"
        try:
            call(self._commands, "XGROUP", "CREATE", stream.key, self._daemon, start, "MKSTREAM")
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def read(self, *, count: int, block_ms: int) -> list[Entry]:
        """Return unfinished entries first, then new ones; see `Bus.read`."""
        if not self._inputs:
            raise ValueError(f"{self._daemon} reads no stream")
        with plainly():
            if self._recovering:
                unfinished = self._next_unfinished()
                if unfinished is not None:
                    return [unfinished]
            # What a reply brings that never reaches us is unfinished as well.
            self._recovering = True
            fresh, oldest, missed = self._read_new(count, block_ms)
            if oldest != {key: entries[0][0] for key, entries in fresh}:
                unfinished = self._next_unfinished()
                return [] if unfinished is None else [unfinished]
            self._recovering = False
            self._behind = any(len(entries) == count for _, entries in fresh)
        return [
            Entry(
                self._by_key[key],
                id_.decode(),
                _pairs(flat),
                missed=0 if at else missed.get(key, 0),
            )
            for key, entries in fresh
            for at, (id_, flat) in enumerate(entries)
        ]

    def _newly_missed(self, key: bytes, look: Sequence[int], given: int) -> int:
        """How many entries were removed unread before those that were given after the look."""
        added, unread = look
        passed, missed = self._passed.get(key), self._owed.pop(key, 0)
        if unread >= 0:
            now = added - unread
            missed += 0 if passed is None else max(0, now - passed)
            passed = now
        if passed is not None:
            self._passed[key] = passed + given
        if given:
            return missed
        if missed:
            # It is told with the next entry.
            self._owed[key] = missed
        return 0

    def _read_new(
        self, count: int, block_ms: int
    ) -> tuple[list[tuple[bytes, Any]], dict[bytes, bytes], dict[bytes, int]]:
        """The new entries of each stream, the oldest id pending in each, what each was robbed of.

        Producers wait while the ring's own streams have more than one read takes: however much they
        write, an exit is behind one read of theirs at most.
        """
        keys = [s.key for s in self._inputs if not (self._behind and s in self._producers)]
        read = (
            "XREADGROUP", "GROUP", self._daemon, self._daemon,
            "COUNT", count, "BLOCK", block_ms,
            "STREAMS", *keys, *(">" for _ in keys),
        )  # fmt: skip
        looks = [("XPENDING", key, self._daemon, "-", "+", 1) for key in self._by_key]
        look = ("FCALL", "quantum_unread", len(self._missable), *self._missable, self._daemon)
        passed, self._passed = self._passed, {}
        before, new, epoch, *oldest = call_all(
            self._reads, look, read, ("HGET", self._state_key, "_epoch"), *looks
        )
        # A reply that is lost leaves nothing to count from.
        self._passed = passed
        if epoch != self._epoch:
            raise self._lost_place(epoch)
        pending = zip(self._by_key, oldest, strict=True)
        given = {key: len(entries) for key, entries in new or ()}
        missed = {
            key: self._newly_missed(key, sight, given.get(key, 0))
            for key, sight in zip(map(str.encode, self._missable), before, strict=True)
        }
        return new or [], {key: rows[0][0] for key, rows in pending if rows}, missed

    def _next_unfinished(self) -> Entry | None:
        for stream in self._inputs:
            pending = call(self._reads, "XPENDING", stream.key, self._daemon, "-", "+", 1)
            if not pending:
                continue
            id_, consumer, _, deliveries = pending[0]
            # A reply that is lost on its way is no attempt at the message.
            if self._offered is None or self._offered[:2] != (stream.key, id_):
                self._offered = (stream.key, id_, deliveries + 1)
            reply = call(self._reads,
                "XREADGROUP", "GROUP", self._daemon, consumer,
                "COUNT", 1, "STREAMS", stream.key, "0",
            )  # fmt: skip
            for _, entries in reply or ():
                for found, flat in entries:
                    return Entry(stream, found.decode(), _pairs(flat or ()), self._offered[2])
        return None

    def commit(self, commit: Commit) -> None:
        """Do it once, or say why not; see `Bus.commit`."""
        sequence = self._sequence + 1
        keys, words = commit_words(commit, self._daemon)
        request = ("FCALL", "quantum_commit", len(keys), *keys, self._epoch, sequence, *words)
        with plainly():
            said = call(self._commands, *request)
            for _ in keys:
                if not isinstance(said, list):
                    break
                self._mend(said[1].decode())
                said = call(self._commands, *request)
        if said in (b"OK", b"REPEATED"):
            self._sequence = sequence
        elif said == b"SUPERSEDED":
            raise self._lost_place(said)
        elif said == b"LOST":
            raise self._lost_place(None)
        else:
            raise StateLost("the messages of this commit are no longer pending for this daemon")

    def _mend(self, key: str) -> None:
        # Who writes to a stream may mend it and its letters; its readers write the letters alone.
        dead_key = key if key.endswith(DEAD_SUFFIX) else key + DEAD_SUFFIX
        mend(self._commands, key, dead_key, by=self._daemon)

    def _lost_place(self, owner: bytes | None) -> Superseded | StateLost:
        if owner is None:
            return StateLost("the server has forgotten commits that it had confirmed")
        return Superseded(f"another instance of {self._daemon} has taken over")

    def mode(self) -> str | None:
        """The operator's switch; see `Bus.mode`."""
        with plainly():
            value = call(self._commands, "GET", MODE_KEY)
        return None if value is None else str(value, "utf-8", "replace")

    def backlog(self) -> list[Backlog]:
        """Where every group stands; see `Bus.backlog`."""
        keys = [stream.key for stream in (*STREAMS, *self._producers)]
        with plainly():
            rows = call(self._commands, "FCALL", "quantum_backlog", len(keys), *keys)
        return [
            Backlog(
                stream=name_of(key.decode()),
                group=group.decode(),
                pending=pending,
                behind=bool(behind),
                lag=None if lag < 0 else lag,
            )
            for key, group, pending, behind, lag in rows
        ]

    def trim(self, stream: Stream) -> None:
        """Remove what nobody needs; see `Bus.trim`."""
        if stream.producer:
            self._trim_producer(stream)
            return
        keys = (stream.key, stream.dead_key)
        with plainly():
            call(self._commands, "FCALL", "quantum_trim", 2, *keys, stream.kept, DEAD_KEPT)

    def _trim_producer(self, stream: Stream) -> None:
        with plainly():
            call_all(
                self._commands,
                ("FCALL", "quantum_trim", 1, stream.key, stream.kept),
                ("FCALL", "quantum_bound", 1, stream.key, *PRODUCER_MOST),
            )

    def beat(self, sign: Mapping[str, str]) -> None:
        """Leave a sign of life; see `Bus.beat`."""
        key = heartbeat_key(self._daemon)
        words = [word for item in sign.items() for word in item]
        with plainly():
            call_all(self._commands, ("HSET", key, *words), ("EXPIRE", key, HEARTBEAT_KEPT_S))

    def close(self) -> None:
        """Close both connections."""
        self._commands.close()
        self._reads.close()


def commit_words(commit: Commit, daemon: str) -> tuple[list[str], list[Any]]:
    """A commit as the library takes it: the keys, and the operations that name them by position."""
    state = state_key(daemon)
    keys = [state]
    positions = {state: 1}
    words: list[Any] = []

    def operation(kind: str, key: str, arguments: Sequence[Any]) -> None:
        position = positions.get(key)
        if position is None:
            keys.append(key)
            position = positions[key] = len(keys)
        words.extend((kind, position, len(arguments)))
        words.extend(arguments)

    for key, ids in commit.acknowledged.items():
        for part in _parts(ids):
            operation("A", key, (daemon, *part))
    for key, fields in commit.published:
        operation("X", key, fields)
    kept = [part for item in commit.documents.items() if item[1] is not None for part in item]
    for part in _parts(kept):
        operation("S", state, part)
    dropped = [name for name, document in commit.documents.items() if document is None]
    for part in _parts(dropped):
        operation("U", state, part)
    for key, record in commit.records.items():
        operation("D", key, ())
        for part in _parts([word for item in (record or {}).items() for word in item]):
            operation("S", key, part)
    return keys, words


def _parts(words: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for first in range(0, len(words), MOST_WORDS):
        yield words[first : first + MOST_WORDS]


def _hash(flat: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _number(id_: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = id_.partition(b"-")
    return int(milliseconds), int(sequence)


def _pairs(flat: Sequence[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(zip(flat[::2], flat[1::2], strict=True))
