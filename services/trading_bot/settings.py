"""`[trading_bot]`: which strategy, which symbols, how large."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field

from services.trading_bot.decider import Policy, SymbolPolicy
from services.trading_bot.plugins import StrategyNotUsable, load_strategy
from shared.contracts.fields import Symbol
from shared.contracts.values import LEVERAGE_MAX
from shared.settings import Section, SettingsError


class SymbolSettings(Section):
    """`[trading_bot.symbol.<SYMBOL>]`."""

    position_size_usd: Decimal | None = Field(default=None, gt=0)
    leverage: int | None = Field(default=None, ge=1, le=LEVERAGE_MAX)


class TradingBotSettings(Section):
    """An empty `symbols` trades whatever has prices; `position_size_usd` is notional."""

    #: What a strategy remembers is of use to that strategy alone.
    fixed = frozenset({"strategy"})

    strategy: str = "trend_following"
    symbols: tuple[Symbol, ...] = ()
    min_confidence: Decimal = Field(default=Decimal("0.45"), ge=0, le=1)
    position_size_usd: Decimal = Field(default=Decimal(1000), gt=0)
    leverage: int = Field(default=10, ge=1, le=LEVERAGE_MAX)
    max_price_age_s: Decimal = Field(default=Decimal(30), gt=0)
    symbol: dict[Symbol, SymbolSettings] = {}

    def policy(self) -> Policy:
        """What the decider goes by.

        Raises:
            SettingsError: the strategy cannot be had.
        """
        try:
            strategy = load_strategy(self.strategy)
        except StrategyNotUsable as error:
            raise SettingsError(f"trading_bot.strategy: {error}") from None
        return Policy(
            strategy=strategy,
            symbols=frozenset(self.symbols) or None,
            min_confidence=self.min_confidence,
            position_size_usd=self.position_size_usd,
            leverage=self.leverage,
            max_price_age_s=self.max_price_age_s,
            overrides={
                name: SymbolPolicy(own.position_size_usd, own.leverage)
                for name, own in self.symbol.items()
            },
        )
