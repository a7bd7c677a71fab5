"""What is said to notifier's decider in tests, and one receiver that takes it or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from services.notifier.decider import Output, decide
from services.notifier.outbox import Policy
from services.notifier.values import (
    Beat,
    Began,
    Counted,
    Handed,
    Handing,
    Heard,
    Looked,
    Notice,
    Outbox,
    Send,
    State,
)
from shared.contracts import decode
from shared.decisions import Received
from shared.state import StateCodec
from tests.contracts.messages import GOLDEN, flat

PHONE = "1 json"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CODEC = StateCodec(State)


def message(name: str, **changes: str) -> Any:
    """A golden message with other values, as it is read from its stream."""
    golden = GOLDEN[name]
    return decode(golden.stream.contract, flat({**golden.fields, **changes}))


def looked(
    mode: str | None = None,
    venue: Mapping[str, str] | None = None,
    watch: Mapping[str, str] | None = None,
) -> Looked:
    """The records, empty where nothing is said of them."""
    return Looked(mode, venue or {}, watch or {})


@dataclass
class Day:
    """A notifier whose clock and whose receiver's answers are the test's."""

    policy: Policy = field(default_factory=Policy)
    now: datetime = NOON
    state: State = field(default_factory=State)
    outputs: list[Output] = field(default_factory=list)
    sent: list[tuple[datetime, Notice]] = field(default_factory=list)
    _entries: int = 0

    def __post_init__(self) -> None:
        self.take(Began((PHONE,), {}))

    @property
    def outbox(self) -> Outbox:
        return self.state.outboxes[PHONE]

    @property
    def texts(self) -> list[str]:
        """Title and text of each notice that was handed over."""
        return [f"{notice.title} | {notice.body}" for _, notice in self.sent]

    def take(self, event: object) -> Sequence[Output]:
        self.state, outputs = decide(self.state, Received(event, self.now), self.policy)
        self.outputs += outputs
        self.sent += [(self.now, output.notice) for output in outputs if isinstance(output, Send)]
        return outputs

    def hear(self, name: str, *, age: timedelta = timedelta(0), **changes: str) -> None:
        """A golden message that came `age` ago."""
        self._entries += 1
        key = GOLDEN[name].stream.key
        at = self.now - age
        self.take(Heard(key, f"{self._entries}-0", at, message(name, **changes)))

    def beat(self, how: Handing | None = "arrived", *, after_s: float = 0) -> None:
        """Time passes; whatever is handed over then ends as `how`, or goes on without an end."""
        self.now += timedelta(seconds=after_s)
        for output in self.take(Beat()):
            if isinstance(output, Send) and how is not None:
                self.take(Handed(output.receiver, how))

    def beats(self, seconds: float, how: Handing | None = "arrived") -> None:
        """A beat each second."""
        for _ in range(int(seconds)):
            self.beat(how, after_s=1)

    def restart(self, *receivers: str) -> None:
        """A new process, which knows what was kept."""
        documents = CODEC.changes(State(), self.state)
        kept = {name: document for name, document in documents.items() if document is not None}
        self.state = CODEC.load(kept)
        self.take(Began(receivers or (PHONE,), {}))

    def counted(self, outcome: str) -> int:
        return sum(o.count for o in self.outputs if isinstance(o, Counted) and o.outcome == outcome)


def left(outbox: Outbox) -> int:
    """How much news a receiver is still to be told."""
    notice = () if outbox.notice is None else (outbox.notice.news,)
    summed = () if outbox.summed is None else (outbox.summed,)
    return sum(news.count for news in (*outbox.waiting.values(), *notice, *summed))
