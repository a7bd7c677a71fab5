"""apply.plan: what is to be done about an intent. Only `decision=EXECUTE` reaches the venue."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Tag, model_validator

from shared.contracts.fields import (
    AlwaysFalse,
    AlwaysTrue,
    Flag,
    FundingRate,
    Id,
    IntentId,
    Leverage,
    NonNegative,
    Number,
    Positive,
    Symbol,
    Text,
    UnitInterval,
)
from shared.contracts.message import Message
from shared.contracts.trade_intent import check_exit_sides
from shared.formulas import Regime
from shared.sides import Side

PartialAction = Literal["PARTIAL_25", "PARTIAL_50", "PARTIAL_75"]


class _Plan(Message):
    stream_name: ClassVar[str] = "apply.plan"

    plan_id: Id
    intent_id: IntentId
    symbol: Symbol
    side: Side
    reason: Text = ""


class _EntryPlan(_Plan):
    action: Literal["ENTRY_PROPOSED"]
    type: Literal["MARKET"] = "MARKET"
    reduceOnly: AlwaysFalse = False  # noqa: N815 - the venue's own spelling
    qty: Positive
    leverage: Leverage
    entry_price: Positive
    tick_size: Positive
    maintenance_margin_rate: UnitInterval
    confidence: UnitInterval
    atr_value: NonNegative | None = None
    volatility_factor: NonNegative
    exchange_divergence: NonNegative
    funding_rate: FundingRate
    regime: Regime
    model: Text = ""


class AwaitingExitsPlan(_EntryPlan):
    """An admitted entry that still lacks its stop; nobody executes it.

    `stop_loss` and `take_profit` are there only if the intent's producer brought both.
    """

    decision: Literal["AWAITING_EXITS"]
    stop_loss: Positive | None = None
    take_profit: Positive | None = None


class EntryPlan(_EntryPlan):
    """An entry with its stop and targets (prices), ready for the venue."""

    decision: Literal["EXECUTE"]
    stop_loss: Positive
    take_profit: Positive
    take_profit_2: Positive | None = None
    take_profit_3: Positive | None = None
    lsf: UnitInterval

    @model_validator(mode="after")
    def _check(self) -> Self:
        for target in (self.take_profit, self.take_profit_2, self.take_profit_3):
            check_exit_sides(self.side, self.entry_price, self.stop_loss, target)
        return self


class _ExitPlan(_Plan):
    decision: Literal["EXECUTE"]
    position_id: Id
    reduceOnly: AlwaysTrue  # noqa: N815 - the venue's own spelling
    r_level: Number | None = None
    kill_score: UnitInterval | None = None


class ExitPlan(_ExitPlan):
    """A reduce-only close of at most `qty` (base units) of one position."""

    action: PartialAction | Literal["FULL_CLOSE_PROPOSED"]
    type: Literal["MARKET"] = "MARKET"
    qty: Positive


class MoveStopPlan(_ExitPlan):
    """A new price for one position's protective stop."""

    action: Literal["MOVE_STOP"]
    type: Literal["STOP_MARKET"] = "STOP_MARKET"
    stop_loss: Positive


class SkipPlan(_Plan):
    """A refusal: `reason` is its code, `detail` a sentence for people."""

    decision: Literal["SKIP"]
    action: Literal["ENTRY_PROPOSED", "FULL_CLOSE_PROPOSED", "MOVE_STOP"] | PartialAction
    reduceOnly: Flag  # noqa: N815 - the venue's own spelling
    qty: Positive | None = None
    leverage: Leverage | None = None
    entry_price: Positive | None = None
    position_id: Id | None = None
    detail: Text = ""


def _kind(plan: Any) -> str | None:
    """Name the kind of a plan from `decision` and `action`, on fields read or on a model."""
    fields = plan if isinstance(plan, dict) else vars(plan)
    decision, action = fields.get("decision"), fields.get("action")
    if decision in ("SKIP", "AWAITING_EXITS"):
        return str(decision)
    if decision != "EXECUTE" or action is None:
        return None
    return str(action) if action in ("ENTRY_PROPOSED", "MOVE_STOP") else "EXIT"


ApplyPlan = Annotated[
    Annotated[AwaitingExitsPlan, Tag("AWAITING_EXITS")]
    | Annotated[EntryPlan, Tag("ENTRY_PROPOSED")]
    | Annotated[ExitPlan, Tag("EXIT")]
    | Annotated[MoveStopPlan, Tag("MOVE_STOP")]
    | Annotated[SkipPlan, Tag("SKIP")],
    Discriminator(_kind),
]
