"""A backup made while everything runs is a Redis that the ring goes on with, and never sells twice.

The server is as deploy/redis installs it. What an older state means before a real venue is shown on
the double: what the venue says wins.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote

import pytest
from redis import Redis

from shared.bus import MemoryServer
from shared.bus.client import call
from shared.cli.story import reader
from shared.contracts import ExitPlan, encode
from shared.server import LocalServer
from shared.streams import APPLY_PLAN, STREAMS, position_key
from tests.binance.desk import BTC, Desk, desk_at
from tests.cli.small_ring import READERS, SYMBOL, SmallRing, a_small_ring, at_r, seed
from tests.deploy.redis_users import DEPLOYED, TESTER, Guarded, a_guarded_server, configuration
from tests.ring.live import eventually, ladder

FIRST, SECOND, THIRD = (
    ("PARTIAL_25", Decimal("0.46")),
    ("PARTIAL_50", Decimal("0.46")),
    ("PARTIAL_75", Decimal("0.45")),
)

#: The scripts are for Debian's server and the tools that come with it.
pytestmark = pytest.mark.skipif(
    None in map(shutil.which, ("redis-server", "redis-cli", "redis-check-rdb")),
    reason="Redis and its tools are not installed: apt install redis-server",
)


def places(server: LocalServer, users: Path) -> dict[str, str]:
    """Where the scripts find a server of the test's own."""
    return {
        **os.environ,
        "QUANTUM_REDIS_CONFIG": str(users),
        "QUANTUM_REDIS_DATA": str(server.folder),
        "QUANTUM_REDIS_SOCKET": unquote(server.url.removeprefix("unix://")),
    }


def script(name: str, *words: object, where: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(DEPLOYED / name), *map(str, words)],
        env=where, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def back_up(guarded: Guarded, folder: Path, ring: SmallRing) -> Path:
    """A backup by the script, while the ring turns."""
    running = subprocess.Popen(
        [str(DEPLOYED / "backup.sh"), str(folder)],
        env=places(guarded.server, guarded.users), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip

    def ended() -> bool:
        for daemon in ring.runners:
            ring.turn(daemon)
        return running.poll() is not None

    eventually(ended, "the end of the backup")
    said, wrong = running.communicate()
    assert running.returncode == 0, wrong
    return Path(said.strip())


@contextmanager
def a_restored_server(backup: Path, folder: Path, users: Path) -> Iterator[str]:
    """A new machine: configuration and users as before, and the data from the backup alone."""
    folder.mkdir()
    server = LocalServer(folder, configuration=configuration(folder, users / "users.acl"))
    restored = script("restore.sh", backup, where=places(server, users))
    assert restored.returncode == 0, restored.stderr
    with server:
        server.restart()
        yield server.url.replace("unix://", f"unix://{TESTER}@")


def contents(client: Redis) -> dict[str, object]:
    """Everything that a server holds, hashes by their fields, which have no order."""
    found: dict[str, object] = {"functions": call(client, "FUNCTION", "DUMP")}
    for key in map(bytes.decode, call(client, "KEYS", "*")):
        if call(client, "TYPE", key) == b"hash":
            found[key] = hash_of(client, key)
        else:
            found[key] = call(client, "DUMP", key)
    return found


def hash_of(client: Redis, key: str) -> dict[bytes, bytes]:
    flat = call(client, "HGETALL", key)
    return dict(zip(flat[::2], flat[1::2], strict=True))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with a_guarded_server(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture
def ring(guarded: Guarded) -> Iterator[SmallRing]:
    """A ring that holds the reference position and has taken its first rung."""
    with a_small_ring(guarded.url(TESTER), seed()) as running:
        running.tick(at_r(2))
        running.settle()
        assert ladder(running.client) == [FIRST]
        yield running
    with reader(guarded.url(TESTER)) as client:
        for key in call(client, "KEYS", "*"):
            call(client, "DEL", key)


def test_the_ring_goes_on_from_a_backup_with_the_same_position_and_takes_no_rung_twice(
    guarded: Guarded, ring: SmallRing, tmp_path: Path
) -> None:
    backup = back_up(guarded, tmp_path / "backups", ring)
    held = hash_of(ring.client, position_key(SYMBOL))
    ring.tick(at_r(4))
    ring.settle()
    assert ladder(ring.client) == [FIRST, SECOND]
    with (
        a_restored_server(backup, tmp_path / "new", guarded.users) as url,
        a_small_ring(url, seed()) as restored,
    ):
        # What came after the backup did not happen on paper; what came before it did.
        assert hash_of(restored.client, position_key(SYMBOL)) == held
        assert ladder(restored.client) == [FIRST]
        restored.tick(at_r(2))
        restored.settle()
        assert ladder(restored.client) == [FIRST]
        for r in (4, 6):
            restored.tick(at_r(r))
            restored.settle()
        assert ladder(restored.client) == [FIRST, SECOND, THIRD]
        assert all(restored.length(stream.dead_key) == 0 for stream in STREAMS)


def test_a_message_that_was_delivered_and_not_finished_is_finished_after_the_restore(
    guarded: Guarded, ring: SmallRing, tmp_path: Path
) -> None:
    ring.stop("apply_layer")
    ring.tick(at_r(4))
    ring.settle()
    assert ladder(ring.client) == [FIRST]
    backup = back_up(guarded, tmp_path / "backups", ring)
    with (
        a_restored_server(backup, tmp_path / "new", guarded.users) as url,
        a_small_ring(url, seed()) as restored,
    ):
        assert ladder(restored.client) == [FIRST, SECOND]


def test_a_backup_holds_every_key_and_the_functions(
    guarded: Guarded, ring: SmallRing, tmp_path: Path
) -> None:
    ring.stop(*READERS)
    backup = back_up(guarded, tmp_path / "backups", ring)
    assert backup.stat().st_mode & 0o077 == 0
    with (
        a_restored_server(backup, tmp_path / "new", guarded.users) as url,
        reader(url) as restored,
    ):
        before = contents(ring.client)
        assert len(before) > 10
        assert contents(restored) == before


def test_what_cannot_be_restored_changes_nothing_and_says_why(
    guarded: Guarded, ring: SmallRing, tmp_path: Path
) -> None:
    backup = back_up(guarded, tmp_path / "backups", ring)
    while_it_runs = script("restore.sh", backup, where=places(guarded.server, guarded.users))
    assert while_it_runs.returncode == 1
    assert "the server runs: systemctl stop" in while_it_runs.stderr
    damaged = tmp_path / "damaged.rdb"
    whole = backup.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "new/appendonlydir").mkdir(parents=True)
    other = LocalServer(tmp_path / "new")
    refused = script("restore.sh", damaged, where=places(other, guarded.users))
    assert refused.returncode == 1
    assert f"{damaged} is damaged, or no backup; nothing was changed" in refused.stderr
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["appendonlydir"]


def test_what_was_there_before_a_restore_is_kept_beside_it(
    guarded: Guarded, ring: SmallRing, tmp_path: Path
) -> None:
    backup = back_up(guarded, tmp_path / "backups", ring)
    there = tmp_path / "new/appendonlydir"
    there.mkdir(parents=True)
    (there / "appendonly.aof.7.incr.aof").write_text("what was there", encoding="utf-8")
    said = script("restore.sh", backup, where=places(LocalServer(tmp_path / "new"), tmp_path))
    [aside] = there.parent.glob("appendonlydir.before-*")
    assert said.stdout.splitlines()[0] == f"what was there is in {aside}"
    assert [path.read_text(encoding="utf-8") for path in aside.iterdir()] == ["what was there"]
    assert not any(path.name.endswith(".incr.aof") for path in there.iterdir())


def test_a_backup_without_a_server_or_a_right_says_so(guarded: Guarded, tmp_path: Path) -> None:
    nobody = places(guarded.server, tmp_path)
    refused = script("backup.sh", tmp_path, where=nobody)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{tmp_path}/administrator.env cannot be read" in refused.stderr
    away = places(LocalServer(tmp_path / "nothing"), guarded.users)
    assert script("backup.sh", tmp_path / "to", where=away).returncode != 0
    assert list(tmp_path.glob("**/*.rdb")) == []


def rung(desk: Desk, number: str) -> ExitPlan:
    """What intent_bridge says when 25 % are due."""
    position, now = desk.position(), datetime.now(UTC)
    return ExitPlan(
        timestamp=now, produced_at=now, source="intent_bridge", plan_id=f"plan.P25.{number}",
        intent_id=f"P25.{number}", symbol=BTC, side=position.side.exit, action="PARTIAL_25",
        decision="EXECUTE", reduceOnly=True, position_id=position.position_id,
        qty=Decimal("0.025"),
    )  # fmt: skip


def restore(desk: Desk, backup: MemoryServer) -> None:
    """Redis is what it was at the backup; the venue is what it is."""
    desk.die()
    desk.server = backup
    desk.start()
    desk.ready()
    desk.until(lambda: desk.holds() and desk.quiet())
    desk.for_s(0.5)


def test_before_a_real_venue_an_older_state_sells_nothing_that_was_sold_since(
    tmp_path: Path,
) -> None:
    """The worst moment for a backup: the plan is on its stream, and its order not yet sent."""
    with desk_at(tmp_path) as desk:
        desk.ready().enter()
        desk.until(desk.holds)
        plan = rung(desk, "1")
        desk.server.add(APPLY_PLAN.key, [(n.encode(), v.encode()) for n, v in encode(plan)])
        backup = copy.deepcopy(desk.server)
        desk.until(lambda: desk.position().harvested_qty == Decimal("0.025") and desk.quiet())
        sold = desk.executed("x")
        assert len(sold) == 1
        restore(desk, backup)
        assert desk.position().qty == Decimal("0.075")
        assert desk.executed("x") == sold
        assert len(desk.stops()) == 1
        desk.send(rung(desk, "2"))
        desk.until(lambda: "already_harvested" in desk.codes)
        assert desk.executed("x") == sold


def test_before_a_real_venue_a_position_that_the_older_state_does_not_know_is_taken_over(
    tmp_path: Path,
) -> None:
    with desk_at(tmp_path) as desk:
        desk.ready().enter()
        desk.until(desk.holds)
        backup = copy.deepcopy(desk.server)
        desk.leave()
        desk.until(desk.flat)
        desk.enter()
        desk.until(desk.holds)
        desk.send(rung(desk, "1"))
        desk.until(lambda: desk.position().harvested_qty == Decimal("0.025") and desk.quiet())
        second = desk.position()
        restore(desk, backup)
        found = desk.position()
        assert (found.qty, found.initial_qty) == (second.qty, second.initial_qty)
        assert (found.harvested_qty, found.stop_order) == (Decimal("0.025"), second.stop_order)
        desk.send(rung(desk, "2"))
        desk.until(lambda: "already_harvested" in desk.codes)
        assert desk.position().qty == Decimal("0.075")
