"""The ledger as a timeline: when each position stood without a stop, and when stops stood alone.

Pure; reads ledger lines, writes nothing. Times are wall seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from tests.venue_gauntlet.evidence import (
    ENTRY,
    ZERO,
    Evidence,
    Line,
    client_id_of,
    is_true,
    leg_of,
    number,
)

NAKED_LIMIT_S = 2.0
AFTER_OUTAGE_S = 10.0
FLAT_LIMIT_S = 10.0
#: For how long the venue may want to hear nothing after 429 or 418, at most.
SILENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Span:
    """A symbol was in some state from `start` to `end`."""

    symbol: str
    start: float
    end: float
    what: str = ""

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end - self.start


#: How long it may take until it is known that a stop has ended.
_HEARD_S = 0.3
#: What one call does is written down within this time.
_SAME_CALL_S = 0.02
#: What may trouble the venue, the worst first.
TROUBLES = ("down", "silence", "no answer", "refusal")


@dataclass(frozen=True, slots=True)
class Trouble:
    """From `start` to `end` the venue could not be used, or a call failed: `what` says how."""

    start: float
    end: float
    what: str


@dataclass(slots=True)
class _Stop:
    """A stop that rests; `qty` is None where it closes whatever is held."""

    side: str
    qty: Decimal | None
    trigger: Decimal

    def covers(self, position: Decimal) -> bool:
        """Whether it would close all of a position."""
        return self.is_against(position) and (self.qty is None or self.qty >= abs(position))

    def is_against(self, position: Decimal) -> bool:
        """Whether it is of the side that reduces a position."""
        return self.side == ("SELL" if position > 0 else "BUY")

    def is_past(self, mark: Decimal) -> bool:
        """Whether a mark has triggered it."""
        return mark <= self.trigger if self.side == "SELL" else mark >= self.trigger


@dataclass(slots=True)
class _Symbol:
    """One symbol while its lines are read."""

    position: Decimal = ZERO
    #: Whether an entry of ours opened it; what a hand opens has to be found first.
    entered: bool = False
    stops: dict[tuple[str, str], _Stop] = field(default_factory=dict)
    resting: dict[tuple[str, str], str] = field(default_factory=dict)
    #: When a stop was last ended by the venue.
    lost_at: float = 0.0
    naked_since: float | None = None
    alone_since: float | None = None

    @property
    def covered(self) -> bool:
        """Whether a stop would close all that is held."""
        return any(stop.covers(self.position) for stop in self.stops.values())

    @property
    def stopped(self) -> bool:
        """Whether a stop would close a part of it at least."""
        return any(stop.is_against(self.position) for stop in self.stops.values())


def timeline(evidence: Evidence) -> tuple[list[Span], list[Span]]:
    """Spans of nakedness, and spans in which an order of ours rested on nothing."""
    naked, alone, _ = _read(evidence)
    return naked, alone


def bared(evidence: Evidence) -> list[Span]:
    """The moments at which the only stop of a position that we opened was withdrawn by us.

    Each is a span without length; `what` is the stop's client id. A smaller one beside it is as
    large as the position was when it was placed: what others add comes to be known later.
    """
    asked = [line for line in evidence.lines("request") if line["method"] == "DELETE"]
    return [gone for gone in _read(evidence)[2] if _by_us(gone, asked)]


def _by_us(gone: Span, asked: list[Line]) -> bool:
    """Whether a call of ours withdrew it, and not a hand: its line comes right after the end."""
    return any(
        client_id_of(line) == gone.what
        and not line["code"]
        and 0 <= float(line["t"]) - gone.start <= _SAME_CALL_S
        for line in asked
    )


def _read(evidence: Evidence) -> tuple[list[Span], list[Span], list[Span]]:
    naked: list[Span] = []
    alone: list[Span] = []
    withdrawn: list[Span] = []
    symbols: dict[str, _Symbol] = {}
    for line in evidence.lines("order", "ended", "trade", "mark"):
        name, at = str(line["symbol"]), float(line["t"])
        if name in evidence.terms.apart:
            continue
        state = symbols.setdefault(name, _Symbol())
        was_covered, stood = state.covered, len(state.stops)
        _apply(state, line)
        bare = bool(state.position) and not state.covered
        ours = leg_of(str(line.get("client_id", ""))) is not None
        alone_no_more = was_covered and bool(state.position) and not state.stopped
        cancelled = ours and line.get("status") == "CANCELED"
        # Of a stop that the venue has just ended nobody can have heard.
        if alone_no_more and cancelled and state.entered and at - state.lost_at > _HEARD_S:
            withdrawn.append(Span(name, at, at, str(line["client_id"])))
        if len(state.stops) < stood and not cancelled:
            state.lost_at = at
        state.naked_since = _edge(naked, name, state.naked_since, at, holds=bare)
        lonely = not state.position and bool(state.resting)
        state.alone_since = _edge(alone, name, state.alone_since, at, holds=lonely)
    for name, state in symbols.items():
        for spans, since in ((naked, state.naked_since), (alone, state.alone_since)):
            if since is not None:
                end = max(evidence.terms.ended_at, since)
                spans.append(Span(name, since, end, "to the end of the run"))
    return naked, alone, withdrawn


def _edge(
    spans: list[Span], symbol: str, since: float | None, at: float, *, holds: bool
) -> float | None:
    """Begin or end a span; returns since when it lasts, if it does."""
    if holds:
        return at if since is None else since
    if since is not None and at > since:
        spans.append(Span(symbol, since, at))
    return None


def _apply(state: _Symbol, line: Line) -> None:
    match line["kind"]:
        case "trade":
            before, state.position = state.position, number(line, "position")
            if before * state.position <= 0:
                state.entered = leg_of(str(line["client_id"])) == ENTRY
        case "order":
            _rest(state, line)
        case "ended":
            key = (str(line["book"]), str(line["order_id"]))
            state.stops.pop(key, None)
            state.resting.pop(key, None)
        case "mark":
            # What a mark has triggered protects no longer, whether or not it came to a trade.
            mark = number(line, "price")
            for key in [key for key, stop in state.stops.items() if stop.is_past(mark)]:
                del state.stops[key]


def _rest(state: _Symbol, line: Line) -> None:
    closes = is_true(line.get("close_position"))
    client_id = str(line["client_id"])
    conditional = line["type"] in ("STOP_MARKET", "TAKE_PROFIT_MARKET")
    if not conditional or not (closes or is_true(line["reduce_only"])):
        return
    if line["book"] == "orders":
        # What a conditional order became when it triggered: it does not rest.
        return
    key = (str(line["book"]), str(line["order_id"]))
    if leg_of(client_id) is not None:
        state.resting[key] = client_id
    if line["type"] == "STOP_MARKET" and line.get("working_type", "MARK_PRICE") == "MARK_PRICE":
        state.stops[key] = _Stop(
            side=str(line["side"]),
            qty=None if closes else number(line, "qty"),
            trigger=number(line, "trigger"),
        )


def troubles(evidence: Evidence) -> list[Trouble]:
    """When the venue could not be used: spells of it being down, and calls that it let fail.

    A call that got no answer lasts as long as the client waits for one, and one that was answered
    by a wish for silence as long as that. Stale answers and lost events are no such trouble: the
    venue was there.
    """
    found: list[Trouble] = []
    down_since: float | None = None
    for line in evidence.lines("down", "up", "request"):
        at = float(line["t"])
        if line["kind"] == "down":
            down_since = at if down_since is None else down_since
        elif line["kind"] == "up":
            if down_since is not None:
                found.append(Trouble(down_since, at, "down"))
            down_since = None
        elif (trouble := _of_a_call(line, evidence.terms.timeout_s)) is not None:
            found.append(trouble)
    if down_since is not None:
        found.append(Trouble(down_since, evidence.terms.ended_at, "down"))
    return sorted(found, key=lambda trouble: trouble.start)


def _of_a_call(request: Line, timeout_s: float) -> Trouble | None:
    """The trouble that an answer tells of; None where all is well."""
    at, http = float(request["t"]), int(request["http"] or 0)
    if http in (418, 429):
        return Trouble(at, at + SILENCE_S, "silence")
    if not http:
        return Trouble(at, at + timeout_s, "no answer")
    if http >= 500 or http == 408:
        return Trouble(at, at, "no answer")
    return Trouble(at, at, "refusal") if request.get("fault") and http >= 400 else None


def deadline_of(span: Span, limit_s: float, troubled: list[Trouble]) -> float:
    """Until when a span may last: its limit, or later if the venue could not be used meanwhile.

    Trouble that comes when it is too late already is no excuse.
    """
    deadline = span.start + limit_s
    for trouble in troubled:
        if trouble.end >= span.start and trouble.start <= deadline:
            deadline = max(deadline, trouble.end + AFTER_OUTAGE_S)
    return deadline


def overdue(spans: list[Span], evidence: Evidence, limit_s: float) -> Iterator[tuple[Span, float]]:
    """The spans that lasted too long while apply_layer lived, each with its deadline."""
    troubled, dead = troubles(evidence), dead_times(evidence)
    for span in spans:
        deadline = deadline_of(span, limit_s + seconds_in(span, dead), troubled)
        if span.end > deadline:
            yield span, deadline


def dead_times(evidence: Evidence) -> list[tuple[float, float]]:
    """When no life was up: from a strike until the next life has taken over."""
    taken = sorted(float(note["t"]) for note in evidence.noted("acquired"))
    times: list[tuple[float, float]] = []
    for note in evidence.noted("struck"):
        start = float(note["t"])
        end = next((at for at in taken if at > start), evidence.terms.ended_at)
        if times and start <= times[-1][1]:
            start = times[-1][1]
        if end > start:
            times.append((start, end))
    return times


def seconds_in(span: Span, times: list[tuple[float, float]]) -> float:
    """How much of a span lies in some times that do not overlap."""
    return sum(max(0.0, min(span.end, end) - max(span.start, start)) for start, end in times)


def trouble_in(span: Span, troubled: list[Trouble]) -> str:
    """The worst that troubled the venue while a span lasted; nothing if every call succeeded."""
    met = {t.what for t in troubled if t.end >= span.start and t.start <= span.end}
    return next((what for what in TROUBLES if what in met), "")
