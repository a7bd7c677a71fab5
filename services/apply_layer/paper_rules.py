"""The paper venue's symbols: filters and leverage brackets, plausible for Binance USD-M.

Reads nothing, writes nothing. Quantities are in base units, prices and notionals in quote units
(USDT). The numbers are stand-ins for a venue's exchange information: close to it, never newer
than it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from services.apply_layer.exchange import SymbolRules


@dataclass(frozen=True, slots=True)
class LeverageBracket:
    """Up to `notional_cap` a position may use `max_leverage` and keeps a share as maintenance."""

    notional_cap: Decimal
    max_leverage: int
    maintenance_margin_rate: Decimal


def single_bracket(rules: SymbolRules) -> tuple[LeverageBracket, ...]:
    """The bracket of a symbol that has no table: one leverage and one rate at every size."""
    return (
        LeverageBracket(Decimal("Infinity"), rules.max_leverage, rules.maintenance_margin_rate),
    )


def _rules(  # noqa: PLR0917 -- a row of the table below, in the order of its columns
    symbol: str,
    lot_step: str,
    tick_size: str,
    max_qty: str,
    min_notional: str,
    max_leverage: int,
    maintenance_margin_rate: str,
) -> SymbolRules:
    return SymbolRules(
        symbol=symbol,
        lot_step=Decimal(lot_step),
        tick_size=Decimal(tick_size),
        min_qty=Decimal(lot_step),
        max_qty=Decimal(max_qty),
        min_notional=Decimal(min_notional),
        max_leverage=max_leverage,
        maintenance_margin_rate=Decimal(maintenance_margin_rate),
    )


# symbol, lot step, tick, largest market order, least notional, leverage, maintenance rate
BUILT_IN_RULES: Mapping[str, SymbolRules] = MappingProxyType(
    {
        rules.symbol: rules
        for rules in (
            _rules("ADAUSDT", "1", "0.0001", "2000000", "5", 75, "0.005"),
            _rules("AVAXUSDT", "1", "0.001", "100000", "5", 75, "0.005"),
            _rules("BNBUSDT", "0.01", "0.01", "2000", "5", 75, "0.005"),
            _rules("BTCUSDT", "0.001", "0.1", "120", "100", 125, "0.004"),
            _rules("DOGEUSDT", "1", "0.00001", "30000000", "5", 75, "0.005"),
            _rules("ETHUSDT", "0.001", "0.01", "2000", "20", 125, "0.004"),
            _rules("LINKUSDT", "0.01", "0.001", "100000", "20", 75, "0.005"),
            _rules("LTCUSDT", "0.001", "0.01", "5000", "20", 75, "0.005"),
            _rules("RIVERUSDT", "0.01", "0.0001", "50000", "5", 50, "0.01"),
            _rules("SOLUSDT", "0.01", "0.01", "20000", "5", 100, "0.005"),
            _rules("XRPUSDT", "0.1", "0.0001", "2000000", "5", 75, "0.005"),
        )
    }
)


def _brackets(*rows: tuple[str, int, str]) -> tuple[LeverageBracket, ...]:
    return tuple(LeverageBracket(Decimal(cap), most, Decimal(rate)) for cap, most, rate in rows)


BUILT_IN_BRACKETS: Mapping[str, tuple[LeverageBracket, ...]] = MappingProxyType(
    {
        "BTCUSDT": _brackets(
            ("300000", 125, "0.004"),
            ("800000", 100, "0.005"),
            ("3000000", 75, "0.0065"),
            ("12000000", 50, "0.01"),
            ("70000000", 25, "0.02"),
            ("230000000", 10, "0.05"),
            ("600000000", 4, "0.125"),
            ("1800000000", 1, "0.5"),
        ),
        "ETHUSDT": _brackets(
            ("300000", 125, "0.004"),
            ("800000", 100, "0.005"),
            ("3000000", 75, "0.0065"),
            ("12000000", 50, "0.01"),
            ("50000000", 25, "0.02"),
            ("150000000", 10, "0.05"),
            ("400000000", 4, "0.125"),
            ("1200000000", 1, "0.5"),
        ),
    }
)


def default_rules(symbol: str) -> SymbolRules:
    """The built-in filters of `symbol`, or cautious ones for a symbol that has none."""
    known = BUILT_IN_RULES.get(symbol)
    return known or _rules(symbol, "0.01", "0.0001", "100000", "5", 20, "0.01")
