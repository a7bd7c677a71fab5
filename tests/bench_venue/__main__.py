"""`python -m tests.bench_venue`: what the live adapter costs and how long anything stands naked.

--symbols 1 12 30 100        how many symbols are held
--latency 20 200             milliseconds there and back
--seconds 120                of calm, and then of stops that are lost
--losses 2                   stops lost a minute; the user stream keeps silent of every second
--jobs J                     scenes at once (two for each core: a scene mostly waits)
--json                       figures for a program
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from tests.bench_venue.scene import Asked, Found, play, quiet


def main() -> None:
    """Play the scenes that the command line asks for, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_venue", description=__doc__)
    parser.add_argument("--symbols", type=int, nargs="+", default=[1, 12, 30, 100])
    parser.add_argument("--latency", type=float, nargs="+", default=[20.0, 200.0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--losses", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    scenes = [
        Asked(symbols, latency / 1000, given.seconds, given.losses, given.seed)
        for symbols in given.symbols
        for latency in given.latency
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.jobs, mp_context=context, initializer=quiet) as pool:
        found = list(pool.map(play, scenes))
    if given.json:
        sys.stdout.write(json.dumps([asdict(each) for each in found]) + "\n")
        return
    Console(width=80).print(_table(found))


def _table(found: list[Found]) -> Table:
    table = Table(
        title="weight a minute; seconds without a stop, by the venue's own ledger",
        caption="entry: from a fill to its stop; max, p99: from a lost stop to the next",
    )
    for name in ("symbols", "ms", "weight", "429", "open", "in s", "entry", "lost", "max", "p99"):
        table.add_column(name, justify="right")
    for each in found:
        lost = sorted(each.lost_naked)
        table.add_row(
            str(each.asked.symbols),
            f"{each.asked.latency_s * 1000:.0f}",
            str(each.weight),
            str(each.too_often),
            f"{each.opened}/{each.entries}",
            f"{each.open_s:.1f}",
            f"{max(each.entry_naked, default=0):.2f}",
            str(len(lost)),
            f"{max(lost, default=0):.2f}",
            f"{lost[int(0.99 * (len(lost) - 1))] if lost else 0:.2f}",
        )
    return table


if __name__ == "__main__":
    main()
