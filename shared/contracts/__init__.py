"""The payloads of the four streams: all that the daemons ever say to each other."""

from shared.contracts.apply_plan import (
    ApplyPlan,
    AwaitingExitsPlan,
    EntryPlan,
    ExitPlan,
    MoveStopPlan,
    SkipPlan,
)
from shared.contracts.apply_result import (
    ApplyResult,
    FillResult,
    PositionResult,
    RefusedResult,
    StopMovedResult,
)
from shared.contracts.market_tick import (
    HISTORY_SOURCE,
    LOCKSTEP_SOURCE,
    REPLAY_SOURCE,
    VENUE_SOURCE,
    MarketTick,
)
from shared.contracts.message import Message
from shared.contracts.trade_intent import (
    EntryIntent,
    ExitIntent,
    FullCloseIntent,
    HarvestIntent,
    MoveStopIntent,
    TradeIntent,
)
from shared.contracts.wire import BadMessage, decode, encode

__all__ = [
    "HISTORY_SOURCE",
    "LOCKSTEP_SOURCE",
    "REPLAY_SOURCE",
    "VENUE_SOURCE",
    "ApplyPlan",
    "ApplyResult",
    "AwaitingExitsPlan",
    "BadMessage",
    "EntryIntent",
    "EntryPlan",
    "ExitIntent",
    "ExitPlan",
    "FillResult",
    "FullCloseIntent",
    "HarvestIntent",
    "MarketTick",
    "Message",
    "MoveStopIntent",
    "MoveStopPlan",
    "PositionResult",
    "RefusedResult",
    "SkipPlan",
    "StopMovedResult",
    "TradeIntent",
    "decode",
    "encode",
]
