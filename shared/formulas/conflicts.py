"""Which rungs of the ladder resting targets leave nothing to take at.

Pure; reads and writes nothing. A target that fills counts as harvested, so a rung whose share the
targets below its price have already taken is never reached.
"""

from __future__ import annotations

from decimal import Decimal

from shared.formulas.exits import ExitLevels
from shared.formulas.ladder import DEFAULT_LADDER, Ladder, Rung
from shared.formulas.risk import DEFAULT_COST_BPS

_BPS = Decimal(10_000)


def unreachable_rungs(
    levels: ExitLevels,
    shares: tuple[Decimal, ...],
    *,
    ladder: Ladder = DEFAULT_LADDER,
    cost_bps: Decimal = DEFAULT_COST_BPS,
) -> tuple[Rung, ...]:
    """The rungs that resting targets make unreachable.

    `shares` are what is closed at tp1, tp2, tp3: (1,) for one target, the harvest scheme for
    three. A rung stands at r_level * sl_pct + cost_bps/10000 from the entry, a fraction of it.
    """

    def taken_before(distance: Decimal) -> Decimal:
        targets = zip(shares, levels.tp_pct, strict=False)
        return sum((share for share, tp_pct in targets if tp_pct <= distance), Decimal(0))

    return tuple(
        rung
        for rung in ladder
        if taken_before(rung.r_level * levels.sl_pct + cost_bps / _BPS) >= rung.share
    )
