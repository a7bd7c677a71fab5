"""Ages by this daemon's own clock, and what becomes of them when that clock has stepped.

Within a life `received_at` never goes back. Over a restart it may have, and then a stored time lies
ahead of now: nothing is known of its age, so it counts from now on. Whether the clock went forward
nobody can tell, so what must not end early counts from the start of a life (`Began.after_start`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from services.apply_layer.journal import Doubt, Sent
from services.apply_layer.positions import Position
from services.apply_layer.turn import Turn

T = TypeVar("T")


def age_s(turn: Turn, since: datetime) -> float:
    """How many seconds have passed since a moment of this daemon's clock; 0 for one to come."""
    return max((turn.now - since).total_seconds(), 0.0)


def out_of_time(turn: Turn, produced_at: datetime) -> tuple[str, str] | None:
    """Why a plan that was made at this wall clock must not open anything now, if it must not."""
    age_s = (turn.now - produced_at).total_seconds()
    if age_s > turn.policy.max_intent_age_s:
        return "stale_plan", f"it is {age_s:.1f} s old"
    if age_s < -turn.policy.max_intent_age_s:
        return "ahead_of_time", f"it was made {-age_s:.1f} s ahead of the clock here"
    return None


def heal(turn: Turn) -> None:
    """Let every stored time that lies ahead of now count from now on, and say so once."""
    ahead = max(
        (at - turn.now for at in _stored(turn) if at is not None and at > turn.now), default=None
    )
    if ahead is None:
        return
    turn.note("clock_went_back", "error", by_s=round(ahead.total_seconds(), 3))
    state, now = turn.state, turn.now
    turn.state = replace(
        state,
        positions=_each(state.positions, lambda position: _position(position, now)),
        orders=_each(state.orders, lambda sent: _sent(sent, now)),
        unexplained=_each(
            state.unexplained, lambda seen: replace(seen, since=min(seen.since, now))
        ),
        forced=_each(state.forced, lambda at: min(at, now)),
        late=_each(state.late, lambda at: min(at, now)),
    )


def _stored(turn: Turn) -> Iterable[datetime | None]:
    """Every time of this daemon's clock that is measured against now."""
    state = turn.state
    for position in state.positions.values():
        yield position.unprotected_since
        yield position.shown_at
        yield position.heard_at
    for sent in state.orders.values():
        yield sent.request.sent_at
        if sent.doubt is not None:
            yield sent.doubt.since
            yield from sent.doubt.absent_at
    yield from (seen.since for seen in state.unexplained.values())
    yield from state.forced.values()
    yield from state.late.values()


def _each(table: Mapping[str, T], change: Callable[[T], T]) -> Mapping[str, T]:
    return {key: change(entry) for key, entry in table.items()}


def _past(at: datetime | None, now: datetime) -> datetime | None:
    return None if at is None else min(at, now)


def _position(position: Position, now: datetime) -> Position:
    return replace(
        position,
        unprotected_since=_past(position.unprotected_since, now),
        shown_at=_past(position.shown_at, now),
        heard_at=_past(position.heard_at, now),
    )


def _sent(sent: Sent, now: datetime) -> Sent:
    request = replace(sent.request, sent_at=_past(sent.request.sent_at, now))
    return replace(sent, request=request, doubt=sent.doubt and _doubt(sent.doubt, now))


def _doubt(doubt: Doubt, now: datetime) -> Doubt:
    absent_at = tuple(min(at, now) for at in doubt.absent_at)
    return replace(doubt, since=min(doubt.since, now), absent_at=absent_at)
