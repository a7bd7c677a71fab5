"""The port between the runner and a bus: what one daemon may ask, whatever stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from shared.contracts.wire import RawFields
from shared.streams import Stream


class BusDown(Exception):
    """The server cannot be reached or cannot write; the same call may go through later."""


class ServerFull(BusDown):
    """The server is out of memory; what frees some still goes through."""


class Superseded(Exception):
    """Another instance of this daemon has taken over; this one may commit nothing any more."""


class StateLost(Exception):
    """The server no longer holds what it confirmed; only a fresh start finds a sound footing."""


class NotReady(Exception):
    """The server lacks something, or holds something in the way; the text says what.

    An administrator puts it right, and then the same call goes through.
    """


class Entry(NamedTuple):
    """One stream entry as it was delivered; no fields at all means it was trimmed away unread.

    `missed` entries before it were removed before they were delivered at all.
    """

    stream: Stream
    id: str
    fields: RawFields
    deliveries: int = 1
    missed: int = 0


@dataclass(slots=True)
class Commit:
    """What one commit does, all or nothing.

    `published` holds (stream key, flat fields); a `None` deletes a document or a record. Names of
    documents that begin with an underscore are the bus's own.
    """

    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    published: list[tuple[str, list[str | bytes]]] = field(default_factory=list)
    documents: Mapping[str, bytes | None] = field(default_factory=dict)
    records: dict[str, Mapping[str, str] | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.acknowledged or self.published or self.documents or self.records)


@dataclass(frozen=True, slots=True)
class Backlog:
    """How far one group is behind on one stream; `lag` is None where the server cannot count it."""

    stream: str
    group: str
    pending: int
    behind: bool
    lag: int | None

    @property
    def idle(self) -> bool:
        """Whether the group has finished all there is."""
        return not self.behind and not self.pending


class Bus(Protocol):
    """One daemon's view of the streams."""

    def acquire(self) -> dict[str, bytes]:
        """Become the owner of the daemon's state, and return its documents.

        From here on no earlier owner can commit, and entries that were delivered but not
        finished, under whatever consumer name, come first from `read`. A group that is gone while
        the state is there goes on where it was, and reads nothing twice that was finished.

        Raises:
            BusDown, NotReady.
        """
        ...

    def read(self, *, count: int, block_ms: int) -> list[Entry]:
        """Return what is new, at most `count` entries of each stream, after at most `block_ms`.

        Whatever was delivered and never finished comes first and one at a time, so that the count
        of deliveries of a message that kills its reader rises alone. So a read is finished by a
        commit before the next one.

        Raises:
            BusDown, Superseded, StateLost, NotReady.
        """
        ...

    def commit(self, commit: Commit) -> None:
        """Do all of `commit` or nothing.

        Safe to call again after `BusDown` or `NotReady`, with the same commit: it happens once.

        Raises:
            BusDown, Superseded, StateLost, NotReady.
        """
        ...

    def mode(self) -> str | None:
        """The operator's switch as it stands, or None.

        Raises:
            BusDown.
        """
        ...

    def backlog(self) -> list[Backlog]:
        """Where every group of every stream stands.

        Raises:
            BusDown.
        """
        ...

    def trim(self, stream: Stream) -> None:
        """Remove entries beyond what the stream and its dead letters keep.

        An entry that a group has not finished always stays, and so may some that are due. A
        producer's stream has a bound besides, beyond which the oldest go, read or not.

        Raises:
            BusDown.
        """
        ...

    def beat(self, sign: Mapping[str, str]) -> None:
        """Leave `sign` of the daemon where all can read it; it is gone a day after the last one.

        Raises:
            BusDown, NotReady.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
