"""A Debian machine of its own, booted by systemd-nspawn: a network of its own, and no way out.

Commands run in it as root beside its init, without a login and without D-Bus of the host.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_BOOT_S = 60.0
_SHUTDOWN_S = 60.0


class Failed(Exception):
    """A machine did not do what was asked of it; says what, and what it answered."""


class Machine:
    """One machine on the tree in `root`; `shared` are folders that it sees and cannot write."""

    def __init__(self, root: Path, log: Path, shared: dict[Path, str]) -> None:
        self.root = root
        self._log = log
        self._shared = shared
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.init = 0

    def __enter__(self) -> Self:
        """Boot, and wait until it stands."""
        self._boot()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Shut it down in order, or else at once."""
        self._stop()

    def reboot(self) -> None:
        """Shut the machine down in order, boot it, and wait until it stands again."""
        self._stop()
        self._boot()

    def power_cut(self) -> None:
        """End everything in it at once, boot it, and wait until it stands again."""
        os.kill(self.init, signal.SIGKILL)
        self._stop()
        self._boot()

    def _boot(self) -> None:
        binds = [f"--bind-ro={outside}:{inside}" for outside, inside in self._shared.items()]
        # Where systemd runs the host, it makes the scope; elsewhere there is nobody to ask for one.
        scope = [] if Path("/run/systemd/system").is_dir() else ["--keep-unit"]
        with self._log.open("ab") as log:
            self._nspawn = subprocess.Popen(
                [
                    "systemd-nspawn", "--boot", "--private-network", "--register=no", *scope,
                    "--quiet", "--machine=quantum-boot", "--console=pipe", "--link-journal=no",
                    f"--directory={self.root}", *binds,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _BOOT_S
        state = "no init"
        while time.monotonic() < deadline:
            if self._nspawn.poll() is not None:
                raise Failed(f"systemd-nspawn ended: {self._log.read_text(errors='replace')}")
            found = _children(self._nspawn.pid)
            if found:
                self.init = found[0]
                state = self.run("systemctl", "is-system-running", check=False).strip()
                if state in ("running", "degraded"):
                    return
            time.sleep(0.1)
        raise Failed(f"the machine does not come up: {state}")

    def _stop(self) -> None:
        assert self._nspawn is not None
        self._nspawn.terminate()
        try:
            self._nspawn.wait(_SHUTDOWN_S)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()

    def run(
        self, *command: str, check: bool = True, text: str | None = None, timeout_s: float = 300.0
    ) -> str:
        """Run a command as root; returns what it said.

        Raises:
            Failed: it ended with another status than 0, with all that it said.
        """
        ended = subprocess.run(
            [
                "nsenter", f"--target={self.init}", "--all", "--",
                "/usr/bin/env", "-i", "--chdir=/root",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                "LANG=C.UTF-8", "COLUMNS=160", *command,
            ],
            input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=timeout_s,
        )  # fmt: skip
        if check and ended.returncode:
            raise Failed(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}")
        return ended.stdout

    def inside(self, path: str) -> Path:
        """A path of the machine as this process reaches it, what it mounts included."""
        return Path(f"/proc/{self.init}/root{path}")

    def http(self, url: str, body: bytes | None = None) -> str:
        """Ask a server inside, on its loopback, from this process."""

        def ask() -> str:
            with urllib.request.urlopen(url, data=body, timeout=10) as answer:
                return str(answer.read(), "utf-8")

        return self._in_its_network(ask)

    def _in_its_network(self, call: Callable[[], T]) -> T:
        """Make a call in a thread that has gone over to the machine's network for good."""
        answers: list[T] = []
        errors: list[Exception] = []

        def there() -> None:
            network = os.open(f"/proc/{self.init}/ns/net", os.O_RDONLY)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(network, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                answers.append(call())
            except (OSError, urllib.error.URLError) as error:
                errors.append(error)
            finally:
                os.close(network)

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return answers[0]


def _children(pid: int) -> Sequence[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []
