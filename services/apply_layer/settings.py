"""`[apply_layer]`: the venue, its rules, and what to do about positions."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field

from services.apply_layer.exchange import OpenOrder, OrderType, SymbolRules, VenuePosition
from services.apply_layer.outside import PaperVenue
from services.apply_layer.paper import PaperExchange
from services.apply_layer.paper_account import PaperPolicy
from services.apply_layer.paper_rules import BUILT_IN_RULES, default_rules
from services.apply_layer.turn import Policy, TakeProfitMode
from shared.formulas import NoSafeStop, exit_levels, unreachable_rungs
from shared.settings import Section
from shared.sides import PositionSide, Side


class RulesSettings(Section):
    """`[apply_layer.paper.symbol.<SYMBOL>]`: filters that differ from the built-in ones."""

    lot_step: Decimal | None = Field(default=None, gt=0)
    tick_size: Decimal | None = Field(default=None, gt=0)
    min_qty: Decimal | None = Field(default=None, ge=0)
    max_qty: Decimal | None = Field(default=None, gt=0)
    min_notional: Decimal | None = Field(default=None, ge=0)
    reduce_only_min_notional: Decimal | None = Field(default=None, ge=0)
    max_leverage: int | None = Field(default=None, ge=1, le=125)
    maintenance_margin_rate: Decimal | None = Field(default=None, ge=0, lt=1)


class SeedSettings(Section):
    """`[[apply_layer.paper.position]]`: a position that the account holds from the start."""

    symbol: str
    side: PositionSide
    qty: Decimal = Field(gt=0)
    entry_price: Decimal = Field(gt=0)
    mark_price: Decimal | None = Field(default=None, gt=0)
    stop_loss: Decimal | None = Field(default=None, gt=0)
    leverage: int = Field(default=10, ge=1, le=125)
    opened_at: datetime = datetime(2025, 1, 1, tzinfo=UTC)


class PaperSettings(Section):
    """`[apply_layer.paper]`. Fees are fractions of notional; an empty wallet refuses entries."""

    initial_wallet: Decimal = Field(default=Decimal(10000), ge=0)
    taker_fee: Decimal = Field(default=Decimal("0.0005"), ge=0, lt=1)
    slippage_bps: Decimal = Field(default=Decimal(1), ge=0, lt=10_000)
    funding: bool = True
    symbol: dict[str, RulesSettings] = {}
    position: tuple[SeedSettings, ...] = ()


class ApplyLayerSettings(Section):
    """Times in seconds. `symbols` are listed beside the built-in ones; others are unknown."""

    venue: Literal["paper"] = "paper"
    symbols: tuple[str, ...] = ()
    max_intent_age_s: Decimal = Field(default=Decimal(30), gt=0)
    naked_limit_s: Decimal = Field(default=Decimal(2), gt=0)
    price_every_s: Decimal = Field(default=Decimal(1), ge=0)
    adopt: bool = True
    take_profit_mode: TakeProfitMode = TakeProfitMode.HARVEST
    paper: PaperSettings = PaperSettings()

    def policy(self) -> Policy:
        """What the decider goes by."""
        return Policy(
            max_intent_age_s=self.max_intent_age_s,
            naked_limit_s=self.naked_limit_s,
            price_every_s=self.price_every_s,
            adopt=self.adopt,
            take_profit_mode=self.take_profit_mode,
        )

    def warnings(self, leverage: int) -> tuple[str, ...]:
        """What the take-profit mode costs the ladder at a leverage, at the 2 % ATR proxy."""
        if self.take_profit_mode is TakeProfitMode.HARVEST:
            return ()
        levels = exit_levels(side=Side.BUY, entry_price=Decimal(1), leverage=leverage)
        if isinstance(levels, NoSafeStop):
            return ()
        one_target = self.take_profit_mode is TakeProfitMode.BRACKET
        shares = (Decimal(1),) if one_target else levels.harvest_scheme
        lost = [rung.name for rung in unreachable_rungs(levels, shares)]
        if not lost:
            return ()
        mode = self.take_profit_mode.value
        return (f"take_profit_mode={mode} at {leverage}x leaves {', '.join(lost)} unreachable",)

    def paper_policy(self) -> PaperPolicy:
        """The paper venue's terms, for the built-in symbols and those that are named here."""
        named = {*self.symbols, *self.paper.symbol, *(seed.symbol for seed in self.paper.position)}
        rules = {**BUILT_IN_RULES, **{symbol: self._rules(symbol) for symbol in sorted(named)}}
        return PaperPolicy(
            initial_wallet=self.paper.initial_wallet,
            taker_fee=self.paper.taker_fee,
            slippage_bps=self.paper.slippage_bps,
            funding=self.paper.funding,
            rules=rules,
        )

    def _rules(self, symbol: str) -> SymbolRules:
        known = BUILT_IN_RULES.get(symbol) or default_rules(symbol)
        own = self.paper.symbol.get(symbol, RulesSettings()).model_dump(exclude_none=True)
        return SymbolRules(
            **{name: own.get(name, getattr(known, name)) for name in SymbolRules.__slots__}
        )

    def paper_venue(self) -> PaperVenue:
        """The paper venue, which opens with the seeded positions if it has no books yet."""
        policy = self.paper_policy()
        seeds = self.paper.position

        def opening() -> PaperExchange:
            return PaperExchange.seed(
                policy,
                [_position(seed) for seed in seeds],
                [_stop(seed) for seed in seeds if seed.stop_loss is not None],
            )

        return PaperVenue(policy, opening)


def _position(seed: SeedSettings) -> VenuePosition:
    return VenuePosition(
        symbol=seed.symbol,
        side=seed.side,
        qty=seed.qty,
        entry_price=seed.entry_price,
        leverage=seed.leverage,
        mark_price=seed.mark_price or seed.entry_price,
        opened_at=seed.opened_at,
    )


def _stop(seed: SeedSettings) -> OpenOrder:
    return OpenOrder(
        client_order_id=f"seed-{seed.symbol}",
        order_id="",
        symbol=seed.symbol,
        side=seed.side.exit,
        type=OrderType.STOP_MARKET,
        qty=seed.qty,
        reduce_only=True,
        trigger_price=seed.stop_loss,
    )
