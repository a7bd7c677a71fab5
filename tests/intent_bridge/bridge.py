"""intent_bridge with its clock, and builders of what it hears."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.intent_bridge.decider import decide
from services.intent_bridge.state import Policy, State
from shared.contracts import (
    ApplyPlan,
    EntryIntent,
    FillResult,
    FullCloseIntent,
    HarvestIntent,
    MarketTick,
    Message,
    MoveStopIntent,
    PositionResult,
    RefusedResult,
    SkipPlan,
    decode,
    encode,
)
from shared.decisions import DeadLetter, Mode, Note, Received
from shared.sides import Side
from shared.state import StateCodec

D = Decimal
#: Market time begins here, and the wall clock a year later: the two are never to be confused.
MARKET = datetime(2025, 6, 1, tzinfo=UTC)
WALL = datetime(2026, 6, 1, tzinfo=UTC)
SYMBOL = "RIVERUSDT"
CODEC = StateCodec(State)


def over_the_wire(contract: Any, message: Message) -> Any:
    """The message as its reader gets it."""
    return decode(contract, [(name.encode(), value.encode()) for name, value in encode(message)])


class Bridge:
    """The daemon. `plans` is all that it wrote; its state is written and read between events.

    A live feed tells of the price in `prices` before each entry, unless it is told to be `silent`.
    """

    def __init__(self, policy: Policy | None = None, *, knows: tuple[str, ...] = (SYMBOL,)) -> None:
        self.policy = policy or Policy()
        self.state = State()
        self.mode = Mode.RUN
        self.now = WALL
        self.market = MARKET
        self.plans: list[Any] = []
        self.notes: list[Note] = []
        self.dead: list[DeadLetter] = []
        self.silent = False
        self.prices = dict.fromkeys(knows, D("12.32"))
        self._results = 0
        for symbol in knows:
            self.hear(self.stated(symbol))

    def hear(self, message: Message) -> Any:
        """Take one event; returns the plan that comes of it, if one does."""
        if isinstance(message, EntryIntent) and message.symbol in self.prices and not self.silent:
            self._take(self.tick(message.symbol))
        return self._take(message)

    def _take(self, message: Message) -> Any:
        documents = CODEC.changes(State(), self.state)
        self.state = CODEC.load({k: v for k, v in documents.items() if v is not None})
        received = Received(message, self.now, self.mode)
        self.state, outputs = decide(self.state, received, self.policy)
        plans = [over_the_wire(ApplyPlan, o) for o in outputs if isinstance(o, Message)]
        self.plans += plans
        self.notes += [o for o in outputs if isinstance(o, Note)]
        self.dead += [o for o in outputs if isinstance(o, DeadLetter)]
        return plans[0] if plans else None

    def refused(self, **changes: Any) -> str:
        """The code with which an entry like this is refused; empty if it is admitted."""
        plan = self.hear(self.entry(**changes))
        assert plan is not None
        return plan.reason if isinstance(plan, SkipPlan) else ""

    def codes(self) -> list[str]:
        """The reasons of all that was skipped."""
        return [plan.reason for plan in self.plans if isinstance(plan, SkipPlan)]

    # -- what it hears ------------------------------------------------------------------------

    def tick(self, symbol: str = SYMBOL, **changes: Any) -> MarketTick:
        """The mark price of a symbol, told of now."""
        fields: dict[str, Any] = {
            **self._head("market_feed", symbol),
            "tick_id": f"{symbol}-{len(self.plans)}",
            "mark_price": self.prices.get(symbol, D("12.32")),
        }
        return MarketTick(**(fields | changes))

    def entry(self, intent_id: str = "entry.1", **changes: Any) -> EntryIntent:
        """A LONG of 100 in quote units at 12.32, decided and produced now."""
        size = {} if "qty" in changes else {"position_size_usd": D(100)}
        fields: dict[str, Any] = {
            **self._head("trading_bot"),
            "intent_id": intent_id,
            "intent_type": "ENTRY",
            "side": Side.BUY,
            "confidence": D("0.8"),
            "entry_price": D("12.32"),
            "leverage": 10,
            **size,
        }
        return EntryIntent(**(fields | changes))

    def harvest(self, intent_id: str = "p.P25.1", **changes: Any) -> HarvestIntent:
        fields = {"intent_type": "HARVEST_PARTIAL_25", "qty": D("0.46")}
        return HarvestIntent(**(self._exit(intent_id) | fields | changes))

    def close(self, intent_id: str = "p.CLOSE.1", **changes: Any) -> FullCloseIntent:
        fields = {"intent_type": "FULL_CLOSE_PROPOSED", "qty": D("1.83")}
        return FullCloseIntent(**(self._exit(intent_id) | fields | changes))

    def move_stop(self, intent_id: str = "p.STOP.1", **changes: Any) -> MoveStopIntent:
        fields = {"intent_type": "MOVE_STOP", "stop_loss": D("12.3446")}
        return MoveStopIntent(**(self._exit(intent_id) | fields | changes))

    def stated(self, symbol: str = SYMBOL, **changes: Any) -> PositionResult:
        """apply_layer states a symbol, without a position unless one is given."""
        return PositionResult(status="POSITION", **(self._result(symbol) | changes))

    def filled(self, plan: Any, status: Any = "FILLED", **changes: Any) -> FillResult:
        """An entry plan was executed as it was planned."""
        fields = {
            "status": status,
            "side": plan.side,
            "reduceOnly": False,
            "order_id": "1",
            "client_order_id": "e1",
            "filled_qty": plan.qty,
            "avg_price": plan.entry_price,
            "fee": D(0),
            "realized_pnl": D(0),
            "plan_id": plan.plan_id,
            "intent_id": plan.intent_id,
        }
        position = self.holding(plan.qty, plan.entry_price)
        return FillResult(**(self._result(plan.symbol) | fields | position | changes))

    def holding(self, qty: Decimal, price: Decimal) -> dict[str, Any]:
        return {
            "position_id": "RIVERUSDT-1",
            "position_side": Side.BUY.position,
            "position_qty": qty,
            "position_entry_price": price,
            "position_opened_at": self.market,
        }

    def ended(self, plan: Any) -> FillResult:
        """The position that an entry opened was stopped out."""
        gone = {"position_qty": D(0), "reduceOnly": True, "plan_id": None, "intent_id": None}
        return self.filled(plan, "STOPPED_OUT", side=plan.side.opposite, **gone)

    def nothing_came_of(self, plan: Any, status: Any = "REJECTED") -> RefusedResult:
        fields = {
            "status": status,
            "side": plan.side,
            "reduceOnly": plan.reduceOnly,
            "error_code": "-2019",
            "plan_id": plan.plan_id,
            "intent_id": plan.intent_id,
        }
        return RefusedResult(**(self._result(plan.symbol) | fields))

    def later(self, seconds: float) -> None:
        """Both clocks go on."""
        self.now += timedelta(seconds=seconds)
        self.market += timedelta(seconds=seconds)

    def _head(self, source: str, symbol: str = SYMBOL) -> dict[str, Any]:
        return {
            "timestamp": self.market,
            "produced_at": self.now,
            "source": source,
            "symbol": symbol,
        }

    def _exit(self, intent_id: str) -> dict[str, Any]:
        return {
            **self._head("harvest_brain"),
            "intent_id": intent_id,
            "side": Side.SELL,
            "position_id": "RIVERUSDT-1",
            "reduceOnly": True,
            "r_level": D("2.1"),
            "kill_score": D("0.12"),
            "reason": "R 2.1",
        }

    def _result(self, symbol: str) -> dict[str, Any]:
        self._results += 1
        message = {
            **self._head("apply_layer", symbol),
            "result_id": f"r.{self._results}",
            "position_qty": D(0),
            "lot_step": D("0.01"),
            "tick_size": D("0.0001"),
            "min_qty": D("0.5"),
            "min_notional": D(20),
            "reduce_only_min_notional": D(0),
            "max_leverage": 50,
            "maintenance_margin_rate": D("0.01"),
        }
        return message
