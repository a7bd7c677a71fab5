"""What a run leaves behind, and how the checker reads it: ledger, streams, hashes, the run's notes.

Reads nothing of the services: ids, sides and quantities are worked out here once more, from the
words of the design.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

D = Decimal
ZERO = D(0)
Line = Mapping[str, Any]
Fields = Mapping[str, str]

#: One of our client ids: the leg's letter, a number, twenty digits of the plan's digest.
_OURS = re.compile(r"([exstf])([0-9]+)-([0-9a-f]{20})", re.ASCII)
ENTRY, EXIT, STOP, TARGET, FLATTEN = "e", "x", "s", "t", "f"
#: The legs that may only ever reduce a position.
REDUCING = (EXIT, STOP, TARGET, FLATTEN)
FORCED = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
ORDER_PATHS = ("/fapi/v1/order", "/fapi/v1/algoOrder")
#: Codes that leave it open whether an order was executed; any other code says that it was not.
DOUBTFUL_CODES = (-1001, -1006, -1007)


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold: its number, what happened, to what, and when (wall s)."""

    invariant: int
    what: str
    where: str
    at: float = 0.0

    def __str__(self) -> str:
        return f"invariant {self.invariant}: {self.where}: {self.what} (t={self.at:.3f})"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a run promises the checker. Times in seconds."""

    wallet: Decimal
    recv_window_s: float = 5.0
    doubt_again_s: float = 10.0
    timeout_s: float = 5.0
    ended_at: float = 0.0
    #: Symbols that the venue makes trouble about: what is theirs is not judged, what they do to
    #: others is.
    apart: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the checker sees.

    `ledger` is the venue's, `plans` and `results` are the streams, `documents` the orders and
    proofs of apply_layer's own state with JSON decoded, `records` the position records by symbol,
    and `notes` what the run
    wrote down itself: lives, commits and orders sent by them, and turns of the operator's switch.
    """

    ledger: Sequence[Line]
    plans: Sequence[Fields]
    results: Sequence[Fields]
    documents: Mapping[str, Any]
    records: Mapping[str, Fields]
    terms: Terms
    notes: Sequence[Line] = field(default_factory=tuple)

    def lines(self, *kinds: str) -> Iterator[Line]:
        """Ledger lines of some kinds, in their order."""
        return (line for line in self.ledger if line["kind"] in kinds)

    def earliest(self, text: str) -> float:
        """The earliest that a moment of apply_layer's clock may have been, as wall seconds.

        A life's clock is off by what the wall clock was off by when the life began.
        """
        return wall(text) - max(self._clock_offs)

    def latest(self, text: str) -> float:
        """The latest that a moment of apply_layer's clock may have been, as wall seconds."""
        return wall(text) - min(self._clock_offs)

    @property
    def _clock_offs(self) -> list[float]:
        return [0.0, *(float(note.get("clock_off_s", 0)) for note in self.noted("acquired"))]

    def noted(self, kind: str) -> Iterator[Line]:
        """Notes of one kind, in their order."""
        return (note for note in self.notes if note["kind"] == kind)

    @property
    def symbols(self) -> list[str]:
        """Every symbol that anything was traded, planned or said of, but those that are apart."""
        traded = {str(line["symbol"]) for line in self.lines("trade", "order")}
        told = traded | {plan["symbol"] for plan in self.plans} | set(self.records)
        return sorted(told - self.terms.apart)

    @property
    def posts(self) -> list[Line]:
        """Every order that arrived at the venue's door, in its order."""
        return [
            line
            for line in self.lines("request")
            if line["method"] == "POST" and line["path"] in ORDER_PATHS
        ]


def leg_of(client_id: str) -> str | None:
    """The letter of the leg that one of our client ids belongs to; None for an id of others."""
    match = _OURS.fullmatch(client_id)
    return match.group(1) if match else None


def digest_of(client_id: str) -> str | None:
    """The part of a client id that names its plan."""
    match = _OURS.fullmatch(client_id)
    return match.group(3) if match else None


def plan_digest(plan_id: str) -> str:
    """What a plan is called in client ids."""
    return hashlib.sha256(plan_id.encode()).hexdigest()[:20]


def client_id_of(request: Line) -> str:
    """The client id that a request names, or nothing."""
    params = request["params"]
    for name in ("newClientOrderId", "clientAlgoId", "origClientOrderId"):
        if params.get(name):
            return str(params[name])
    return ""


def number(line: Mapping[str, Any], name: str) -> Decimal:
    """A number of a line; one that is not there is 0."""
    value = line.get(name)
    return D(str(value)) if value not in (None, "") else ZERO


def signed_qty(trade: Line) -> Decimal:
    """What a trade adds to the position."""
    qty = number(trade, "qty")
    return qty if trade["side"] == "BUY" else -qty


def is_true(value: object) -> bool:
    """A flag, as JSON or as text."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def is_doubtful(request: Line) -> bool:
    """Whether the answer to this request left it open if anything was executed."""
    http, code = int(request["http"] or 0), int(request["code"] or 0)
    return code in DOUBTFUL_CODES or (not code and (http in (0, 408) or http >= 500))


def wall(text: str) -> float:
    """A time of a message or document, as wall seconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def by_symbol(lines: Iterable[Line], symbol: str) -> list[Line]:
    """The lines of one symbol."""
    return [line for line in lines if line.get("symbol") == symbol]
