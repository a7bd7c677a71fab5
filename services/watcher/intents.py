"""Intents that wait for an outcome. Pure; reads and writes nothing.

The outcome of an intent is one of three: a plan with decision=SKIP, a final apply.result, or a dead
letter. Whatever has none stands somewhere between the hops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shared.contracts import SkipPlan
from shared.why.chains import is_of
from shared.why.picture import Letter, Said


@dataclass(frozen=True, slots=True)
class Waiting:
    """An intent without an outcome; `since` is when the server took it."""

    intent_id: str
    symbol: str
    kind: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Intents:
    """By id. Those that had their outcome are remembered: the same id again is a repeat."""

    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    answered: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def oldest(self) -> Waiting | None:
        """The one that has waited longest."""
        return min(self.waiting.values(), key=lambda one: one.since, default=None)


def heard(intents: Intents, said: Iterable[Said], letters: Iterable[Letter]) -> Intents:
    """The intents after these messages."""
    waiting, answered = dict(intents.waiting), dict(intents.answered)

    def answer(intent_id: str | None, at: datetime) -> None:
        if intent_id:
            waiting.pop(intent_id, None)
            answered[intent_id] = at

    for one in said:
        message: Any = one.message
        if message.stream_name == "trade.intent":
            name = message.intent_id
            if name not in waiting and name not in answered:
                kind = str(message.intent_type).removeprefix("HARVEST_")
                waiting[name] = Waiting(name, message.symbol, kind, one.at)
        elif isinstance(message, SkipPlan):
            answer(message.intent_id, one.at)
        elif message.stream_name == "apply.result":
            known = waiting.get(message.intent_id or "")
            final = message.status != "PARTIALLY_FILLED"
            if final and (known is None or is_of(known.kind, message)):
                answer(message.intent_id, one.at)
    for letter in letters:
        answer(letter.fields.get("intent_id"), letter.at)
    return Intents(waiting, answered)


def forgotten(intents: Intents, before: datetime) -> Intents:
    """Without the answers that are older than a moment: nobody repeats an id so late."""
    oldest = min(intents.answered.values(), default=None)
    if oldest is None or oldest >= before:
        return intents
    kept = {name: at for name, at in intents.answered.items() if at >= before}
    return Intents(intents.waiting, kept)


def until(intents: Intents, now: datetime) -> Intents:
    """Without times that have not come: the clock was set back, or an id is of a future."""
    waiting, answered = intents.waiting, intents.answered
    if any(one.since > now for one in waiting.values()):
        waiting = {name: replace(one, since=min(one.since, now)) for name, one in waiting.items()}
    if any(at > now for at in answered.values()):
        answered = {name: min(at, now) for name, at in answered.items()}
    return Intents(waiting, answered)
