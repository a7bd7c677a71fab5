"""`[intent_bridge]`: who may enter, how large and how often."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from services.intent_bridge.producers import OWN_SOURCES
from services.intent_bridge.state import Policy, Producer
from shared.contracts.fields import SOURCE_PATTERN, Symbol
from shared.contracts.values import LEVERAGE_MAX
from shared.settings import Section
from shared.streams import PROGRAMS


def _of_nobody_here(name: str) -> str:
    """A producer with the name of a program of the suite would be taken for it."""
    if name in {*PROGRAMS, *OWN_SOURCES}:
        raise ValueError("is a name of the suite's own: give the producer another")
    return name


ProducerName = Annotated[
    str, Field(pattern=f"^(?:{SOURCE_PATTERN})$"), AfterValidator(_of_nobody_here)
]


class SymbolSettings(Section):
    """`[intent_bridge.symbol.<SYMBOL>]`."""

    max_leverage: int = Field(ge=1, le=LEVERAGE_MAX)


class ProducerSettings(Section):
    """`[intent_bridge.producer.<name>]`: a producer outside the suite, by its `source`.

    It writes to a stream of its own, `quantum:producer:<name>`. `may_exit = true` lets it close
    positions and move their stops; entries need no leave.
    """

    may_exit: bool = False


class IntentBridgeSettings(Section):
    """Money in quote units, times in seconds. An empty `symbols` allows every listed symbol.

    `max_price_deviation` is how far an entry's price may be from the mark price, as a fraction of
    it; a mark price older than `max_mark_age_s` lets nothing enter.
    """

    fixed: ClassVar[frozenset[str]] = frozenset({"producer"})

    symbols: tuple[Symbol, ...] = ()
    max_intent_age_s: Decimal = Field(default=Decimal(30), gt=0)
    max_ahead_s: Decimal = Field(default=Decimal(2), ge=0)
    max_mark_age_s: Decimal = Field(default=Decimal(30), gt=0)
    max_price_deviation: Decimal = Field(default=Decimal("0.02"), gt=0, lt=1)
    max_order_notional: Decimal = Field(default=Decimal(2000), gt=0)
    max_exposure: Decimal = Field(default=Decimal(5000), gt=0)
    max_open_positions: int = Field(default=5, ge=1)
    cooldown_s: Decimal = Field(default=Decimal(300), ge=0)
    symbol: dict[Symbol, SymbolSettings] = {}
    producer: dict[ProducerName, ProducerSettings] = {}

    def policy(self) -> Policy:
        """What the decider goes by."""
        return Policy(
            symbols=self.symbols or None,
            max_intent_age_s=self.max_intent_age_s,
            max_ahead_s=self.max_ahead_s,
            max_mark_age_s=self.max_mark_age_s,
            max_price_deviation=self.max_price_deviation,
            max_order_notional=self.max_order_notional,
            max_exposure=self.max_exposure,
            max_open_positions=self.max_open_positions,
            cooldown_s=self.cooldown_s,
            max_leverage={name: own.max_leverage for name, own in self.symbol.items()},
            producers={name: Producer(own.may_exit) for name, own in self.producer.items()},
        )
