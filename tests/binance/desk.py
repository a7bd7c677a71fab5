"""apply_layer before the double of the venue: the real runner, the real adapter, real ccxt.

The bus is the one in memory and is turned by hand; the venue is a server on this machine. The waits
of the UNKNOWN protocol are shortened, so that a proof takes half a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from services.apply_layer.__main__ import service
from services.apply_layer.double import Double, DoubleConfig
from services.apply_layer.positions import Position
from services.apply_layer.state import State
from shared.bus import MemoryBus, MemoryServer
from shared.contracts import EntryPlan, ExitPlan, Message, MoveStopPlan, encode
from shared.metrics import RunnerMetrics
from shared.runner import Runner
from shared.settings import Settings
from shared.sides import Side
from shared.streams import APPLY_PLAN, APPLY_RESULT, MODE_KEY, VENUE_KEY, state_key

D = Decimal
BTC, SOL = "BTCUSDT", "SOLUSDT"
KEY, SECRET = "canary-key-8d1f", "canary-secret-77ac"
WITHIN_S = 8.0


class Desk:
    """One apply_layer on one account of the double."""

    def __init__(self, venue: Double, folder: Path, **live: Any) -> None:
        self.venue = venue
        self.server = MemoryServer()
        keys = folder / "keys.toml"
        keys.write_text(f'key = "{KEY}"\nsecret = "{SECRET}"\n')
        keys.chmod(0o600)
        self.live: dict[str, Any] = {
            "rest_url": venue.rest_url,
            "ws_url": venue.ws_url,
            "key_file": str(keys),
            "recv_window_ms": 800,
            "doubt_first_s": "0.1",
            "doubt_again_s": "0.2",
            "settle_s": "0.3",
            "timeout_s": "0.5",
            "reconcile_every_s": "30",
        } | live
        self.own: dict[str, Any] = {"venue": "binance-usdm", "symbols": [BTC, SOL]}
        self.plans = 0
        self.start()

    # -- the daemon ---------------------------------------------------------------------------

    def start(self) -> None:
        """A life of the daemon; what was committed is all that is left of the one before."""
        tables = {"apply_layer": self.own | {"live": self.live}}
        self.metrics = RunnerMetrics()
        made = service(Settings(tables, "test"), self.metrics)
        self.outside: Any = made.outside
        bus = MemoryBus(self.server, "apply_layer")
        self.runner: Runner[State, Any] = Runner(made, bus, metrics=self.metrics, cycle_s=0.1)
        self.runner.start()

    def die(self) -> None:
        """The process is gone; its user stream goes with it."""
        self.outside.close()

    def restart(self) -> None:
        """Killed, and started again."""
        self.die()
        self.start()

    def turn(self) -> None:
        """One turn of the runner."""
        self.runner.step(block_ms=0)

    def until(self, condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
        """Turn until something is so."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, self.story()
            self.turn()
            self.runner.stop.wait(0.005)

    def for_s(self, seconds: float) -> None:
        """Turn for a while, to see that nothing more happens."""
        deadline = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > deadline, seconds + 1)

    def ready(self) -> Desk:
        """Reconciled, with the user stream up: entries are taken."""
        self.until(lambda: not self.outside.barred and not self.state.barriers)
        return self

    # -- what a test does ---------------------------------------------------------------------

    def send(self, plan: Message) -> str:
        """Publish a plan and take it up."""
        pairs = [(name.encode(), value.encode()) for name, value in encode(plan)]
        self.server.add(APPLY_PLAN.key, pairs)
        self.turn()
        return str(plan.plan_id)  # type: ignore[attr-defined]

    def mode(self, mode: str) -> None:
        self.server.strings[MODE_KEY] = mode

    def enter(self, symbol: str = BTC, side: Side = Side.BUY, **changes: Any) -> str:
        """An entry of 0.1 at the mark, its stop 2 % away, decided now."""
        mark = self.venue.mark_of(symbol)
        away = D("0.98") if side is Side.BUY else D("1.02")
        targets = [D("1.06"), D("1.12"), D("1.18")]
        if side is Side.SELL:
            targets = [2 - t for t in targets]
        tick = D("0.1") if symbol == BTC else D("0.01")
        first, second, third = (_to(mark * target, tick) for target in targets)
        fields: dict[str, Any] = self._head("ENTRY_PROPOSED", symbol, side) | {
            "qty": D("0.1") if symbol == BTC else D(10),
            "leverage": 10,
            "entry_price": mark,
            "tick_size": tick,
            "maintenance_margin_rate": D("0.005"),
            "confidence": D("0.8"),
            "volatility_factor": D(1),
            "exchange_divergence": D(0),
            "funding_rate": D(0),
            "regime": "NORMAL",
            "stop_loss": _to(mark * away, tick),
            "take_profit": first,
            "take_profit_2": second,
            "take_profit_3": third,
            "lsf": D("0.2943"),
        }
        return self.send(EntryPlan(**(fields | changes)))

    def leave(self, action: str = "FULL_CLOSE_PROPOSED", symbol: str = BTC, **changes: Any) -> str:
        """An exit of an open position."""
        position = self.position(symbol)
        fields = self._head(action, symbol, position.side.exit) | {
            "reduceOnly": True,
            "position_id": position.position_id,
            "qty": position.qty,
        }
        return self.send(ExitPlan(**(fields | changes)))

    def move_stop(self, stop_loss: Decimal, symbol: str = BTC) -> str:
        """A tighter stop for an open position."""
        position = self.position(symbol)
        fields = self._head("MOVE_STOP", symbol, position.side.exit) | {
            "reduceOnly": True,
            "position_id": position.position_id,
            "stop_loss": stop_loss,
        }
        return self.send(MoveStopPlan(**fields))

    def _head(self, action: str, symbol: str, side: Side) -> dict[str, Any]:
        self.plans += 1
        now = datetime.now(UTC)
        return {
            "timestamp": now,
            "produced_at": now,
            "source": "test",
            "plan_id": f"plan.{action}.{self.plans}",
            "intent_id": f"intent.{self.plans}",
            "symbol": symbol,
            "side": side,
            "action": action,
            "decision": "EXECUTE",
        }

    # -- what a test checks -------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self.runner.state

    def position(self, symbol: str = BTC) -> Position:
        return self.state.positions[symbol]

    def holds(self, symbol: str = BTC) -> bool:
        """Whether a position is open and its stop stands."""
        position = self.state.positions.get(symbol)
        return position is not None and position.stop_order is not None

    def flat(self, symbol: str = BTC) -> bool:
        return symbol not in self.state.positions and not self.venue.position(symbol)

    def quiet(self) -> bool:
        """Whether every order but the stops has its outcome."""
        return all(s.accepted and not s.doubt and s.leg == "s" for s in self.state.orders.values())

    @property
    def results(self) -> list[dict[str, str]]:
        return [r for r in self.server.entries(APPLY_RESULT.key) if r["status"] != "POSITION"]

    @property
    def statuses(self) -> list[str]:
        return [result["status"] for result in self.results]

    @property
    def codes(self) -> list[str]:
        return [result["error_code"] for result in self.results if "error_code" in result]

    def record(self, key: str) -> dict[str, str]:
        found = self.server.hashes.get(key, {})
        return {name: value.decode() for name, value in found.items()}

    @property
    def documents(self) -> dict[str, bytes]:
        return self.server.hashes.get(state_key("apply_layer"), {})

    def lines(self, kind: str, **wanted: object) -> list[dict[str, Any]]:
        """Lines of the ledger."""
        return [
            line for line in self.venue.ledger
            if line["kind"] == kind and all(line.get(k) == v for k, v in wanted.items())
        ]  # fmt: skip

    def executed(self, letter: str) -> list[dict[str, Any]]:
        """Orders of one leg that the venue accepted."""
        return [line for line in self.lines("order") if line["client_id"].startswith(letter)]

    def posts(self, letter: str) -> int:
        """How often an order of one leg was sent."""
        names = ("newClientOrderId", "clientAlgoId")
        return sum(
            line["method"] == "POST"
            and any(str(line["params"].get(n, "")).startswith(letter) for n in names)
            for line in self.lines("request")
        )

    def stops(self, symbol: str = BTC) -> list[dict[str, Any]]:
        return [
            o for o in self.venue.open_algo_orders()
            if o["symbol"] == symbol and o["algoStatus"] == "NEW"
        ]  # fmt: skip

    def clock_past(self, request: Any) -> bool:
        """Whether the receive window of a request is over."""
        age_s: float = (datetime.now(UTC) - request.sent_at).total_seconds()
        return bool(age_s > int(self.live["recv_window_ms"]) / 1000 + 0.05)

    def story(self) -> str:
        rows = [f"{k}: {v}" for k, v in self.record(VENUE_KEY).items()]
        rows += [str(line) for line in self.venue.ledger[-25:] if line["kind"] != "mark"]
        rows += [f"{s.leg} {s.accepted} {s.doubt}" for s in self.state.orders.values()]
        return "\n".join((*rows, str(self.statuses), str(self.codes)))


def _to(price: Decimal, tick: Decimal) -> Decimal:
    return (price / tick).to_integral_value() * tick


@contextmanager
def desk_at(folder: Path, live: dict[str, Any] | None = None, **config: Any) -> Iterator[Desk]:
    """A desk before a double of its own, reconciled."""
    plain: dict[str, Any] = {
        "symbols": {BTC: D(65000), SOL: D(150)},
        "wallet": D(100_000),
        "api_key": KEY,
        "api_secret": SECRET,
    }
    made = DoubleConfig(**(plain | config))
    with Double.start(made, ledger=folder / "ledger.jsonl") as venue:
        desk = Desk(venue, folder, **(live or {}))
        try:
            yield desk
        finally:
            desk.die()
