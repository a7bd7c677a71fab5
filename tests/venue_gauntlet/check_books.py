"""Books: the record, the stream and the venue agree; each trade is told once; the wallet adds up.

Invariants 5 and 9. Pure; each function takes the evidence and yields what it finds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal

from tests.venue_gauntlet.evidence import (
    ZERO,
    Evidence,
    Fields,
    Line,
    Violation,
    by_symbol,
    leg_of,
    number,
    signed_qty,
    wall,
)

_FILL = "fill."


def record_stream_and_venue_agree(evidence: Evidence) -> Iterator[Violation]:
    """5: the position's record, the sum of what was told of it and the ledger are the same."""
    for symbol in evidence.symbols:
        trades = by_symbol(list(evidence.lines("trade")), symbol)
        held = number(trades[-1], "position") if trades else ZERO
        summed = sum((signed_qty(trade) for trade in trades), ZERO)
        if summed != held:
            yield Violation(5, f"the ledger adds up to {summed}, it says {held}", symbol)
        record = evidence.records.get(symbol, {})
        shown = number(record, "qty") * (-1 if record.get("side") == "SHORT" else 1)
        if shown != held:
            yield Violation(5, f"the record says {shown}, the venue holds {held}", symbol)
        told, broken = _told(evidence, symbol)
        yield from broken
        if told != held:
            yield Violation(5, f"the stream adds up to {told}, the venue holds {held}", symbol)


def _told(evidence: Evidence, symbol: str) -> tuple[Decimal, list[Violation]]:
    """Add up the stream: fills, and statements where somebody else's trades come in."""
    held = ZERO
    broken: list[Violation] = []
    for result in by_symbol(list(evidence.results), symbol):
        stated = number(result, "position_qty")
        stated *= -1 if result.get("position_side") == "SHORT" else 1
        if "filled_qty" in result:
            before = held
            held += _signed(result)
            if before * held < 0 and leg_of(result["client_order_id"]) is None:
                # What a hand turned round is a position of its own, which is adopted.
                held = ZERO
            if stated != held:
                what = f"{result['result_id']} states {stated}, the fills so far are {held}"
                broken.append(_of(5, result, what))
                held = stated
        elif result["status"] == "ADOPTED" or result.get("reason") == "changed elsewhere":
            held = stated
    return held, broken


def _signed(result: Fields) -> Decimal:
    qty = number(result, "filled_qty")
    return qty if result["side"] == "BUY" else -qty


def each_trade_is_told_once(evidence: Evidence) -> Iterator[Violation]:
    """9: each trade is one result with the trade's own figures, and no result is without one.

    What somebody else opened (or turned round) from outside is stated when it is adopted, so that
    such a trade may go without a result; and so may what he does with it before it was seen.
    """
    outside: set[str] = set()
    told = Counter(result["result_id"] for result in evidence.results)
    results = {result["result_id"]: result for result in evidence.results}
    known = set()
    for trade in evidence.lines("trade"):
        name = f"{_FILL}{trade['trade_id']}"
        known.add(name)
        if trade["symbol"] in evidence.terms.apart:
            continue
        count = told[name]
        if count > 1:
            yield _at(9, trade, f"trade {trade['trade_id']} was told {count} times")
        elif count == 0 and _from_outside(trade, outside):
            outside.add(str(trade["symbol"]))
        elif count == 0:
            yield _at(9, trade, f"trade {trade['trade_id']} ({trade['client_id']}) was not told")
        else:
            outside.discard(str(trade["symbol"]))
            yield from _same_figures(trade, results[name])
    for name, result in results.items():
        if name.startswith(_FILL) and name not in known:
            yield _of(9, result, f"{name} is no trade of the venue's")
    yield from _sums(evidence)


def _from_outside(trade: Line, outside: set[str]) -> bool:
    """Whether others trade on their own; of the symbols `outside` nothing was told yet."""
    after = number(trade, "position")
    before = after - signed_qty(trade)
    opens = before == 0 or before * after < 0
    return leg_of(str(trade["client_id"])) is None and (opens or trade["symbol"] in outside)


def _same_figures(trade: Line, result: Fields) -> Iterator[Violation]:
    pairs = (
        ("qty", "filled_qty"), ("price", "avg_price"), ("fee", "fee"), ("realized", "realized_pnl"),
    )  # fmt: skip
    for ours, theirs in pairs:
        if number(trade, ours) != number(result, theirs):
            what = f"{result['result_id']}: {theirs} {result[theirs]}, the venue has {trade[ours]}"
            yield _of(9, result, what)


def _sums(evidence: Evidence) -> Iterator[Violation]:
    """9: a position's fees and profit are those of its fills."""
    fees: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    realized: defaultdict[str, Decimal] = defaultdict(lambda: ZERO)
    adopted = {r.get("position_id") for r in evidence.results if r["status"] == "ADOPTED"}
    seen: set[str] = set()
    for result in evidence.results:
        position = result.get("position_id", "")
        if "filled_qty" not in result or position in adopted or result["result_id"] in seen:
            continue
        seen.add(result["result_id"])
        fees[position] += number(result, "fee")
        realized[position] += number(result, "realized_pnl")
        for name, total in (("fees", fees), ("realized_pnl", realized)):
            stated = number(result, f"position_{name}")
            if stated != total[position]:
                what = f"{position}: {name} of its fills are {total[position]}, it states {stated}"
                yield _of(9, result, what)


def wallet_adds_up(evidence: Evidence) -> Iterator[Violation]:
    """9: the wallet is what it was, plus realised profit, minus fees, plus funding."""
    wallet = evidence.terms.wallet
    for line in evidence.lines("trade", "funding"):
        if line["kind"] == "trade":
            wallet += number(line, "realized") - number(line, "fee")
        else:
            wallet += number(line, "amount")
        if wallet != number(line, "wallet"):
            yield _at(9, line, f"the wallet should be {wallet}, it is {line['wallet']}")
            wallet = number(line, "wallet")


def _at(invariant: int, line: Line, what: str) -> Violation:
    return Violation(invariant, what, str(line["symbol"]), float(line["t"]))


def _of(invariant: int, result: Fields, what: str) -> Violation:
    return Violation(invariant, what, result["symbol"], wall(result["produced_at"]))
