"""A server under the configuration and the users that deploy/redis installs, for tests.

The passwords are made by the script that makes them on a server, and each user connects by the
address that the script wrote for it. One user more, of the test alone, may do everything.
"""

from __future__ import annotations

import grp
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis import Redis

from shared.cli.ring import Ring, replay_environment
from shared.server import LocalServer
from shared.streams import DAEMONS
from tests.ring.live import a_client, quantum

DEPLOYED = Path(__file__).parents[2] / "deploy/redis"
SET_PASSWORDS = DEPLOYED / "set_passwords.py"
#: The programs beside the ring that have a user.
LOOKERS = ("watcher", "notifier", "dashboard")
PEOPLE = ("operator", "administrator")
#: Everyone who can log in.
USERS = (*DAEMONS, *LOOKERS, *PEOPLE)
TESTER = "tester"


def set_passwords(folder: Path, *words: str) -> str:
    """Run the script as its user would, into a folder of the test; returns what it said."""
    run = subprocess.run(
        [
            *(sys.executable, "-I", str(SET_PASSWORDS)),
            *("--folder", str(folder), "--group", grp.getgrgid(os.getgid()).gr_name),
            *words,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return run.stdout


def environment_of(folder: Path, user: str) -> dict[str, str]:
    """What the script wrote for a user, as systemd would put it into the environment."""
    lines = (folder / f"{user}.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def configuration(folder: Path, acl: Path) -> Path:
    """The deployed configuration with the places of the test instead of a server's."""
    text = (DEPLOYED / "redis.conf").read_text(encoding="utf-8")
    places = {
        "aclfile /etc/quantum/redis/users.acl": f'aclfile "{acl}"',
        "dir /var/lib/redis/quantum": f'dir "{folder}"',
        "unixsocket /run/quantum-redis/redis.sock": "",
    }
    for line, own in places.items():
        assert f"\n{line}\n" in text
        text = text.replace(f"\n{line}\n", f"\n{own}\n")
    written = folder / "redis.conf"
    written.write_text(text, encoding="utf-8")
    return written


@dataclass
class Guarded:
    """A running server that lets in only those whom users.acl knows."""

    server: LocalServer
    users: Path

    def url(self, user: str) -> str:
        """The address with a user's name and password."""
        if user == TESTER:
            return self.server.url.replace("unix://", f"unix://{TESTER}@")
        known = urlsplit(environment_of(self.users, user)["REDIS_URL"])
        return self.server.url.replace("unix://", f"unix://{known.username}:{known.password}@")

    @contextmanager
    def client(self, user: str) -> Iterator[Redis]:
        """A client that is logged in as this user."""
        client = a_client(self.url(user))
        try:
            yield client
        finally:
            client.close()

    def set_passwords(self, *words: str) -> None:
        """Write the users again, as on an upgrade; the server takes them by ACL LOAD."""
        set_passwords(self.users, *words)
        with (self.users / "users.acl").open("a", encoding="utf-8") as file:
            file.write(f"user {TESTER} on nopass ~* &* +@all\n")

    def quantum(self, user: str, *words: str) -> subprocess.CompletedProcess[str]:
        """The command line as this user."""
        return quantum(*words, environment={"REDIS_URL": self.url(user)})


@contextmanager
def a_guarded_server(folder: Path) -> Iterator[Guarded]:
    """A server as it is installed: configuration, users, and the library by the administrator."""
    users, data = folder / "users", folder / "redis"
    data.mkdir(parents=True)
    server = LocalServer(data, configuration=configuration(data, users / "users.acl"))
    guarded = Guarded(server, users)
    guarded.set_passwords()
    with server:
        server.restart()
        loaded = guarded.quantum("administrator", "init")
        assert loaded.returncode == 0, loaded.stderr
        yield guarded


@dataclass
class GuardedRing:
    """Six supervised processes, each logged in as its own user."""

    by_daemon: dict[str, Ring]
    logs: Path

    def watch(self) -> None:
        """Start again what has crashed."""
        for ring in self.by_daemon.values():
            ring.watch()

    def log(self, daemon: str) -> str:
        """What a daemon has written so far."""
        return (self.logs / f"{daemon}.log").read_text(encoding="utf-8")


@contextmanager
def a_guarded_ring(
    guarded: Guarded, folder: Path, *, settings: str, candles: Path
) -> Iterator[GuardedRing]:
    """The ring on a replay that ends with its last price; readers start first."""
    config = folder / "quantum.toml"
    config.write_text(settings, encoding="utf-8")
    logs = folder / "logs"
    logs.mkdir()
    environment: dict[str, Any] = {
        "QUANTUM_CONFIG": str(config),
        "QUANTUM_METRICS__BASE_PORT": "0",
        **replay_environment([str(candles)], speed="max", until_end=True),
    }
    rings = {
        daemon: Ring(guarded.url(daemon), environment, logs, daemons=(daemon,))
        for daemon in DAEMONS
    }
    with ExitStack() as running:
        for daemon in reversed(DAEMONS):
            running.enter_context(rings[daemon])
        yield GuardedRing(rings, logs)
