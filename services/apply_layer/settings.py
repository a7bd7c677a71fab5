"""`[apply_layer]`: the venue, its rules, and what to do about positions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from services.apply_layer.exchange import OpenOrder, OrderType, SymbolRules, VenuePosition
from services.apply_layer.outside import PaperVenue
from services.apply_layer.paper import PaperExchange
from services.apply_layer.paper_account import PaperPolicy
from services.apply_layer.paper_rules import BUILT_IN_RULES, default_rules
from services.apply_layer.state import Policy, TakeProfitMode
from shared.contracts.fields import Symbol
from shared.contracts.values import LEVERAGE_MAX
from shared.formulas import NoSafeStop, exit_levels, unreachable_rungs
from shared.settings import Section
from shared.sides import PositionSide, Side
from shared.symbols import slug

_ON_THIS_MACHINE = re.compile(r"(?:http|ws)://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?/?")


class RulesSettings(Section):
    """`[apply_layer.paper.symbol.<SYMBOL>]`: filters that differ from the built-in ones."""

    lot_step: Decimal | None = Field(default=None, gt=0)
    tick_size: Decimal | None = Field(default=None, gt=0)
    min_qty: Decimal | None = Field(default=None, ge=0)
    max_qty: Decimal | None = Field(default=None, gt=0)
    min_notional: Decimal | None = Field(default=None, ge=0)
    reduce_only_min_notional: Decimal | None = Field(default=None, ge=0)
    max_leverage: int | None = Field(default=None, ge=1, le=LEVERAGE_MAX)
    maintenance_margin_rate: Decimal | None = Field(default=None, ge=0, lt=1)


class SeedSettings(Section):
    """`[[apply_layer.paper.position]]`: a position that the account holds from the start."""

    symbol: Symbol
    side: PositionSide
    qty: Decimal = Field(gt=0)
    entry_price: Decimal = Field(gt=0)
    mark_price: Decimal | None = Field(default=None, gt=0)
    stop_loss: Decimal | None = Field(default=None, gt=0)
    leverage: int = Field(default=10, ge=1, le=LEVERAGE_MAX)
    opened_at: datetime = datetime(2025, 1, 1, tzinfo=UTC)


class PaperSettings(Section):
    """`[apply_layer.paper]`. Fees are fractions of notional; an empty wallet refuses entries."""

    initial_wallet: Decimal = Field(default=Decimal(10000), ge=0)
    taker_fee: Decimal = Field(default=Decimal("0.0005"), ge=0, lt=1)
    slippage_bps: Decimal = Field(default=Decimal(1), ge=0, lt=10_000)
    funding: bool = True
    symbol: dict[Symbol, RulesSettings] = {}
    position: tuple[SeedSettings, ...] = ()


class LiveSettings(Section):
    """`[apply_layer.live]`: a real account. Times in seconds unless the name says milliseconds.

    `network = "testnet"` is the exchange's demo trading; production needs
    `i_understand_real_money = "yes"`. `rest_url` and `ws_url` name a double on this machine.
    Positions and stops are watched every `watch_every_s`, everything is reconciled every
    `reconcile_every_s`. An order in doubt is asked for until `recv_window_ms` and `doubt_first_s`
    have passed, and once more `doubt_again_s` later.
    """

    network: Literal["testnet", "production"] = "testnet"
    i_understand_real_money: str = ""
    key_file: str | None = None
    rest_url: str | None = None
    ws_url: str | None = None
    allow_withdrawals: bool = False
    recv_window_ms: int = Field(default=5000, ge=50, le=60_000)
    timeout_s: Decimal = Field(default=Decimal(3), gt=0)
    reconcile_every_s: Decimal = Field(default=Decimal(30), gt=0)
    watch_every_s: Decimal = Field(default=Decimal(1), gt=0)
    doubt_first_s: Decimal = Field(default=Decimal(5), ge=0)
    doubt_again_s: Decimal = Field(default=Decimal(10), ge=0)
    settle_s: Decimal = Field(default=Decimal(5), ge=0)
    no_reentry_s: Decimal = Field(default=Decimal(3600), ge=0)
    drift_ms: int = Field(default=500, gt=0)

    @field_validator("rest_url", "ws_url")
    @classmethod
    def _on_this_machine(cls, url: str | None) -> str | None:
        if url is not None and not _ON_THIS_MACHINE.fullmatch(url):
            raise ValueError("only a double on this machine has an address of its own: 127.0.0.1")
        return url

    @model_validator(mode="after")
    def _real_money(self) -> Self:
        double = self.rest_url is not None
        if double != (self.ws_url is not None):
            raise ValueError("rest_url and ws_url go together")
        if self.network == "production" and self.i_understand_real_money != "yes" and not double:
            raise ValueError(
                'network = "production" trades real money: say i_understand_real_money = "yes"'
            )
        return self


class ApplyLayerSettings(Section):
    """Times in seconds. `symbols` are listed beside the built-in ones; others are unknown.

    With `venue = "binance-usdm"` the symbols are those that may be traded, and all of them.
    """

    #: What the venue is made of, when the daemon starts.
    fixed = frozenset({"venue", "symbols", "paper", "live"})

    venue: Literal["paper", "binance-usdm"] = "paper"
    symbols: tuple[Symbol, ...] = ()
    max_intent_age_s: Decimal = Field(default=Decimal(30), gt=0)
    naked_limit_s: Decimal = Field(default=Decimal(2), gt=0)
    max_price_deviation: Decimal = Field(default=Decimal("0.02"), gt=0, lt=1)
    exit_limit_s: Decimal = Field(default=Decimal(10), gt=0)
    price_every_s: Decimal = Field(default=Decimal(1), ge=0)
    adopt: bool = True
    take_profit_mode: TakeProfitMode = TakeProfitMode.HARVEST
    paper: PaperSettings = PaperSettings()
    live: LiveSettings = LiveSettings()

    def policy(self) -> Policy:
        """What the decider goes by."""
        return Policy(
            max_intent_age_s=self.max_intent_age_s,
            naked_limit_s=self.naked_limit_s,
            max_price_deviation=self.max_price_deviation,
            exit_limit_s=self.exit_limit_s,
            price_every_s=self.price_every_s,
            adopt=self.adopt,
            take_profit_mode=self.take_profit_mode,
            doubt_first_s=self.live.doubt_first_s + Decimal(self.live.recv_window_ms) / 1000,
            doubt_again_s=self.live.doubt_again_s,
            settle_s=self.live.settle_s,
            no_reentry_s=self.live.no_reentry_s,
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
        client_order_id=f"seed-{slug(seed.symbol)}",
        order_id="",
        symbol=seed.symbol,
        side=seed.side.exit,
        type=OrderType.STOP_MARKET,
        qty=seed.qty,
        reduce_only=True,
        trigger_price=seed.stop_loss,
    )
