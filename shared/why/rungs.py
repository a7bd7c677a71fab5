"""The rungs of the open position: each with its price, its quantity and how it stands.

Pure; reads and writes nothing. The plan is made anew from what harvest_brain made it from: the
ladder, the position and the venue's rules as its first result stated them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from shared.formulas import (
    Ladder,
    PlannedRung,
    Rung,
    leverage_scaled,
    planned_ladder,
    price_at_r,
    unmerged_ladder,
)
from shared.records import figure
from shared.why.chains import is_exit
from shared.why.picture import Picture
from shared.why.story import ZERO, Held, Story

_RUNG = re.compile(r"(\w+)@(-?[0-9.]+)R=\w+", re.ASCII)
#: Where no rules are known, a quantity is told as finely as any venue has it.
_FINE = Decimal("1E-8")

RungState = Literal["taken", "merged", "due", "next", "ahead"]


@dataclass(frozen=True, slots=True)
class RungView:
    """One rung. `qty` is what it adds to what the rungs before it take; `why` is a sentence.

    `away` is how far the price has to go in the position's favour, `away_pct` the same in percent.
    """

    name: str
    r_level: Decimal
    price: Decimal
    qty: Decimal
    target_qty: Decimal
    state: RungState
    why: str
    away: Decimal | None = None
    away_pct: Decimal | None = None


def ladder_of(picture: Picture, leverage: int) -> Ladder:
    """The rungs that hold for the position: the record's, exact where the settings agree."""
    terms = picture.terms
    ladder = terms.ladder
    if terms.leverage_scaled:
        ladder = leverage_scaled(ladder, leverage)
    shown = {name: figure(level) for name, level in _RUNG.findall(picture.harvest.get("rungs", ""))}
    return tuple(
        rung
        if shown.get(rung.name) in (None, round(rung.r_level, 2))
        else Rung(rung.name, shown[rung.name], rung.share)
        for rung in ladder
    )


def rungs_of(story: Story) -> Iterator[RungView]:
    """Every rung with its price and how it stands."""
    held, picture = story.held, story.picture
    if held is None:
        return
    reached = max(held.r, held.r_max)
    kept_qty, next_found = ZERO, False
    for planned in _planned(story, held):
        rung = planned.rung
        price = _price(held, rung, picture.terms.cost_bps)
        qty = planned.target_qty - kept_qty
        away = held.side.sign * (price - held.mark_price)
        view = RungView(rung.name, rung.r_level, price, qty, planned.target_qty, "ahead", "")
        if planned.merged:
            yield replace(view, state="merged", why=_too_small(story, qty, price))
            continue
        kept_qty = planned.target_qty
        if planned.target_qty <= held.harvested_qty:
            yield replace(view, state="taken", why=_how_taken(story, rung.name))
        elif reached >= rung.r_level:
            yield replace(view, state="due", why=f"R was {reached:.2f}")
        else:
            state: RungState = "ahead" if next_found else "next"
            next_found = True
            # A symbol that is being settled has a mark of 0.
            pct = round(away / held.mark_price * 100, 2) if held.mark_price else ZERO
            far = f"{abs(pct)} % away" if price > 0 else "out of reach: no price is below 0"
            yield replace(view, state=state, away=away, away_pct=pct, why=far)


def _planned(story: Story, held: Held) -> tuple[PlannedRung, ...]:
    ladder = ladder_of(story.picture, held.leverage)
    rules = _rules(story)
    if rules is None:
        return unmerged_ladder(ladder, initial_qty=held.initial_qty, lot_step=_FINE)
    return planned_ladder(
        ladder,
        initial_qty=held.initial_qty,
        lot_step=rules.lot_step,
        min_qty=rules.min_qty,
        min_notional=rules.reduce_only_min_notional,
        price_at=lambda rung: _price(held, rung, story.picture.terms.cost_bps),
    )


def _rules(story: Story) -> Any:
    """The result by which harvest_brain planned the ladder: the first, or one that added to it.

    Where the streams do not reach back so far, the rules as they are now.
    """
    planned, initial_qty = None, None
    for said in story.told:
        result = said.message
        if result.position_qty and (planned is None or result.position_initial_qty != initial_qty):
            planned, initial_qty = result, result.position_initial_qty
    if planned is None and story.picture.results:
        return story.picture.results[-1].message
    return planned or story.picture.rules


def _price(held: Held, rung: Rung, cost_bps: Decimal) -> Decimal:
    return price_at_r(
        side=held.side,
        entry_price=held.entry_price,
        r=rung.r_level,
        risk_per_unit=held.risk_per_unit,
        cost_bps=cost_bps,
    )


def _too_small(story: Story, qty: Decimal, price: Decimal) -> str:
    rules = _rules(story)
    if qty <= 0:
        return "too small: less than half a lot, left to the next rung"
    if qty < rules.min_qty:
        return f"too small: {qty} is less than the venue's minimum quantity, {rules.min_qty}"
    least = rules.reduce_only_min_notional
    return f"too small: {qty} at {price:.4f} is {qty * price:.2f}, less than the minimum of {least}"


def _how_taken(story: Story, name: str) -> str:
    """By which fills a rung was taken, or why it counts as taken."""
    fills = [s for s in story.told if is_exit(s.message) and s.message.reason == name]
    if fills:
        parts = ", ".join(f"{f.message.filled_qty} at {f.message.avg_price}" for f in fills)
        return f"{parts}, {fills[-1].at:%d %b %H:%M:%S}"
    if story.unknown_history:
        return "counts as taken: the position was adopted and its history is unknown"
    rungs = (s.message.reason for s in story.told if is_exit(s.message))
    later = [rung for rung in rungs if rung.startswith("PARTIAL") and rung > name]
    if later:
        return f"with {later[0]}"
    return "before the streams begin"
