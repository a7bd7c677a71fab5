"""The checker: each invariant of the design that the gauntlet decides, one function for each.

Reads the venue's ledger, the streams and the hashes as `Evidence`; imports nothing of the services.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.venue_gauntlet.check_books import (
    each_trade_is_told_once,
    record_stream_and_venue_agree,
    wallet_adds_up,
)
from tests.venue_gauntlet.check_orders import (
    doubt_ends_with_proof,
    exits_only_reduce,
    exits_pass,
    journalled_before,
    one_intent_one_order,
)
from tests.venue_gauntlet.evidence import (
    Evidence,
    Line,
    Violation,
    leg_of,
)
from tests.venue_gauntlet.timeline import (
    FLAT_LIMIT_S,
    NAKED_LIMIT_S,
    bared,
    overdue,
    timeline,
)

#: How a life may end: killed or told to stop by the run, or outlived by its successor.
_SUPERSEDED, _KILLED, _STOPPED = 75, -9, 0


def never_naked(evidence: Evidence) -> Iterator[Violation]:
    """6: a position is without a full stop of the right side for at most 2 s.

    Or until 10 s after calls to the venue have failed meanwhile; the time during which no life was
    up does not count. Its only stop is never withdrawn
    by us, not even for a moment, and a stop triggers on the mark.
    """
    naked, _ = timeline(evidence)
    for span, deadline in overdue(naked, evidence, NAKED_LIMIT_S):
        allowed = deadline - span.start
        what = f"naked for {span.seconds:.2f} s of {allowed:.2f} allowed {span.what}".strip()
        yield Violation(6, what, span.symbol, span.start)
    for moment in bared(evidence):
        what = f"{moment.what} was withdrawn, the only stop"
        yield Violation(6, what, moment.symbol, moment.start)
    for order in evidence.lines("order"):
        ours = leg_of(str(order["client_id"])) == "s" and order["book"] == "algo"
        if ours and order.get("working_type") != "MARK_PRICE":
            what = f"{order['client_id']} triggers on {order.get('working_type')}"
            yield Violation(6, what, str(order["symbol"]), float(order["t"]))


def nothing_rests_on_nothing(evidence: Evidence) -> Iterator[Violation]:
    """7: where nothing is held, no stop of ours is left after 10 s."""
    _, alone = timeline(evidence)
    for span, _ in overdue(alone, evidence, FLAT_LIMIT_S):
        what = f"a stop was left for {span.seconds:.2f} s {span.what}".strip()
        yield Violation(7, what, span.symbol, span.start)


def one_instance_commits(evidence: Evidence) -> Iterator[Violation]:
    """13: once a successor has taken over, its predecessor commits and trades nothing.

    Commits and orders are told by the lives themselves, each with the moment that it began.
    """
    taken: list[Line] = sorted(evidence.noted("acquired"), key=lambda note: float(note["t"]))
    epochs = [int(note["epoch"]) for note in taken]
    if epochs != sorted(set(epochs)):
        yield Violation(13, f"epochs do not only rise: {epochs}", "apply_layer")
    for commit in evidence.noted("committed"):
        if (successor := _successor(taken, commit)) is not None:
            what = f"life {commit['life']} committed after life {successor} had taken over"
            yield Violation(13, what, "apply_layer", float(commit["began"]))
    counts = Counter(result["result_id"] for result in evidence.results)
    for name, count in counts.items():
        if count > 1:
            yield Violation(13, f"{name} was published {count} times", "apply.result")
    yield from _late_orders(evidence, taken)
    for note in evidence.noted("ended"):
        if int(note["status"]) not in (_SUPERSEDED, _KILLED, _STOPPED):
            what = f"life {note['life']} ended by itself, status {note['status']}"
            yield Violation(13, what, "apply_layer", float(note["t"]))


def _successor(taken: list[Line], note: Line) -> int | None:
    """The life that had taken over from another one before something of that one began.

    Who comes later is told by epochs: a life that was paused may take over from a younger one.
    """
    own = [int(t["epoch"]) for t in taken if t["life"] == note["life"]]
    if not own:
        return None
    later = (t for t in taken if int(t["epoch"]) > max(own))
    return next((int(t["life"]) for t in later if float(t["t"]) < float(note["began"])), None)


def _late_orders(evidence: Evidence, taken: list[Line]) -> Iterator[Violation]:
    sent = sorted(evidence.noted("sent"), key=lambda note: float(note["began"]))
    for order in evidence.lines("order"):
        client_id, at = str(order["client_id"]), float(order["t"])
        proof: Any = evidence.documents.get(f"proofs/{client_id}")
        if not proof or proof["verdict"] != "absent" or evidence.latest(proof["at"]) >= at:
            continue
        tries = [n for n in sent if n["client_id"] == client_id and float(n["began"]) <= at]
        if tries and _successor(taken, tries[-1]) is not None:
            what = f"{client_id} came in after it was proved absent, by a life that was over"
            yield Violation(13, what, str(order["symbol"]), at)


Check = Callable[[Evidence], Iterator[Violation]]
CHECKS: tuple[Check, ...] = (
    one_intent_one_order,
    journalled_before,
    doubt_ends_with_proof,
    record_stream_and_venue_agree,
    never_naked,
    nothing_rests_on_nothing,
    exits_only_reduce,
    each_trade_is_told_once,
    wallet_adds_up,
    one_instance_commits,
    exits_pass,
)
#: The invariants that are decided here, by their numbers in the design.
INVARIANTS = (1, 3, 4, 5, 6, 7, 8, 9, 13, 15)


def check(evidence: Evidence) -> list[Violation]:
    """All that did not hold in a run, in the order of the invariants."""
    found = [violation for one in CHECKS for violation in one(evidence)]
    return sorted(found, key=lambda violation: (violation.invariant, violation.at))
