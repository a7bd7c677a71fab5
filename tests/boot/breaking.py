"""The steps about what goes wrong, or is changed, while a position is open."""

from __future__ import annotations

import time
from decimal import Decimal

from shared.streams import DAEMONS
from tests.boot.prices import CREDENTIALS, PORT
from tests.boot.scene import RIVER, Scene
from tests.boot.suite import RUNNING, Held, unit_of
from tests.ring.live import call

_ADDRESSES = f'rest_url = "http://127.0.0.1:{PORT}"\nws_url = "ws://127.0.0.1:{PORT}"'
#: Prices from the double; the account is on paper, or with the double as well.
LIVE = f"""
[market_feed]
source = "binance-usdm"
symbols = ["{RIVER}", "BTCUSDT", "ETHUSDT", "SOLUSDT"]

[market_feed.live]
{_ADDRESSES}

[intent_bridge]
cooldown_s = 0

[apply_layer]
symbols = ["{RIVER}"]
"""
ON_THE_VENUE = f"""{LIVE}
venue = "binance-usdm"

[apply_layer.live]
{_ADDRESSES}
"""


def live_prices(scene: Scene) -> None:
    """From the file to a socket, whose prices are ours to set."""
    suite = scene.suite
    scene.prices.start()
    suite.until(scene.prices.is_up, "the double answers")
    scene.configure(LIVE)
    scene.machine.run("systemctl", "restart", unit_of("market_feed"), unit_of("intent_bridge"))
    suite.until(lambda: "quantum_feed_age_seconds{" in suite.metrics("market_feed"), "live prices")
    scene.say("prices come over a socket from now on; the account is still on paper")


def killed(scene: Scene, position: Held) -> None:
    """SIGKILL for who decides to sell, and for who holds the position."""
    suite = scene.suite
    for daemon in ("harvest_brain", "apply_layer"):
        _kill(scene, daemon)
    assert scene.is_protected(RIVER)
    assert suite.held(RIVER) == position
    scene.say("the position is the same, with one stop on the venue")
    scene.prices.set(RIVER, position.price_at("2"))
    suite.until(lambda: len(suite.fills("PARTIAL_25", RIVER)) == 2, "the first rung")
    scene.say("the price climbs to 2 R: PARTIAL_25 is taken by those that came back")


def _kill(scene: Scene, daemon: str) -> None:
    suite, before, began = scene.suite, scene.suite.pids()[daemon], time.monotonic()
    scene.machine.run("systemctl", "kill", "--signal=KILL", unit_of(daemon))
    suite.until(lambda: suite.pids().get(daemon, before) != before, f"{daemon} is back")
    scene.say(f"{daemon} after kill -9: back in {time.monotonic() - began:.1f} s")


def hung(scene: Scene) -> None:
    """SIGSTOP: the process is there and does nothing."""
    suite, daemon, since = scene.suite, "exitbrain", time.time()
    before = suite.pids()[daemon]
    scene.machine.run("systemctl", "kill", "--signal=STOP", unit_of(daemon))
    alarm = f"daemon_silent.{daemon}"
    suite.until(lambda: alarm in (scene.alarms() or ()), "watcher sees that it is silent")
    scene.say(f"{daemon} hung (SIGSTOP): watcher says so after {time.time() - since:.0f} s")
    suite.until(
        lambda: suite.pids().get(daemon, before) != before, f"{daemon} is back", within_s=120
    )
    said = suite.journal(unit_of(daemon), since)
    assert "Watchdog timeout" in said, said
    scene.say(f"ended by its watchdog and started again after {time.time() - since:.0f} s")
    suite.until(lambda: scene.alarms() == set(), "no alarm is left")


def rebooted(scene: Scene, position: Held) -> None:
    """The machine in order, and then without warning."""
    suite, trades = scene.suite, len(scene.suite.fills())
    for what, again in (
        ("rebooted", scene.machine.reboot),
        ("power cut", scene.machine.power_cut),
    ):
        before, began = suite.held(RIVER), time.monotonic()
        again()
        suite.until(suite.all_run, "all services run")
        suite.until(lambda: scene.is_protected(RIVER), "the position has its stop")
        after = suite.held(RIVER)
        assert after is not None
        assert after == before, (before, after)
        assert after.position_id == position.position_id
        took_s = time.monotonic() - began
        scene.say(
            f"{what}: {len(RUNNING)} services are back by themselves within {took_s:.1f} s, "
            f"with the same position and stop"
        )
    suite.until(scene.prices.is_up, "the double answers")
    scene.prices.set(RIVER, position.price_at("4"))
    suite.until(lambda: len(suite.fills("PARTIAL_50", RIVER)) == 2, "the second rung")
    assert len(suite.fills()) == trades + 1, suite.fills()[trades:]
    scene.say("the price climbs to 4 R: PARTIAL_50, and nothing else was sold")


def reloaded(scene: Scene) -> None:
    """New settings for a running suite: with a mistake, and without."""
    suite, unit, pids, since = (
        scene.suite,
        unit_of("intent_bridge"),
        scene.suite.pids(),
        time.time(),
    )
    scene.configure(LIVE.replace("cooldown_s = 0", "cooldown = 1"))
    scene.machine.run("systemctl", "reload", "quantum-*.service")
    suite.until(lambda: "reload_refused" in suite.journal(unit, since), "a refusal in the journal")
    assert "there is no such setting" in suite.journal(unit, since)
    scene.say("reload of a file with a mistake: refused, with the reason in the journal")
    # watcher looks at the sections of others, too, and begins anew when any has changed.
    suite.until(suite.all_run, "all services run")
    scene.configure(LIVE.replace("cooldown_s = 0", 'cooldown_s = 0\nmax_order_notional = "1"'))
    scene.machine.run("systemctl", "reload", "quantum-*.service")
    suite.until(lambda: '"reloaded"' in suite.journal(unit, since), "the reload in the journal")
    suite.send_entry("too-large", "XRPUSDT", Decimal(2))
    codes = suite.until(lambda: suite.skips("too-large"), "the entry is refused")
    assert codes == ["order_cap"], codes
    after = suite.pids()
    assert all(after[daemon] == pids[daemon] for daemon in DAEMONS), (pids, after)
    scene.say("reload of a good file: the same daemons go by the new limit (order_cap)")


def companions(scene: Scene) -> None:
    """Those that are enabled by themselves: the page, and who carries news to a phone."""
    machine, suite = scene.machine, scene.suite
    machine.run(
        "systemctl", "enable", "--now", "--quiet", unit_of("dashboard"), unit_of("notifier")
    )
    page = suite.until(lambda: machine.http("http://127.0.0.1:9480/"), "the page")
    assert "<html" in page, page[:200]
    for program in ("dashboard", "notifier"):
        assert "quantum_" in suite.metrics(program), program
    scene.say("dashboard and notifier run in their sandboxes; the page comes from 127.0.0.1:9480")


def on_the_venue(scene: Scene) -> None:
    """The real venue's adapter in its sandbox, with keys from systemd, against the double."""
    machine, suite = scene.machine, scene.suite
    machine.run("systemctl", "stop", "quantum.target")
    # The target is down at once, what it takes along a little later.
    suite.until(lambda: not suite.pids(), "all services have ended")
    call(suite.redis, "FLUSHALL")
    for name, secret in CREDENTIALS.items():
        path = machine.inside(f"/etc/quantum/credentials/{name}")
        path.write_text(f"{secret}\n", encoding="ascii")
        path.chmod(0o600)
    scene.configure(ON_THE_VENUE)
    machine.run("systemctl", "start", "quantum.target")
    suite.until(suite.all_run, "all services run")
    suite.until(lambda: _entries_are_open(scene), "quantum:venue says that entries are taken")
    suite.send_entry("real", RIVER, scene.prices.marks[RIVER])
    suite.until(lambda: _stops(scene), "a position with its stop on the double")
    held = Decimal(scene.prices.account()["positions"][RIVER])
    fill = suite.fills(symbol=RIVER)[0]
    scene.say(
        f"the live adapter in its sandbox: {held} {RIVER} at {fill['avg_price']}, with its stop"
    )
    _kill(scene, "apply_layer")
    entry, stop = Decimal(fill["avg_price"]), _stops(scene)[0]
    scene.prices.set(RIVER, (entry + Decimal("2.2") * (entry - stop)).quantize(Decimal("0.0001")))
    suite.until(lambda: suite.fills("PARTIAL_25", RIVER), "the first rung, on the double")
    left = Decimal(scene.prices.account()["positions"][RIVER])
    assert left == held - Decimal(suite.fills("PARTIAL_25", RIVER)[0]["filled_qty"])
    scene.say(f"PARTIAL_25 on the double: {left} are left there, and the ring says the same")


def _entries_are_open(scene: Scene) -> bool:
    return bool(call(scene.suite.redis, "HGET", "quantum:venue", "entries") == b"open")


def _stops(scene: Scene) -> list[Decimal]:
    return [Decimal(order["triggerPrice"]) for order in scene.prices.account()["open_algo_orders"]]


def no_alarm(scene: Scene) -> None:
    """What watcher says after all that."""
    scene.suite.until(lambda: scene.alarms() == set(), f"no alarm is left of {scene.alarms()}")
    scene.say("watcher has no alarm")
