"""The kill score: how strongly the market says that a position's reason is gone.

Pure; reads and writes nothing. A score in [0, 1], in float: it is compared, never traded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

KILL_THRESHOLD = 0.6
"""From this score on, all that remains of the position is closed, at any R."""

_BIAS = -2.0
_REGIME_FLIP_WEIGHT = 2.5
_SIGMA_SPIKE_WEIGHT = 0.5
_TS_DROP_WEIGHT = 0.5
_AGE_WEIGHT = 0.3
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class KillParts:
    """The weighted terms whose sum z gives the score K = 1 / (1 + e^-z); none has a unit."""

    bias: float
    regime_flip: float
    sigma_spike: float
    ts_drop: float
    age: float

    @property
    def z(self) -> float:
        """The sum of the terms, in [-2, 2.05]."""
        return self.bias + self.regime_flip + self.sigma_spike + self.ts_drop + self.age

    @property
    def score(self) -> float:
        """K = 1 / (1 + e^-z), in [0.119, 0.887]."""
        return 1.0 / (1.0 + math.exp(-self.z))


def kill_parts(
    *, regime_flip: bool | int, sigma_ratio: float, ts_aligned: float, age_s: float
) -> KillParts:
    """The weighted terms of the kill score.

        z = -2 + 2.5*regime_flip + 0.5*sigma_spike + 0.5*ts_drop + 0.3*age
        sigma_spike = clip(sigma_ratio - 1, 0, 2)
        ts_drop     = clip(0.3 - ts_aligned, 0, 0.5)
        age         = clip(age_s / 86400, 0, 1)

    `sigma_ratio` is sigma / sigma_ref, `ts_aligned` the trend strength in the position's own
    direction, `age_s` the age of the position in seconds. Without a flip z is at most -0.45 and
    the score 0.39: only a flip can kill.

    Raises ValueError for a flip other than 0 or 1, or a number that is NaN.
    """
    if regime_flip not in (0, 1):
        raise ValueError(f"regime_flip must be 0 or 1, not {regime_flip}")
    if any(math.isnan(value) for value in (sigma_ratio, ts_aligned, age_s)):
        raise ValueError("the kill score is not defined for NaN")
    return KillParts(
        bias=_BIAS,
        regime_flip=_REGIME_FLIP_WEIGHT * regime_flip,
        sigma_spike=_SIGMA_SPIKE_WEIGHT * _clip(sigma_ratio - 1.0, 0.0, 2.0),
        ts_drop=_TS_DROP_WEIGHT * _clip(0.3 - ts_aligned, 0.0, 0.5),
        age=_AGE_WEIGHT * _clip(age_s / _DAY_S, 0.0, 1.0),
    )


def kill_score(
    *, regime_flip: bool | int, sigma_ratio: float, ts_aligned: float, age_s: float
) -> float:
    """K = 1 / (1 + e^-z) of `kill_parts`; arguments and errors as there."""
    return kill_parts(
        regime_flip=regime_flip, sigma_ratio=sigma_ratio, ts_aligned=ts_aligned, age_s=age_s
    ).score


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
