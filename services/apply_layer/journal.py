"""The SENT journal: every order is written down, durably, before the venue hears of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.apply_layer.exchange import OrderType, PlaceOrder
from services.apply_layer.positions import Position, Targets


class Leg(StrEnum):
    """What an order is for; the letter begins its client order id."""

    ENTRY = "e"
    EXIT = "x"
    STOP = "s"
    TARGET = "t"
    FLATTEN = "f"
    PROBE = "p"


#: What a view may show standing, and what must not stand where nothing is held.
RESTING = (Leg.STOP, Leg.TARGET, Leg.PROBE)
_REDUCING_TYPES = {Leg.STOP: OrderType.STOP_MARKET, Leg.TARGET: OrderType.TAKE_PROFIT_MARKET}


#: Protective orders of one position that may be in doubt at once.
_DOUBTFUL_MAX = 3
#: The ids that `client_order_id` makes for what rests at the venue.
RESTING_ID = re.compile(r"[stp][0-9]+-[0-9a-f]{20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class EntryTerms:
    """What an entry's fill needs to become a protected position within its cap."""

    stop_loss: Decimal
    targets: Targets
    max_notional: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """An order is UNKNOWN: it may have been executed. All times are wall clock.

    `not_found` counts the answers that knew nothing of it, `absent_at` has those that count as
    proof: late enough, and far enough apart.
    """

    since: datetime
    reason: str
    proofs_needed: int = 2
    not_found: int = 0
    absent_at: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """What ended a doubt, kept: `verdict` is `found` or `absent`. All times are wall clock."""

    symbol: str
    plan_id: str
    verdict: str
    how: str
    reason: str
    since: datetime
    at: datetime
    absent_at: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """One order without a final outcome. `accepted` is False until the venue confirmed it.

    `produced_at` is when its plan was made, by the wall clock: an entry that turns out never to
    have reached the venue is sent again only within the age limit. `filled_qty` is what its
    trades so far add up to. `retried` says that it was sent again after clocks differed,
    `superseded` that a later exit does what it was to do, `seen` that a view showed it standing.
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
    filled_qty: Decimal = Decimal(0)
    doubt: Doubt | None = None
    retried: bool = False
    superseded: bool = False
    seen: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """Whose order it is: a plan's, or the position's own when it protects itself.

    `at` is the market time of the decision, `produced_at` its wall clock.
    """

    plan_id: str
    intent_id: str | None
    action: str
    at: datetime
    produced_at: datetime


def reducing(
    position: Position,
    leg: Leg,
    cause: Cause,
    *,
    number: int,
    qty: Decimal,
    trigger_price: Decimal | None = None,
    close_position: bool = False,
) -> Sent:
    """A reduce-only order against a position; `number` tells apart a plan's orders of one leg."""
    request = PlaceOrder(
        client_order_id=client_order_id(cause.plan_id, leg, number),
        symbol=position.symbol,
        side=position.side.exit,
        type=_REDUCING_TYPES.get(leg, OrderType.MARKET),
        qty=qty,
        reduce_only=True,
        at=cause.at,
        trigger_price=trigger_price,
        leverage=position.leverage,
        close_position=close_position,
    )
    return Sent(request, leg, cause.action, cause.plan_id, cause.intent_id, cause.produced_at)


def may_protect_again(standing: list[Sent]) -> bool:
    """Whether one more protective order may be sent beside those that have no outcome yet.

    Each of them has to be in doubt and not found when it was asked for, and they are few.
    """
    return len(standing) <= _DOUBTFUL_MAX and all(
        sent.doubt is not None and sent.doubt.not_found for sent in standing
    )


def client_order_id(plan_id: str, leg: Leg, number: int) -> str:
    """The venue's name for one leg of one plan: 24 characters or so, the same every time."""
    name = hashlib.sha256(plan_id.encode()).hexdigest()[:20]
    return f"{leg.value}{number}-{name}"
