"""The bus in memory: the same promises without a server, for tests, simulation and replay.

`MemoryServer` stands for the server; each daemon gets its `MemoryBus` on it. Nothing blocks:
whoever drives the daemons decides whose turn it is, and which faults strike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared.bus.port import Backlog, BusDown, Commit, Entry, NotReady, StateLost, Superseded
from shared.contracts.wire import RawFields
from shared.streams import MODE_KEY, STREAMS, Stream, heartbeat_key, inputs_of, state_key


@dataclass
class _Group:
    next_index: int = 0
    #: Delivered and not finished: index in the stream -> how often it was delivered.
    pending: dict[int, int] = field(default_factory=dict)


@dataclass
class _Log:
    entries: list[RawFields] = field(default_factory=list)
    groups: dict[str, _Group] = field(default_factory=dict)


class MemoryServer:
    """Streams, hashes and strings of one server; `add` is what a producer outside would do.

    Faults: while `down`, every call of every bus fails before it does anything. Of each of the
    next `lost_replies` calls only the reply is lost.
    """

    def __init__(self) -> None:
        self.logs: dict[str, _Log] = {}
        self.hashes: dict[str, dict[str, bytes]] = {}
        self.strings: dict[str, str] = {}
        self.down = False
        self.lost_replies = 0
        self._epochs = 0

    def add(self, key: str, fields: Sequence[tuple[bytes, bytes]]) -> str:
        """Append an entry to a stream and return its id."""
        log = self.log(key)
        log.entries.append(tuple(fields))
        return f"0-{len(log.entries)}"

    def entries(self, key: str) -> list[dict[str, str]]:
        """All entries of a stream, as text, for people and tests."""
        return [
            {name.decode(): value.decode("utf-8", "replace") for name, value in fields}
            for fields in self.log(key).entries
        ]

    def log(self, key: str) -> _Log:
        """The stream behind a key, made when first asked for."""
        return self.logs.setdefault(key, _Log())

    def flush(self) -> None:
        """Forget all data, as FLUSHALL does."""
        self.logs.clear()
        self.hashes.clear()
        self.strings.clear()

    def next_epoch(self) -> int:
        """A number no owner has had before."""
        self._epochs += 1
        return self._epochs

    def type_of(self, key: str) -> str:
        """What a key holds: stream, hash, string or none."""
        if key in self.logs:
            return "stream"
        if key in self.hashes:
            return "hash"
        return "string" if key in self.strings else "none"

    @contextmanager
    def answering(self) -> Iterator[None]:
        """One call of a bus, under the faults that are set."""
        if self.down:
            raise BusDown("the server is away")
        yield
        if self.lost_replies:
            self.lost_replies -= 1
            raise BusDown("the reply was lost")


class MemoryBus:
    """One daemon's bus in memory; see `Bus` for what each call promises."""

    def __init__(
        self, server: MemoryServer, daemon: str, *, producers: Sequence[Stream] = ()
    ) -> None:
        self._server = server
        self._daemon = daemon
        self._producers = tuple(producers)
        self._inputs = (*inputs_of(daemon), *producers)
        self._behind = False
        self._epoch = b""
        self._sequence = 0
        self._offered: tuple[str, int] | None = None

    def acquire(self) -> dict[str, bytes]:
        """Take the state over; see `Bus.acquire`."""
        with self._server.answering():
            state = self._server.hashes.setdefault(state_key(self._daemon), {})
            for stream in self._inputs:
                log, finished = self._server.log(stream.key), int(state.get(_at(stream.key), b"0"))
                first = finished if finished <= len(log.entries) else 0
                log.groups.setdefault(self._daemon, _Group(first))
            self._epoch = str(self._server.next_epoch()).encode()
            state |= {"_epoch": self._epoch, "_seq": b"0"}
            self._sequence, self._offered = 0, None
            return {name: value for name, value in state.items() if not name.startswith("_")}

    def read(self, *, count: int, block_ms: int) -> list[Entry]:  # noqa: ARG002 - nothing blocks
        """Return unfinished entries first, then new ones; see `Bus.read`."""
        if not self._inputs:
            raise ValueError(f"{self._daemon} reads no stream")
        with self._server.answering():
            logs = [(stream, *self._reader(stream)) for stream in self._inputs]
            self._owned()
            for stream, log, group in logs:
                if group.pending:
                    return [self._unfinished(stream, log, group)]
            found = []
            behind, self._behind = self._behind, False
            for stream, log, group in logs:
                if behind and stream in self._producers:
                    continue
                last = min(group.next_index + count, len(log.entries))
                for index in range(group.next_index, last):
                    group.pending[index] = 1
                    found.append(_entry(stream, log, index, 1))
                self._behind |= last - group.next_index == count
                group.next_index = last
            return found

    def _reader(self, stream: Stream) -> tuple[_Log, _Group]:
        log = self._server.log(stream.key)
        group = log.groups.get(self._daemon)
        if group is None:
            raise StateLost(f"the consumer group of {self._daemon} on {stream.name} is gone")
        return log, group

    def _unfinished(self, stream: Stream, log: _Log, group: _Group) -> Entry:
        index = min(group.pending)
        # A reply that is lost on its way is no attempt at the message.
        if self._offered != (stream.key, index):
            self._offered = (stream.key, index)
            group.pending[index] += 1
        return _entry(stream, log, index, group.pending[index])

    def _owned(self) -> dict[str, bytes]:
        """The daemon's state, if it still is ours."""
        state = self._server.hashes.get(state_key(self._daemon), {})
        if "_epoch" not in state:
            raise StateLost("the server has forgotten commits that it had confirmed")
        if state["_epoch"] != self._epoch:
            raise Superseded(f"another instance of {self._daemon} has taken over")
        return state

    def commit(self, commit: Commit) -> None:
        """Do it once, or say why not; see `Bus.commit`."""
        with self._server.answering():
            self._refuse_wrong_types(commit)
            state = self._owned()
            if state["_seq"] == str(self._sequence).encode():
                self._write(commit, state)
                state["_seq"] = str(self._sequence + 1).encode()
        self._sequence += 1

    def _refuse_wrong_types(self, commit: Commit) -> None:
        wanted = [(key, "stream") for key, _ in commit.published]
        wanted += [(key, "hash") for key in commit.records]
        for key, type_ in wanted:
            found = self._server.type_of(key)
            if found not in ("none", type_):
                raise NotReady(f"WRONGTYPE {key} is a {found}")

    def _write(self, commit: Commit, state: dict[str, bytes]) -> None:
        self._acknowledge(commit, state)
        for key, fields in commit.published:
            words = [part if isinstance(part, bytes) else part.encode() for part in fields]
            self._server.add(key, tuple(zip(words[::2], words[1::2], strict=True)))
        for name, document in commit.documents.items():
            if document is None:
                state.pop(name, None)
            else:
                state[name] = document
        for key, record in commit.records.items():
            self._server.hashes.pop(key, None)
            if record:
                self._server.hashes[key] = {k: v.encode() for k, v in record.items()}

    def _acknowledge(self, commit: Commit, state: dict[str, bytes]) -> None:
        finished = [
            (self._server.log(key).groups[self._daemon].pending, int(id_.partition("-")[2]) - 1)
            for key, ids in commit.acknowledged.items()
            for id_ in ids
        ]
        if finished and not any(index in pending for pending, index in finished):
            raise StateLost("the messages of this commit are no longer pending for this daemon")
        for pending, index in finished:
            pending.pop(index, None)
        for key in commit.acknowledged:
            group = self._server.log(key).groups[self._daemon]
            if not group.pending:
                state[_at(key)] = str(group.next_index).encode()

    def mode(self) -> str | None:
        """The operator's switch; see `Bus.mode`."""
        with self._server.answering():
            return self._server.strings.get(MODE_KEY)

    def backlog(self) -> list[Backlog]:
        """Where every group stands; see `Bus.backlog`."""
        rows = []
        with self._server.answering():
            for stream in (*STREAMS, *self._producers):
                log = self._server.log(stream.key)
                for name, group in log.groups.items():
                    lag = len(log.entries) - group.next_index
                    rows.append(Backlog(stream.name, name, len(group.pending), lag > 0, lag))
        return rows

    def trim(self, stream: Stream) -> None:
        """Keep everything: a run in memory is as long as its memory."""

    def beat(self, sign: Mapping[str, str]) -> None:
        """Leave a sign of life; see `Bus.beat`."""
        with self._server.answering():
            fields = {name: value.encode() for name, value in sign.items()}
            self._server.hashes[heartbeat_key(self._daemon)] = fields

    def close(self) -> None:
        """Nothing to let go of."""


def _at(key: str) -> str:
    """The document that says how far a group is, should it ever be gone."""
    return f"_at:{key}"


def _entry(stream: Stream, log: _Log, index: int, deliveries: int) -> Entry:
    return Entry(stream, f"0-{index + 1}", log.entries[index], deliveries)
