"""Orders: sent once, journalled before, never more than planned, never in the wrong direction.

Invariants 1, 3, 4, 8 and 15. Pure; each function takes the evidence and yields what it finds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

from tests.venue_gauntlet.evidence import (
    ENTRY,
    EXIT,
    REDUCING,
    ZERO,
    Evidence,
    Fields,
    Line,
    Violation,
    client_id_of,
    digest_of,
    is_doubtful,
    is_true,
    leg_of,
    number,
    plan_digest,
    signed_qty,
    wall,
)
from tests.venue_gauntlet.timeline import SILENCE_S

#: The share of the initial quantity that may be gone once a rung was taken.
SHARES = {
    "PARTIAL_25": Decimal("0.25"),
    "PARTIAL_50": Decimal("0.50"),
    "PARTIAL_75": Decimal("0.75"),
}
_CLOSE = "FULL_CLOSE_PROPOSED"
#: Answers to an exit that say there was nothing left for it to do, or that another one does it.
_NOTHING_TO_DO = {"no_such_position", "already_harvested", "exit_in_flight", "wrong_side"}
#: Answers that know nothing of an order.
_UNKNOWN_ORDER = -2013
#: What apply_layer answers while the venue has told it to be silent.
_SILENCE = "-1015"
#: Slack for clocks read in two processes and rounded to milliseconds.
_SLACK_S = 0.002


def one_intent_one_order(evidence: Evidence) -> Iterator[Violation]:
    """1: of each leg e and x at most one order executes; nothing is filled beyond its plan.

    A full close has no such bound: it closes what is held when it is done (and 8 holds: no more).
    """
    filled: Counter[str] = Counter()
    executed: defaultdict[str, set[str]] = defaultdict(set)
    last: dict[str, Line] = {}
    for trade in evidence.lines("trade"):
        client_id = str(trade["client_id"])
        if leg_of(client_id) is not None:
            filled[client_id] += number(trade, "qty")  # type: ignore[assignment]
            executed[client_id].add(str(trade["order_id"]))
            last[client_id] = trade
    for client_id, orders in executed.items():
        if leg_of(client_id) in (ENTRY, EXIT) and len(orders) > 1:
            what = f"{client_id} was executed by {len(orders)} orders"
            yield _at(1, last[client_id], what)
    planned = {plan_digest(plan["plan_id"]): plan for plan in evidence.plans}
    totals: Counter[tuple[str, str]] = Counter()
    for client_id, qty in filled.items():
        leg, digest = leg_of(client_id), digest_of(client_id)
        if leg in (ENTRY, EXIT):
            totals[str(leg), str(digest)] += qty
    for (leg, digest), qty in totals.items():
        plan = planned.get(digest)
        where = next(t for c, t in last.items() if digest_of(c) == digest and leg_of(c) == leg)
        if plan is None:
            yield _at(1, where, f"a fill of leg {leg} belongs to no plan")
        elif qty > number(plan, "qty") and plan["action"] != _CLOSE:
            yield _at(1, where, f"{plan['plan_id']}: {qty} filled of {plan['qty']} planned")
    yield from _rungs(evidence)


def _rungs(evidence: Evidence) -> Iterator[Violation]:
    """1: what rungs took of a position is never more than the highest of them may have taken."""
    planned = {plan["plan_id"]: plan for plan in evidence.plans}
    initial: dict[str, Decimal] = {}
    taken: Counter[str] = Counter()
    highest: dict[str, Decimal] = {}
    for result in evidence.results:
        position = result.get("position_id", "")
        if result.get("position_initial_qty"):
            initial[position] = number(result, "position_initial_qty")
        plan = planned.get(result.get("plan_id", ""))
        if plan is None or plan["action"] not in SHARES or "filled_qty" not in result:
            continue
        taken[position] += number(result, "filled_qty")  # type: ignore[assignment]
        share = max(highest.get(position, ZERO), SHARES[plan["action"]])
        highest[position] = share
        step = number(result, "lot_step")
        may = (share * initial[position] / step).to_integral_value(ROUND_HALF_UP) * step
        if taken[position] > may:
            what = f"{position}: rungs took {taken[position]}, {may} of {initial[position]} is due"
            yield Violation(1, what, result["symbol"], wall(result["produced_at"]))


def journalled_before(evidence: Evidence) -> Iterator[Violation]:
    """3: each order of ours was in the journal, durably, when the venue accepted it."""
    digests = {plan_digest(plan["plan_id"]) for plan in evidence.plans}
    adopted = {
        plan_digest(f"adopted.{result['position_id']}")
        for result in evidence.results
        if result["status"] == "ADOPTED" and result.get("position_id")
    }
    for order in evidence.lines("order"):
        client_id = str(order["client_id"])
        if leg_of(client_id) is None:
            continue
        if order.get("witness") is False:
            yield _at(3, order, f"{client_id} was accepted without a record of it being sent")
        if digest_of(client_id) not in digests | adopted:
            yield _at(3, order, f"{client_id} is made from no plan")


def doubt_ends_with_proof(evidence: Evidence) -> Iterator[Violation]:
    """4: what ended in doubt has a stored proof or is in doubt still; none is sent again before."""
    shown = {result.get("client_order_id", "") for result in evidence.results}
    accepted = {str(order["client_id"]) for order in evidence.lines("order")}
    for client_id, why, line in _doubts(evidence):
        known = f"proofs/{client_id}" in evidence.documents
        standing = evidence.documents.get(f"orders/{client_id}")
        # A trade or a stop that was published under its name shows that it was executed.
        if known or standing or (client_id in accepted and client_id in shown):
            continue
        yield _at(4, line, f"{client_id} was in doubt ({why}), without a proof")
    yield from _false_proofs(evidence)
    yield from _sent_again(evidence)


def _doubts(evidence: Evidence) -> Iterator[tuple[str, str, Line]]:
    """Each order of which its sender could not know: no clear answer, or killed before it came."""
    for post in evidence.posts:
        client_id = client_id_of(post)
        if leg_of(client_id) is not None and is_doubtful(post):
            yield client_id, str(post.get("fault") or post["http"]), post
    for note in evidence.noted("struck"):
        client_id = str(note.get("client_id", ""))
        if leg_of(client_id) is not None and note["how"] == "kill" and "_order" in note["step"]:
            yield client_id, f"killed {note['step']}", note


def _false_proofs(evidence: Evidence) -> Iterator[Violation]:
    """4: what was proved absent is not among what the venue had accepted until then."""
    for order in evidence.lines("order"):
        proof = evidence.documents.get(f"proofs/{order['client_id']}")
        if (
            proof
            and proof["verdict"] == "absent"
            and float(order["t"]) < evidence.earliest(proof["at"])
        ):
            yield _at(4, order, f"{order['client_id']} was proved absent, and it was there")


def _sent_again(evidence: Evidence) -> Iterator[Violation]:
    """4: an entry or exit whose fate was not known is sent again only when it was seen absent.

    Absent is what the venue did not know when it was asked twice, at times far enough apart and
    after the receive window; once is enough where its answer hinted that it executed nothing.
    """
    sent: dict[str, Line] = {}
    for line in evidence.posts:
        client_id = client_id_of(line)
        if leg_of(client_id) not in (ENTRY, EXIT):
            continue
        before = sent.get(client_id)
        sent[client_id] = line
        if before is None or not is_doubtful(before):
            continue
        enough, why = _absent_between(evidence, client_id, before, line)
        if not enough:
            yield _at(4, line, f"{client_id} was sent again {why}")


def _absent_between(
    evidence: Evidence, client_id: str, before: Line, after: Line
) -> tuple[bool, str]:
    terms = evidence.terms
    signed_at = int(before["params"].get("timestamp", 0)) / 1000 or float(before["t"])
    closed_at = signed_at + terms.recv_window_s
    answers = [
        float(line["t"])
        for line in evidence.lines("request")
        if line["method"] == "GET"
        and client_id_of(line) == client_id
        and int(line["code"] or 0) == _UNKNOWN_ORDER
        and closed_at - _SLACK_S <= float(line["t"]) <= float(after["t"])
    ]
    hinted = int(before["code"] or 0) == -1001 or (
        int(before["http"] or 0) == 503 and "unknown" not in str(before.get("fault"))
    )
    if hinted:
        return bool(answers), "without a question after its window"
    apart = answers and answers[-1] - answers[0] >= terms.doubt_again_s - _SLACK_S
    return bool(len(answers) >= 2 and apart), f"after {len(answers)} answers that count"


def exits_only_reduce(evidence: Evidence) -> Iterator[Violation]:
    """8: an order of a leg that reduces is reduce-only, and no trade of it grows or flips."""
    for order in evidence.lines("order"):
        reduces = is_true(order["reduce_only"]) or is_true(order.get("close_position"))
        if leg_of(str(order["client_id"])) in REDUCING and not reduces:
            yield _at(8, order, f"{order['client_id']} is not reduce-only")
    for trade in evidence.lines("trade"):
        if leg_of(str(trade["client_id"])) not in REDUCING:
            continue
        after = number(trade, "position")
        before = after - signed_qty(trade)
        if abs(after) >= abs(before) or after * before < 0:
            yield _at(8, trade, f"{trade['client_id']} took {before} to {after}")


def exits_pass(evidence: Evidence) -> Iterator[Violation]:
    """15: each close that was planned reached the venue, or there was nothing left to close."""
    reached = {digest_of(client_id_of(post)) for post in evidence.posts}
    reached |= {digest_of(str(line["client_id"])) for line in evidence.lines("order", "refused")}
    told_to_wait = [
        float(line["t"]) for line in evidence.lines("request") if int(line["http"]) in (418, 429)
    ]
    answers: defaultdict[str, list[Fields]] = defaultdict(list)
    for result in evidence.results:
        answers[result.get("plan_id", "")].append(result)
    for plan in _closes(evidence):
        if plan_digest(plan["plan_id"]) in reached:
            continue
        codes = [answer.get("error_code", "") for answer in answers[plan["plan_id"]]]
        if any(code in _NOTHING_TO_DO for code in codes):
            continue
        told = [wall(a["produced_at"]) for a in answers[plan["plan_id"]]]
        if _SILENCE in codes and any(0 <= t - w <= SILENCE_S for t in told for w in told_to_wait):
            # Nobody may call now; whoever wants the exit asks again.
            continue
        at = wall(plan["produced_at"])
        said = ", ".join(filter(None, codes)) or "no answer"
        what = f"{plan['plan_id']} ({_mode_at(evidence, at)}) never reached the venue: {said}"
        yield Violation(15, what, plan["symbol"], at)


def _closes(evidence: Evidence) -> list[Fields]:
    closes = (*SHARES, _CLOSE)
    return [plan for plan in evidence.plans if plan["action"] in closes]


def _mode_at(evidence: Evidence, at: float) -> str:
    mode = "RUN"
    for note in evidence.noted("mode"):
        if float(note["t"]) <= at:
            mode = str(note["mode"])
    return mode


def _at(invariant: int, line: Line, what: str) -> Violation:
    where = str(line.get("symbol") or line.get("params", {}).get("symbol", ""))
    return Violation(invariant, what, where, float(line["t"]))
