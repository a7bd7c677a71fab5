"""What every step of the evening works with: the machine, the suite on it, its prices, a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal

from shared.streams import WATCH_KEY
from tests.boot.machine import Machine
from tests.boot.prices import Prices
from tests.boot.suite import Held, Suite
from tests.ring.live import call

CHECKOUT = "/root/quantum-trader"
INSTALLER = f"{CHECKOUT}/deploy/install.sh"
INSTALL = (INSTALLER, "--wheels", "/wheels")
CONFIG = "/etc/quantum/quantum.toml"

RIVER = "RIVERUSDT"
OTHERS = {"BTCUSDT": Decimal(65000), "ETHUSDT": Decimal(3500), "SOLUSDT": Decimal(150)}


class Scene:
    """One evening. `say` prints a line: what it says was asserted before."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.suite = Suite(machine)
        self.prices = Prices(machine, {RIVER: Decimal("12.32"), **OTHERS})
        self._began = time.monotonic()

    def say(self, sentence: str) -> None:
        """Tell one thing that was seen, with its time."""
        at_s = time.monotonic() - self._began
        print(f"{datetime.now(UTC):%H:%M:%S}  {at_s:6.1f} s  {sentence}", flush=True)  # noqa: T201

    def configure(self, settings: str) -> None:
        """Write the settings file, as an operator would."""
        self.machine.inside(CONFIG).write_text(settings, encoding="utf-8")

    def open(self, symbol: str) -> Held:
        """Send an entry, and wait for the position and its stop."""
        suite = self.suite
        suite.send_entry(f"{symbol}-{time.time_ns()}", symbol, self.prices.marks[symbol])
        suite.until(lambda: self.is_protected(symbol), f"a position in {symbol} with its stop")
        held = suite.held(symbol)
        assert held is not None
        self.say(f"{symbol}: {held.side} {held.qty}, its stop at {held.stop_loss}")
        return held

    def is_protected(self, symbol: str) -> bool:
        """Whether a position is there, with exactly the stop on the venue that its record says."""
        held = self.suite.held(symbol)
        return held is not None and held.resting == (held.stop_loss,)

    def alarms(self) -> set[str] | None:
        """What watcher says is wrong; None until it has looked."""
        flat = call(self.suite.redis, "HGETALL", WATCH_KEY)
        names = {str(name, "utf-8") for name in flat[::2]}
        return names - {"seen_at"} if "seen_at" in names else None
