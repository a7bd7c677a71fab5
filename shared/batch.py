"""What a daemon has in hand: all that one commit is to do, and what is told once it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from prometheus_client import Counter

from shared.bus import Commit, Entry
from shared.contracts import Message, encode
from shared.dead_letters import dead_letter
from shared.decisions import Note, Record
from shared.log import logger
from shared.metrics import RunnerMetrics
from shared.session import Session, flat
from shared.streams import BY_NAME


class Batch:
    """Collects what is to be committed together. `measure` is shown each output afterwards."""

    def __init__(
        self, session: Session, metrics: RunnerMetrics, measure: Callable[[object], None]
    ) -> None:
        self._session = session
        self._metrics = metrics
        self._measure = measure
        self._commit = Commit()
        self._outputs: list[object] = []
        self._counts: dict[tuple[Counter, tuple[str, ...]], int] = {}

    def __bool__(self) -> bool:
        """Whether there is something to commit."""
        return bool(self._commit)

    def add(self, output: Message | Record | Note) -> None:
        """Publish a message, write a hash for people, or a line of the log."""
        if isinstance(output, Message):
            stream = BY_NAME[output.stream_name]
            self._commit.published.append(flat(stream, encode(output)))
            self.count(self._metrics.published, stream.name)
        elif isinstance(output, Record):
            self._commit.records[output.key] = output.fields
        self._outputs.append(output)

    def bury(self, entry: Entry, code: str, detail: str, at: datetime) -> None:
        """Put a message aside whole, with the reason; the daemon goes on."""
        letter = dead_letter(entry, code=code, detail=detail, group=self._session.daemon, at=at)
        self._commit.published.append((entry.stream.dead_key, letter))
        self.count(self._metrics.messages, entry.stream.name, "dead")
        self.count(self._metrics.dead_letters, entry.stream.name, code)
        fields = {"stream": entry.stream.name, "id": entry.id, "code": code, "detail": detail}
        self.add(Note("dead_letter", fields, level="error"))

    def acknowledge(self, entry: Entry) -> None:
        """A message is done, with all that it caused."""
        self._commit.acknowledged.setdefault(entry.stream.key, []).append(entry.id)

    def count(self, counter: Counter, *labels: str) -> None:
        """Note what `counter` grows by when the batch is committed."""
        key = (counter, labels)
        self._counts[key] = self._counts.get(key, 0) + 1

    def commit(self, documents: Mapping[str, bytes | None]) -> None:
        """Commit what is in hand, then tell of it: nothing is logged that did not happen."""
        self._commit.documents = documents
        if self._commit:
            self._session.commit(self._commit)
        self._commit = Commit()
        for output in self._outputs:
            if isinstance(output, Note):
                getattr(logger(), output.level)(output.event, **output.fields)
            self._measure(output)
        self._outputs.clear()
        for (counter, labels), count in self._counts.items():
            counter.labels(*labels).inc(count)
        self._counts.clear()
