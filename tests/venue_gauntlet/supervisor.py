"""Keeps apply_layer alive as a supervisor would: a life that ends is followed by the next at once.

Strikes are handed to lives in their order. A life that stops itself is treated as dead: its
successor starts, and later it is woken. Writes notes of what ended, how.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace
from typing import Any

from tests.venue_gauntlet.draws import Strike
from tests.venue_gauntlet.lives import Notes, Order
from tests.venue_gauntlet.zygote import Zygote

#: How long a life that is to end may take, in seconds.
_PATIENCE_S = 8.0
#: The status that is noted of a life that did not end when it should have.
LINGERED = 99


class Supervisor:
    """The lives of one run. `pattern` is the order that each life gets, with its own number."""

    def __init__(
        self, zygote: Zygote, pattern: Order, strikes: tuple[Strike, ...], notes: Notes
    ) -> None:
        self._zygote = zygote
        self._pattern = pattern
        self._strikes = list(strikes)
        self._strike: dict[int, Strike] = {}
        self._notes = notes
        self._pids: dict[int, int] = {}
        self._wake: dict[int, float] = {}
        self._wake_s = 0.0
        self._ending = False
        self.life = 0

    def start(self) -> None:
        """Begin the next life."""
        self.life += 1
        order = replace(self._pattern, life=self.life)
        if self._strikes and not self._ending:
            strike = self._strikes.pop(0)
            self._strike[self.life] = strike
            order = replace(order, strike=strike.step, nth=strike.nth, how=strike.how)
        self._zygote.start(order)

    def kill(self) -> None:
        """kill -9, from outside, now."""
        if (pid := self._pids.get(self.life)) is not None:
            self._notes.write("struck", life=self.life, step="any", how="kill", client_id="")
            _signal(pid, signal.SIGKILL)

    def pause(self, wake_s: float) -> None:
        """SIGSTOP, from outside, now; its successor starts when it has stopped."""
        if (pid := self._pids.get(self.life)) is not None:
            self._notes.write("struck", life=self.life, step="any", how="pause", client_id="")
            self._wake_s = wake_s
            _signal(pid, signal.SIGSTOP)

    def watch(self, within_s: float) -> None:
        """Take up what happened to lives, for at most so long, and wake those that are due."""
        for event in self._zygote.events(within_s):
            self._take(event)
        now = time.monotonic()
        for life in [life for life, at in self._wake.items() if at <= now]:
            self._wake_up(life)

    def _take(self, event: dict[str, Any]) -> None:
        life = int(event["life"])
        if event["event"] == "started":
            self._pids[life] = int(event["pid"])
        elif event["event"] == "stopped":
            drawn = self._strike.get(life)
            delay_s = self._wake_s or (drawn.wake_s if drawn else 0.0)
            self._wake_s = 0.0
            self._wake[life] = time.monotonic() + delay_s
            self.start()
        else:
            self._pids.pop(life, None)
            self._wake.pop(life, None)
            self._notes.write("ended", life=life, status=event["status"])
            if life == self.life and not self._ending:
                self.start()

    def _wake_up(self, life: int) -> None:
        del self._wake[life]
        if (pid := self._pids.get(life)) is not None:
            self._notes.write("woken", life=life)
            _signal(pid, signal.SIGCONT)

    @property
    def single(self) -> bool:
        """Whether the latest life is the only one that there is."""
        return list(self._pids) == [self.life] and not self._wake

    def end(self) -> None:
        """Let every life end as it should; one that does not is killed, and noted as lingering."""
        self._ending = True
        for life in list(self._wake):
            self._wake_up(life)
        for life, pid in list(self._pids.items()):
            if life == self.life:
                _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE_S
        while self._pids and time.monotonic() < deadline:
            self.watch(0.1)
        for life, pid in list(self._pids.items()):
            self._notes.write("ended", life=life, status=LINGERED)
            _signal(pid, signal.SIGKILL)
        while self._pids:
            self.watch(0.1)


def _signal(pid: int, number: signal.Signals) -> None:
    # It may have ended already, and the news of it be under way.
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
