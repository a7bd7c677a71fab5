"""Settings that are read again while a daemon runs: taken over whole, or refused whole.

SIGHUP asks for it. What was asked for is done between two turns of the loop, so that no batch is
decided by two policies; with the state that is there, a new policy is what a restart would bring.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

from shared.log import logger
from shared.settings import Settings, SettingsError, load
from shared.systemd import Supervisor

P = TypeVar("P")


class Reload(Generic[P]):
    """Asked by a signal, answered by the loop. `policy` makes what the daemon decides by.

    Without `policy` nothing of a program can change while it runs, and every change is refused;
    with `renew`, which ends it in order, its supervisor starts it on the new settings instead.
    """

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        policy: Callable[[Settings], P] | None = None,
        renew: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._policy = policy
        self._renew = renew
        self._asked = False

    def ask(self, *_signal: object) -> None:
        """Note that the settings should be read again; in place of a signal's handler."""
        self._asked = True

    def take(self) -> P | None:
        """What to decide by from now on, if that was asked for and can be; else None."""
        if not self._asked:
            return None
        # First, so that whoever asks while it is being read is answered by reading it once more.
        self._asked = False
        self._supervisor.reloading()
        try:
            policy = self._read_again()
        except SettingsError as error:
            policy = None
            self._supervisor.remark = f"new settings are refused: {error}"
            logger().error("reload_refused", reason=str(error))
        self._supervisor.ready()
        return policy

    def _read_again(self) -> P | None:
        new = load(None, os.environ)
        changed = self._settings.changed(new)
        if self._renew is not None and self._settings.differ(new):
            logger().info("begins_anew", changed=list(changed))
            self._renew()
            return None
        fixed = [name for name, may_change in changed.items() if not may_change or not self._policy]
        if fixed:
            raise SettingsError(
                f"{new.origin}: {', '.join(fixed)} cannot change while it runs: restart it"
            )
        policy = self._policy(new) if self._policy else None
        self._settings = new
        self._supervisor.remark = ""
        logger().info("reloaded", changed=list(changed))
        return policy
