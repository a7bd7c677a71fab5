"""What a double is started with. Plain values; reads nothing, writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from services.apply_layer.exchange import SymbolRules
from services.apply_layer.paper_account import PaperPolicy
from services.apply_layer.paper_rules import BUILT_IN_BRACKETS, LeverageBracket, default_rules


@dataclass(frozen=True, slots=True)
class DoubleConfig:
    """An account with one key on a venue that lists `symbols`, each with its first mark price.

    Money is in USDT, quantities in base units, `taker_fee` a fraction of notional. `max_market_qty`
    is the largest market order of a symbol where it is less than that of any order. `witness` is
    asked with the client id of each order at the moment that it is accepted, before anything of it
    is executed; its answer goes into the ledger. `clock` gives seconds since 1970.

    `account_id` is what the venue calls the account. `brackets` are those of symbols that have
    other ones than the built-in. The wallet is in `wallet_asset`; a symbol settles in what its name
    ends with. `fee_asset` is what fees are paid in, at `fee_price` in the symbol's quote, where
    that is not the quote itself.

    `latency_s` is how long an answer takes to come, there and back, and half of it an event.
    `trades_per_order` is in how many trades an order is filled, where its lots allow it.

    The limits are the venue's own. After `ban_after` calls that ignored a 429 the address is
    banned for `ban_s`.
    """

    symbols: Mapping[str, Decimal]
    wallet: Decimal = Decimal(10_000)
    api_key: str = "double-key"
    api_secret: str = "double-secret"
    account_id: str = "double"
    seed: int = 0
    taker_fee: Decimal = Decimal("0.0005")
    slippage_bps: Decimal = Decimal(1)
    max_market_qty: Mapping[str, Decimal] = field(default_factory=dict)
    rules: Mapping[str, SymbolRules] = field(default_factory=dict)
    leverage: int = 20
    margin_type: str = "CROSSED"
    brackets: Mapping[str, tuple[LeverageBracket, ...]] = field(default_factory=dict)
    wallet_asset: str = "USDT"
    fee_asset: str = ""
    fee_price: Decimal = Decimal(600)
    multi_assets: bool = False
    latency_s: float = 0.0
    trades_per_order: int = 1
    hedge_mode: bool = False
    fee_burn: bool = False
    permissions: Mapping[str, bool] = field(default_factory=dict)
    weight_limit: int = 2400
    order_limit_1m: int = 1200
    order_limit_10s: int = 300
    ban_after: int = 10
    ban_s: float = 120.0
    listen_key_s: float = 3600.0
    mark_every_s: float = 1.0
    witness: Callable[[str], bool] | None = None
    clock: Callable[[], float] = time.time

    def rules_of(self, symbol: str) -> SymbolRules:
        """The filters that count for any order of the symbol, but for the market lot."""
        return self.rules.get(symbol) or default_rules(symbol)

    @staticmethod
    def quote_of(symbol: str) -> str:
        """What a symbol is quoted, settled and charged in."""
        return "USDC" if symbol.partition("_")[0].endswith("USDC") else "USDT"

    def policy(self) -> PaperPolicy:
        """The terms of the matching engine; every order takes, so the market lot is its largest."""
        listed: dict[str, SymbolRules] = {}
        for symbol in self.symbols:
            rules = self.rules_of(symbol)
            most = min(rules.max_qty, self.max_market_qty.get(symbol, rules.max_qty))
            listed[symbol] = replace(rules, max_qty=most)
        built_in = {name: BUILT_IN_BRACKETS[name] for name in listed if name in BUILT_IN_BRACKETS}
        return PaperPolicy(
            initial_wallet=self.wallet,
            taker_fee=self.taker_fee,
            slippage_bps=self.slippage_bps,
            rules=listed,
            brackets={**built_in, **self.brackets},
        )
