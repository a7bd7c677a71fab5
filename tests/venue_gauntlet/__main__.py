"""`python -m tests.venue_gauntlet`: N seeded runs against the double, or the deliberate defects.

    --runs N --seed S            runs of the seeds S, S+1, ..., and a closing table
    --jobs J                     so many at once (three for each core: a run mostly waits)
    --seed S --runs 1            one run again: its draws come from the seed alone (see `run`)
    --defects                    every defect of `defects`, until the checker has caught it
    --defect NAME                that one alone
    --real-waits                 timeouts and doubts as long as the settings have them: slow
    --keep FOLDER                where ledgers and logs go (a temporary folder otherwise)
    --json                       figures for a program

Exits with 1 when an invariant was violated, or a defect was not caught.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from tests.venue_gauntlet.defects import DEFECTS
from tests.venue_gauntlet.report import Report, show, show_run
from tests.venue_gauntlet.worker import Task, play


def main() -> int:
    """Run what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.venue_gauntlet", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=3 * (os.cpu_count() or 1))
    parser.add_argument("--defect", choices=sorted(DEFECTS))
    parser.add_argument("--defects", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--real-waits", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    console = Console(stderr=asked.json)
    with _folder(asked.keep) as folder:
        if asked.defects or asked.defect:
            names = [asked.defect] if asked.defect else sorted(DEFECTS)
            return _defects(names, asked, console, folder)
        return _runs(asked, console, folder)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="gauntlet-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _runs(asked: argparse.Namespace, console: Console, folder: Path) -> int:
    report = Report()
    started = time.monotonic()
    seeds = range(asked.seed, asked.seed + asked.runs)
    tasks = [Task(seed, real_waits=asked.real_waits) for seed in seeds]
    for _, outcome in play(tasks, jobs=min(asked.jobs, len(tasks)), folder=folder):
        report.add(outcome)
        show_run(console, outcome)
    report.seconds = time.monotonic() - started
    show(console, report)
    if asked.json:
        sys.stdout.write(json.dumps(report.figures()) + "\n")
    more = " --real-waits" if asked.real_waits else ""
    for outcome in report.failed:
        console.print(f"again: python -m tests.venue_gauntlet --runs 1 --seed {outcome.seed}{more}")
    return 1 if report.failed else 0


def _defects(names: list[str], asked: argparse.Namespace, console: Console, folder: Path) -> int:
    """Play each defect on its seeds until a run catches it."""
    left = {name: list(DEFECTS[name].seeds) for name in names}
    caught: dict[str, str] = {}
    report = Report()
    started = time.monotonic()
    while tasks := list(_next(left, asked.jobs)):
        for task, outcome in play(tasks, jobs=min(asked.jobs, len(tasks)), folder=folder):
            report.add(outcome)
            found = [v for v in outcome.violations if v.invariant in DEFECTS[task.defect].breaks]
            if found:
                caught.setdefault(task.defect, f"seed {task.seed}: {found[0]}")
                left.pop(task.defect, None)
            else:
                others = "; ".join(map(str, outcome.violations[:2])) or "nothing"
                console.print(f"{task.defect}, seed {task.seed}: {others}", soft_wrap=True)
    report.seconds = time.monotonic() - started
    show(console, report, [(name, caught.get(name, "[red]not caught[/red]")) for name in names])
    if asked.json:
        figures = report.figures() | {"caught": caught}
        sys.stdout.write(json.dumps(figures) + "\n")
    return 0 if caught.keys() == set(names) else 1


def _next(left: dict[str, list[int]], jobs: int) -> Iterator[Task]:
    """The next seed of each defect that is not caught; several where only few of them are left."""
    for name, seeds in left.items():
        for _ in range(max(1, jobs // len(left))):
            if seeds:
                yield Task(seeds.pop(0), name)


if __name__ == "__main__":
    sys.exit(main())
