"""trade.intent: what somebody wants done. An entry carries features, never exits of its own."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, model_validator
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from shared.contracts.fields import (
    AlwaysFalse,
    AlwaysTrue,
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
from shared.formulas import Regime
from shared.sides import Side

#: JSON Schema for: the two exits of an entry's producer come together or not at all.
BOTH_OR_NEITHER: JsonDict = {
    "dependentRequired": {"stop_loss": ["take_profit"], "take_profit": ["stop_loss"]}
}


class _Intent(Message):
    stream_name: ClassVar[str] = "trade.intent"

    intent_id: IntentId
    symbol: Symbol
    side: Side
    reason: Text = ""
    model: Text = ""


class EntryIntent(_Intent):
    """A wish to open a position of `side`, sized by notional (quote units) or by quantity.

    `stop_loss` and `take_profit` are for producers outside the suite that bring their own exits;
    they come together or not at all. Nothing is computed from a number here before it was bounded
    against the mark price, the venue's rules and the owner's caps: each says against what.
    """

    # What the schema for other languages can say of the rules in `_check`.
    model_config = ConfigDict(
        json_schema_extra=BOTH_OR_NEITHER
        | {"oneOf": [{"required": ["position_size_usd"]}, {"required": ["qty"]}]}
    )

    intent_type: Literal["ENTRY"]
    reduceOnly: AlwaysFalse = False  # noqa: N815 - the venue's own spelling
    confidence: UnitInterval = Field(
        description="a number from 0 to 1; told, and nothing is computed from it"
    )
    entry_price: Price = Field(
        description="a price; at most max_price_deviation from the mark price, which is what sizes,"
        " stops and targets are computed from"
    )
    leverage: Leverage = Field(
        description="a whole number; at most the venue's bracket and the owner's max_leverage"
    )
    position_size_usd: Positive | None = Field(
        default=None,
        description="quote units at the mark price; at most max_order_notional, and with what is"
        " held max_exposure; at least the venue's smallest order",
    )
    qty: Positive | None = Field(
        default=None,
        description="base units; times the mark price at most max_order_notional, and with what is"
        " held max_exposure; at least the venue's smallest order",
    )
    atr_value: NonNegative | None = Field(
        default=None,
        description="a price difference; at most half of the mark price, 0 counts as absent",
    )
    volatility_factor: NonNegative = Field(
        default=Decimal(1), description="a factor from 0 to 10; above 5 counts as 5"
    )
    exchange_divergence: NonNegative = Field(
        default=Decimal(0), description="a fraction of the price from 0 to 1"
    )
    funding_rate: FundingRate = Field(
        default=Decimal(0), description="a fraction per funding interval from -0.1 to 0.1"
    )
    regime: Regime = Regime.UNKNOWN
    stop_loss: Price | None = Field(
        default=None,
        description="a price on the losing side of the mark price; at least 0.15 % of it and a tick"
        " away, and before the liquidation that the leverage brings",
    )
    take_profit: Price | None = Field(
        default=None,
        description="a price on the winning side of the mark price; at least the costs of the"
        " round trip and a tick away, at most 90 % of it",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.position_size_usd is None) == (self.qty is None):
            raise PydanticCustomError(
                "bad_size",
                "give either position_size_usd or qty, and not both",
                {"field": "position_size_usd" if self.qty is None else "qty"},
            )
        check_own_exits(self.side, self.entry_price, self.stop_loss, self.take_profit)
        return self


class _ExitIntent(_Intent):
    """`side` is the order's side: SELL reduces a LONG, BUY reduces a SHORT."""

    position_id: Id
    reduceOnly: AlwaysTrue  # noqa: N815 - the venue's own spelling
    r_level: Number | None = Field(
        default=None, description="a number; told, and nothing is computed from it"
    )
    kill_score: UnitInterval | None = Field(
        default=None, description="a number from 0 to 1; told, and nothing is computed from it"
    )
    unrealized_pnl: Number | None = Field(
        default=None, description="quote units; told, and nothing is computed from it"
    )


class HarvestIntent(_ExitIntent):
    """A wish to have the named share of the position's initial quantity harvested in all.

    `qty` (base units) is the most that this may close; what the ladder has already taken is
    subtracted again when the plan is executed.
    """

    intent_type: Literal["HARVEST_PARTIAL_25", "HARVEST_PARTIAL_50", "HARVEST_PARTIAL_75"]
    qty: Positive = Field(
        description="base units; closed is at most what is held and what the rung has left"
    )


class FullCloseIntent(_ExitIntent):
    """A wish to close all that remains, whatever that is when the plan is executed."""

    intent_type: Literal["FULL_CLOSE_PROPOSED"]
    qty: Positive = Field(description="base units; told: closed is whatever is held")


class MoveStopIntent(_ExitIntent):
    """A wish to move the protective stop to `stop_loss` (price); stops only ever tighten."""

    intent_type: Literal["MOVE_STOP"]
    stop_loss: Price = Field(
        description="a price; refused unless tighter than the stop that stands"
    )


ExitIntent = HarvestIntent | FullCloseIntent | MoveStopIntent
TradeIntent = Annotated[EntryIntent | ExitIntent, Discriminator("intent_type")]


def check_own_exits(
    side: Side, entry_price: Decimal, stop_loss: Decimal | None, take_profit: Decimal | None
) -> None:
    """Refuse the exits that an entry's producer brought unless both are there and on their sides.

    Raises:
        PydanticCustomError: `half_an_exit`, `wrong_side_stop` or `wrong_side_target`.
    """
    if (stop_loss is None) != (take_profit is None):
        raise PydanticCustomError(
            "half_an_exit",
            "stop_loss and take_profit come together or not at all",
            {"field": "stop_loss" if stop_loss is None else "take_profit"},
        )
    check_exit_sides(side, entry_price, stop_loss, take_profit)


def check_exit_sides(
    side: Side,
    entry_price: Decimal,
    stop_loss: Decimal | None,
    target: Decimal | None,
    target_name: str = "take_profit",
) -> None:
    """Refuse a stop that is not on the losing side of the entry, or a target not on the winning.

    Raises:
        PydanticCustomError: `wrong_side_stop` or `wrong_side_target`.
    """
    if stop_loss is not None and side.sign * (entry_price - stop_loss) <= 0:
        raise PydanticCustomError(
            "wrong_side_stop",
            "must be below the entry of a BUY, above that of a SELL",
            {"field": "stop_loss"},
        )
    if target is not None and side.sign * (target - entry_price) <= 0:
        raise PydanticCustomError(
            "wrong_side_target",
            "must be above the entry of a BUY, below that of a SELL",
            {"field": target_name},
        )
