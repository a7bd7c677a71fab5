"""What is done to the machine, in order, and what must be so after each step.

Every line that is printed was asserted before.
"""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from shared.bus.client import call
from shared.cli.demo_market import ring_prices, write_candles
from shared.streams import WATCH_KEY
from tests.boot.machine import Machine
from tests.boot.prices import PORT, Prices
from tests.boot.suite import RUNNING, TESTER_RIGHTS, Held, Suite, unit_of

CHECKOUT = "/root/quantum-trader"
INSTALL = (f"{CHECKOUT}/deploy/install.sh", "--wheels", "/wheels")
CONFIG = "/etc/quantum/quantum.toml"
CANDLES = "/var/lib/quantum/candles"
RIVER = "RIVERUSDT"
OTHERS = {"BTCUSDT": Decimal(65000), "ETHUSDT": Decimal(3500), "SOLUSDT": Decimal(150)}

REPLAY = f"""
[market_feed]
files = ["{CANDLES}/RIVERUSDT-1m-demo.csv"]
speed = "max"

[apply_layer]
symbols = ["{RIVER}"]
"""
LIVE = f"""
[market_feed]
source = "binance-usdm"
symbols = ["{RIVER}", "BTCUSDT", "ETHUSDT", "SOLUSDT"]

[market_feed.live]
network = "testnet"
rest_url = "http://127.0.0.1:{PORT}"
ws_url = "ws://127.0.0.1:{PORT}"

[intent_bridge]
cooldown_s = 0

[apply_layer]
symbols = ["{RIVER}"]
"""


class Evening:
    """One machine from clean to clean."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._suite = Suite(machine)
        self._prices = Prices(machine, {RIVER: Decimal("12.32"), **OTHERS})
        self._began = time.monotonic()

    def play(self) -> None:
        """All of it."""
        self._dry_run()
        self._first_harvest()
        self._as_installed()
        self._live_prices()
        position = self._open(RIVER)
        self._killed(position)
        self._hung()
        self._rebooted(position)
        self._upgraded(position)
        self._reloaded()
        self._uninstalled()

    def _say(self, sentence: str) -> None:
        at_s = time.monotonic() - self._began
        print(f"{datetime.now(UTC):%H:%M:%S}  {at_s:6.1f} s  {sentence}", flush=True)  # noqa: T201

    def _dry_run(self) -> None:
        with self._machine.inside(f"{CHECKOUT}/deploy/redis/users.acl").open("a") as users:
            users.write(TESTER_RIGHTS)
        before = _files(self._machine.root)
        said = self._machine.run(*INSTALL, "--dry-run")
        changed = before ^ _files(self._machine.root)
        assert not changed, changed
        self._say(f"--dry-run lists {said.count('would change')} changes and makes none")

    def _first_harvest(self) -> None:
        machine, suite = self._machine, self._suite
        machine.inside(CANDLES).mkdir(parents=True)
        write_candles(machine.inside(CANDLES), ring_prices())
        machine.inside(CONFIG).parent.mkdir()
        machine.inside(CONFIG).write_text(REPLAY, encoding="utf-8")
        began = time.monotonic()
        said = machine.run(*INSTALL)
        self._say(f"installed in {time.monotonic() - began:.1f} s: {said.splitlines()[-1]}")
        suite.until(lambda: suite.fills("PARTIAL_25"), "a first harvest")
        self._say(f"FIRST PAPER HARVEST {time.monotonic() - began:.1f} s after the install began")
        unit = unit_of("market_feed")
        suite.until(lambda: "replay_ended" in suite.journal(unit, 0), "the end of the replay")
        self._say(suite.accounts())

    def _as_installed(self) -> None:
        machine, suite = self._machine, self._suite
        said = machine.run(*INSTALL)
        assert "Nothing had to be changed." in said, said
        self._say("a second run has nothing to change")
        suite.until(suite.all_run, "all services run")
        assert not suite.failed_units(), suite.failed_units()
        assert machine.run("systemctl", "is-system-running").strip() == "running"
        for program in RUNNING:
            assert "quantum_" in suite.metrics(program), program
        self._say(f"{len(RUNNING)} services run, none failed, each serves its /metrics")
        machine.run("sh", "-c", "set -a; . /etc/quantum/redis/administrator.env; "
                    f"QUANTUM_CONFIG={CONFIG} quantum check")  # fmt: skip
        self._say("quantum check finds nothing to mend")

    def _live_prices(self) -> None:
        self._prices.start()
        self._suite.until(self._prices.is_up, "the double answers")
        self._machine.inside(CONFIG).write_text(LIVE, encoding="utf-8")
        self._machine.run("systemctl", "restart", unit_of("market_feed"), unit_of("intent_bridge"))
        self._suite.until(
            lambda: "quantum_feed_age_seconds{" in self._suite.metrics("market_feed"), "live prices"
        )
        self._say("prices come over a socket from now on; the venue is still on paper")

    def _open(self, symbol: str) -> Held:
        suite = self._suite
        name = f"{symbol}-{time.time_ns()}"
        suite.send_entry(name, symbol, self._prices.marks[symbol])
        held = suite.until(lambda: suite.held(symbol), f"a position in {symbol}")
        suite.until(lambda: self._is_protected(symbol), "its stop")
        self._say(f"{symbol}: {held.side} {held.qty}, its stop at {held.stop_loss}")
        return held

    def _is_protected(self, symbol: str) -> bool:
        held = self._suite.held(symbol)
        return held is not None and held.resting == (held.stop_loss,)

    def _killed(self, position: Held) -> None:
        suite = self._suite
        for daemon in ("harvest_brain", "apply_layer"):
            self._kill(daemon)
        assert self._is_protected(RIVER)
        assert suite.held(RIVER) == position
        self._say("the position is the same, with one stop on the venue")
        self._prices.set(RIVER, position.price_at("2"))
        suite.until(lambda: len(suite.fills("PARTIAL_25", RIVER)) == 2, "the first rung")
        self._say("the price climbs to 2 R: PARTIAL_25 is taken by those that came back")

    def _kill(self, daemon: str) -> None:
        suite, before, began = self._suite, self._suite.pids()[daemon], time.monotonic()
        self._machine.run("systemctl", "kill", "--signal=KILL", unit_of(daemon))
        suite.until(lambda: suite.pids().get(daemon, before) != before, f"{daemon} is back")
        self._say(f"{daemon} after kill -9: back in {time.monotonic() - began:.1f} s")

    def _hung(self) -> None:
        suite, daemon = self._suite, "exitbrain"
        before, since = suite.pids()[daemon], time.time()
        self._machine.run("systemctl", "kill", "--signal=STOP", unit_of(daemon))
        suite.until(
            lambda: suite.pids().get(daemon, before) != before,
            f"{daemon} is started again", within_s=120,
        )  # fmt: skip
        said = suite.journal(unit_of(daemon), since)
        assert "Watchdog timeout" in said, said
        took_s = time.time() - since
        self._say(f"{daemon} hung (SIGSTOP): ended by the watchdog, back after {took_s:.0f} s")

    def _rebooted(self, position: Held) -> None:
        suite = self._suite
        before, trades = suite.held(RIVER), len(suite.fills())
        assert before is not None
        began = time.monotonic()
        self._machine.reboot()
        suite.until(suite.all_run, "all services run after the reboot")
        suite.until(lambda: self._is_protected(RIVER), "the position has its stop")
        suite.until(self._prices.is_up, "the double answers")
        after = suite.held(RIVER)
        assert after == before, (before, after)
        assert after.position_id == position.position_id
        took_s = time.monotonic() - began
        self._say(
            f"rebooted: {len(RUNNING)} services are back by themselves within {took_s:.1f} s, "
            f"with the same position and stop"
        )
        self._prices.set(RIVER, position.price_at("4"))
        suite.until(lambda: len(suite.fills("PARTIAL_50", RIVER)) == 2, "the second rung")
        assert len(suite.fills()) == trades + 1, suite.fills()[trades:]
        self._say("the price climbs to 4 R: PARTIAL_50, and nothing else was sold")

    def _upgraded(self, position: Held) -> None:
        machine, suite = self._machine, self._suite
        project = machine.inside(f"{CHECKOUT}/pyproject.toml")
        text = project.read_text(encoding="utf-8")
        project.write_text(
            re.sub(r'(?m)^version = ".*"$', 'version = "9.9.9"', text), encoding="utf-8"
        )
        pids, said = suite.pids(), list[str]()
        began = time.monotonic()
        upgrade = threading.Thread(target=lambda: said.append(machine.run(*INSTALL)))
        upgrade.start()
        sent = 0
        while upgrade.is_alive():
            symbol = list(OTHERS)[sent % len(OTHERS)]
            suite.send_entry(f"flight-{sent}", symbol, self._prices.marks[symbol])
            climb = Decimal("1.0005") if sent % 2 else Decimal("1.0003")
            price = (self._prices.marks[symbol] * climb).quantize(Decimal("0.01"))
            self._prices.set(symbol, price)
            if sent == 20:
                self._prices.set(RIVER, position.price_at("6"))
            sent += 1
            upgrade.join(0.25)
        assert said, "the upgrade failed"
        took_s = time.monotonic() - began
        suite.until(lambda: set(suite.versions().values()) == {"9.9.9"}, "every heartbeat of 9.9.9")
        after = suite.pids()
        assert all(after[program] != pid for program, pid in pids.items()), (pids, after)
        suite.until(lambda: len(suite.fills("PARTIAL_75", RIVER)) == 2, "the third rung")
        self._say(
            f"upgraded in {took_s:.1f} s while {sent} entries and as many prices came in; "
            "every daemon is of the new version"
        )
        self._say(suite.accounts())
        assert "Nothing had to be changed." in machine.run(*INSTALL)

    def _reloaded(self) -> None:
        suite, machine = self._suite, self._machine
        unit, pid = unit_of("intent_bridge"), self._suite.pids()["intent_bridge"]
        since = time.time()
        machine.inside(CONFIG).write_text(
            LIVE.replace("cooldown_s = 0", "cool = 1"), encoding="utf-8"
        )
        machine.run("systemctl", "reload", unit)
        suite.until(
            lambda: "reload_refused" in suite.journal(unit, since), "a refusal in the journal"
        )
        self._say("reload of a file with a mistake: refused, with the reason in the journal")
        settings = LIVE.replace("cooldown_s = 0", 'cooldown_s = 0\nmax_order_notional = "1"')
        machine.inside(CONFIG).write_text(settings, encoding="utf-8")
        machine.run("systemctl", "reload", unit)
        suite.until(lambda: "reloaded" in suite.journal(unit, since), "the reload in the journal")
        suite.send_entry("too-large", "SOLUSDT", self._prices.marks["SOLUSDT"])
        codes = suite.until(
            lambda: suite.skips("too-large"), "an entry beyond the new limit is refused"
        )
        assert suite.pids()["intent_bridge"] == pid
        self._say(
            "reload of a good file: taken by the same process, which refuses an entry beyond the "
            f"new limit ({codes[0]})"
        )

    def _uninstalled(self) -> None:
        machine, suite = self._machine, self._suite
        flat = call(suite.redis, "HGETALL", WATCH_KEY)
        alarms = dict(zip(flat[::2], flat[1::2], strict=True))
        assert set(alarms) <= {b"seen_at"}, alarms
        self._say("watcher has no alarm")
        machine.run(INSTALL[0], "--uninstall")
        running = machine.run(
            "systemctl", "list-units", "--plain", "--no-legend", "quantum*", "redis-server@*"
        )
        assert not running.strip(), running
        assert not machine.inside("/opt/quantum").exists()
        assert not list(machine.inside("/etc/systemd/system").glob("quantum*"))
        assert machine.inside(CONFIG).read_text(encoding="utf-8")
        assert list(machine.inside("/var/lib/redis/quantum/appendonlydir").iterdir())
        self._say("uninstalled: nothing runs, settings and data are kept")


def _files(root: Path) -> set[tuple[str, int]]:
    """Every file where an installer writes, with its time of change."""
    folders = ("etc", "opt", "root", "usr/local", "var/lib", "var/spool")
    paths = (path for folder in folders for path in (root / folder).rglob("*"))
    return {(str(path), path.lstat().st_mtime_ns) for path in paths}
