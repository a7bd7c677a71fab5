"""apply_layer: what holds whatever is planned, whatever the market does and whenever it dies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest

from services.apply_layer.exchange import CancelOrder, OrderType
from services.apply_layer.paper_account import PaperPolicy
from services.apply_layer.state import Policy
from shared.contracts import EntryPlan, FillResult, Message, MoveStopPlan, RefusedResult
from shared.decisions import Mode
from shared.formulas import target_qty
from shared.sides import Side
from shared.streams import position_key

from .builders import entry, leave, move_stop, order
from .desk import SYMBOL, D, Desk

SHARES = {"PARTIAL_25": D("0.25"), "PARTIAL_50": D("0.5"), "PARTIAL_75": D("0.75")}
LOT = D("0.01")
TICK = D("0.0001")
STEPS = 40


class Trader:
    """Does something at random, and knows what must hold when all is quiet again."""

    def __init__(self, seed: int, *, meddling: bool) -> None:
        self.random = Random(seed)
        self.meddling = meddling
        self.desk = Desk(Policy(), paper=PaperPolicy(slippage_bps=D(2)))
        self.price = D("12.32")
        self.desk.tick(self.price)
        self.elsewhere = D(0)
        self.plans: list[Message] = []
        self.asked: dict[str, Decimal] = {}
        self.doings: list[Callable[[], None]] = [
            self.move, self.move, self.move, self.enter, self.enter, self.exit, self.exit,
            self.tighten, self.repeat, self.die, self.wait, self.switch,
        ]  # fmt: skip
        if meddling:
            self.doings += [self.trade_elsewhere, self.take_the_stop_away]

    def act(self) -> None:
        if self.random.random() < 0.3:
            self.desk.steps_left = self.random.randrange(12)
        self.desk.down_s = self.random.choice([0.5, 3, 40])
        self.random.choice(self.doings)()
        self.desk.steps_left = None
        self.desk.look(after_s=1)

    def move(self) -> None:
        change = D(self.random.choice([-400, -150, -30, -5, 5, 30, 150, 400])) / 10_000
        self.price = (self.price * (1 + change)).quantize(TICK)
        self.desk.tick(self.price, after_s=self.random.choice([1, 60, 9000]))

    def plan(self, plan: EntryPlan | MoveStopPlan | Message) -> None:
        self.plans.append(plan)
        self.desk.deliver(plan)

    def enter(self) -> None:
        side = self.random.choice(list(Side))
        distance = D(self.random.choice([20, 100, 300])) / 10_000

        def level(share: Decimal) -> Decimal:
            return (self.price * (1 + side.sign * share)).quantize(TICK)

        self.plan(
            entry(
                self.desk,
                f"plan.{len(self.plans)}",
                side=side,
                qty=LOT * self.random.randint(1, 300),
                leverage=self.random.choice([1, 10, 50, 60]),
                entry_price=self.price,
                stop_loss=level(-distance),
                take_profit=level(distance),
                take_profit_2=level(2 * distance),
                take_profit_3=level(3 * distance),
            )
        )

    def exit(self) -> None:
        action = self.random.choice([*SHARES, "FULL_CLOSE_PROPOSED"])
        for position in self.desk.state.positions.values():
            share = max(SHARES.get(action, D(0)), self.asked.get(position.position_id, D(0)))
            self.asked[position.position_id] = share
        # One that is ahead of the market waits for its mark.
        at = self.desk.market + timedelta(seconds=self.random.choice([0, 0, 0, 5]))
        self.plan(leave(self.desk, action, f"plan.{len(self.plans)}", timestamp=at))

    def tighten(self) -> None:
        share = D(self.random.choice([-200, -20, 20, 200])) / 10_000
        stop = str((self.price * (1 + share)).quantize(TICK))
        self.plan(move_stop(self.desk, stop, f"plan.{len(self.plans)}"))

    def repeat(self) -> None:
        if self.plans:
            self.desk.deliver(self.random.choice(self.plans))

    def die(self) -> None:
        self.desk.restart()

    def wait(self) -> None:
        self.desk.look(after_s=self.random.choice([1, 5]))

    def switch(self) -> None:
        self.desk.mode = self.random.choice([Mode.RUN, Mode.RUN, Mode.EXITS_ONLY, Mode.HALT])

    def trade_elsewhere(self) -> None:
        # A position is named after the moment it was opened, and no two are opened in one.
        self.move()
        side = self.random.choice(list(Side))
        before = self.desk.venue_qty()
        name = f"by-hand-{self.random.random()}"
        qty = str(LOT * self.random.randint(50, 200))
        reduce_only = self.random.random() < 0.5
        self.desk.behind_its_back(order(self.desk, side, qty, reduce_only=reduce_only, name=name))
        self.elsewhere += self.desk.venue_qty() - before

    def take_the_stop_away(self) -> None:
        for stop in self.desk.stops():
            self.desk.behind_its_back(CancelOrder(stop.client_order_id, SYMBOL, self.desk.market))

    # -- what must hold -----------------------------------------------------------------------

    def check(self) -> None:
        desk = self.desk
        snapshot = desk.snapshot()
        stops = desk.stops()
        record = desk.records.get(position_key(SYMBOL))
        if not snapshot.positions:
            assert desk.state.positions == {}
            assert record is None
            waiting = [o for o in snapshot.open_orders if o.type is not OrderType.MARKET]
            assert waiting == []
        for found in snapshot.positions:
            position = desk.state.positions[found.symbol]
            (stop,) = stops
            assert stop.reduce_only
            assert stop.side is found.side.exit
            assert stop.qty >= found.qty
            assert stop.client_order_id == position.stop_order
            assert stop.trigger_price == position.stop_loss
            assert (position.side, position.qty) == (found.side, found.qty)
            assert position.entry_price == found.entry_price
            assert record is not None
            assert (D(record["qty"]), record["side"]) == (found.qty, found.side)
            assert D(record["entry_price"]) == found.entry_price
            share = self.asked.get(position.position_id, D(0))
            assert position.harvested_qty <= target_qty(share, position.initial_qty, LOT)
        self.check_fills()
        self.check_outcomes()

    def check_fills(self) -> None:
        fills = [r for r in self.desk.results if isinstance(r, FillResult)]
        total = sum((r.side.sign * r.filled_qty for r in fills), D(0))
        assert total + self.elsewhere == self.desk.venue_qty()
        if self.meddling:
            return
        held = D(0)
        for result in fills:
            before, held = held, held + result.side.sign * result.filled_qty
            if result.reduceOnly:
                assert abs(held) < abs(before), "an exit never adds"
                assert held * before >= 0, "an exit never flips"
            assert result.position_qty == abs(held)

    def check_outcomes(self) -> None:
        """A plan has one final outcome; only one whose order still waits has none."""
        desk = self.desk
        ids = [r.result_id for r in desk.results]
        assert len(ids) == len(set(ids))
        waiting = {sent.plan_id for sent in desk.state.orders.values()}
        for plan in self.plans:
            assert isinstance(plan, Message)
            plan_id: str = plan.plan_id  # type: ignore[attr-defined]
            reduce_only: bool = plan.reduceOnly  # type: ignore[attr-defined]
            own = [r for r in desk.results if r.plan_id == plan_id]
            final = [r for r in own if isinstance(r, RefusedResult)]
            if isinstance(plan, MoveStopPlan):
                final += [r for r in own if r.status == "STOP_MOVED"]
            else:
                final += [r for r in own if r.status == "FILLED" and r.reduceOnly is reduce_only]
            assert len(final) == 1 or (not final and plan_id in waiting), (plan_id, own)


@pytest.mark.parametrize("meddling", [False, True], ids=["alone", "with others on the account"])
@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens(seed: int, meddling: bool) -> None:
    trader = Trader(seed, meddling=meddling)
    for _ in range(STEPS):
        trader.act()
        trader.check()
