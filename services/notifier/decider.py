"""notifier's decision: what is told to whom, and when.

Pure: time arrives in the event. Streams are heard from a cursor of notifier's own, which is part of
its state, as is all that was heard and not told yet: so a restart loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.notifier import records
from services.notifier.news import news_of, news_of_gap
from services.notifier.outbox import Policy, added, due, handed, until
from services.notifier.values import (
    Beat,
    Began,
    Counted,
    Cursor,
    Handed,
    Heard,
    Looked,
    Missed,
    News,
    Outbox,
    Rewound,
    Send,
    State,
    Unseen,
)
from shared.decisions import Note, Received

Output = Send | Counted | Note


def decide(state: State, received: Received[Any], policy: Policy) -> tuple[State, Sequence[Output]]:
    """Take one event into account; only a `Beat` and a `Began` hand anything over."""
    now = received.received_at
    match received.event:
        case Heard() as heard:
            before = state.cursors.get(heard.key, Cursor())
            cursor = Cursor(heard.id, before.heard + 1)
            state = replace(state, cursors={**state.cursors, heard.key: cursor})
            news = news_of(heard)
            return _take(state, () if news is None else (news,), now, policy)
        case Missed() as missed:
            before = state.cursors.get(missed.key, Cursor())
            cursor = replace(before, heard=before.heard + missed.count)
            state = replace(state, cursors={**state.cursors, missed.key: cursor})
            return _take(state, (news_of_gap(missed, now),), now, policy)
        case Rewound(key, end):
            return replace(state, cursors={**state.cursors, key: end}), ()
        case Looked() as looked:
            shown, changes = records.seen(state.shown, looked, now)
            return _take(replace(state, shown=shown), changes, now, policy)
        case Unseen(reason):
            shown, changes = records.unseen(state.shown, reason, now)
            return _take(replace(state, shown=shown), changes, now, policy)
        case Handed() as hand:
            return _handed(state, hand, now)
        case Began() as began:
            return _begin(state, began), ()
        case Beat():
            return _tell(state, now, policy)
    raise TypeError(f"notifier cannot decide {received.event!r}")


def _begin(state: State, began: Began) -> State:
    """Who is told is what the settings say now; whatever was in flight is handed over again."""
    outboxes = {
        name: replace(state.outboxes.get(name, Outbox()), in_flight=False, try_at=None)
        for name in began.receivers
    }
    return State(state.cursors or began.ends, {**state.shown, **began.unseen}, outboxes)


def _take(
    state: State, news: Iterable[News], now: datetime, policy: Policy
) -> tuple[State, Sequence[Output]]:
    outputs: list[Output] = []
    for one in news:
        if not policy.wants(one):
            outputs.append(Counted(one.kind, "filtered", 1))
            continue
        outboxes = {
            name: added(outbox, one, now, policy) for name, outbox in state.outboxes.items()
        }
        state = replace(state, outboxes=outboxes)
    return state, outputs


def _tell(state: State, now: datetime, policy: Policy) -> tuple[State, Sequence[Output]]:
    """Whatever is due goes to its receiver; one notice at a time to each."""
    outputs: list[Output] = []
    for name, before in state.outboxes.items():
        outbox, notice, counted = due(until(before, now, policy), now, policy)
        outputs += counted
        if outbox != before:
            state = replace(state, outboxes={**state.outboxes, name: outbox})
        if notice is not None:
            outputs.append(Send(name, notice))
    return state, outputs


def _handed(state: State, hand: Handed, now: datetime) -> tuple[State, Sequence[Output]]:
    before = state.outboxes.get(hand.receiver)
    if before is None:
        return state, ()
    outbox, counted = handed(before, arrived=hand.how == "arrived", now=now)
    outputs: list[Output] = [*counted]
    if outbox.failures > before.failures:
        fields = {"receiver": hand.receiver, "how": hand.how, "failures": outbox.failures}
        outputs.append(Note("notice_not_taken", fields, level="warning"))
    return replace(state, outboxes={**state.outboxes, hand.receiver: outbox}), outputs
