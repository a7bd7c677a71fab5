"""A daemon in a process of its own that ends itself by SIGKILL at a named step.

`python -m tests.runner.child URL STEP TIME` runs the counting decider until there is nothing left
to read, and dies when STEP is reached for the TIME-th time. STEP `never` lives; `linger` goes on
until it is told to stop; `pause` stops itself by SIGSTOP before its first commit. Each prints a
line when it first finds nothing to read.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

from shared import log
from shared.bus import Commit, RedisBus, Superseded
from shared.bus.redis import commit_words
from shared.runner import Runner

from .counting import Policy, service
from .hooked import HookedBus

#: Beside the steps of `HookedBus`.
STEPS = (
    "before_read", "after_read", "decide", "before_commit", "commit_sent", "after_commit",
)  # fmt: skip
EXIT_SUPERSEDED = 75


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("this process is dead")


class MortalBus(RedisBus):
    """Dies between sending its N-th commit and reading the reply."""

    commits_to_live = -1

    def commit(self, commit: Commit) -> None:
        self.commits_to_live -= 1
        if self.commits_to_live == 0:
            keys, words = commit_words(commit, self._daemon)
            connection = self._commands.connection_pool.get_connection()
            sequence = self._sequence + 1
            connection.send_command(  # type: ignore[no-untyped-call]
                "FCALL", "quantum_commit", len(keys), *keys, self._epoch, sequence, *words
            )
            die()
        super().commit(commit)


def main() -> None:
    url, step, time = sys.argv[1], sys.argv[2], int(sys.argv[3])
    log.configure(daemon="harvest_brain", as_json=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    counts: dict[str, int] = {}

    def reached(now: str) -> None:
        counts[now] = counts.get(now, 0) + 1
        if now == step and counts[now] == time:
            die()
        if step == "pause" and now == "before_commit":
            os.kill(os.getpid(), signal.SIGSTOP)
        if now == "idle" and step != "linger":
            stop.set()
        if now == "idle" and counts[now] == 1:
            print("idle", flush=True)  # noqa: T201 - the parent waits for it

    bus = MortalBus(url, "harvest_brain")
    if step == "commit_sent":
        bus.commits_to_live = time
    policy = Policy(on_decide=lambda _tick_id: reached("decide"))
    try:
        Runner(service(policy), HookedBus(bus, reached), stop=stop).run()
    except Superseded as error:
        log.logger().error("superseded", reason=str(error))
        sys.exit(EXIT_SUPERSEDED)


if __name__ == "__main__":
    main()
