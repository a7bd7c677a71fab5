"""Where an isolated position is liquidated, and where its stop must be to fire before that.

Pure; reads and writes nothing. Prices are in quote currency, rates are fractions.
"""

from __future__ import annotations

from decimal import Decimal

from shared.sides import PositionSide

#: The share of the way from entry to liquidation that a stop which lay beyond it is given.
LIQUIDATION_SHARE = Decimal("0.8")


def liquidation_price(
    entry_price: Decimal, side: PositionSide, leverage: int, maintenance_margin_rate: Decimal
) -> Decimal:
    """Where the loss is margin - maintenance: LONG entry*(1 - 1/L + mmr), SHORT the mirror."""
    return entry_price * (1 - side.sign * (1 / Decimal(leverage) - maintenance_margin_rate))


def stop_before_liquidation(
    stop: Decimal, *, side: PositionSide, entry_price: Decimal, liquidation: Decimal
) -> Decimal:
    """The same stop where it fires before liquidation, else one at 0.8 of the way there, unrounded.

    Where liquidation is not on the losing side of the entry there is no such place, and the stop
    is left as it is.
    """
    if side.sign * (stop - liquidation) > 0 or side.sign * (entry_price - liquidation) <= 0:
        return stop
    return entry_price - LIQUIDATION_SHARE * (entry_price - liquidation)
