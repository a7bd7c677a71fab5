"""Why has nothing been sold? What stands in the way of a symbol's next exit or entry, in order.

Pure; reads and writes nothing. The first finding is the reason: dangers first, then the first hop
at which anything stands still, then what was refused, and last that nothing is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.contracts import FillResult
from shared.streams import position_key
from shared.why.chains import Chain, fill_name, who_refused, why_refused
from shared.why.hops import ENTRY_HOPS, EXIT_HOPS, feed, halted, no_entries, standing
from shared.why.picture import Letter
from shared.why.rungs import RungView, rungs_of
from shared.why.story import Held, Story
from shared.why.venue import (
    entries_barred,
    over_cap,
    quarantined,
    stop_missing,
    unknown_orders,
    venue_away,
)
from shared.why.words import Finding, Verdict, clock, on_tick, plain, safe, span

_PARTIALS = ("PARTIAL_25", "PARTIAL_50", "PARTIAL_75")
_CLOSE = "FULL_CLOSE_PROPOSED"
#: How long an answer may take before its absence means something, in seconds.
_SOON_S = 5.0
#: Dead letters that are told of one symbol, the newest.
_LETTERS_TOLD = 5


def findings_of(story: Story) -> list[Finding]:
    """All there is to say of the symbol, the reason first."""
    if story.held is not None:
        found = _of_position(story, story.held)
    elif position_key(story.picture.symbol) in _unread(story):
        found = _of_nobody_knows(story)
    else:
        found = _of_flat(story)
    return _once(iter([*found, *_unreadable(story)]))


def _unread(story: Story) -> dict[str, str]:
    return {each.what: each.why for each in story.picture.unreadable}


def _of_nobody_knows(story: Story) -> Iterator[Finding]:
    """The record of the position is there and makes no sense."""
    key = position_key(story.picture.symbol)
    text = f"the record {key} cannot be read, so nobody knows what is held: {_unread(story)[key]}"
    yield Finding("record_unreadable", "fail", text)
    yield from quarantined(story)
    yield from halted(story.picture)
    yield from feed(story)
    yield from standing(story, EXIT_HOPS)
    yield from entries_barred(story)
    yield from _letters(story)


def _unreadable(story: Story) -> Iterator[Finding]:
    """What stands in the server and makes no sense, wherever it is."""
    for what, why in _unread(story).items():
        yield Finding("unreadable", "warn", f"{safe(what)} cannot be read: {safe(why)}")


def findings_of_one(story: Story, chain: Chain) -> list[Finding]:
    """All there is to say of one intent."""
    found: list[Finding] = []
    if chain.open:
        found += halted(story.picture)
        found += standing(story, ENTRY_HOPS if chain.kind == "ENTRY" else EXIT_HOPS)
    # A hop that stands still says more than that no answer has come.
    return _once(iter([*found, explain(story, chain), *_letters(story, chain.intent_id)]))


def findings_of_unread(story: Story, id_: str) -> list[Finding]:
    """What there is to say of an id that no readable intent or plan has."""
    for letter in story.picture.letters:
        if id_ in (letter.fields.get("intent_id"), letter.fields.get("plan_id")):
            return [_letter(story, letter, "fail")]
    return [Finding("unknown_id", "warn", f"the streams tell of {id_} and not where it came from")]


def _once(findings: Iterator[Finding]) -> list[Finding]:
    """Each once, where it stands first: the same letter may be the reason and one of several."""
    once: dict[str, Finding] = {}
    for finding in findings:
        once.setdefault(finding.text, finding)
    return list(once.values())


def _of_position(story: Story, held: Held) -> Iterator[Finding]:
    rungs = list(rungs_of(story))
    yield from stop_missing(story, held)
    yield from over_cap(story)
    yield from quarantined(story)
    yield from halted(story.picture)
    yield from feed(story)
    yield from venue_away(story)
    told: set[str] = set()
    yield from standing(story, EXIT_HOPS, told)
    yield from unknown_orders(story)
    yield from _due(story, rungs)
    yield from _unknown_history(story)
    yield from _not_due(story, held, rungs)
    yield from _stop_refused(story)
    yield from _letters(story)
    yield from entries_barred(story)
    beside = tuple(hop for hop in ENTRY_HOPS if hop not in EXIT_HOPS)
    for finding in standing(story, beside, told):
        yield Finding(finding.code, "warn", finding.text)


def _of_flat(story: Story) -> Iterator[Finding]:
    picture = story.picture
    yield from halted(picture)
    if picture.left_alone is not None:
        text = f"the account holds {plain(picture.left_alone)}, which is not ours and left alone"
        yield Finding("left_alone", "warn", f"{text}: adopt = false in [apply_layer]")
    entries = [chain for chain in story.chains.values() if chain.kind == "ENTRY"]
    last = entries[-1] if entries else None
    ended = explain(story, last) if last is not None and not last.open else None
    if ended is not None and ended.verdict != "ok":
        yield ended
    yield from quarantined(story)
    yield from no_entries(picture)
    yield from unknown_orders(story)
    yield from entries_barred(story)
    if ended is not None:
        yield ended
    yield from feed(story)
    yield from standing(story, ENTRY_HOPS)
    if last is not None and last.open:
        yield explain(story, last)
    yield from _letters(story)
    if last is None and (position := _last_position(story)) is not None:
        text = f"no position is open: {_how_it_ended(story, position)}"
        yield Finding("ended", "ok", text)
    elif last is None:
        text = f"no position in {picture.symbol} is open, and the streams know of no entry"
        yield Finding("nothing_asked", "ok", text)


def _due(story: Story, rungs: list[RungView]) -> Iterator[Finding]:
    """An exit that is due and has not come about: where it is, or who refused it."""
    score = story.kill_score
    if score is not None and score >= Decimal(str(story.picture.terms.kill_threshold)):
        yield from _wanted(story, _CLOSE, f"the kill score is {score:.2f}", [_CLOSE])
    due = [rung for rung in rungs if rung.state == "due"]
    if due:
        yield from _wanted(story, due[-1].name, due[-1].why, [*_PARTIALS, _CLOSE])
    asked = story.chains_of(*_PARTIALS, _CLOSE)
    if asked and asked[-1].open:
        yield explain(story, asked[-1])


def _wanted(story: Story, name: str, why: str, kinds: list[str]) -> Iterator[Finding]:
    asked = story.chains_of(*kinds)
    last = asked[-1] if asked else None
    if last is not None and (last.open or last.refused is not None):
        yield explain(story, last)
        return
    if not story.watched:
        age_s = story.picture.age_s(story.told[-1].at) if story.told else _SOON_S + 1
        verdict: Verdict = "wait" if age_s < _SOON_S else "fail"
        text = "harvest_brain has no record of this position: it has not heard of it"
        yield Finding("not_watched", verdict, text)
        return
    seen = story.evaluated_at
    told = f"{seen:%d %b %H:%M:%S} in market time" if seen else "never"
    text = f"{name} is due ({why}), and harvest_brain has not asked for it; it last looked {told}"
    yield Finding("not_asked", "wait", text)


def explain(story: Story, chain: Chain) -> Finding:
    """What became of one intent, or where it is now."""
    picture = story.picture
    for letter in picture.letters:
        if _is_of(letter, chain):
            return _letter(story, letter, "fail")
    end, refusal = chain.outcome, chain.refused
    if refusal is not None:
        when = clock(refusal.at, picture.now)
        why = why_refused(refusal.message)
        text = f"{chain.kind}: {who_refused(refusal.message)} at {when}"
        text += f" ({why})" if why else ""
        return Finding("refused", "fail", text + _retry(story, chain))
    if end is None:
        return _on_its_way(story, chain)
    result = end.message
    text = f"{chain.kind} is {result.status} since {clock(end.at, picture.now)}"
    if chain.kind == "ENTRY" and story.held is None:
        text += f"; {_how_it_ended(story, chain.position_id)}"
    return Finding("done", "ok", text)


def _is_of(letter: Letter, chain: Chain) -> bool:
    return letter.fields.get("intent_id") == chain.intent_id and any(
        said.id == letter.id for said in chain.said
    )


def _retry(story: Story, chain: Chain) -> str:
    """When a refused exit is asked for again, which is counted in market time."""
    if chain.kind == "ENTRY" or not story.watched:
        return ""
    wish = {"MOVE_STOP": "MOVE_STOP", _CLOSE: _CLOSE}.get(chain.kind, "RUNG")
    words = (w.partition("=") for w in story.picture.harvest.get("retry_at", "").split())
    again = {name: at for name, _, at in words}.get(wish)
    if again is None:
        return ""
    count = story.picture.harvest.get("refusals", "")
    times = "once" if count == "1" else f"{count} times"
    return f"; refused {times} in a row, asked again from {again[11:19]} market time"


def _on_its_way(story: Story, chain: Chain) -> Finding:
    picture = story.picture
    said = chain.said[-1]
    late = picture.age_s(said.at) > _SOON_S
    since = f"since {clock(said.at, picture.now)}, {span(picture.age_s(said.at))}"
    if not chain.plans:
        waits_for, stream = "intent_bridge", "trade.intent"
    elif chain.awaits_exits:
        waits_for, stream = "exitbrain", "apply.plan"
    else:
        waits_for, stream = "apply_layer", "apply.plan"
    orders = [order for order in picture.orders if order.plan_id == chain.plan_id]
    orders = [order for order in orders if order.leg in ("entry", "exit")]
    if waits_for == "apply_layer" and orders:
        order = orders[0]
        how = "is unknown" if order.doubt else "stands" if order.accepted else "has no answer yet"
        text = f"{chain.kind} waits for the venue {since}: its order {order.client_order_id} {how}"
        return Finding("at_the_venue", "fail" if late else "wait", text)
    text = f"{chain.kind} waits for {waits_for} {since}"
    queue = picture.queues.get((stream, waits_for))
    if queue is not None and queue.finished(said.id):
        text += ", which is done with it and told no outcome: see its log"
    return Finding("on_its_way", "fail" if late else "wait", text)


def _last_position(story: Story) -> str | None:
    told = (s.message.position_id for s in reversed(story.picture.results))
    return next((name for name in told if name is not None), None)


def _how_it_ended(story: Story, position_id: str | None) -> str:
    own = [s for s in story.picture.results if s.message.position_id == position_id]
    if not own or own[-1].message.position_qty:
        return "what became of the position is not told"
    last = own[-1].message
    how = fill_name(last) if isinstance(last, FillResult) else "somebody else"
    money = (
        ""
        if last.position_realized_pnl is None
        else (f", realised {plain(last.position_realized_pnl)} before fees")
    )
    return f"the position ended {clock(own[-1].at, story.picture.now)} by {how}{money}"


def _unknown_history(story: Story) -> Iterator[Finding]:
    if story.unknown_history:
        text = (
            "adopted, and its history is unknown: its trades do not reach back to its opening, so "
            "every rung counts as taken and nothing is sold twice; its stop and the kill score hold"
        )
        yield Finding("history_unknown", "warn", text)


def _not_due(story: Story, held: Held, rungs: list[RungView]) -> Iterator[Finding]:
    """Nothing is due: how far away the next rung is, or that none is left."""
    if any(rung.state == "due" for rung in rungs):
        return
    reached = max(held.r, held.r_max)
    small = [r for r in rungs if r.state == "merged" and r.r_level <= reached]
    if small and not any(r.state == "taken" and r.r_level > small[-1].r_level for r in rungs):
        text = "; ".join(f"{rung.name} at {plain(rung.r_level)} R is {rung.why}" for rung in small)
        yield Finding("merged", "warn", f"R was {reached:.2f}. {text}")
    score = story.kill_score
    limit = story.picture.terms.kill_threshold
    kill = "not evaluated" if score is None else f"{score:.2f} of {limit:.2f}"
    ahead = next((rung for rung in rungs if rung.state == "next"), None)
    if ahead is None:
        text = f"no rung is left: {plain(held.qty)} of {plain(held.initial_qty)} runs on until its "
        yield Finding("all_taken", "ok", f"{text}stop or the kill score ends it ({kill})")
        return
    price = on_tick(ahead.price, story.tick_size)
    text = (
        f"R is {held.r:.2f} (at most {reached:.2f} so far): {ahead.name} is due at "
        f"{ahead.r_level:.2f} R, at {price}, {abs(ahead.away_pct or 0)} % from "
        f"{plain(held.mark_price)}; the kill score is {kill}"
    )
    yield Finding("thresholds", "ok", text)


def _stop_refused(story: Story) -> Iterator[Finding]:
    moves = story.chains_of("MOVE_STOP")
    if moves and moves[-1].refused is not None:
        yield Finding("stop_refused", "warn", explain(story, moves[-1]).text)


def _letters(story: Story, intent_id: str | None = None) -> Iterator[Finding]:
    """The newest dead letters of the symbol, or of one intent."""
    letters = [
        letter
        for letter in story.picture.letters
        if intent_id is None or letter.fields.get("intent_id") == intent_id
    ]
    for letter in letters[-_LETTERS_TOLD:]:
        yield _letter(story, letter, "warn")
    if len(letters) > _LETTERS_TOLD:
        text = f"{len(letters) - _LETTERS_TOLD} older dead letters: see `quantum dead list`"
        yield Finding("dead_letter", "warn", text)


def _letter(story: Story, letter: Letter, verdict: Verdict) -> Finding:
    name = letter.fields.get("intent_id") or letter.fields.get("plan_id") or "no id"
    text = (
        f"{letter.stream} {letter.id} ({name}) was put aside as a dead letter at "
        f"{clock(letter.at, story.picture.now)} by {letter.group}: {letter.code}, {letter.detail}"
    )
    return Finding("dead_letter", verdict, text)
