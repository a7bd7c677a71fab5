"""An open position as watcher sees it: R by the last price, rungs reached and not taken, its stop.

Pure; reads and writes nothing. How far a position is does not come from harvest_brain: R is worked
out anew from the position's record and the last price, so that a harvest_brain that hangs, or errs,
shows. Only adding to a position after a part of it was closed makes the two differ a little: the
record does not tell what the first part's risk was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from shared.contracts import MarketTick
from shared.formulas import Marks, confirmed, marks_after, r_multiple
from shared.overview.values import Position
from shared.ticks import is_ahead
from shared.why.picture import Said


@dataclass(frozen=True, slots=True)
class Price:
    """The last confirmed price of a symbol, its market time, and when the server took it.

    `alive_at` is when the server last took any price of the symbol, one that is no news as well.
    """

    mark_price: Decimal
    market_at: datetime
    at: datetime
    alive_at: datetime
    marks: Marks


@dataclass(frozen=True, slots=True)
class Holding:
    """`reached` has for each rung the moment at which the price first stood at it.

    `whole_since` is when the position last grew: what was reached before says nothing of it now.
    `naked_since` is when it was first seen without a stop.
    """

    position: Position
    cost_bps: Decimal
    r: Decimal | None = None
    reached: Mapping[str, datetime] = field(default_factory=dict)
    whole_since: datetime | None = None
    naked_since: datetime | None = None

    @property
    def untaken(self) -> list[tuple[str, datetime]]:
        """The rungs that were reached and are not taken, with since when, the longest first."""
        due = [
            (rung.name, self.reached[rung.name])
            for rung in self.position.rungs
            if rung.state not in ("taken", "merged") and rung.name in self.reached
        ]
        return sorted(due, key=lambda pair: pair[1])


def seen(before: Holding | None, position: Position, cost_bps: Decimal, now: datetime) -> Holding:
    """The position at a look; `before` is what was known of the symbol."""
    holding = Holding(position, cost_bps)
    if before is not None and before.position.position_id == position.position_id:
        grown = position.initial_qty > before.position.initial_qty
        holding = replace(before, position=position, cost_bps=cost_bps)
        if grown:
            holding = whole(holding, now)
    naked_since = (holding.naked_since or now) if position.naked else None
    return replace(holding, naked_since=naked_since)


def whole(holding: Holding, at: datetime) -> Holding:
    """The position after it grew: its R is another one from here on."""
    reached = {name: when for name, when in holding.reached.items() if when >= at}
    return replace(holding, reached=reached, whole_since=at)


def at_price(holding: Holding, price: Price, now: datetime) -> Holding:
    """The position at a price; one that is older than the position says nothing of it.

    A position cannot have been opened at a time that has not come: that is not believed.
    """
    position = holding.position
    opened_at = position.opened_at
    if price.market_at < opened_at and not is_ahead(opened_at, now):
        return holding
    if holding.whole_since is not None and price.at < holding.whole_since:
        return holding
    r = r_multiple(
        side=position.side,
        entry_price=position.entry_price,
        mark_price=price.mark_price,
        risk_per_unit=position.risk_per_unit,
        cost_bps=holding.cost_bps,
    )
    now_at = [rung.name for rung in position.rungs if r >= rung.r_level]
    reached = dict.fromkeys(now_at, price.at) | dict(holding.reached)
    return replace(holding, r=r, reached=reached)


def until(holding: Holding, now: datetime) -> Holding:
    """The position without times that have not come: the server's clock was set back."""
    since = [holding.whole_since, holding.naked_since, *holding.reached.values()]
    if all(at is None or at <= now for at in since):
        return holding
    return replace(
        holding,
        reached={name: min(at, now) for name, at in holding.reached.items()},
        whole_since=holding.whole_since and min(holding.whole_since, now),
        naked_since=holding.naked_since and min(holding.naked_since, now),
    )


def price_of(before: Price | None, said: Said) -> Price:
    """A price as it is kept, after the one before it."""
    tick: MarketTick = said.message
    last = None if before is None else before.marks
    marks = marks_after(last, tick.mark_price, recorded=tick.recorded)
    return Price(confirmed(marks), tick.timestamp, said.at, said.at, marks)
