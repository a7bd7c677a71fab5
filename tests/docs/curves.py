"""What the plots of formulas.md show, computed by shared.formulas; nothing is drawn here.

Each function gives the curves of one plot by name, as lists of the same length. Prices are those of
a LONG from 100 with its stop at 98, so that one R is 2.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal

from shared import formulas
from shared.formulas.risk import DEFAULT_COST_BPS
from shared.sides import PositionSide, Side

Curves = dict[str, list[float]]

ENTRY, STOP = Decimal(100), Decimal(98)
RISK = formulas.risk_per_unit(ENTRY, STOP)
LEVERAGES = range(1, 126)
_LONG = PositionSide.LONG
_TICK = Decimal("0.01")
_QTY = Decimal(100)


def lsf() -> Curves:
    """The leverage sensitivity factor by leverage."""
    return {
        "leverage": [float(leverage) for leverage in LEVERAGES],
        "lsf": [float(formulas.leverage_sensitivity_factor(each)) for each in LEVERAGES],
    }


def levels() -> Curves:
    """Stop, targets and liquidation by leverage, in percent of the entry, at an ATR of 2 %."""
    curves: Curves = {name: [] for name in ("leverage", "stop", "safe", "liquidation")}
    curves |= {f"target {number}": [] for number in (1, 2, 3)}
    policy = formulas.ExitPolicy()
    for leverage in LEVERAGES:
        found = formulas.exit_levels(side=Side.BUY, entry_price=ENTRY, leverage=leverage)
        assert isinstance(found, formulas.ExitLevels)
        safe = formulas.safe_stop_fraction(leverage)
        curves["leverage"].append(float(leverage))
        curves["stop"].append(float(100 * found.sl_pct))
        curves["safe"].append(float(100 * safe))
        curves["liquidation"].append(float(100 * safe / policy.liquidation_share))
        for number, fraction in enumerate(found.tp_pct, start=1):
            curves[f"target {number}"].append(float(100 * fraction))
    return curves


def ladder() -> Curves:
    """By the highest R that a position sees: what is left of it, and what it comes to.

    The price climbs to that R and then falls back to the stop. What it comes to is in R of the
    whole position: with the ladder, with the ratchet besides, and with the stop alone.
    """
    highest = [step / 20 for step in range(161)]
    plan = formulas.unmerged_ladder(
        formulas.DEFAULT_LADDER, initial_qty=_QTY, lot_step=Decimal("0.01")
    )
    curves: Curves = {"R": highest, "left": [], "ladder": [], "ratchet": [], "stop alone": []}
    for level in highest:
        r = Decimal(str(level))
        reached = [each for each in plan if each.rung.r_level <= r]
        harvested, taken, realised = Decimal(0), None, Decimal(0)
        for each in reached:
            step = formulas.harvest(
                plan, r=each.rung.r_level, harvested_qty=harvested, remaining_qty=_QTY - harvested
            )
            harvested, taken = harvested + step.close_qty, each.rung
            realised += step.close_qty / _QTY * each.rung.r_level
        left = (_QTY - harvested) / _QTY
        locked, ratcheted = _stops(r, taken)
        curves["left"].append(float(100 * left))
        curves["ladder"].append(float(realised + left * _r_at(locked)))
        curves["ratchet"].append(float(realised + left * _r_at(ratcheted)))
        curves["stop alone"].append(float(_r_at(STOP)))
    return curves


def trade() -> Curves:
    """One trade by the minute: price and stop in R, and the share that is left in percent."""
    curves: Curves = {"minute": [], "price": [], "stop": [], "ratcheted stop": [], "left": []}
    plan = formulas.unmerged_ladder(
        formulas.DEFAULT_LADDER, initial_qty=_QTY, lot_step=Decimal("0.01")
    )
    harvested, highest = Decimal(0), Decimal(0)
    locked: Decimal = STOP
    ratcheted: Decimal = STOP
    for minute, r in enumerate(_a_climb_and_a_fall()):
        highest = max(highest, r)
        step = formulas.harvest(
            plan, r=highest, harvested_qty=harvested, remaining_qty=_QTY - harvested
        )
        harvested += step.close_qty
        first, second = _stops(highest, formulas.reached(formulas.DEFAULT_LADDER, highest))
        locked, ratcheted = max(locked, first), max(ratcheted, second)
        curves["minute"].append(float(minute))
        curves["price"].append(float(r))
        curves["stop"].append(float(_r_at(locked)))
        curves["ratcheted stop"].append(float(_r_at(ratcheted)))
        curves["left"].append(float(_QTY - harvested))
        if r <= _r_at(locked):
            break
    return curves


def kill() -> Curves:
    """The kill score by volatility, with and without a flip, all else at its best and its worst."""
    ratios = [step / 20 for step in range(10, 81)]
    curves: Curves = {"sigma ratio": ratios}
    for flip in (0, 1):
        for name, ts_aligned, age_s in (("best", 1.0, 0.0), ("worst", -1.0, 86_400.0)):
            curves[f"flip {flip} {name}"] = [
                formulas.kill_score(
                    regime_flip=flip, sigma_ratio=ratio, ts_aligned=ts_aligned, age_s=age_s
                )
                for ratio in ratios
            ]
    return curves


def flip() -> Curves:
    """A market that climbs and then turns, minute by minute, as a LONG opened in it sees it."""
    names = ("minute", "close", "ts", "p_mr + p_chop", "flipped", "kill")
    curves: Curves = {name: [] for name in names}
    market, watch = formulas.MarketState(), formulas.RegimeWatch()
    for minute, close in enumerate(_a_turning_market()):
        market = formulas.observe_close(market, close)
        if market.ts is None:
            continue
        watch = formulas.observe_regime(watch, market, _LONG)
        score = formulas.kill_score(
            regime_flip=watch.flipped,
            sigma_ratio=market.sigma_ratio,
            ts_aligned=market.ts,
            age_s=60.0 * minute,
        )
        trendless = market.p_mr + market.p_chop
        values = (float(minute), float(close), market.ts, trendless, float(watch.flipped), score)
        for name, value in zip(names, values, strict=True):
            curves[name].append(value)
    return curves


PLOTS: dict[str, Callable[[], Curves]] = {
    "lsf": lsf,
    "levels": levels,
    "ladder": ladder,
    "trade": trade,
    "kill": kill,
    "flip": flip,
}


def fingerprint(name: str) -> str:
    """What a plot shows, in a word; the drawn file carries it."""
    rounded = {key: [round(value, 6) for value in row] for key, row in PLOTS[name]().items()}
    return hashlib.sha256(json.dumps(rounded, sort_keys=True).encode()).hexdigest()


def _r_at(price: Decimal) -> Decimal:
    return formulas.r_multiple(side=_LONG, entry_price=ENTRY, mark_price=price, risk_per_unit=RISK)


def _stops(highest: Decimal, taken: formulas.Rung | None) -> tuple[Decimal, Decimal]:
    """Where the stop stands once that R was seen: by the lock alone, and with the ratchet."""
    locked = formulas.locked_stop(
        side=_LONG, entry_price=ENTRY, r=highest, current_stop=STOP, tick_size=_TICK
    ) or STOP  # fmt: skip
    if taken is None:
        return locked, locked
    ratcheted = formulas.ratcheted_stop(
        side=_LONG,
        entry_price=ENTRY,
        risk_per_unit=RISK,
        ladder=formulas.DEFAULT_LADDER,
        taken=taken,
        current_stop=locked,
        tick_size=_TICK,
        cost_bps=DEFAULT_COST_BPS,
    )
    return locked, ratcheted or locked


def _a_climb_and_a_fall() -> Iterator[Decimal]:
    """R by the minute: up to 7 with breaks on the way, and all the way back."""
    for minute in range(600):
        climb = 7.2 * math.sin(math.pi * min(minute, 520) / 520) ** 1.4
        wave = 0.55 * math.sin(minute / 17) * math.sin(math.pi * min(minute, 520) / 520)
        yield Decimal(str(round(climb + wave, 4)))


def _a_turning_market() -> Iterator[Decimal]:
    """Closes by the minute: a quiet hour, a climb of two, a rough top, and the way down."""
    price = 100.0
    for minute in range(360):
        drift = 0.0 if minute < 60 else 0.06 if minute < 180 else 0.0 if minute < 260 else -0.05
        rough = 0.05 if minute < 180 else 0.12
        price += drift + rough * math.sin(2.1 * minute) + 0.03 * math.sin(minute / 9)
        yield Decimal(str(round(price, 4)))
