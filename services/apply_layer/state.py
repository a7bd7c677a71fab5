"""apply_layer's state and policy: what it remembers between two events, and what it goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.apply_layer.exchange import Quarantine, SymbolRules
from services.apply_layer.journal import Leg, Proof, Sent
from services.apply_layer.positions import Position
from shared.repeats import Seen
from shared.sides import PositionSide

#: The one key of `State.numbers` in use: the number of the last order that was sent.
ORDERS = "orders"
#: The code of a quarantine that this daemon decided itself.
INCONSISTENT = "inconsistent"
#: The one key of `State.stops_barred`.
ACCOUNT = "account"


class TakeProfitMode(StrEnum):
    """Who takes the profit. HARVEST: the ladder. BRACKET: one target. SCHEME: three targets."""

    HARVEST = "harvest"
    BRACKET = "bracket"
    SCHEME = "scheme"


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds. `adopt=False` leaves positions of others alone.

    An order in doubt counts as absent after two answers that know nothing of it, the first not
    before `doubt_first_s` after it was sent, the second `doubt_again_s` later. A quantity of the
    venue's that its trades do not explain is believed once it has stood for `settle_s`. After the
    venue forced a position closed, its symbol takes no entry for `no_reentry_s`. When an
    entry is sent, the mark may differ from its price by the fraction `max_price_deviation`. An exit
    without an outcome for `exit_limit_s` is superseded by the next one.
    """

    max_intent_age_s: Decimal = Decimal(30)
    naked_limit_s: Decimal = Decimal(2)
    price_every_s: Decimal = Decimal(1)
    adopt: bool = True
    take_profit_mode: TakeProfitMode = TakeProfitMode.HARVEST
    doubt_first_s: Decimal = Decimal(10)
    doubt_again_s: Decimal = Decimal(10)
    settle_s: Decimal = Decimal(5)
    no_reentry_s: Decimal = Decimal(3600)
    max_price_deviation: Decimal = Decimal("0.02")
    exit_limit_s: Decimal = Decimal(10)


@dataclass(frozen=True, slots=True)
class LastTrade:
    """The newest trade of a symbol that was applied; later ones have higher numbers."""

    number: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A quantity that the venue states and our trades do not; `since` is wall clock."""

    qty: Decimal
    since: datetime
    looks: int = 1


@dataclass(frozen=True, slots=True)
class Refusals:
    """What the venue last said against orders of one kind in a symbol, and how often in a row."""

    symbol: str
    leg: Leg
    code: str
    reason: str
    times: int
    at: datetime


@dataclass(frozen=True, slots=True)
class StopsBarred:
    """No entry until a stop with a higher number than `number` is accepted; `words` say why.

    `symbol`, `side` and `price` are those of the position that was closed for want of a stop.
    """

    symbol: str
    words: str
    side: PositionSide
    price: Decimal
    number: int
    since: datetime
    probed_at: datetime
    probes: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """All by symbol, but orders without a final outcome and proofs by client order id.

    `left_alone` holds the quantity of positions of somebody else that are not to be adopted,
    `trades` the last trade applied, `unexplained` a quantity of the venue's that no
    trade explains yet, `forced` when the venue last forced a position closed. `refusals` has what
    the venue refuses, by leg and symbol. `barriers` says by code why no entry may be made;
    `stops_barred` has one entry, `account`, while no stop is taken. `quarantine` has the symbols
    that cannot be read, named or traded, `over_cap` the positions that were opened too large.
    `numbers` has the number of the last order sent, as `orders`. `late` says since when a symbol is
    shown as before its last trade.
    """

    positions: Mapping[str, Position] = field(default_factory=dict)
    orders: Mapping[str, Sent] = field(default_factory=dict)
    seen: Mapping[str, tuple[Seen, ...]] = field(default_factory=dict)
    rules: Mapping[str, SymbolRules] = field(default_factory=dict)
    statements: Mapping[str, int] = field(default_factory=dict)
    left_alone: Mapping[str, Decimal] = field(default_factory=dict)
    trades: Mapping[str, LastTrade] = field(default_factory=dict)
    unexplained: Mapping[str, Unexplained] = field(default_factory=dict)
    forced: Mapping[str, datetime] = field(default_factory=dict)
    refusals: Mapping[str, Refusals] = field(default_factory=dict)
    stops_barred: Mapping[str, StopsBarred] = field(default_factory=dict)
    barriers: Mapping[str, str] = field(default_factory=dict)
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    quarantine: Mapping[str, Quarantine] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    late: Mapping[str, datetime] = field(default_factory=dict)
    over_cap: Mapping[str, str] = field(default_factory=dict)
