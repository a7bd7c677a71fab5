"""The installed suite as an outsider sees it: units, journal, /metrics, streams and records."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from redis import Redis

from shared.cli.story import reader, settle, tell
from shared.settings import MetricsSettings
from shared.streams import (
    APPLY_PLAN,
    APPLY_RESULT,
    DAEMONS,
    TRADE_INTENT,
    heartbeat_key,
    position_key,
)
from tests.boot.machine import Failed, Machine
from tests.ring.live import books, call, now_text, texts

T = TypeVar("T")

SOCKET = "/run/quantum-redis/redis.sock"
#: A user of the server that may do everything: it looks where no user of the suite may.
TESTER = "boot_test"
TESTER_RIGHTS = f"user {TESTER} on ~* &* +@all\n"
#: What runs after an installation.
RUNNING = (*DAEMONS, "watcher")

#: What can become of a plan to trade.
_OUTCOMES = ("FILLED", "REJECTED", "EXPIRED")


def unit_of(program: str) -> str:
    """The name of a program's service."""
    return f"quantum-{program.replace('_', '-')}.service"


@dataclass(frozen=True)
class Held:
    """A position: its record, and the triggers of the stops that the paper venue has for it."""

    position_id: str
    side: str
    qty: Decimal
    entry_price: Decimal
    stop_loss: Decimal
    resting: tuple[Decimal, ...]

    def price_at(self, r: str) -> Decimal:
        """The price at which it stands at a net R, with the stop that it has; for a LONG."""
        # Net of costs, which 0.2 R more than covers.
        price = self.entry_price + (Decimal(r) + Decimal("0.2")) * (
            self.entry_price - self.stop_loss
        )
        return price.quantize(Decimal("0.0001"))


class Suite:
    """What is asked of the suite, and waited for, on one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @property
    def url(self) -> str:
        """The address of its server, from outside and with all rights."""
        env = self.machine.inside(f"/etc/quantum/redis/{TESTER}.env").read_text(encoding="utf-8")
        url = env.splitlines()[0].partition("=")[2]
        return url.replace(SOCKET, str(self.machine.inside(SOCKET)))

    @property
    def redis(self) -> Redis:
        """A client of its server."""
        return reader(self.url)

    def until(self, condition: Callable[[], T | None], what: str, *, within_s: float = 60.0) -> T:
        """Wait for something to be so.

        Raises:
            Failed: it did not come to be so; with what the units and their journal say.
        """
        deadline = time.monotonic() + within_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise Failed(f"not within {within_s:.0f} s: {what}\n{self.troubles()}")
            time.sleep(0.05)
        return value

    def troubles(self) -> str:
        """The units and the end of their journal."""
        run = self.machine.run
        units = run("systemctl", "list-units", "--all", "--no-pager", "quantum*", check=False)
        return units + run(
            "journalctl", "--no-pager", "--lines=80", "--unit=quantum-*", check=False
        )

    def journal(self, unit: str, since: float) -> str:
        """What the journal has of a unit since a moment (seconds since 1970)."""
        return self.machine.run(
            "journalctl", "--no-pager", "--output=cat", f"--since=@{since:.3f}", f"--unit={unit}"
        )

    def pids(self) -> dict[str, int]:
        """The main process of every service that runs."""
        units = {unit_of(program): program for program in RUNNING}
        said = self.machine.run("systemctl", "show", "--property=Id,MainPID,SubState", *units)
        found = {}
        for block in said.strip().split("\n\n"):
            shown = dict(line.partition("=")[::2] for line in block.splitlines())
            if shown["SubState"] == "running":
                found[units[shown["Id"]]] = int(shown["MainPID"])
        return found

    def all_run(self) -> bool:
        """Whether every service stands and has been heard of by the server."""
        return set(self.pids()) == set(RUNNING)

    def failed_units(self) -> str:
        """The names of units that failed."""
        return self.machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend")

    def metrics(self, program: str) -> str:
        """What a program's /metrics says."""
        port = MetricsSettings().port_of(program)
        return self.machine.http(f"http://127.0.0.1:{port}/metrics")

    def versions(self) -> dict[str, str]:
        """The version that each daemon's heartbeat tells."""
        client = self.redis
        beats = {one: call(client, "HGET", heartbeat_key(one), "version") for one in DAEMONS}
        return {one: str(beat, "utf-8") for one, beat in beats.items() if beat}

    def send_entry(self, intent_id: str, symbol: str, price: Decimal) -> None:
        """An entry of 500 USDT, as README.md shows it, from a producer of one's own."""
        fields = {
            "version": "1", "source": "boot_test", "intent_id": intent_id, "intent_type": "ENTRY",
            "symbol": symbol, "side": "BUY", "confidence": "0.6", "entry_price": str(price),
            "leverage": "10", "position_size_usd": "500",
            "timestamp": now_text(), "produced_at": now_text(),
        }  # fmt: skip
        call(self.redis, "XADD", TRADE_INTENT.key, "*", *(w for f in fields.items() for w in f))

    def fills(self, reason: str = "", symbol: str = "") -> list[dict[str, str]]:
        """The trades, or those of one reason or one symbol."""
        return [
            row
            for row in texts(self.redis, APPLY_RESULT)
            if "filled_qty" in row
            and (not reason or row["reason"] == reason)
            and (not symbol or row["symbol"] == symbol)
        ]

    def held(self, symbol: str) -> Held | None:
        """The position of a symbol as its record and the venue's book have it."""
        client = self.redis
        flat = call(client, "HGETALL", position_key(symbol))
        if not flat:
            return None
        record = dict(zip(flat[::2], flat[1::2], strict=True))
        orders = books(client)[symbol]["orders"]
        return Held(
            str(record[b"position_id"], "utf-8"),
            str(record[b"side"], "utf-8"),
            Decimal(str(record[b"qty"], "utf-8")),
            Decimal(str(record[b"entry_price"], "utf-8")),
            Decimal(str(record.get(b"stop_loss", b"0"), "utf-8")),
            tuple(Decimal(o["trigger_price"]) for o in orders if o["type"] == "STOP_MARKET"),
        )

    def skips(self, intent_id: str) -> list[str]:
        """The codes with which an intent was refused."""
        return [
            row["reason"]
            for row in texts(self.redis, APPLY_PLAN)
            if row["intent_id"] == intent_id and row["decision"] == "SKIP"
        ]

    def accounts(self) -> str:
        """Wait for a quiet moment, and prove that every message had its one outcome.

        Raises:
            Failed: something was lost, put aside, done twice, or does not add up.
        """
        if not settle(self.url):
            raise Failed("the ring does not come to rest")
        story = tell(self.url)
        wrong = list(story.problems)
        intents = Counter(row["intent_id"] for row in texts(self.redis, TRADE_INTENT))
        plans = texts(self.redis, APPLY_PLAN)
        decided = Counter(row["intent_id"] for row in plans if row["decision"] != "AWAITING_EXITS")
        wrong += [f"intent {name} was sent {n} times" for name, n in intents.items() if n > 1]
        wrong += [
            f"intent {name} has {decided[name]} plans" for name in intents if decided[name] != 1
        ]
        # A stop that stands, or is hit later, names the plan of its entry, too.
        done = Counter(
            row["plan_id"]
            for row in texts(self.redis, APPLY_RESULT)
            if "plan_id" in row and row["status"] in _OUTCOMES
        )
        executed = [
            row["plan_id"]
            for row in plans
            if row["decision"] == "EXECUTE" and row["action"] != "MOVE_STOP"
        ]
        wrong += [f"plan {name} has {done[name]} results" for name in executed if done[name] != 1]
        rungs = Counter(
            (row["position_id"], row["reason"])
            for row in self.fills()
            if re.fullmatch(r"PARTIAL_\d\d", row["reason"])
        )
        wrong += [
            f"{reason} of {name} was taken {n} times"
            for (name, reason), n in rungs.items()
            if n > 1
        ]
        if wrong:
            raise Failed("; ".join(wrong))
        return (
            f"{len(intents)} intents, each with one plan; {len(executed)} orders, each with one "
            f"result; {rungs.total()} rungs, none twice; no dead letter; fills, records and "
            f"the venue agree"
        )
