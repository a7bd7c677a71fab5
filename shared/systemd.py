"""What a daemon says to systemd and what it is handed by it, in systemd's own protocols.

It says when it stands, that it goes on, what it waits for, and when it ends: datagrams of lines to
the socket that `NOTIFY_SOCKET` names. It is handed sockets that already listen, in the first file
descriptors from 3 on. Where there is no systemd nothing is said and nothing is handed over.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

#: File descriptors that are handed over begin here.
_FIRST_HANDED = 3
#: How much longer a start may take each time that it says what it waits for.
_MORE_TIME_S = 60


class Supervisor:
    """Says to systemd how this process stands; `environment` is what systemd gave it."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = environment or {}
        self._address = given.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            # A name that is no file: the kernel wants a zero byte, a variable cannot have one.
            self._address = "\0" + self._address[1:]
        watched = given.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        every_s = int(given.get("WATCHDOG_USEC", "0")) / 1_000_000 if watched else 0.0
        # Half of the interval is advised; half of that leaves the other half to one long step.
        self._alive_every_s = every_s / 4
        self._alive_at = 0.0
        self._ready = False
        self._told = ""
        #: What people should know besides, until it is settled.
        self.remark = ""

    @property
    def listens(self) -> bool:
        """Whether there is one, which starts again what ends."""
        return bool(self._address)

    def ready(self) -> None:
        """It stands: its place is taken and its loop goes round, or it has its new settings."""
        self._ready = True
        self._say("READY=1")

    def alive(self) -> None:
        """It has got on. Said no more often than the watchdog needs to hear it."""
        now = time.monotonic()
        if self._alive_every_s and now >= self._alive_at:
            self._alive_at = now + self._alive_every_s
            self._say("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for people, who read it in `systemctl status`."""
        line = " ".join("; ".join(filter(None, (text, self.remark))).split())
        if line != self._told:
            self._told = line
            self._say(f"STATUS={line}")

    def waits(self, text: str) -> None:
        """It waits for something outside and tries again: no reason to give its start up."""
        self.status(text)
        if not self._ready:
            self._say(f"EXTEND_TIMEOUT_USEC={_MORE_TIME_S * 1_000_000}")
        self.alive()

    def reloading(self) -> None:
        """It reads its settings again; `ready` says when that is over."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """It ends by itself."""
        self._say("STOPPING=1")

    def _say(self, lines: str) -> None:
        if not self._address:
            return
        # A position may be open: a supervisor that does not listen is no reason to end.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.sendto(lines.encode(), self._address)


def handed_socket(name: str, environment: Mapping[str, str]) -> socket.socket | None:
    """The listening socket that this process was handed under a name, if there is one."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = int(environment.get("LISTEN_FDS", "0"))
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    for descriptor, known in zip(range(_FIRST_HANDED, _FIRST_HANDED + count), names, strict=False):
        if known == name:
            handed = socket.socket(fileno=descriptor)
            handed.set_inheritable(False)
            return handed
    return None
