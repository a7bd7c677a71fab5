"""Where the commands and programs of docs/producing-intents.md are tried.

A server as deploy/redis installs it, the user that the document makes on it, and a small ring that
reads what the user sends. The places of an installed server stand in the document; here they lead
to those of the test.
"""

from __future__ import annotations

import getpass
import grp
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from shared.bus.client import call
from shared.streams import Stream
from tests.cli.small_ring import SmallRing, a_small_ring
from tests.deploy.redis_users import TESTER, Guarded, a_guarded_server, environment_of
from tests.ring.live import texts

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/producing-intents.md"
NODE_MODULES = ROOT / "tests/asyncapi/node_modules"
#: Where Debian puts the sources of Go packages.
GO_PATH = "/usr/share/gocode"

_PROGRAMS = {
    "sudo": 'exec "$@"',
    "python3": f'exec "{sys.executable}" "$@"',
    # The ring of the test reads its settings when it is made.
    "systemctl": "exit 0",
    "quantum": f'exec "{sys.executable}" -c "from shared.cli import app; app()" "$@"',
}

#: deploy/bin/quantum-redis-cli as root has it; a test need not be root.
_BY_ROOT = """\
#!/bin/sh
. /etc/quantum/redis/administrator.env
export REDISCLI_AUTH
exec redis-cli -s /run/quantum-redis/redis.sock --user administrator "$@"
"""


def blocks(heading: str, language: str = "sh") -> list[str]:
    """The blocks of one language under a heading of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section, heading
    return re.findall(rf"^```{language}\n(.*?)^```$", section[1], re.M | re.S)


@dataclass
class Desk:
    """A person before the server, with the environment of the document's user."""

    guarded: Guarded
    folder: Path
    ring: SmallRing = field(init=False)

    def here(self, text: str) -> str:
        """The document's text, with the places of the test."""
        folder, group = self.guarded.users, grp.getgrgid(os.getgid()).gr_name
        own = f"--folder {folder} --group {group} --socket {self.socket}"
        text = text.replace("set_passwords.py", f"set_passwords.py {own}")
        text = text.replace("/run/quantum-redis/redis.sock", self.socket)
        return text.replace("/etc/quantum/redis", str(folder))

    @property
    def socket(self) -> str:
        """Where the server listens."""
        return unquote(self.guarded.server.url.removeprefix("unix://"))

    def env_file(self, user: str) -> Path:
        """Where a user's password stands."""
        return self.guarded.users / f"{user}.env"

    def write(self, name: str, text: str) -> None:
        """A file in the folder where commands are typed, which is HOME, too."""
        (self.folder / name).write_text(self.here(text), encoding="utf-8")

    def run(self, script: str) -> str:
        """Type commands of the document, where programs lie that it names; returns their output."""
        environment = {
            "HOME": str(self.folder),
            "USER": getpass.getuser(),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "GO111MODULE": "off",
            "GOPATH": GO_PATH,
            "GOCACHE": str(self.folder / "go-cache"),
        }
        if self.env_file("my_signals").exists():
            own = environment_of(self.guarded.users, "my_signals")
            environment |= {name: self.here(value) for name, value in own.items()}
        ended = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", self.here(script)],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def messages(self, stream: Stream, intent_id: str) -> list[dict[str, str]]:
        """What a stream says of one intent."""
        return [m for m in texts(self.ring.client, stream) if m.get("intent_id") == intent_id]


@contextmanager
def a_desk(folder: Path) -> Iterator[Desk]:
    """A server with the user that the document makes, and a ring that has learnt the rules."""
    programs = folder / "bin"
    programs.mkdir()
    for name, body in _PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    (folder / "deploy").symlink_to(ROOT / "deploy")
    (folder / "node_modules").symlink_to(NODE_MODULES)
    with a_guarded_server(folder / "server") as guarded:
        desk = Desk(guarded, folder)
        by_root = programs / "quantum-redis-cli"
        by_root.write_text(desk.here(_BY_ROOT), encoding="utf-8")
        by_root.chmod(0o755)
        make_user, _, take_it_over = blocks("A Redis user for your program")
        [named] = blocks("A Redis user for your program", "toml")
        desk.run(make_user)
        desk.run(take_it_over)
        desk.write("operator.env", desk.env_file("operator").read_text(encoding="utf-8"))
        guarded.set_passwords()
        with guarded.client("administrator") as administrator:
            call(administrator, "ACL", "LOAD")
        with a_small_ring(guarded.url(TESTER), tomllib.loads(named)) as desk.ring:
            yield desk
