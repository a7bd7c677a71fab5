"""A position as harvest_brain holds it: its frozen risk, its ladder, and what it has asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from shared.contracts import ApplyResult
from shared.formulas import (
    DEFAULT_LADDER,
    Ladder,
    PlannedRung,
    RegimeWatch,
    Rung,
    blended_risk_per_unit,
    leverage_scaled,
    planned_ladder,
    price_at_r,
    r_multiple,
    risk_per_unit,
)
from shared.sides import PositionSide

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Policy:
    """Every tunable of the harvest; fractions are decimals, times are seconds of market time.

    `answer_within_s` alone is wall clock: an exit that nobody has answered by then is asked again.
    """

    ladder: Ladder = DEFAULT_LADDER
    leverage_scaled: bool = False
    ratchet: bool = False
    cost_bps: Decimal = Decimal(10)
    lock_at_r: Decimal = Decimal("1.5")
    lock_offset: Decimal = Decimal("0.002")
    kill_threshold: float = 0.6
    retry_first_s: Decimal = Decimal(1)
    retry_longest_s: Decimal = Decimal(60)
    answer_within_s: Decimal = Decimal(15)
    show_every_s: Decimal = Decimal(1)
    overrides: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, symbol: str) -> Policy:
        """The tunables of one symbol."""
        return self.overrides.get(symbol, self)


@dataclass(frozen=True, slots=True)
class Asked:
    """An exit or a stop that was asked for and has no outcome yet; `at` is wall clock."""

    intent_id: str
    action: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often a wish was refused in a row, and the market time from which it may be repeated."""

    refusals: int
    retry_at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """One open position. `risk_per_unit` was fixed when it opened and only adding to it moves it.

    `r_max` is the highest R seen, and the ladder's measure. `counts` numbers what was asked per
    action, so that a new attempt has a new id. `backoffs` has one entry for each kind of wish that
    was refused last, so that a stop that cannot move never holds up an exit.
    """

    position_id: str
    symbol: str
    side: PositionSide
    qty: Decimal
    initial_qty: Decimal
    harvested_qty: Decimal
    entry_price: Decimal
    risk_per_unit: Decimal
    tick_size: Decimal
    plan: tuple[PlannedRung, ...]
    opened_at: datetime
    stop_loss: Decimal | None
    watch: RegimeWatch = field(default_factory=RegimeWatch)
    r_max: Decimal = ZERO
    counts: Mapping[str, int] = field(default_factory=dict)
    exit_asked: Asked | None = None
    stop_asked: Asked | None = None
    backoffs: Mapping[str, Backoff] = field(default_factory=dict)
    shown_at: datetime | None = None

    @property
    def ladder(self) -> Ladder:
        """The rungs, at the R levels that hold for this position."""
        return tuple(planned.rung for planned in self.plan)

    @property
    def taken(self) -> Rung | None:
        """The highest rung whose share is harvested."""
        done = [p.rung for p in self.plan if not p.merged and p.target_qty <= self.harvested_qty]
        return done[-1] if done else None

    def r_net(self, mark_price: Decimal, cost_bps: Decimal) -> Decimal:
        """The R-multiple at a mark price, net of costs."""
        return r_multiple(
            side=self.side,
            entry_price=self.entry_price,
            mark_price=mark_price,
            risk_per_unit=self.risk_per_unit,
            cost_bps=cost_bps,
        )


def opened(result: ApplyResult, policy: Policy) -> Held:
    """The position that a result states, seen for the first time: R and the ladder begin here.

    Raises:
        ValueError: the result speaks of an open position and lacks part of it.
    """
    if (
        result.position_id is None
        or result.position_side is None
        or result.position_entry_price is None
        or result.position_opened_at is None
    ):
        raise ValueError(f"{result.result_id} states an open position and lacks part of it")
    held = Held(
        position_id=result.position_id,
        symbol=result.symbol,
        side=result.position_side,
        qty=result.position_qty,
        initial_qty=result.position_initial_qty or result.position_qty,
        harvested_qty=result.position_harvested_qty or ZERO,
        entry_price=result.position_entry_price,
        risk_per_unit=risk_per_unit(result.position_entry_price, result.position_initial_stop),
        tick_size=result.tick_size,
        plan=(),
        opened_at=result.position_opened_at,
        stop_loss=result.position_stop_loss,
    )
    return replace(held, plan=_plan(held, result, policy))


def _plan(held: Held, result: ApplyResult, policy: Policy) -> tuple[PlannedRung, ...]:
    ladder = policy.ladder
    if policy.leverage_scaled:
        ladder = leverage_scaled(ladder, result.position_leverage or 1)

    def price_at(rung: Rung) -> Decimal:
        return price_at_r(
            side=held.side,
            entry_price=held.entry_price,
            r=rung.r_level,
            risk_per_unit=held.risk_per_unit,
            cost_bps=policy.cost_bps,
        )

    return planned_ladder(
        ladder,
        initial_qty=held.initial_qty,
        lot_step=result.lot_step,
        min_qty=result.min_qty,
        min_notional=result.reduce_only_min_notional,
        price_at=price_at,
    )


def updated(held: Held, result: ApplyResult, policy: Policy) -> Held:
    """The same position after a result: what is left of it, and its risk only if it has grown."""
    after = replace(
        held,
        qty=result.position_qty,
        harvested_qty=result.position_harvested_qty or ZERO,
        stop_loss=result.position_stop_loss,
    )
    initial_qty = result.position_initial_qty or held.initial_qty
    added_qty = initial_qty - held.initial_qty
    if added_qty <= 0 or result.position_entry_price is None:
        return after
    blended = blended_risk_per_unit(
        held_qty=held.initial_qty,
        held_risk_per_unit=held.risk_per_unit,
        added_qty=added_qty,
        added_risk_per_unit=_added_risk(held, result, added_qty),
    )
    grown = replace(
        after,
        initial_qty=initial_qty,
        entry_price=result.position_entry_price,
        risk_per_unit=blended,
        # What was reached in the old R says nothing in the new one.
        r_max=ZERO,
    )
    return replace(grown, plan=_plan(grown, result, policy))


def _added_risk(held: Held, result: ApplyResult, added_qty: Decimal) -> Decimal:
    """The risk per unit of what was added: from its own price to the stop, or 2 % if past it.

    The entry price is an average over what was held at the time, so what was closed before counts
    no more.
    """
    average = result.position_entry_price or held.entry_price
    kept_qty = max(result.position_qty - added_qty, ZERO)
    price = (average * (kept_qty + added_qty) - held.entry_price * kept_qty) / added_qty
    stop = result.position_initial_stop
    if price <= 0:
        price = average
    if stop is not None and held.side.sign * (price - stop) <= 0:
        stop = None
    return risk_per_unit(price, stop)
