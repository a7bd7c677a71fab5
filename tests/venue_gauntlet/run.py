"""One seeded run: a double, a server, apply_layer's lives and what surrounds them; a verdict.

The draws come from the seed alone. What the scheduler of the machine decides is still its own: how
many calls fit between two acts, which of two threads is first, and so at which of its steps a life
is when something happens. Faults are drawn for the n-th call of a kind, strikes for the n-th step
of a kind, so that a run that is replayed meets them where it met them before, or very near.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from services.apply_layer.double import Double, DoubleConfig
from shared.bus import load_library
from shared.streams import APPLY_PLAN, APPLY_RESULT, MODE_KEY, VENUE_KEY, position_key, state_key
from tests.venue_gauntlet.checker import check
from tests.venue_gauntlet.defects import DEFECTS
from tests.venue_gauntlet.draws import (
    APART,
    APART_MARKET,
    CALL_FAULTS,
    FAULT_RATE,
    MARKETS,
    WALLET,
    Draw,
    draw,
)
from tests.venue_gauntlet.evidence import Evidence, Terms, Violation, leg_of, number
from tests.venue_gauntlet.lives import Notes, Order
from tests.venue_gauntlet.producer import Producer
from tests.venue_gauntlet.supervisor import Supervisor
from tests.venue_gauntlet.timeline import dead_times, seconds_in, timeline, trouble_in, troubles
from tests.venue_gauntlet.wall_clock import WallClock
from tests.venue_gauntlet.zygote import Zygote

#: How long a life with a defect is waited for: as long as the limits that are judged need.
_DEFECT_QUIET_S = 11.0
#: How long the first look at the account may take before the run goes on without it.
_FIRST_LOOK_S = 6.0
_STILL_S = 0.4
_TURN_S = 0.02
KEY, SECRET = "gauntlet-key", "gauntlet-secret"


@dataclass(frozen=True, slots=True)
class Waits:
    """What apply_layer waits for, in seconds, and how long a run waits until all is quiet.

    The limits that are judged (2 s without a stop, 10 s after an outage) are not among them.
    """

    recv_window_s: float
    doubt_first_s: float
    doubt_again_s: float
    timeout_s: float
    settle_s: float
    reconcile_every_s: float
    quiet_within_s: float


#: As the settings have them, and shortened, so that a run takes seconds. A doubt must outlast the
#: window by more than the venue's clock may jump, which is 0.9 s here.
REAL = Waits(5.0, 5.0, 10.0, 3.0, 5.0, 30.0, 60.0)
SHORT = Waits(1.0, 1.0, 0.5, 0.5, 0.5, 3.0, 20.0)


@dataclass
class Outcome:
    """What a run came to, in plain values. `naked` has each span: its seconds, those
    of them in which a life was up, and what troubled the venue meanwhile."""

    seed: int
    seconds: float
    violations: list[Violation]
    orders: int = 0
    trades: int = 0
    plans: int = 0
    lives: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    strikes: dict[str, int] = field(default_factory=dict)
    naked: list[tuple[float, float, str]] = field(default_factory=list)
    folder: str = ""

    def to_json(self) -> str:
        """One line for a pipe."""
        return json.dumps(asdict(self))


class Run:
    """One run in a folder of its own, on a server that is emptied for it."""

    def __init__(
        self, seed: int, zygote: Zygote, url: str, folder: Path, *, defect: str = "",
        waits: Waits = SHORT,
    ) -> None:  # fmt: skip
        self.draw: Draw = draw(seed)
        self._zygote = zygote
        self._url = url
        self._folder = folder
        self._defect = defect
        self._waits = waits
        self._quiet_s = _DEFECT_QUIET_S if defect else waits.quiet_within_s
        self._client: Any = Redis.from_url(url, protocol=2)
        # The double asks from a thread of its own.
        self._witness = Redis.from_url(url, protocol=2)
        folder.mkdir(parents=True, exist_ok=True)
        self._notes = Notes(folder / "notes.jsonl")
        self._wall = WallClock(folder / "clock")

    def go(self) -> Outcome:
        """Run it, and judge it."""
        started = time.monotonic()
        self._client.flushall()
        load_library(self._client)
        config = DoubleConfig(
            symbols={s: MARKETS[s][0] for s in self.draw.symbols} | {APART: APART_MARKET[0]},
            max_market_qty=self.draw.most,
            wallet=WALLET,
            api_key=KEY,
            api_secret=SECRET,
            seed=self.draw.seed,
            witness=self._was_journalled,
        )
        with Double.start(config, ledger=self._folder / "ledger.jsonl") as venue:
            evidence, unquiet = self._play(venue)
        self._client.close()
        self._witness.close()
        self._notes.close()
        self._wall.close()
        return self._judge(evidence, unquiet, time.monotonic() - started)

    def _was_journalled(self, client_id: str) -> bool:
        return bool(self._witness.hexists(state_key("apply_layer"), f"orders/{client_id}"))

    # -- playing ------------------------------------------------------------------------------

    def _play(self, venue: Double) -> tuple[Evidence, str]:
        venue.set_fault_rate(FAULT_RATE, CALL_FAULTS)
        pattern = Order(
            life=0,
            environment=self._environment(venue),
            notes=str(self._folder / "notes.jsonl"),
            log=str(self._folder / "apply_layer.log"),
            clock=str(self._folder / "clock"),
            defect=self._defect,
        )
        chosen = DEFECTS[self._defect].strikes if self._defect else ()
        strikes = chosen or self.draw.strikes
        lives = Supervisor(self._zygote, pattern, strikes, self._notes)
        around = Producer(self._client, venue, self.draw, self._notes, self._wall)
        lives.start()
        self._until_seen(lives)
        begun = time.monotonic()
        for act in self.draw.acts:
            while (left_s := begun + act.at - time.monotonic()) > 0:
                lives.watch(min(left_s, _TURN_S))
                around.turn()
            if act.kind == "kill":
                lives.kill()
            elif act.kind == "pause":
                lives.pause(act.params["wake_s"])
            else:
                around.do(act)
        unquiet = self._quieten(venue, lives, around)
        evidence = self._gather(venue)
        lives.end()
        return self._with_notes(evidence), unquiet

    def _until_seen(self, lives: Supervisor) -> None:
        deadline = time.monotonic() + _FIRST_LOOK_S
        while time.monotonic() < deadline:
            lives.watch(_TURN_S)
            if self._client.hget(VENUE_KEY, "entries") == b"open":
                return

    def _environment(self, venue: Double) -> dict[str, str]:
        keys = self._folder / "keys.toml"
        keys.write_text(f'key = "{KEY}"\nsecret = "{SECRET}"\n', encoding="ascii")
        keys.chmod(0o600)
        waits = self._waits
        own = {
            "VENUE": "binance-usdm",
            "SYMBOLS": json.dumps(self.draw.symbols),
            "LIVE__REST_URL": venue.rest_url,
            "LIVE__WS_URL": venue.ws_url,
            "LIVE__KEY_FILE": str(keys),
            "LIVE__RECV_WINDOW_MS": str(int(waits.recv_window_s * 1000)),
            "LIVE__DOUBT_FIRST_S": str(waits.doubt_first_s),
            "LIVE__DOUBT_AGAIN_S": str(waits.doubt_again_s),
            "LIVE__TIMEOUT_S": str(waits.timeout_s),
            "LIVE__SETTLE_S": str(waits.settle_s),
            "LIVE__RECONCILE_EVERY_S": str(waits.reconcile_every_s),
        }
        shared = {"REDIS_URL": self._url, "QUANTUM_METRICS__BASE_PORT": "0"}
        return shared | {f"QUANTUM_APPLY_LAYER__{name}": value for name, value in own.items()}

    # -- the end ------------------------------------------------------------------------------

    def _quieten(self, venue: Double, lives: Supervisor, around: Producer) -> str:
        """Heal everything and wait until nothing is under way; returns what still was, if any."""
        around.over = True
        venue.faults.clear()
        venue.faults.script("clock_skew", offset_ms=0)
        venue.faults.script("venue_up")
        venue.faults.script("symbol_missing", symbol=APART, pieces=[])
        venue.faults.script("symbol_status", symbol=APART, status="TRADING")
        self._client.set(MODE_KEY, "RUN")
        self._notes.write("mode", mode="RUN")
        deadline = time.monotonic() + self._quiet_s
        since = None
        why = ""
        while time.monotonic() < deadline:
            lives.watch(_TURN_S)
            around.turn()
            why = self._under_way(venue, lives, around)
            now = time.monotonic()
            since = None if why else (since or now)
            if since is not None and now - since >= _STILL_S:
                return ""
        return why

    def _under_way(self, venue: Double, lives: Supervisor, around: Producer) -> str:
        """What is not settled yet; nothing when all is quiet."""
        if not lives.single:
            return "more than one life"
        if around.wishes:
            return f"not done: {around.wishes[0]}"
        for group in self._client.xinfo_groups(APPLY_PLAN.key):
            if group["name"] == b"apply_layer" and (group["pending"] or group["lag"]):
                return "plans that were not finished"
        documents = self._client.hgetall(state_key("apply_layer"))
        for name, document in documents.items():
            if name.startswith(b"orders/"):
                order = json.loads(document)
                if order["request"]["symbol"] == APART:
                    continue
                if order["doubt"] or not order["accepted"] or order["leg"] != "s":
                    return f"an order without an outcome: {name.decode()}"
        stops = Counter(
            order["symbol"] for order in venue.open_algo_orders() if order["algoStatus"] == "NEW"
        )
        for symbol in self.draw.symbols:
            held = venue.position(symbol)
            record = self._record(symbol)
            if abs(held) != number(record, "qty"):
                return f"{symbol}: the record differs from the venue"
            if held and "stop_loss" not in record:
                return f"{symbol}: no stop"
            if stops[symbol] != bool(held):
                return f"{symbol}: {stops[symbol]} stops for {held}"
        return ""

    def _record(self, symbol: str) -> dict[str, str]:
        found = self._client.hgetall(position_key(symbol))
        return {name.decode(): value.decode() for name, value in found.items()}

    def _gather(self, venue: Double) -> Evidence:
        documents = self._client.hgetall(state_key("apply_layer"))
        return Evidence(
            ledger=list(venue.ledger),
            plans=self._entries(APPLY_PLAN.key),
            results=self._entries(APPLY_RESULT.key),
            documents={
                name.decode(): json.loads(value)
                for name, value in documents.items()
                if name.startswith((b"orders/", b"proofs/"))
            },
            records={
                symbol: record for symbol in self.draw.symbols if (record := self._record(symbol))
            },
            terms=Terms(
                wallet=WALLET,
                recv_window_s=self._waits.recv_window_s,
                doubt_again_s=self._waits.doubt_again_s,
                timeout_s=self._waits.timeout_s,
                ended_at=time.time(),
                apart=frozenset({APART}),
            ),
        )

    def _entries(self, key: str) -> list[dict[str, str]]:
        rows: Any = self._client.xrange(key)
        return [{n.decode(): v.decode() for n, v in fields.items()} for _, fields in rows]

    def _with_notes(self, evidence: Evidence) -> Evidence:
        text = (self._folder / "notes.jsonl").read_text(encoding="utf-8")
        notes = [json.loads(line) for line in text.splitlines()]
        return Evidence(**{**_fields(evidence), "notes": notes})

    # -- the verdict --------------------------------------------------------------------------

    def _judge(self, evidence: Evidence, unquiet: str, seconds: float) -> Outcome:
        violations = check(evidence)
        if unquiet:
            what = f"not quiet {self._quiet_s:.0f} s after the last fault: {unquiet}"
            violations.append(Violation(16, what, "apply_layer", evidence.terms.ended_at))
        naked, _ = timeline(evidence)
        troubled, dead = troubles(evidence), dead_times(evidence)
        faults = Counter(str(line["fault"]) for line in evidence.lines("fault"))
        strikes = Counter(f"{n['how']} {n['step']}" for n in evidence.noted("struck"))
        return Outcome(
            seed=self.draw.seed,
            seconds=seconds,
            violations=violations,
            orders=sum(leg_of(str(o["client_id"])) is not None for o in evidence.lines("order")),
            trades=sum(1 for _ in evidence.lines("trade")),
            plans=len(evidence.plans),
            lives=sum(1 for _ in evidence.noted("acquired")),
            faults=dict(faults),
            strikes=dict(strikes),
            naked=[
                (
                    round(span.seconds, 3),
                    round(span.seconds - seconds_in(span, dead), 3),
                    trouble_in(span, troubled),
                )
                for span in naked
            ],
            folder=str(self._folder),
        )


def _fields(evidence: Evidence) -> dict[str, Any]:
    return {name: getattr(evidence, name) for name in evidence.__slots__}
