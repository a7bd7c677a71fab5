"""harvest_brain, driven by prices and by results as apply_layer would write them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.harvest_brain.decider import State, decide
from services.harvest_brain.positions import Held, Policy
from shared.contracts import (
    REPLAY_SOURCE,
    ApplyResult,
    ExitIntent,
    FillResult,
    FullCloseIntent,
    HarvestIntent,
    MarketTick,
    Message,
    MoveStopIntent,
    PositionResult,
    RefusedResult,
    StopMovedResult,
    TradeIntent,
    decode,
    encode,
)
from shared.decisions import Note, Received, Record
from shared.sides import PositionSide
from shared.state import StateCodec
from shared.streams import harvest_key

D = Decimal
MARKET = datetime(2025, 6, 1, 12, tzinfo=UTC)
WALL = datetime(2026, 6, 1, tzinfo=UTC)
SYMBOL = "RIVERUSDT"
CODEC = StateCodec(State)
INTENTS = HarvestIntent | FullCloseIntent | MoveStopIntent


def over_the_wire(contract: Any, message: Message) -> Any:
    """The message as its reader gets it."""
    return decode(contract, [(name.encode(), value.encode()) for name, value in encode(message)])


class Brain:
    """The daemon, its clock, and the position as apply_layer would state it.

    With `forgetful` it is stopped and started between any two events.
    """

    def __init__(self, policy: Policy | None = None, *, forgetful: bool = False) -> None:
        self.policy = policy or Policy()
        self.state = State()
        self.forgetful = forgetful
        self.market = MARKET
        self.now = WALL
        self.intents: list[Any] = []
        self.notes: list[Note] = []
        self.records: dict[str, Mapping[str, str] | None] = {}
        self.heard: list[Message] = []
        self.position: dict[str, Any] = {}
        self._results = 0

    # -- events -------------------------------------------------------------------------------

    def hear(self, message: Message) -> list[Any]:
        """Take one event; returns the intents that come of it."""
        self.heard.append(message)
        before = len(self.intents)
        if self.forgetful:
            documents = CODEC.changes(State(), self.state)
            self.state = CODEC.load({k: v for k, v in documents.items() if v is not None})
        self.state, outputs = decide(self.state, Received(message, self.now), self.policy)
        for output in outputs:
            if isinstance(output, INTENTS):
                self.intents.append(over_the_wire(TradeIntent, output))
            elif isinstance(output, Note):
                self.notes.append(output)
            elif isinstance(output, Record):
                self.records[output.key] = output.fields
        return self.intents[before:]

    def tick(
        self,
        price: str | Decimal,
        *,
        after_s: float = 1,
        wall_s: float | None = None,
        source: str = REPLAY_SOURCE,
        **changes: Any,
    ) -> list[Any]:
        """A new mark price, some time later by both clocks; recorded, so that it needs no other."""
        self.market += timedelta(seconds=after_s)
        self.now += timedelta(seconds=after_s if wall_s is None else wall_s)
        return self.hear(
            MarketTick(
                source=source,
                tick_id=f"t.{int(self.market.timestamp() * 1000)}",
                symbol=SYMBOL,
                mark_price=D(price),
                **{"timestamp": self.market, "produced_at": self.now} | changes,
            )
        )

    def minutes(self, *prices: str | Decimal) -> list[Any]:
        """One price a minute; returns all the intents that come of them."""
        return [intent for price in prices for intent in self.tick(price, after_s=60)]

    def open(self, **changes: Any) -> list[Any]:
        """The reference position is filled: LONG 1.83 at 12.32, stop 12.0736."""
        self.position = {
            "position_id": f"{SYMBOL}-{int(self.market.timestamp() * 1000)}",
            "position_side": PositionSide.LONG,
            "position_qty": D("1.83"),
            "position_initial_qty": D("1.83"),
            "position_harvested_qty": D(0),
            "position_entry_price": D("12.32"),
            "position_initial_stop": D("12.0736"),
            "position_stop_loss": D("12.0736"),
            "position_leverage": 10,
            "position_opened_at": self.market,
        } | {k: v for k, v in changes.items() if k.startswith("position_")}
        others = {k: v for k, v in changes.items() if not k.startswith("position_")}
        return self.hear(self._fill("FILLED", D("1.83"), plan_id="plan.entry", **others))

    def fill(
        self, intent: ExitIntent, qty: str | Decimal | None = None, status: str = "FILLED"
    ) -> list[Any]:
        """An exit is executed, wholly or in part."""
        assert not isinstance(intent, MoveStopIntent)
        closed = intent.qty if qty is None else D(qty)
        self.position["position_qty"] -= closed
        if isinstance(intent, HarvestIntent):
            self.position["position_harvested_qty"] += closed
        return self.hear(self._fill(status, closed, intent_id=intent.intent_id))

    def stop_moved(self, intent: Any) -> list[Any]:
        """A stop stands where it was asked for."""
        self.position["position_stop_loss"] = intent.stop_loss
        head = self._head(intent_id=intent.intent_id)
        return self.hear(
            StopMovedResult(status="STOP_MOVED", order_id="", client_order_id="", **head)
        )

    def refuse(self, intent: Any, *, code: str = "-1008", status: Any = "REJECTED") -> list[Any]:
        """Nothing came of an intent."""
        head = self._head(intent_id=intent.intent_id)
        return self.hear(
            RefusedResult(status=status, side=intent.side, reduceOnly=True, error_code=code, **head)
        )

    def answer(self, *intents: Any) -> None:
        """Everything is executed as it was asked, and so is what comes of that."""
        waiting = list(intents)
        while waiting:
            intent = waiting.pop(0)
            if isinstance(intent, MoveStopIntent):
                waiting += self.stop_moved(intent)
            else:
                waiting += self.fill(intent)

    def end(self, status: str = "STOPPED_OUT") -> list[Any]:
        """The position is gone."""
        qty = self.position["position_qty"]
        self.position["position_qty"] = D(0)
        return self.hear(self._fill(status, qty))

    def stated(self, status: Any = "POSITION", **changes: Any) -> list[Any]:
        """apply_layer states the position as it stands."""
        self.position |= changes
        return self.hear(PositionResult(status=status, **self._head()))

    # -- what a test checks -------------------------------------------------------------------

    @property
    def held(self) -> Held:
        return self.state.held[SYMBOL]

    @property
    def record(self) -> Mapping[str, str]:
        record = self.records[harvest_key(SYMBOL)]
        assert record is not None
        return record

    def asked(self) -> list[tuple[str, Decimal]]:
        """Every exit that was asked for, by kind and quantity or price."""
        return [
            (i.intent_type, i.stop_loss if isinstance(i, MoveStopIntent) else i.qty)
            for i in self.intents
        ]

    def ids(self) -> list[str]:
        return [i.intent_id.removeprefix(f"{i.position_id}.") for i in self.intents]

    # -- results ------------------------------------------------------------------------------

    def _fill(self, status: Any, qty: Decimal, **ids: Any) -> FillResult:
        result = FillResult(
            status=status,
            side=self.position["position_side"].exit,
            reduceOnly=True,
            order_id="1",
            client_order_id="x1",
            filled_qty=qty,
            avg_price=D(12),
            fee=D(0),
            realized_pnl=D(0),
            **self._head(**ids),
        )
        read: FillResult = over_the_wire(ApplyResult, result)
        return read

    def _head(self, **changes: Any) -> dict[str, Any]:
        self._results += 1
        head = {
            "result_id": f"r.{self._results}",
            "timestamp": self.market,
            "produced_at": self.now,
            "source": "apply_layer",
            "symbol": SYMBOL,
            "lot_step": D("0.01"),
            "tick_size": D("0.0001"),
            "min_qty": D("0.01"),
            "min_notional": D(5),
            "reduce_only_min_notional": D(0),
            "max_leverage": 50,
            "maintenance_margin_rate": D("0.01"),
        }
        return head | self.position | changes


def reference(policy: Policy | None = None, *, forgetful: bool = False, **changes: Any) -> Brain:
    """A brain that watches the reference position, marked at its entry."""
    brain = Brain(policy, forgetful=forgetful)
    brain.tick("12.32")
    assert brain.open(**changes) == []
    return brain


def mirrored(policy: Policy | None = None) -> Brain:
    """The reference position's mirror, SHORT."""
    return reference(
        policy,
        position_side=PositionSide.SHORT,
        position_initial_stop=D("12.5664"),
        position_stop_loss=D("12.5664"),
    )


def price_at(r: str | int | Decimal, *, sign: int = 1) -> Decimal:
    """The mark at which the reference position has a net R of `r`."""
    return D("12.32") + sign * (D(r) * D("0.2464") + D("0.01232"))
