"""harvest_brain: what was harvested depends on the highest R alone, whatever happens on the way."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest

from services.harvest_brain.positions import Policy
from shared.contracts import MarketTick, MoveStopIntent
from shared.formulas import DEFAULT_LADDER, target_qty
from shared.sides import PositionSide

from .brain import Brain, D, mirrored, price_at, reference

LOT = D("0.01")


def wander(brain: Brain, random: Random, *, events: int = 80) -> None:
    """Prices that jump, exits that are filled, half filled, refused or never answered."""
    sign = brain.held.side.sign
    r = D(0)
    waiting: list[object] = []
    for _ in range(events):
        doing = random.random()
        if doing < 0.6 or not waiting:
            r = max(r + D(random.choice(["-1.5", "-0.5", "0", "0.3", "0.7", "2.5"])), D("-0.9"))
            waiting += brain.tick(price_at(r, sign=sign), after_s=random.choice([0.4, 1, 5, 20]))
            continue
        intent = waiting.pop(0)
        if isinstance(intent, MoveStopIntent):
            waiting += brain.stop_moved(intent) if doing < 0.9 else brain.refuse(intent)
        elif doing < 0.75:
            waiting += execute(brain, intent)
        elif doing < 0.9:
            waiting += brain.refuse(intent)


def execute(brain: Brain, intent: object) -> list[object]:
    """Close what is left of the rung, as apply_layer does, or say that nothing is."""
    share = D(intent.intent_type[-2:]) / 100  # type: ignore[attr-defined]
    target = target_qty(share, D("1.83"), LOT)
    due = min(
        intent.qty,  # type: ignore[attr-defined]
        target - brain.position["position_harvested_qty"],
    )
    if due <= 0:
        return brain.refuse(intent, code="already_harvested")
    return brain.fill(intent, due)  # type: ignore[arg-type]


def settle(brain: Brain, sign: int) -> None:
    """Hold the price and answer everything until nothing more is asked for."""
    for _ in range(12):
        price = price_at("0.5", sign=sign)
        for intent in brain.tick(price, after_s=61):
            if isinstance(intent, MoveStopIntent):
                brain.stop_moved(intent)
            else:
                execute(brain, intent)


def start(side: PositionSide, *, forgetful: bool = False) -> Brain:
    brain = reference() if side is PositionSide.LONG else mirrored()
    brain.forgetful = forgetful
    return brain


def due_at(r_max: Decimal) -> Decimal:
    shares = [rung.share for rung in DEFAULT_LADDER if r_max >= rung.r_level]
    return target_qty(max(shares, default=D(0)), D("1.83"), LOT)


@pytest.mark.parametrize("side", list(PositionSide))
@pytest.mark.parametrize("seed", range(40))
def test_what_is_harvested_is_a_function_of_the_highest_r(seed: int, side: PositionSide) -> None:
    brain = start(side)
    wander(brain, Random(seed))
    assert brain.held.harvested_qty <= due_at(brain.held.r_max)
    settle(brain, side.sign)
    assert brain.held.harvested_qty == due_at(brain.held.r_max)
    assert brain.held.harvested_qty + brain.held.qty == D("1.83")
    assert brain.held.risk_per_unit == D("0.2464")


@pytest.mark.parametrize("seed", range(40))
def test_stopped_and_started_between_any_two_events_it_decides_the_same(seed: int) -> None:
    steady, forgetful = start(PositionSide.LONG), start(PositionSide.LONG, forgetful=True)
    wander(steady, Random(seed))
    wander(forgetful, Random(seed))
    assert forgetful.intents == steady.intents
    assert forgetful.records == steady.records
    assert forgetful.state == steady.state


@pytest.mark.parametrize("seed", range(20))
def test_no_two_intents_share_an_id_and_no_stop_ever_loosens(seed: int) -> None:
    brain = start(PositionSide.LONG)
    brain.policy = Policy(ratchet=True)
    wander(brain, Random(seed))
    ids = [intent.intent_id for intent in brain.intents]
    assert len(ids) == len(set(ids))
    stops = [i.stop_loss for i in brain.intents if isinstance(i, MoveStopIntent)]
    assert stops == sorted(stops)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_events_give_the_same_decisions(seed: int) -> None:
    first = start(PositionSide.LONG)
    wander(first, Random(seed))
    again = Brain()
    for message in first.heard:
        again.now = message.produced_at
        again.hear(message)
    assert again.intents == first.intents
    assert again.state == first.state
    ticks = [m for m in first.heard if isinstance(m, MarketTick)]
    assert all(again.hear(tick) == [] for tick in ticks)
