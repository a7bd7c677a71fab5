"""`[intent_bridge]`: who may enter, how large and how often."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from services.intent_bridge.decider import Policy
from shared.contracts.fields import Symbol
from shared.contracts.values import LEVERAGE_MAX
from shared.settings import Section


class SymbolSettings(Section):
    """`[intent_bridge.symbol.<SYMBOL>]`."""

    max_leverage: int = Field(ge=1, le=LEVERAGE_MAX)


class IntentBridgeSettings(Section):
    """Money in quote units, times in seconds. An empty `symbols` allows every listed symbol."""

    symbols: tuple[Symbol, ...] = ()
    max_intent_age_s: Decimal = Field(default=Decimal(30), gt=0)
    max_ahead_s: Decimal = Field(default=Decimal(2), ge=0)
    max_order_notional: Decimal = Field(default=Decimal(2000), gt=0)
    max_exposure: Decimal = Field(default=Decimal(5000), gt=0)
    max_open_positions: int = Field(default=5, ge=1)
    cooldown_s: Decimal = Field(default=Decimal(300), ge=0)
    symbol: dict[Symbol, SymbolSettings] = {}

    def policy(self) -> Policy:
        """What the decider goes by."""
        return Policy(
            symbols=self.symbols or None,
            max_intent_age_s=self.max_intent_age_s,
            max_ahead_s=self.max_ahead_s,
            max_order_notional=self.max_order_notional,
            max_exposure=self.max_exposure,
            max_open_positions=self.max_open_positions,
            cooldown_s=self.cooldown_s,
            max_leverage={name: own.max_leverage for name, own in self.symbol.items()},
        )
