"""Whose ids are whose, and who may ask for an exit. Pure; reads and writes nothing.

The suite's own daemons and the operator's commands share one name space: their ids name positions.
Each other source has its own, so that no id of a producer is ever taken for one of theirs.
"""

from __future__ import annotations

import hashlib

from services.intent_bridge.state import Policy
from shared.contracts import TradeIntent
from shared.decisions import DeadLetter, Produced

#: Whoever may reduce what is held without being named in the settings.
MAY_EXIT = frozenset({"harvest_brain", "operator"})
OWN_SOURCES = MAY_EXIT | {"trading_bot"}

_PLAN_ID_MAX = 64


def pass_on(produced: Produced[TradeIntent]) -> TradeIntent | DeadLetter:
    """What a producer wrote to its own stream, for trade.intent; it speaks in its own name alone.

    The stream is the one thing about a producer that the server vouches for.
    """
    intent = produced.message
    if intent.source != produced.producer:
        detail = f"source: {intent.source} wrote to the stream of {produced.producer}"
        return DeadLetter("foreign_source", detail)
    return intent


def may_exit(source: str, policy: Policy) -> bool:
    """Whether a source may close a part of a position, all of it, or move its stop."""
    producer = policy.producers.get(source)
    return source in MAY_EXIT or (producer is not None and producer.may_exit)


def decision_id(source: str, intent_id: str) -> str:
    """The name under which an intent is remembered: no source outside can take one of ours."""
    return intent_id if source in OWN_SOURCES else f"{source}:{intent_id}"


def plan_id_of(source: str, intent_id: str) -> str:
    """The one plan of an intent: `plan.<id>`, or `plan:<source>:<id>` for a source outside.

    Where that is too long for an id, a digest of the intent's stands for it.
    """
    if source in OWN_SOURCES:
        return f"plan.{intent_id}"
    name = f"plan:{source}:{intent_id}"
    if len(name) <= _PLAN_ID_MAX:
        return name
    prefix = f"plan:{source}:"
    digest = hashlib.sha256(intent_id.encode()).hexdigest()
    return prefix + digest[: _PLAN_ID_MAX - len(prefix)]
