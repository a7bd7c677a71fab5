"""A scene for watcher's decider: what stands is set by hand, and time goes by as a test says."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.watcher.decider import decide
from services.watcher.sights import Figures, Heard, Look
from services.watcher.state import Policy, State
from shared.contracts import REPLAY_SOURCE, MarketTick, decode
from shared.decisions import Mode, Note, Record
from shared.overview.values import Daemon, Group, Overview, Stream, Venue, Watch
from shared.overview.view import Kept
from shared.streams import BY_NAME, DAEMONS, STREAMS, WATCH_KEY
from shared.why.picture import Letter, Rules, Said
from tests.ring.messages import golden

START = datetime(2026, 7, 1, 12, tzinfo=UTC)
SYMBOL = "RIVERUSDT"
ENTRY, RISK = Decimal("12.32"), Decimal("0.2464")
#: The reference position, opened an hour ago: LONG 1.83 at 12.32, one R is 0.2464.
POSITION = {
    "position_id": "RIVERUSDT.1",
    "symbol": SYMBOL,
    "side": "LONG",
    "qty": "1.83",
    "initial_qty": "1.83",
    "harvested_qty": "0",
    "entry_price": "12.32",
    "initial_stop": "12.0736",
    "stop_loss": "12.0736",
    "leverage": "10",
    "current_price": "12.32",
    "realized_pnl": "0",
    "fees": "0",
    "funding": "0",
    "opened_at": (START - timedelta(hours=1)).isoformat(),
    "updated_at": (START - timedelta(hours=1)).isoformat(),
}
RULES = Rules(
    lot_step=Decimal("0.01"),
    tick_size=Decimal("0.0001"),
    min_qty=Decimal("0.01"),
    reduce_only_min_notional=Decimal(0),
)
DURABLE = {
    "aof_enabled": "1",
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
}


def at_r(r: str) -> Decimal:
    """The price at which the reference position has this R, net of costs of 10 bps of the entry."""
    return ENTRY + Decimal(r) * RISK + ENTRY * Decimal("0.001") + Decimal("0.0001")


class Scene:
    """What stands, and what watcher makes of it."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy(settle_s=0)
        self.state = State()
        self.now = START
        self.mode = Mode.RUN
        self.held: dict[str, Kept] = {}
        self.beats: dict[str, datetime] = dict.fromkeys(DAEMONS, START)
        self.silent: set[str] = set()
        self.oldest: dict[tuple[str, str], datetime] = {}
        self.dead: dict[str, int] = {}
        self.venue = Venue("open")
        self.persistence = dict(DURABLE)
        self.alarms: dict[str, str] = {}
        self.outputs: list[object] = []
        self._ids = itertools.count()

    def wait(self, seconds: float) -> None:
        """Time goes by, and every daemon that is not silent beats."""
        self.now += timedelta(seconds=seconds)
        for daemon in self.beats.keys() - self.silent:
            self.beats[daemon] = self.now

    def hold(self, symbol: str = SYMBOL, *, rules: Rules = RULES, **changes: str) -> None:
        """A position, or a change of it; an empty value takes a field away."""
        before = self.held[symbol].position if symbol in self.held else POSITION
        record = {**before, "symbol": symbol, **changes}
        record = {name: value for name, value in record.items() if value}
        self.held[symbol] = Kept(position=record, harvest={}, rules=rules)

    def price(self, price: Decimal | str, *, symbol: str = SYMBOL, **changes: Any) -> None:
        """A price of now, recorded; of two at one moment the second is the newer one."""
        self.hear(self.tick(price, symbol=symbol, **changes))

    def tick(self, price: Decimal | str, *, symbol: str = SYMBOL, **changes: Any) -> MarketTick:
        """The message of a price."""
        number = next(self._ids)
        fields: dict[str, Any] = {
            "timestamp": self.now + timedelta(milliseconds=number),
            "produced_at": self.now,
            "source": REPLAY_SOURCE,
            "tick_id": f"t-{number}",
            "symbol": symbol,
            "mark_price": Decimal(price),
        }
        return MarketTick(**(fields | changes))

    def say(self, name: str, **changes: str) -> None:
        """A golden message, with other values."""
        sample = golden(name, **changes)
        self.hear(decode(BY_NAME[sample.stream.name].contract, tuple(sample.flat)))

    def hear(self, *messages: Any, letters: tuple[Letter, ...] = ()) -> None:
        """Messages that the server takes now."""
        said = tuple(Said(self._id(), message) for message in messages)
        self.state, outputs = decide(self.state, Heard(said, letters), self.policy)
        assert not outputs

    def put_aside(self, **fields: str) -> None:
        """A dead letter, of now."""
        letter = Letter(self._id(), "trade.intent", "1-1", "intent_bridge", "poison", "", fields)
        self.hear(letters=(letter,))

    def _id(self) -> str:
        return f"{int(self.now.timestamp() * 1000)}-{next(self._ids)}"

    def look(self, *, after_outage: bool = False) -> dict[str, str]:
        """Let watcher look; returns the alarms that stand then."""
        look = replace(self.sight(), after_outage=after_outage)
        self.state, outputs = decide(self.state, look, self.policy)
        self.outputs = list(outputs)
        for output in outputs:
            if isinstance(output, Record):
                assert output.key == WATCH_KEY
                fields = dict(output.fields or {})
                assert (
                    fields.pop("seen_at") == f"{self.now:%FT%T}.{self.now.microsecond // 1000:03}Z"
                )
                self.alarms = fields
        return self.alarms

    def sight(self) -> Look:
        """All that stands now."""
        overview = Overview(
            now=self.now,
            mode=self.mode,
            mode_text=None,
            positions=(),
            streams=tuple(
                Stream(
                    name=stream.name,
                    length=0,
                    last_at=None,
                    dead=self.dead.get(stream.name, 0),
                    groups=tuple(self._group(stream.name, reader) for reader in stream.readers),
                )
                for stream in STREAMS
            ),
            daemons=tuple(Daemon(name, "up", at=at) for name, at in self.beats.items()),
            venue=self.venue,
            watch=Watch("off"),
            prices={},
            events=(),
        )
        return Look(overview, dict(self.held), dict(self.persistence))

    def _group(self, stream: str, daemon: str) -> Group:
        oldest = self.oldest.get((stream, daemon))
        group = Group(daemon, exists=True)
        if oldest is None:
            return group
        return replace(group, lag=1, oldest_age_s=(self.now - oldest).total_seconds())

    def alarm(self, field: str) -> tuple[datetime, str]:
        """Since when an alarm stands, and what it says."""
        since, _, text = self.alarms[field].partition(" ")
        return datetime.fromisoformat(since), text

    def figure(self, name: str, **labels: str) -> float | None:
        """A figure of the last look, None if there is none."""
        [figures] = [output for output in self.outputs if isinstance(output, Figures)]
        for sample in figures.samples:
            if sample.name == name and dict(sample.labels) == labels:
                return sample.value
        return None

    @property
    def notes(self) -> list[tuple[str, str]]:
        """What the last look wrote to the log."""
        return [
            (output.event, str(output.fields["alarm"]))
            for output in self.outputs
            if isinstance(output, Note)
        ]
