"""Exit levels: leverage lowers the factor, targets rise, and the stop fires before liquidation."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.formulas import (
    ExitLevels,
    ExitPolicy,
    NoSafeStop,
    Regime,
    exit_levels,
    harvest_scheme,
    leverage_sensitivity_factor,
    round_toward,
    safe_stop_fraction,
)
from shared.sides import Side


def decimals(low: str, high: str, places: int = 6) -> st.SearchStrategy[Decimal]:
    return st.decimals(low, high, places=places, allow_nan=False)


leverages = decimals("0", "300", places=2)
prices = decimals("0.0001", "200000")
sides = st.sampled_from(Side)
inputs = st.fixed_dictionaries(
    {
        "side": sides,
        "entry_price": prices,
        "leverage": leverages,
        "atr_value": st.none() | decimals("0", "50000"),
        "volatility_factor": decimals("-1", "8"),
        "exchange_divergence": decimals("-1", "2"),
        "funding_rate": decimals("-1", "1"),
        "regime": st.sampled_from(Regime),
    }
)


@given(leverages, leverages)
def test_the_factor_falls_with_leverage(one: Decimal, other: Decimal) -> None:
    low, high = sorted((max(one, Decimal(1)), max(other, Decimal(1))))
    if low < high:
        assert leverage_sensitivity_factor(low) > leverage_sensitivity_factor(high) > 0


@pytest.mark.parametrize(
    ("leverage", "expected"), [(1, "0.5906"), (10, "0.2943"), (50, "0.2028"), (100, "0.1781")]
)
def test_the_factor_has_its_published_values(leverage: int, expected: str) -> None:
    assert round(leverage_sensitivity_factor(leverage), 4) == Decimal(expected)


def test_a_leverage_below_one_counts_as_one() -> None:
    assert leverage_sensitivity_factor(0) == leverage_sensitivity_factor(1)


@given(inputs)
def test_targets_rise_within_their_bounds(case: dict[str, object]) -> None:
    levels = exit_levels(**case)  # type: ignore[arg-type]
    if isinstance(levels, ExitLevels):
        tp1, tp2, tp3 = levels.tp_pct
        assert Decimal("0.003") <= tp1 + Decimal("1e-20")
        assert tp1 < tp2 < tp3 <= Decimal("0.90") + Decimal("1e-20")


@given(inputs)
def test_the_stop_fires_before_liquidation(case: dict[str, object]) -> None:
    levels = exit_levels(**case)  # type: ignore[arg-type]
    leverage = case["leverage"]
    assert isinstance(leverage, Decimal)
    liquidation = 1 / max(leverage, Decimal(1)) - Decimal("0.004")
    if isinstance(levels, ExitLevels):
        assert Decimal("0.0015") <= levels.sl_pct <= Decimal("0.05")
        assert levels.sl_pct < liquidation
        assert levels.sl_pct <= safe_stop_fraction(leverage)
    else:
        assert safe_stop_fraction(leverage) < Decimal("0.0015")


@given(inputs)
def test_stop_and_targets_stand_on_their_sides(case: dict[str, object]) -> None:
    levels = exit_levels(**case)  # type: ignore[arg-type]
    if isinstance(levels, ExitLevels):
        ascending = (levels.stop_loss, case["entry_price"], *levels.take_profit)
        expected = sorted(ascending, reverse=case["side"] is Side.SELL)  # type: ignore[type-var]
        assert list(ascending) == expected
        assert min(levels.stop_loss, *levels.take_profit) > 0


def test_too_much_leverage_is_refused_not_clamped() -> None:
    levels = exit_levels(side=Side.BUY, entry_price=Decimal(100), leverage=240)
    assert levels == NoSafeStop(leverage_sensitivity_factor(240), "no_safe_stop")


def test_an_absent_or_zero_atr_counts_as_two_percent() -> None:
    known = exit_levels(side=Side.BUY, entry_price=Decimal(100), leverage=10, atr_value=Decimal(2))
    zero = exit_levels(side=Side.BUY, entry_price=Decimal(100), leverage=10, atr_value=Decimal(0))
    assert known == zero == exit_levels(side=Side.BUY, entry_price=Decimal(100), leverage=10)


def test_a_carry_that_cancels_the_targets_leaves_the_least_ones() -> None:
    levels = exit_levels(
        side=Side.BUY, entry_price=Decimal(100), leverage=10, funding_rate=Decimal("-1.25")
    )
    assert isinstance(levels, ExitLevels)
    assert round(levels.tp_pct[0], 12) == Decimal("0.003")


def test_targets_beyond_ninety_percent_are_scaled_together() -> None:
    case = {"side": Side.SELL, "entry_price": Decimal(100), "leverage": 3, "atr_value": Decimal(10)}
    calm, wild = (
        exit_levels(**case, volatility_factor=Decimal(factor))  # type: ignore[arg-type]
        for factor in ("1", "2.6")
    )
    assert isinstance(calm, ExitLevels)
    assert isinstance(wild, ExitLevels)
    assert round(wild.tp_pct[2], 12) == Decimal("0.9")
    proportions = [
        [round(levels.tp_pct[0] / fraction, 12) for fraction in levels.tp_pct]
        for levels in (calm, wild)
    ]
    assert proportions[0] == proportions[1]


def test_bull_for_a_buy_is_bear_for_a_sell() -> None:
    def targets(side: Side, regime: Regime) -> object:
        levels = exit_levels(side=side, entry_price=Decimal(100), leverage=5, regime=regime)
        assert isinstance(levels, ExitLevels)
        return levels.tp_pct

    assert targets(Side.BUY, Regime.BULL) == targets(Side.SELL, Regime.BEAR)
    assert targets(Side.BUY, Regime.BEAR) == targets(Side.SELL, Regime.BULL)
    assert targets(Side.BUY, Regime.BULL) == targets(Side.BUY, Regime.TREND)
    assert targets(Side.BUY, Regime.BULL) != targets(Side.BUY, Regime.BEAR)


@pytest.mark.parametrize(
    ("leverage", "first"), [(10, "0.3"), (11, "0.4"), (30, "0.4"), (31, "0.5")]
)
def test_the_harvest_scheme_changes_above_ten_and_thirty(leverage: int, first: str) -> None:
    scheme = harvest_scheme(leverage)
    assert scheme[0] == Decimal(first)
    assert sum(scheme) == 1


@given(prices, prices, decimals("0.000001", "10"))
def test_rounding_toward_the_entry_never_widens(
    price: Decimal, entry_price: Decimal, tick_size: Decimal
) -> None:
    rounded = round_toward(price, entry_price=entry_price, tick_size=tick_size)
    if rounded is None:
        return
    assert rounded % tick_size == 0
    assert abs(entry_price - rounded) <= abs(entry_price - price)
    assert (rounded < entry_price) == (price < entry_price)
    assert rounded != entry_price
    assert abs(rounded - price) < tick_size


@pytest.mark.parametrize(
    ("price", "expected"),
    [("98.765", "98.77"), ("98.76", "98.76"), ("101.239", "101.23"), ("99.995", None)],
)
def test_a_level_is_rounded_to_the_tick_nearer_the_entry(price: str, expected: str | None) -> None:
    rounded = round_toward(Decimal(price), entry_price=Decimal(100), tick_size=Decimal("0.01"))
    assert rounded == (None if expected is None else Decimal(expected))


def test_an_entry_without_a_price_is_an_error() -> None:
    with pytest.raises(ValueError, match="entry_price"):
        exit_levels(side=Side.BUY, entry_price=Decimal(0), leverage=10)


@pytest.mark.parametrize(
    "tunables",
    [
        {"take_profit_base": (Decimal(1), Decimal(1), Decimal(1))},
        {"take_profit_max_fraction": Decimal(1)},
        {"stop_min_fraction": Decimal("0.06")},
        {"liquidation_share": Decimal(1)},
        {"maintenance_margin_rate": Decimal(1)},
        {"atr_min_fraction": Decimal(0)},
    ],
)
def test_a_policy_whose_levels_could_cross_is_refused(tunables: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="must"):
        ExitPolicy(**tunables)  # type: ignore[arg-type]
