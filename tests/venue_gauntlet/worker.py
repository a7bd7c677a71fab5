"""Workers: each has a server and a zygote of its own, and plays one run after the other.

A worker is forked before anything has a thread; its zygote is forked before its server and its
doubles have any.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path

from shared.server import LocalServer
from tests.venue_gauntlet.run import REAL, SHORT, Outcome, Run
from tests.venue_gauntlet.zygote import Zygote


@dataclass(frozen=True, slots=True)
class Task:
    """One run to be played: its seed, the defect that its lives have, if any, and their waits."""

    seed: int
    defect: str = ""
    real_waits: bool = False


@dataclass(frozen=True, slots=True)
class _Worker:
    zygote: Zygote
    server: LocalServer
    folder: Path


_HERE: list[_Worker] = []


def _begin(folder: Path) -> None:
    zygote = Zygote.fork()
    Finalize(None, zygote.end, exitpriority=20)
    own = folder / f"worker-{os.getpid()}"
    # A crash of the server is no part of the gauntlet, so nothing waits for the disk.
    server = LocalServer.start(own / "redis", appendfsync="no")
    Finalize(None, server.stop, exitpriority=10)
    _HERE.append(_Worker(zygote, server, own))


def _play(task: Task) -> Outcome:
    worker = _HERE[0]
    folder = worker.folder / f"run-{task.defect or 'sound'}-{task.seed}"
    waits = REAL if task.real_waits else SHORT
    run = Run(task.seed, worker.zygote, worker.server.url, folder, defect=task.defect, waits=waits)
    outcome = run.go()
    if not outcome.violations:
        shutil.rmtree(folder)
    return outcome


def play(tasks: list[Task], *, jobs: int, folder: Path) -> Iterator[tuple[Task, Outcome]]:
    """Play runs on so many workers, and yield each as it ends. Call before any thread is started.

    The folder of a run with a violation stays: its ledger, its notes and the log of its lives.
    """
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, context, _begin, (folder,)) as pool:
        waiting = {pool.submit(_play, task): task for task in tasks}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            for each in waiting:
                each.cancel()
