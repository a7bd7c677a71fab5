"""Against what each number of an entry is bounded before anything is computed from it. Pure.

A price is believed if it is near the mark. What only shapes the stop and the targets has a range;
exits that a producer brought lie on their sides of the mark, at a sane distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from services.intent_bridge.state import Policy, Rules
from shared.contracts import EntryIntent
from shared.formulas import DEFAULT_EXIT_POLICY, unsafe_exit

#: A fraction of the mark; the widest true range of an hour that is not a mistake.
ATR_FRACTION_MAX = Decimal("0.5")
VOLATILITY_FACTOR_MAX = Decimal(10)
DIVERGENCE_MAX = Decimal(1)
#: A fraction for one funding interval; venues cap it far below.
FUNDING_RATE_MAX = Decimal("0.1")


def out_of_bounds(
    intent: EntryIntent, mark: Decimal, rules: Rules, policy: Policy
) -> Iterator[tuple[str, str]]:
    """Every number that lies outside what we believe, as a code and a sentence.

    Sizes are not here: they are refused by the caps once they are quantities.
    """
    deviation = abs(intent.entry_price - mark) / mark
    if deviation > policy.max_price_deviation:
        yield "price_deviates", f"{intent.entry_price} is asked for, the mark price is {mark}"
    limit = min(policy.max_leverage.get(intent.symbol, rules.max_leverage), rules.max_leverage)
    if intent.leverage > limit:
        yield "leverage_out_of_bracket", f"{intent.leverage} is more than {limit}"
    if intent.atr_value is not None and intent.atr_value > ATR_FRACTION_MAX * mark:
        yield "atr_out_of_range", f"{intent.atr_value} at a mark price of {mark}"
    if intent.volatility_factor > VOLATILITY_FACTOR_MAX:
        yield "volatility_out_of_range", f"{intent.volatility_factor}, at most 10"
    if intent.exchange_divergence > DIVERGENCE_MAX:
        yield "divergence_out_of_range", f"{intent.exchange_divergence}, at most 1"
    if abs(intent.funding_rate) > FUNDING_RATE_MAX:
        yield "funding_out_of_range", f"{intent.funding_rate}, at most 0.1 either way"
    if intent.stop_loss is not None and intent.take_profit is not None:
        unsafe = unsafe_exit(
            side=intent.side,
            entry_price=mark,
            leverage=intent.leverage,
            tick_size=rules.tick_size,
            stop_loss=intent.stop_loss,
            take_profit=intent.take_profit,
            policy=replace(
                DEFAULT_EXIT_POLICY, maintenance_margin_rate=rules.maintenance_margin_rate
            ),
        )
        if unsafe is not None:
            yield unsafe
