"""Exit levels of an entry: the leverage sensitivity factor, the stop and three targets.

Pure; reads and writes nothing. Prices are in quote currency; fractions are decimals (0.02 is 2 %).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from shared.formulas.steps import ceil_to_step, floor_to_step
from shared.sides import Side

Three = tuple[Decimal, Decimal, Decimal]

_ONE = Decimal(1)
_ZERO = Decimal(0)


class Regime(StrEnum):
    """What the signal says about the market when it proposes an entry."""

    RANGE = "RANGE"
    NORMAL = "NORMAL"
    UNKNOWN = "UNKNOWN"
    TREND = "TREND"
    BULL = "BULL"
    BEAR = "BEAR"


@dataclass(frozen=True, slots=True)
class ExitPolicy:
    """Every tunable of the exit levels. Fractions are of the entry price unless said otherwise.

    Raises ValueError for values under which the targets would not rise or the bounds would cross.
    """

    atr_default_fraction: Decimal = Decimal("0.02")
    atr_min_fraction: Decimal = Decimal("0.0025")
    atr_max_fraction: Decimal = Decimal("0.10")
    volatility_factor_max: Decimal = Decimal(5)

    take_profit_atr_multiple: Decimal = Decimal(3)
    take_profit_base: Three = (Decimal("0.6"), Decimal("1.2"), Decimal("1.8"))
    take_profit_lsf_weight: Three = (Decimal(1), Decimal("0.5"), Decimal("0.25"))
    take_profit_volatility_weight: Decimal = Decimal("0.4")
    take_profit_carry_weight: Decimal = Decimal("0.8")
    take_profit_min_fraction: Decimal = Decimal("0.003")
    take_profit_max_fraction: Decimal = Decimal("0.90")

    trend_multiplier: Decimal = Decimal("1.15")
    with_regime_multiplier: Decimal = Decimal("1.15")
    against_regime_multiplier: Decimal = Decimal("0.85")

    stop_atr_multiple: Decimal = Decimal(1)
    stop_lsf_weight: Decimal = Decimal("0.8")
    stop_volatility_weight: Decimal = Decimal("0.2")
    stop_divergence_weight: Decimal = Decimal("0.4")
    stop_min_fraction: Decimal = Decimal("0.0015")
    stop_max_fraction: Decimal = Decimal("0.05")
    # The share of the way to liquidation that a stop may use, and the venue's maintenance margin.
    liquidation_share: Decimal = Decimal("0.8")
    maintenance_margin_rate: Decimal = Decimal("0.004")

    low_leverage_max: Decimal = Decimal(10)
    middle_leverage_max: Decimal = Decimal(30)
    low_leverage_scheme: Three = (Decimal("0.3"), Decimal("0.3"), Decimal("0.4"))
    middle_leverage_scheme: Three = (Decimal("0.4"), Decimal("0.4"), Decimal("0.2"))
    high_leverage_scheme: Three = (Decimal("0.5"), Decimal("0.3"), Decimal("0.2"))

    def __post_init__(self) -> None:
        """Refuse a policy whose levels could cross."""
        # The targets are linear in LSF, so rising at both ends of its range is rising everywhere.
        for lsf in (_ZERO, leverage_sensitivity_factor(1)):
            tp1, tp2, tp3 = _target_shape(lsf, self)
            if not 0 < tp1 < tp2 < tp3:
                raise ValueError("the three targets must rise at every leverage")
        if not 0 < self.take_profit_min_fraction < self.take_profit_max_fraction < 1:
            raise ValueError("target bounds must satisfy 0 < min < max < 1")
        if not 0 < self.stop_min_fraction <= self.stop_max_fraction < 1:
            raise ValueError("stop bounds must satisfy 0 < min <= max < 1")
        if not 0 < self.atr_min_fraction <= self.atr_max_fraction:
            raise ValueError("ATR bounds must satisfy 0 < min <= max")
        if not 0 < self.liquidation_share < 1:
            raise ValueError("the stop must fire before liquidation: 0 < liquidation_share < 1")
        if not 0 <= self.maintenance_margin_rate < 1:
            raise ValueError("maintenance_margin_rate must be in [0, 1)")


@dataclass(frozen=True, slots=True)
class ExitLevels:
    """The stop and the targets of an entry, unrounded.

    `sl_pct` and `tp_pct` are fractions of the entry price, `stop_loss` and `take_profit` prices,
    `harvest_scheme` the shares of the position to take at each target.
    """

    lsf: Decimal
    sl_pct: Decimal
    tp_pct: Three
    stop_loss: Decimal
    take_profit: Three
    harvest_scheme: Three


@dataclass(frozen=True, slots=True)
class NoSafeStop:
    """At this leverage no stop of the minimum distance fires before liquidation."""

    lsf: Decimal
    reason: Literal["no_safe_stop"] = "no_safe_stop"


def leverage_sensitivity_factor(leverage: Decimal | int) -> Decimal:
    """LSF(L) = 1 / (1 + ln(max(L, 1) + 1)); no unit, in (0, 0.5906], falling with leverage."""
    return _ONE / (_ONE + (_at_least_one(leverage) + _ONE).ln())


def _target_shape(lsf: Decimal, policy: ExitPolicy) -> Three:
    """The three targets up to their common factor."""
    base, weight = policy.take_profit_base, policy.take_profit_lsf_weight
    return (
        base[0] + weight[0] * lsf,
        base[1] + weight[1] * lsf,
        base[2] + weight[2] * lsf,
    )


def _at_least_one(leverage: Decimal | int) -> Decimal:
    return max(Decimal(leverage), _ONE)


DEFAULT_EXIT_POLICY = ExitPolicy()


def safe_stop_fraction(
    leverage: Decimal | int, policy: ExitPolicy = DEFAULT_EXIT_POLICY
) -> Decimal:
    """The widest stop that fires before liquidation, as a fraction of the entry price.

    safe = 0.8 * (1 / max(L, 1) - mmr), with mmr the venue's maintenance margin rate. Zero or
    negative where the leverage leaves no room at all.
    """
    room = _ONE / _at_least_one(leverage) - policy.maintenance_margin_rate
    return policy.liquidation_share * room


def harvest_scheme(leverage: Decimal | int, policy: ExitPolicy = DEFAULT_EXIT_POLICY) -> Three:
    """The shares of a position to take at the three targets when these rest on the venue.

    L <= 10: 0.3, 0.3, 0.4. L <= 30: 0.4, 0.4, 0.2. Above: 0.5, 0.3, 0.2.
    """
    if leverage <= policy.low_leverage_max:
        return policy.low_leverage_scheme
    if leverage <= policy.middle_leverage_max:
        return policy.middle_leverage_scheme
    return policy.high_leverage_scheme


def exit_levels(
    *,
    side: Side,
    entry_price: Decimal,
    leverage: Decimal | int,
    atr_value: Decimal | None = None,
    volatility_factor: Decimal = _ONE,
    exchange_divergence: Decimal = _ZERO,
    funding_rate: Decimal = _ZERO,
    regime: Regime | str = Regime.UNKNOWN,
    policy: ExitPolicy = DEFAULT_EXIT_POLICY,
) -> ExitLevels | NoSafeStop:
    """The stop and three targets of an entry, unrounded, or the refusal NoSafeStop.

    `entry_price` and `atr_value` are prices (an absent or zero ATR counts as 2 % of the entry),
    `volatility_factor` is 1 in normal markets, `exchange_divergence` is in [0, 1] and
    `funding_rate` is the fraction that longs pay to shorts. With s = +1 for BUY and -1 for SELL:

        atr  = clip(atr_value / entry, 0.0025, 0.10)
        tp_i = 3 * atr * (0.6 + LSF, 1.2 + LSF/2, 1.8 + LSF/4)_i
               * (1 + 0.4*(vf - 1) + 0.8*s*funding_rate) * m
        sl   = atr * (1 + 0.8*(1 - LSF)) * (1 + 0.2*(vf - 1) + 0.4*xd)

    with m the regime multiplier (TREND 1.15; BULL 1.15 for BUY and 0.85 for SELL; BEAR the mirror;
    otherwise 1), vf clipped to [0, 5] and xd to [0, 1]. The targets are scaled together so that
    tp1 >= 0.003 and tp3 <= 0.90; sl is clipped to [0.0015, min(0.05, safe stop fraction)].
    Prices are entry * (1 - s*sl) and entry * (1 + s*tp_i).

    Raises ValueError for an entry price that is not positive or an unknown regime.
    """
    if entry_price <= 0:
        raise ValueError(f"entry_price must be positive, not {entry_price}")
    lsf = leverage_sensitivity_factor(leverage)
    stop_max = min(policy.stop_max_fraction, safe_stop_fraction(leverage, policy))
    if stop_max < policy.stop_min_fraction:
        return NoSafeStop(lsf)

    atr = _atr_fraction(entry_price, atr_value, policy)
    excess_volatility = _clip(volatility_factor, _ZERO, policy.volatility_factor_max) - _ONE
    divergence = _clip(exchange_divergence, _ZERO, _ONE)
    carry = side.sign * funding_rate

    target_factor = (
        policy.take_profit_atr_multiple
        * atr
        * (
            _ONE
            + policy.take_profit_volatility_weight * excess_volatility
            + policy.take_profit_carry_weight * carry
        )
        * _regime_multiplier(Regime(regime), side, policy)
    )
    tp_pct = _bounded_targets(_target_shape(lsf, policy), target_factor, policy)
    stop_factor = (_ONE + policy.stop_lsf_weight * (_ONE - lsf)) * (
        _ONE
        + policy.stop_volatility_weight * excess_volatility
        + policy.stop_divergence_weight * divergence
    )
    sl_pct = _clip(policy.stop_atr_multiple * atr * stop_factor, policy.stop_min_fraction, stop_max)
    tp1, tp2, tp3 = (entry_price * (_ONE + side.sign * tp) for tp in tp_pct)
    return ExitLevels(
        lsf=lsf,
        sl_pct=sl_pct,
        tp_pct=tp_pct,
        stop_loss=entry_price * (_ONE - side.sign * sl_pct),
        take_profit=(tp1, tp2, tp3),
        harvest_scheme=harvest_scheme(leverage, policy),
    )


def round_toward(price: Decimal, *, entry_price: Decimal, tick_size: Decimal) -> Decimal | None:
    """A level rounded to the venue's tick toward the entry; never onto the entry or past it.

    None when no tick lies between the level and the entry: the tick is then too coarse for a level
    so near, and rounding the other way would widen a stop. Prices and tick in quote currency.
    Raises ValueError for a tick that is not positive.
    """
    if price < entry_price:
        rounded = ceil_to_step(price, tick_size)
        return rounded if rounded < entry_price else None
    rounded = floor_to_step(price, tick_size)
    return rounded if rounded > entry_price else None


def _bounded_targets(shape: Three, factor: Decimal, policy: ExitPolicy) -> Three:
    """The targets in bounds. Only the factor changes, so their order and proportions never do."""
    # Choosing the factor, not dividing by tp1, also holds when extreme carry brings tp1 to 0.
    if factor * shape[0] < policy.take_profit_min_fraction:
        factor = policy.take_profit_min_fraction / shape[0]
    if factor * shape[2] > policy.take_profit_max_fraction:
        factor = policy.take_profit_max_fraction / shape[2]
    return (factor * shape[0], factor * shape[1], factor * shape[2])


def _regime_multiplier(regime: Regime, side: Side, policy: ExitPolicy) -> Decimal:
    if regime is Regime.TREND:
        return policy.trend_multiplier
    if regime not in (Regime.BULL, Regime.BEAR):
        return _ONE
    favoured = Side.BUY if regime is Regime.BULL else Side.SELL
    return policy.with_regime_multiplier if side is favoured else policy.against_regime_multiplier


def _atr_fraction(entry_price: Decimal, atr_value: Decimal | None, policy: ExitPolicy) -> Decimal:
    if not atr_value:
        return policy.atr_default_fraction
    return _clip(atr_value / entry_price, policy.atr_min_fraction, policy.atr_max_fraction)


def _clip(value: Decimal, low: Decimal, high: Decimal) -> Decimal:
    return min(max(value, low), high)
