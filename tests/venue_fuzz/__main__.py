"""`python -m tests.venue_fuzz --cases 50000 --seed 1`: garbage answers and frames, and figures."""

from __future__ import annotations

import argparse
import sys

from shared.log import configure
from tests.venue_fuzz.fuzz import play


def main() -> None:
    """Play, and print how many cases each endpoint had."""
    parser = argparse.ArgumentParser(prog="python -m tests.venue_fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    configure(daemon="fuzz", level="critical")
    figures = play(asked.seed, asked.cases, asked.first)
    for where, count in sorted(figures.cases.items()):
        sys.stdout.write(f"{where:<40} {count:>6}\n")
    sys.stdout.write(
        f"{sum(figures.cases.values())} cases of seed {asked.seed}, {figures.struck} garbage "
        f"answers, {figures.seconds:.0f} s; nothing ended\n"
    )


if __name__ == "__main__":
    main()
