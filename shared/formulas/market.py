"""What one-minute closes say about a market: trend strength, volatility, regime, and its flip.

Pure; reads and writes nothing. States are values: each close gives a new one, in constant time.
Statistics are float; the closes they come from stay Decimal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal

from shared.sides import PositionSide

WINDOW_CLOSES = 60
"""How many one-minute closes the trend strength looks back on."""


@dataclass(frozen=True, slots=True)
class VolatilityPolicy:
    """The decay of both volatility averages, per one-minute return.

    0.94 is the RiskMetrics decay, here with a half-life of 11 minutes; 0.997 has one of 3.8 hours,
    long enough that a spike stands out and short enough to follow the hours of the day.
    """

    short_decay: float = 0.94
    slow_decay: float = 0.997

    def __post_init__(self) -> None:
        """Refuse decays that would not average, or a reference faster than the measure."""
        if not 0.0 < self.short_decay < self.slow_decay < 1.0:
            raise ValueError("decays must satisfy 0 < short < slow < 1")


DEFAULT_VOLATILITY_POLICY = VolatilityPolicy()


@dataclass(frozen=True, slots=True)
class MarketState:
    """The last closes of one symbol and what is summed over them.

    `path_length` is the sum of |change| between the closes kept (quote currency, exact) and
    `reversals_count` the number of consecutive changes of opposite sign. The variances are
    averages of squared one-minute log returns.
    """

    closes: tuple[Decimal, ...] = ()
    path_length: Decimal = Decimal(0)
    reversals_count: int = 0
    short_variance: float = 0.0
    slow_variance: float = 0.0
    returns_count: int = 0

    @property
    def ts(self) -> float | None:
        """Trend strength: the signed Kaufman efficiency ratio of the last 60 closes, in [-1, 1].

        (last - first) / path length; 0 for a market that did not move; None before 60 closes.
        """
        if len(self.closes) < WINDOW_CLOSES:
            return None
        if not self.path_length:
            return 0.0
        return float((self.closes[-1] - self.closes[0]) / self.path_length)

    @property
    def p_trend(self) -> float:
        """The probability of a trend, taken as |ts|; 0 before 60 closes."""
        return abs(self.ts or 0.0)

    @property
    def p_mr(self) -> float:
        """The probability of mean reversion: (1 - p_trend) * the share of changes that reverse.

        0 before 60 closes. A reversal is a change of opposite sign to the one before it.
        """
        if self.ts is None:
            return 0.0
        return (1.0 - self.p_trend) * (self.reversals_count / (WINDOW_CLOSES - 2))

    @property
    def p_chop(self) -> float:
        """The probability of neither: 1 - p_trend - p_mr; 1 before 60 closes."""
        return (1.0 - self.p_trend) - self.p_mr

    @property
    def sigma(self) -> float:
        """Short volatility: the root of the short average of squared one-minute log returns."""
        return math.sqrt(self.short_variance)

    @property
    def sigma_ref(self) -> float:
        """Reference volatility: the root of the slow average of squared one-minute log returns."""
        return math.sqrt(self.slow_variance)

    @property
    def sigma_ratio(self) -> float:
        """sigma / sigma_ref, the input of the kill score; 1 for a market that has not moved."""
        return self.sigma / self.sigma_ref if self.sigma_ref > 0.0 else 1.0


def observe_close(
    state: MarketState, close: Decimal, policy: VolatilityPolicy = DEFAULT_VOLATILITY_POLICY
) -> MarketState:
    """The state after one more one-minute close (a price in quote currency).

    The path length gains the new change and loses the oldest, so nothing is summed again. Each
    variance moves by (r^2 - variance) * max(1 - decay, 1/n) at its n-th return: a plain mean until
    the decay takes over, so that the first return does not weigh for hours.

    Raises ValueError for a close that is not positive.
    """
    if not close > 0:
        raise ValueError(f"a close must be positive, not {close}")
    if not state.closes:
        return replace(state, closes=(close,))
    squared_return = math.log(float(close / state.closes[-1])) ** 2
    returns_count = state.returns_count + 1
    return replace(
        _slide(state, close),
        short_variance=_averaged(
            state.short_variance, squared_return, policy.short_decay, returns_count
        ),
        slow_variance=_averaged(
            state.slow_variance, squared_return, policy.slow_decay, returns_count
        ),
        returns_count=returns_count,
    )


@dataclass(frozen=True, slots=True)
class RegimePolicy:
    """When a regime counts as flipped. Probabilities in [0, 1]."""

    trend_min: float = 0.5
    trend_lost_max: float = 0.3
    trendless_min: float = 0.5
    confirm_closes: int = 5


DEFAULT_REGIME_POLICY = RegimePolicy()


@dataclass(frozen=True, slots=True)
class RegimeWatch:
    """What one position has seen of its market's regime since it opened.

    `adverse_closes` counts the consecutive closes at which the regime spoke against the position.
    """

    favourable_trend_seen: bool = False
    adverse_closes: int = 0
    flipped: bool = False


def observe_regime(
    watch: RegimeWatch,
    market: MarketState,
    side: PositionSide,
    policy: RegimePolicy = DEFAULT_REGIME_POLICY,
) -> RegimeWatch:
    """The watch after the close that `market` ends with, observed while the position is held.

    The regime speaks against the position when (a) p_trend >= 0.5 and the trend runs against it,
    or (b) it has seen a trend in its favour (p_trend >= 0.5, aligned) and now p_trend < 0.3 and
    p_mr + p_chop > 0.5. It has flipped when that held at 5 consecutive closes, and for as long as
    it holds. Before 60 closes there is no trend strength and nothing is counted.
    """
    if market.ts is None:
        return replace(watch, adverse_closes=0, flipped=False)
    trending = market.p_trend >= policy.trend_min
    aligned = side.sign * market.ts > 0
    seen = watch.favourable_trend_seen or (trending and aligned)
    trend_lost = (
        market.p_trend < policy.trend_lost_max
        and market.p_mr + market.p_chop > policy.trendless_min
    )
    adverse = (trending and not aligned) or (seen and trend_lost)
    adverse_closes = watch.adverse_closes + 1 if adverse else 0
    return RegimeWatch(
        favourable_trend_seen=seen,
        adverse_closes=adverse_closes,
        flipped=adverse_closes >= policy.confirm_closes,
    )


def _slide(state: MarketState, close: Decimal) -> MarketState:
    closes = (*state.closes, close)
    path_length = state.path_length + abs(close - closes[-2])
    reversals_count = state.reversals_count + _reverses(closes[-3:])
    if len(closes) > WINDOW_CLOSES:
        path_length -= abs(closes[1] - closes[0])
        reversals_count -= _reverses(closes[:3])
        closes = closes[1:]
    return replace(state, closes=closes, path_length=path_length, reversals_count=reversals_count)


def _reverses(closes: tuple[Decimal, ...]) -> bool:
    if len(closes) < 3:
        return False
    first, middle, last = closes
    return (middle - first) * (last - middle) < 0


def _averaged(average: float, value: float, decay: float, count: int) -> float:
    return average + (value - average) * max(1.0 - decay, 1.0 / count)
