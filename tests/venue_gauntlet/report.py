"""What many runs came to: the closing table, and a line for each run that went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.venue_gauntlet.checker import INVARIANTS
from tests.venue_gauntlet.run import Outcome

#: Spans without a stop, by the worst that troubled the venue meanwhile.
_TITLES: dict[str, str | None] = {
    "while a life was up": None,
    "every call succeeding": "",
    "a call refused": "refusal",
    "a call without answer": "no answer",
    "the venue asking for silence": "silence",
    "the venue down": "down",
}


@dataclass
class Report:
    """Figures over runs; `add` takes one. `caught` has the defects and the run that caught each."""

    runs: int = 0
    seconds: float = 0.0
    orders: int = 0
    trades: int = 0
    plans: int = 0
    lives: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    strikes: Counter[str] = field(default_factory=Counter)
    violations: Counter[int] = field(default_factory=Counter)
    #: Of each span without a stop: seconds, those while a life was up, the worst trouble, the seed.
    naked: list[tuple[float, float, str, int]] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        self.runs += 1
        self.orders += outcome.orders
        self.trades += outcome.trades
        self.plans += outcome.plans
        self.lives += outcome.lives
        self.faults += Counter(outcome.faults)
        self.strikes += Counter(outcome.strikes)
        self.violations += Counter(violation.invariant for violation in outcome.violations)
        self.naked += [(*span, outcome.seed) for span in outcome.naked]
        if outcome.violations:
            self.failed.append(outcome)

    def naked_s(self, trouble: str | None = None, *, raw: bool = False) -> dict[str, float | int]:
        """Spans without a stop: how many, the longest and its seed, what 99 of 100 stay below.

        In seconds while a life was up, or, `raw`, all of them; of all spans, or of those during
        which a `trouble` was the venue's worst ("": every call succeeded).
        """
        lengths = sorted(
            (whole if raw else up, seed)
            for whole, up, worst, seed in self.naked
            if trouble in (None, worst)
        )
        if not lengths:
            return {"spans": 0, "max_s": 0.0, "p99_s": 0.0, "seed": 0}
        count = len(lengths)
        longest, seed = lengths[-1]
        p99 = lengths[min(count - 1, count * 99 // 100)][0]
        return {"spans": count, "max_s": longest, "p99_s": p99, "seed": seed}

    @property
    def kills(self) -> int:
        """How often a life was killed, not paused."""
        return sum(count for name, count in self.strikes.items() if name.startswith("kill"))

    def figures(self) -> dict[str, Any]:
        """Everything, for a program to read."""
        return {
            "runs": self.runs,
            "seconds": round(self.seconds, 1),
            "plans": self.plans,
            "orders": self.orders,
            "trades": self.trades,
            "lives": self.lives,
            "faults": dict(sorted(self.faults.items())),
            "strikes": dict(sorted(self.strikes.items())),
            "kills": self.kills,
            "violations": {str(n): self.violations[n] for n in (*INVARIANTS, 16)},
            "naked": {
                "raw": self.naked_s(raw=True),
                **{title: self.naked_s(trouble) for title, trouble in _TITLES.items()},
            },
            "failed": [outcome.seed for outcome in self.failed],
        }


def show_run(console: Console, outcome: Outcome) -> None:
    """One line for a run, and what it violated."""
    bad = len(outcome.violations)
    verdict = f"[red]{bad} violations[/red]" if bad else "[green]well[/green]"
    console.print(
        f"seed {outcome.seed}: {verdict}, {outcome.seconds:.1f} s, {outcome.orders} orders,"
        f" {outcome.trades} trades, {sum(outcome.faults.values())} faults,"
        f" {sum(outcome.strikes.values())} strikes",
        highlight=False,
    )
    for violation in outcome.violations[:12]:
        console.print(f"  [red]{violation}[/red]", highlight=False, soft_wrap=True)
    if bad:
        console.print(f"  its ledger, notes and log: {outcome.folder}", soft_wrap=True)


def show(console: Console, report: Report, caught: Iterable[tuple[str, str]] = ()) -> None:
    """The closing table."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_header=False)
    table.add_column()
    table.add_column()
    table.add_row("runs", f"{report.runs} in {report.seconds:.0f} s")
    table.add_row("plans, orders, trades", f"{report.plans}, {report.orders}, {report.trades}")
    table.add_row("lives, kills", f"{report.lives}, {report.kills}")
    table.add_row("faults", _counts(report.faults))
    table.add_row("strikes", _counts(report.strikes))
    table.add_row(
        "violations",
        " ".join(f"{n}:{report.violations[n]}" for n in (*INVARIANTS, 16)),
    )
    for title, figures in report.figures()["naked"].items():
        text = "max {max_s:.2f} s (seed {seed}), p99 {p99_s:.2f} s, of {spans} spans"
        table.add_row(f"naked, {title}", text.format(**figures))
    for name, by in caught:
        table.add_row(name, by)
    console.print(table)


def _counts(counts: Counter[str]) -> str:
    whole = sum(counts.values())
    each = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{whole}: {each}" if each else "0"
