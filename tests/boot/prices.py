"""The prices of the machine: a double of the venue in it, whose marks are set from outside."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from tests.boot.machine import Machine

PORT = 8788
ENVIRONMENT = "/root/venue.env"
#: The keys that open the double, by the names that the unit of apply_layer has for them.
CREDENTIALS = {"binance-key": "double-key", "binance-secret": "double-secret"}

_UNIT = f"""
[Unit]
Description=A double of the venue
[Service]
EnvironmentFile={ENVIRONMENT}
ExecStart=/opt/quantum/.venv/bin/quantum venue --port {PORT} --walk 0 $MARKS
Restart=always
[Install]
WantedBy=multi-user.target
"""


class Prices:
    """Marks by symbol; they are the same after a reboot."""

    def __init__(self, machine: Machine, marks: dict[str, Decimal]) -> None:
        self._machine = machine
        self.marks = dict(marks)

    def start(self) -> None:
        """Make the double a service of the machine."""
        self._keep()
        unit = self._machine.inside("/etc/systemd/system/venue.service")
        unit.write_text(_UNIT, encoding="utf-8")
        self._machine.run("systemctl", "daemon-reload")
        self._machine.run("systemctl", "enable", "--quiet", "--now", "venue.service")

    def set(self, symbol: str, price: Decimal) -> None:
        """From now on the mark of a symbol is `price`."""
        self.marks[symbol] = price
        self._keep()
        body = json.dumps({"symbol": symbol, "price": str(price)}).encode()
        self._machine.http(f"http://127.0.0.1:{PORT}/double/mark", body)

    def account(self) -> dict[str, Any]:
        """What the double holds."""
        told: dict[str, Any] = json.loads(
            self._machine.http(f"http://127.0.0.1:{PORT}/double/state")
        )
        return told

    def is_up(self) -> bool:
        """Whether the double answers."""
        try:
            self.account()
        except OSError:
            return False
        return True

    def _keep(self) -> None:
        words = " ".join(f"--symbol {symbol}={price}" for symbol, price in self.marks.items())
        path = self._machine.inside(ENVIRONMENT)
        path.write_text(f"MARKS={words}\n", encoding="utf-8")
