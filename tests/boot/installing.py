"""The steps about the installer: nothing by a dry run, then all, again, upgrades, and away."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from shared.cli.demo_market import ring_prices, write_candles
from tests.boot.machine import Failed
from tests.boot.scene import CHECKOUT, CONFIG, INSTALL, INSTALLER, OTHERS, RIVER, Scene
from tests.boot.suite import RUNNING, TESTER_RIGHTS, Held, unit_of

OPERATIONS = Path(__file__).parents[2] / "docs/operations.md"
CANDLES = "/var/lib/quantum/candles"
NEW_VERSION = "9.9.9"

REPLAY = f"""
[market_feed]
files = ["{CANDLES}/RIVERUSDT-1m-demo.csv"]
speed = "max"

[apply_layer]
symbols = ["{RIVER}"]
"""


def dry_run(scene: Scene) -> None:
    """A dry run on the clean machine."""
    before = _files(scene.machine.root)
    said = scene.machine.run(*INSTALL, "--dry-run")
    changed = before ^ _files(scene.machine.root)
    assert not changed, changed
    scene.say(f"--dry-run lists {said.count('would change')} changes and makes none")


def first_harvest(scene: Scene) -> None:
    """From the clean machine to a trade that took profit; the market is a file."""
    machine, suite = scene.machine, scene.suite
    machine.inside(CANDLES).mkdir(parents=True)
    write_candles(machine.inside(CANDLES), ring_prices())
    redis = machine.inside("/etc/quantum/redis")
    redis.mkdir(parents=True)
    (redis / "own-users.acl").write_text(TESTER_RIGHTS, encoding="utf-8")
    (redis / "own.conf").write_text("maxclients 200\n", encoding="utf-8")
    scene.configure(REPLAY)
    began = time.monotonic()
    said = machine.run(*INSTALL)
    scene.say(f"installed in {time.monotonic() - began:.1f} s: {said.splitlines()[-1]}")
    suite.until(lambda: suite.fills("PARTIAL_25"), "a first harvest")
    scene.say(f"FIRST PAPER HARVEST {time.monotonic() - began:.1f} s after the install began")
    unit = unit_of("market_feed")
    suite.until(lambda: "replay_ended" in suite.journal(unit, 0), "the end of the replay")
    scene.say(suite.accounts())


def as_installed(scene: Scene) -> None:
    """Another run changes nothing, and all that was installed stands and answers."""
    machine, suite = scene.machine, scene.suite
    _has_nothing_to_do(scene)
    scene.say("a second run has nothing to change")
    suite.until(suite.all_run, "all services run")
    assert not suite.failed_units(), suite.failed_units()
    assert machine.run("systemctl", "is-system-running").strip() == "running"
    for program in RUNNING:
        assert "quantum_" in suite.metrics(program), program
    scene.say(f"{len(RUNNING)} services run, none failed, each serves its /metrics")
    machine.run("quantum", "check")
    assert suite.redis.config_get("maxclients") == {"maxclients": "200"}
    scene.say("quantum check finds nothing to mend; Redis goes by its own.conf, too")
    _is_looked_at_by_a_person(scene)


def _is_looked_at_by_a_person(scene: Scene) -> None:
    """Who may not be root looks, after the two commands of the README, and changes nothing."""
    run = scene.machine.run
    run("useradd", "--create-home", "--groups", "quantum", "alice")
    mine = ("/etc/quantum/redis/operator.env", "/home/alice/operator.env")
    run("install", "-m", "600", "-o", "alice", *mine)
    run("runuser", "-l", "alice", "-c", "quantum top --once && quantum history RIVERUSDT")
    assert "seen_at" in run(
        "runuser", "-l", "alice", "-c", "quantum-redis-cli HGETALL quantum:watch"
    )
    refused = run("runuser", "-l", "alice", "-c", "quantum mode halt 2>&1", check=False)
    assert "permission" in refused, refused
    run("quantum", "mode", "exits-only")
    assert run("quantum-redis-cli", "SET", "quantum:mode", "RUN", "GET").strip() == "EXITS_ONLY"
    scene.say(
        "a person who is not root looks by quantum and quantum-redis-cli, and changes nothing"
    )


def upgraded(scene: Scene, position: Held) -> None:
    """To another version while prices and entries come and a rung is due."""
    suite, sent, pids = scene.suite, 0, scene.suite.pids()
    _edit(
        "pyproject.toml",
        lambda text: re.sub(r"(?m)^(version = ).*$", rf'\1"{NEW_VERSION}"', text),
        scene,
    )
    said: list[str] = []
    began = time.monotonic()
    upgrade = threading.Thread(target=lambda: said.append(scene.machine.run(*INSTALL)))
    upgrade.start()
    while upgrade.is_alive():
        symbol = list(OTHERS)[sent % len(OTHERS)]
        mark = scene.prices.marks[symbol]
        suite.send_entry(f"flight-{sent}", symbol, mark)
        scene.prices.set(symbol, (mark * Decimal("1.0004")).quantize(Decimal("0.1")))
        if suite.pids().get("harvest_brain") != pids["harvest_brain"]:
            # The rung falls due between the first daemon's end and the last one's start.
            scene.prices.set(RIVER, position.price_at("6"))
        sent += 1
        upgrade.join(0.2)
    assert said, "the upgrade failed"
    took_s = time.monotonic() - began
    suite.until(
        lambda: set(suite.versions().values()) == {NEW_VERSION}, "heartbeats of the new version"
    )
    after = suite.pids()
    assert all(after[program] != pid for program, pid in pids.items()), (pids, after)
    suite.until(lambda: len(suite.fills("PARTIAL_75", RIVER)) == 2, "the third rung")
    scene.say(
        f"upgraded in {took_s:.1f} s while {sent} entries and as many prices came in; "
        "every daemon is of the new version"
    )
    scene.say(suite.accounts())
    _has_nothing_to_do(scene)


def not_upgraded(scene: Scene) -> None:
    """To a version that does not start, and to one that does not like the settings."""
    machine, suite = scene.machine, scene.suite
    wrong = 'raise RuntimeError("does not start")\n'
    before = _edit("services/harvest_brain/decider.py", lambda text: text + wrong, scene)
    said = _fails(scene)
    assert "runs again" in said, said
    assert "does not start" in said, said
    suite.until(suite.all_run, "all services of the old version run")
    assert set(suite.versions().values()) == {NEW_VERSION}
    scene.say("a version that does not start: refused with its log, and the one before runs again")
    _edit("services/harvest_brain/decider.py", lambda _: before, scene)
    settings = machine.inside(CONFIG).read_text(encoding="utf-8")
    scene.configure(settings + "\n[intent_bridge.symbol.BTCUSDT]\nmost_leverage = 3\n")
    pids = suite.pids()
    said = _fails(scene)
    assert "intent_bridge.symbol.BTCUSDT.most_leverage: there is no such setting" in said, said
    assert suite.pids() == pids
    scene.configure(settings)
    scene.say("settings with a mistake: refused by name, and nothing was started anew")
    machine.run(*INSTALL)


def backed_up(scene: Scene) -> None:
    """The nightly backup and the way back, typed as docs/operations.md has them."""
    machine, suite = scene.machine, scene.suite
    _, nightly = _blocks("### Back up")
    _type(nightly, scene)
    machine.run("systemctl", "start", "backup-quantum.service")
    [backup] = machine.inside("/var/backups/quantum").glob("*.rdb")
    scene.say(f"the backup of every night is set up, and makes {backup.name}")
    before = suite.held(RIVER)
    [restore] = _blocks("### Restore")
    written, count = re.subn(r"quantum-\d+T\d+Z\.rdb", backup.name, restore)
    assert count == 1, restore
    _type(written, scene)
    suite.until(suite.all_run, "all services run on what was restored")
    after = suite.held(RIVER)
    assert before is not None
    assert after is not None
    assert (after.position_id, after.qty) == (before.position_id, before.qty)
    suite.until(lambda: scene.is_protected(RIVER), "its stop on what was restored")
    scene.say("restored as the document says: the same position with its stop")


def _blocks(heading: str) -> list[str]:
    """The commands under a heading of the document, block by block."""
    text = OPERATIONS.read_text(encoding="utf-8")
    section = re.split(r"\n#+ ", text.partition(f"\n{heading}\n")[2], maxsplit=1)[0]
    return re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def _type(commands: str, scene: Scene) -> None:
    """Type commands in the checkout, as root, for whom `sudo` changes nothing."""
    typed = f'sudo() {{ "$@"; }}\ncd {CHECKOUT}\n{commands}'
    scene.machine.run("bash", "-euo", "pipefail", "-c", typed)


def uninstalled(scene: Scene) -> None:
    """Away, but for what is the operator's."""
    machine = scene.machine
    machine.run(INSTALLER, "--uninstall")
    listed = ("systemctl", "list-units", "--plain", "--no-legend", "quantum*", "redis-server@*")
    assert not machine.run(*listed).strip(), machine.run(*listed)
    assert not machine.inside("/opt/quantum").exists()
    assert not list(machine.inside("/etc/systemd/system").glob("quantum*"))
    assert machine.inside(CONFIG).exists()
    assert list(machine.inside("/var/lib/redis/quantum/appendonlydir").iterdir())
    scene.say("uninstalled: nothing runs, settings and data are kept")
    machine.run(INSTALLER, "--uninstall", "--purge")
    for folder in ("/etc/quantum", "/var/lib/redis/quantum", "/var/lib/quantum"):
        assert not machine.inside(folder).exists(), folder
    scene.say("purged: settings, passwords and data are gone, too")


def _has_nothing_to_do(scene: Scene) -> None:
    said = scene.machine.run(*INSTALL)
    assert "Nothing had to be changed." in said, said


def _fails(scene: Scene) -> str:
    try:
        said = scene.machine.run(*INSTALL)
    except Failed as failed:
        return str(failed)
    raise Failed(f"the installer should have refused:\n{said}")


def _edit(path: str, change: Callable[[str], str], scene: Scene) -> str:
    """Change a file of the checkout; returns what it was."""
    file = scene.machine.inside(f"{CHECKOUT}/{path}")
    before = file.read_text(encoding="utf-8")
    file.write_text(change(before), encoding="utf-8")
    return before


def _files(root: Path) -> set[tuple[str, int]]:
    """Every file where an installer writes, with its time of change."""
    folders = ("etc", "opt", "root", "usr/local", "var/lib", "var/spool")
    paths = (path for folder in folders for path in (root / folder).rglob("*"))
    return {(str(path), path.lstat().st_mtime_ns) for path in paths}
