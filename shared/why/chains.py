"""One intent and all that came of it: its plans and their outcomes, told apart by their ids.

Pure; reads and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from shared.contracts import (
    AwaitingExitsPlan,
    FillResult,
    RefusedResult,
    SkipPlan,
    StopMovedResult,
)
from shared.why.picture import Picture, Said

#: What apply_layer says of an order that the venue took and then let go; the code is the venue's.
_ENDED = "the order ended"


@dataclass(frozen=True, slots=True)
class Chain:
    """One intent and all that came of it, oldest first."""

    intent_id: str
    intent: Said | None = None
    plans: tuple[Said, ...] = ()
    results: tuple[Said, ...] = ()

    @property
    def said(self) -> tuple[Said, ...]:
        """All of it."""
        return (*((self.intent,) if self.intent else ()), *self.plans, *self.results)

    @property
    def kind(self) -> str:
        """What it wants done: ENTRY, PARTIAL_25 and so on, FULL_CLOSE_PROPOSED or MOVE_STOP."""
        if self.intent is not None:
            return str(self.intent.message.intent_type).removeprefix("HARVEST_")
        action = str(self.plans[0].message.action)
        return "ENTRY" if action == "ENTRY_PROPOSED" else action

    @property
    def position_id(self) -> str | None:
        """The position that an exit is for, or that an entry opened."""
        for said in self.said:
            of_exit = said not in self.results and self.kind != "ENTRY"
            if of_exit or isinstance(said.message, FillResult):
                found: str | None = said.message.position_id
                return found
        return None

    @property
    def plan_id(self) -> str | None:
        """The plan that it was given."""
        return str(self.plans[0].message.plan_id) if self.plans else None

    @property
    def to_execute(self) -> Said | None:
        """The plan that goes to the venue."""
        return next((s for s in reversed(self.plans) if s.message.decision == "EXECUTE"), None)

    @property
    def skipped(self) -> Said | None:
        """The plan that refuses it."""
        return next((s for s in self.plans if isinstance(s.message, SkipPlan)), None)

    @property
    def awaits_exits(self) -> bool:
        """Whether an admitted entry has no stop yet."""
        return bool(self.plans) and isinstance(self.plans[-1].message, AwaitingExitsPlan)

    @property
    def outcome(self) -> Said | None:
        """What became of its plan in the end; a part of it is no end."""
        done = (s for s in reversed(self.results) if s.message.status != "PARTIALLY_FILLED")
        return next(done, None)

    @property
    def refused(self) -> Said | None:
        """The refusal that ended it, of a plan or of the venue."""
        end = self.outcome
        if end is not None:
            return end if isinstance(end.message, RefusedResult) else None
        return self.skipped

    @property
    def open(self) -> bool:
        """Whether it still waits for something."""
        return self.outcome is None and self.skipped is None


def chains_of(picture: Picture) -> dict[str, Chain]:
    """Every intent of the picture's symbol, by its id, in the order in which they came."""
    chains: dict[str, Chain] = {}
    for said in picture.intents:
        # The same intent again is a repeat, and the first is the one that was decided.
        chains.setdefault(said.message.intent_id, Chain(said.message.intent_id, said))
    for said in picture.plans:
        name = said.message.intent_id
        chain = chains.get(name, Chain(name))
        chains[name] = replace(chain, plans=(*chain.plans, said))
    for said in picture.results:
        chain_ = chains.get(said.message.intent_id or "")
        if chain_ is not None and is_of(chain_.kind, said.message):
            chains[chain_.intent_id] = replace(chain_, results=(*chain_.results, said))
    return chains


def is_of(kind: str, result: Any) -> bool:
    """Whether a result that bears an intent's id is of what that intent, by its kind, asked for.

    What protects a position bears the ids of the entry that opened it, and is no outcome of that.
    """
    if isinstance(result, StopMovedResult):
        return kind == "MOVE_STOP"
    return not (is_exit(result) and kind in ("ENTRY", "MOVE_STOP"))


def is_exit(result: Any) -> bool:
    """Whether a result is a trade that reduced a position."""
    return isinstance(result, FillResult) and result.reduceOnly


def fill_name(fill: Any) -> str:
    """What a trade was for: a stop or a forced close by its status, others by their action."""
    if fill.status in ("STOPPED_OUT", "LIQUIDATED", "DELEVERAGED", "SETTLED"):
        return str(fill.status)
    return str(fill.reason or fill.status)


def who_refused(refusal: Any) -> str:
    """Whose refusal it is, and its code: a plan's is its author's, a number is the venue's."""
    if isinstance(refusal, SkipPlan):
        return f"{refusal.source} refused with {refusal.reason}"
    code: str = refusal.error_code
    if refusal.reason == _ENDED:
        return f"the venue ended the order with {code}"
    if code.lstrip("-").isdecimal():
        return f"the venue refused with {code}"
    return f"apply_layer refused with {code}"


def why_refused(refusal: Any) -> str:
    """The sentence that goes with the code."""
    if isinstance(refusal, SkipPlan):
        return str(refusal.detail)
    return "" if refusal.reason == _ENDED else str(refusal.reason)
