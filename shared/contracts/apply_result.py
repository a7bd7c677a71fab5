"""apply.result: what became of a plan, and the position and the symbol's rules after it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Discriminator, model_validator
from pydantic_core import PydanticCustomError

from shared.contracts.fields import (
    BelowOne,
    Flag,
    Id,
    IntentId,
    Leverage,
    NonNegative,
    Number,
    Positive,
    Price,
    Symbol,
    Text,
    Timestamp,
)
from shared.contracts.message import Message
from shared.sides import PositionSide, Side

#: What an open position has; the rest may be unknown of one that somebody else opened.
_OF_EVERY_POSITION = (
    "position_id",
    "position_side",
    "position_entry_price",
    "position_opened_at",
)
_HALF_A_POSITION_IN_A_SCHEMA: dict[str, Any] = {
    "if": {"properties": {"position_qty": {"pattern": "[1-9]"}}, "required": ["position_qty"]},
    "then": {"required": [*_OF_EVERY_POSITION]},
}


class _Result(Message):
    """Quantities in base units, prices and money in quote units.

    `position_*` is the position after the fact; after a close `position_qty` is 0 and the id is
    that of the position which ended. `position_unprotected_s` is the longest that the position
    has stood without a live stop so far, in seconds of wall clock.
    """

    model_config = ConfigDict(json_schema_extra=_HALF_A_POSITION_IN_A_SCHEMA)

    stream_name: ClassVar[str] = "apply.result"

    result_id: Id
    plan_id: Id | None = None
    intent_id: IntentId | None = None
    symbol: Symbol
    reason: Text = ""

    position_id: Id | None = None
    position_side: PositionSide | None = None
    position_qty: NonNegative
    position_initial_qty: NonNegative | None = None
    position_harvested_qty: NonNegative | None = None
    position_entry_price: Price | None = None
    position_initial_stop: Price | None = None
    position_stop_loss: Price | None = None
    position_leverage: Leverage | None = None
    position_realized_pnl: Number | None = None
    position_fees: Number | None = None
    position_opened_at: Timestamp | None = None
    position_unprotected_s: NonNegative | None = None

    lot_step: Positive
    tick_size: Price
    min_qty: NonNegative
    min_notional: NonNegative
    reduce_only_min_notional: NonNegative
    max_leverage: Leverage
    maintenance_margin_rate: BelowOne

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.position_qty:
            return self
        for name in _OF_EVERY_POSITION:
            if getattr(self, name) is None:
                raise PydanticCustomError(
                    "half_a_position", "is missing of an open position", {"field": name}
                )
        if self.position_initial_stop == self.position_entry_price:
            raise PydanticCustomError(
                "no_risk",
                "is at the entry: there is nothing to measure R in",
                {"field": "position_initial_stop"},
            )
        return self


class FillResult(_Result):
    """Something was traded. `realized_pnl` is before fees; `fee` is what this trade cost.

    `fee` is in the contract's quote. `fee_asset_qty` of `fee_asset` is what the venue took, where
    it says so; of an asset that has no price `fee` is 0, and those two alone tell the cost.
    """

    status: Literal[
        "FILLED", "PARTIALLY_FILLED", "STOPPED_OUT", "LIQUIDATED", "DELEVERAGED", "SETTLED"
    ]
    side: Side
    reduceOnly: Flag  # noqa: N815 - the venue's own spelling
    order_id: Text
    client_order_id: Text
    filled_qty: Positive
    avg_price: Price
    fee: Number
    fee_asset: Text | None = None
    fee_asset_qty: Number | None = None
    realized_pnl: Number


class RefusedResult(_Result):
    """A plan came to nothing. `error_code` is the suite's code or the venue's number."""

    status: Literal["REJECTED", "EXPIRED"]
    side: Side
    reduceOnly: Flag  # noqa: N815 - the venue's own spelling
    error_code: Text
    client_order_id: Text | None = None


class StopMovedResult(_Result):
    """The protective stop stands at a new price: `position_stop_loss`."""

    status: Literal["STOP_MOVED"]
    order_id: Text
    client_order_id: Text


class PositionResult(_Result):
    """A statement without a trade: a position adopted, or what a symbol holds and its rules."""

    status: Literal["ADOPTED", "POSITION"]


ApplyResult = Annotated[
    FillResult | RefusedResult | StopMovedResult | PositionResult, Discriminator("status")
]
