"""What the bench comes to: latencies of hops, and how they compare with bare ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

#: Streams that each way crosses.
ENTRY_HOPS, CLOSE_HOPS, BARE_HOPS = 4, 3, 2


class BenchFailed(RuntimeError):
    """What was to be measured did not happen; the text says what did."""


@dataclass(frozen=True)
class Latency:
    """One kind of message's way; times in milliseconds. `ratio` is a hop's to a bare hop's."""

    hops: int
    count: int
    median_ms: float
    p99_ms: float
    ratio: float = 1.0

    @property
    def per_hop_ms(self) -> float:
        """The median's share of one hop."""
        return self.median_ms / self.hops

    def as_json(self) -> dict[str, float]:
        """The row of `--json`."""
        return {
            "hops": self.hops,
            "count": self.count,
            "median_ms": round(self.median_ms, 3),
            "p99_ms": round(self.p99_ms, 3),
            "per_hop_ms": round(self.per_hop_ms, 3),
            "ratio_per_hop": round(self.ratio, 2),
        }


@dataclass(frozen=True)
class Hops:
    """Entries, closes and bare round trips on one server."""

    appendfsync: str
    entry: Latency
    close: Latency
    bare: Latency

    def as_json(self) -> dict[str, Any]:
        """The row of `--json`."""
        return {
            "appendfsync": self.appendfsync,
            "entry": self.entry.as_json(),
            "close": self.close.as_json(),
            "bare": self.bare.as_json(),
        }


@dataclass
class Samples:
    """Milliseconds as they were measured."""

    entry: list[float] = field(default_factory=list)
    close: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def hops(self, appendfsync: str) -> Hops:
        """The samples as figures, each hop beside a bare one."""
        bare = _latency(self.bare, BARE_HOPS, None)
        return Hops(
            appendfsync,
            entry=_latency(self.entry, ENTRY_HOPS, bare),
            close=_latency(self.close, CLOSE_HOPS, bare),
            bare=bare,
        )


def _latency(samples: Sequence[float], hops: int, bare: Latency | None) -> Latency:
    middle = median(samples)
    p99 = quantiles(samples, n=100, method="inclusive")[98]
    ratio = 1.0 if bare is None else middle / hops / bare.per_hop_ms
    return Latency(hops, len(samples), middle, p99, ratio)
