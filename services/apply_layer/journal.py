"""The SENT journal: every order is written down, durably, before the venue hears of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.apply_layer.exchange import PlaceOrder
from services.apply_layer.positions import Targets


class Leg(StrEnum):
    """What an order is for; the letter begins its client order id."""

    ENTRY = "e"
    EXIT = "x"
    STOP = "s"
    TARGET = "t"
    FLATTEN = "f"


@dataclass(frozen=True, slots=True)
class EntryTerms:
    """What an entry's fill needs to become a protected position."""

    stop_loss: Decimal
    targets: Targets


@dataclass(frozen=True, slots=True)
class Sent:
    """One order without a final outcome. `accepted` is False until the venue confirmed it.

    `produced_at` is when its plan was made, by the wall clock: an entry that turns out never to
    have reached the venue is sent again only within the age limit.
    """

    request: PlaceOrder
    leg: Leg
    action: str
    plan_id: str
    intent_id: str | None
    produced_at: datetime
    accepted: bool = False
    order_id: str = ""
    terms: EntryTerms | None = None


def client_order_id(plan_id: str, leg: Leg, number: int) -> str:
    """The venue's name for one leg of one plan: 24 characters or so, the same every time."""
    name = hashlib.sha256(plan_id.encode()).hexdigest()[:20]
    return f"{leg.value}{number}-{name}"
