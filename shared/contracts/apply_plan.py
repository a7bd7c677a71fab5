"""apply.plan: what is to be done about an intent. Only `decision=EXECUTE` reaches the venue."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, model_validator

from shared.contracts.fields import (
    AlwaysFalse,
    AlwaysTrue,
    BelowOne,
    Flag,
    FundingRate,
    Id,
    IntentId,
    Leverage,
    NonNegative,
    Number,
    Positive,
    Price,
    Symbol,
    Text,
    UnitInterval,
)
from shared.contracts.message import Message
from shared.contracts.trade_intent import BOTH_OR_NEITHER, check_exit_sides, check_own_exits
from shared.formulas import Regime
from shared.sides import Side

PartialAction = Literal["PARTIAL_25", "PARTIAL_50", "PARTIAL_75"]
CloseAction = Literal[PartialAction, "FULL_CLOSE_PROPOSED"]


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
    entry_price: Price = Field(description="the mark price at which the entry was admitted")
    max_notional: Positive | None = Field(
        default=None,
        description="quote units; what the owner's caps let the position be worth at most",
    )
    tick_size: Price
    maintenance_margin_rate: BelowOne
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

    # What the schema for other languages can say of the rules in `_check`.
    model_config = ConfigDict(json_schema_extra=BOTH_OR_NEITHER)

    decision: Literal["AWAITING_EXITS"]
    stop_loss: Price | None = None
    take_profit: Price | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_own_exits(self.side, self.entry_price, self.stop_loss, self.take_profit)
        return self


class EntryPlan(_EntryPlan):
    """An entry with its stop and targets (prices), ready for the venue."""

    decision: Literal["EXECUTE"]
    stop_loss: Price
    take_profit: Price
    take_profit_2: Price | None = None
    take_profit_3: Price | None = None
    lsf: UnitInterval

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("take_profit", "take_profit_2", "take_profit_3"):
            target = getattr(self, name)
            check_exit_sides(self.side, self.entry_price, self.stop_loss, target, name)
        return self


class _ExitPlan(_Plan):
    decision: Literal["EXECUTE"]
    position_id: Id
    reduceOnly: AlwaysTrue  # noqa: N815 - the venue's own spelling
    r_level: Number | None = None
    kill_score: UnitInterval | None = None


class ExitPlan(_ExitPlan):
    """A reduce-only close of one position: of at most `qty` (base units) for a rung.

    A full close closes whatever is held when it is executed; its `qty` is what was held before.
    """

    action: CloseAction
    type: Literal["MARKET"] = "MARKET"
    qty: Positive


class MoveStopPlan(_ExitPlan):
    """A new price for one position's protective stop."""

    action: Literal["MOVE_STOP"]
    type: Literal["STOP_MARKET"] = "STOP_MARKET"
    stop_loss: Price


class SkipPlan(_Plan):
    """A refusal: `reason` is its code, `detail` a sentence for people."""

    decision: Literal["SKIP"]
    action: Literal["ENTRY_PROPOSED", CloseAction, "MOVE_STOP"]
    reduceOnly: Flag  # noqa: N815 - the venue's own spelling
    qty: Positive | None = None
    leverage: Leverage | None = None
    entry_price: Price | None = None
    position_id: Id | None = None
    detail: Text = ""


ExecutedPlan = Annotated[EntryPlan | ExitPlan | MoveStopPlan, Discriminator("action")]
ApplyPlan = Annotated[AwaitingExitsPlan | ExecutedPlan | SkipPlan, Discriminator("decision")]
