"""Those who are told. Each notice is handed over by a process of its own, which has a time limit.

So neither a receiver that is slow nor a plug-in that hangs, crashes or chats holds anything up, and
whoever speaks to the internet knows neither the server's address nor its password.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from services.notifier.outside.addresses import WHERE_THEY_BELONG, Address, read_addresses
from services.notifier.values import Handed, Handing, Severity
from shared.settings import SettingsError

#: `send.py`'s exit statuses; it imports apprise, which is installed only where it is used.
_ARRIVED, _NO_ADDRESS = 0, 78
_TYPES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.URGENT: "failure"}
_POLL_S = 0.02
_TEST = "quantum-trader can reach you: what is worth knowing comes here."


@dataclass
class _Handing:
    process: subprocess.Popen[bytes]
    deadline: float


class Receivers:
    """Hands notices over, one at a time to each receiver; nothing here waits but `check`."""

    def __init__(self, addresses: Iterable[Address], *, timeout_s: float) -> None:
        """Raises SettingsError where apprise is not installed."""
        if importlib.util.find_spec("apprise") is None:
            raise SettingsError(
                "notifier needs apprise: install the extra, quantum-trader[notices]"
            )
        self._urls = {address.name: address.url for address in addresses}
        self._timeout_s = timeout_s
        self._under_way: dict[str, _Handing] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The receivers, in their order."""
        return tuple(self._urls)

    def check(self) -> None:
        """Ask apprise whether it knows every address.

        Raises:
            SettingsError: it does not, and says which line; or it does not run at all.
        """
        for name in self._urls:
            self._start(name, {})
        for name, status in list(self._statuses(wait=True)):
            number, _, scheme = name.partition(" ")
            if status == _NO_ADDRESS:
                raise SettingsError(
                    f"notifier: apprise does not understand the {scheme} address in line {number}"
                )
            if status not in (_ARRIVED, None):
                raise SettingsError(f"notifier: apprise cannot be run (it ended with {status})")

    def send(self, name: str, *, title: str, body: str, severity: Severity) -> None:
        """Begin to hand a notice over."""
        self._start(name, {"title": title, "body": body, "type": _TYPES[severity]})

    def handed(self, *, wait: bool = False) -> Iterator[Handed]:
        """What has come of the notices under way; with `wait`, of all of them."""
        for name, status in self._statuses(wait=wait):
            how: Handing = "refused"
            if status is None:
                how = "timed_out"
            elif status == _ARRIVED:
                how = "arrived"
            yield Handed(name, how)

    def close(self) -> None:
        """Leave what is under way; it would be handed over again."""
        for handing in self._under_way.values():
            _end(handing.process)
        self._under_way.clear()

    def _start(self, name: str, job: Mapping[str, str]) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.notifier.outside.send"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(os.environ),
            start_new_session=True,
        )
        assert process.stdin is not None
        # A pipe takes far more than this without being read. One that has ended says so by its
        # exit status.
        with contextlib.suppress(BrokenPipeError), process.stdin as door:
            door.write(json.dumps({"url": self._urls[name], **job}).encode())
        self._under_way[name] = _Handing(process, time.monotonic() + self._timeout_s)

    def _statuses(self, *, wait: bool) -> Iterator[tuple[str, int | None]]:
        """Each process that has ended, with its exit status, or None if it had to be ended."""
        while True:
            for name, handing in tuple(self._under_way.items()):
                status = handing.process.poll()
                late = status is None and time.monotonic() >= handing.deadline
                if status is None and not late:
                    continue
                del self._under_way[name]
                if late:
                    _end(handing.process)
                yield name, status
            if not wait or not self._under_way:
                return
            time.sleep(_POLL_S)


def tried(
    receivers_file: str | None, credentials: str | None, *, timeout_s: float, send: bool
) -> dict[str, Handing | None]:
    """Every receiver, and what came of a notice to it if one was to be sent.

    Raises:
        SettingsError: there is nobody to tell, or an address cannot be used.
    """
    receivers = Receivers(read_addresses(receivers_file, credentials), timeout_s=timeout_s)
    if not receivers.names:
        raise SettingsError(WHERE_THEY_BELONG)
    receivers.check()
    for name in receivers.names if send else ():
        receivers.send(name, title="Test", body=_TEST, severity=Severity.INFO)
    return dict.fromkeys(receivers.names) | {
        handed.receiver: handed.how for handed in receivers.handed(wait=True)
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """What the process is given: nothing of the settings, of the server or of other secrets."""
    secret = ("REDIS", "QUANTUM_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG")
    return {name: value for name, value in own.items() if not name.startswith(secret)}
