"""One message of a stream in one line for people.

Pure; reads and writes nothing.
"""

from __future__ import annotations

from typing import Any

from shared.contracts import (
    AwaitingExitsPlan,
    EntryIntent,
    EntryPlan,
    ExitPlan,
    FillResult,
    FullCloseIntent,
    HarvestIntent,
    MarketTick,
    MoveStopIntent,
    MoveStopPlan,
    PositionResult,
    RefusedResult,
    SkipPlan,
    StopMovedResult,
)
from shared.why.chains import fill_name, who_refused, why_refused
from shared.why.words import fee_in, plain, safe


def line_of(message: Any) -> str:
    """What a message says, without its ids and times."""
    for of_kind in (_intent, _plan, _result):
        line = of_kind(message)
        if line is not None:
            return safe(line)
    return safe(str(message))


def _intent(message: Any) -> str | None:
    match message:
        case MarketTick():
            return f"price    {plain(message.mark_price)}"
        case EntryIntent():
            size = f"for {message.position_size_usd}"
            if message.qty is not None:
                size = f"{plain(message.qty)} units"
            price = plain(message.entry_price)
            return f"intent   {message.side} {size} at {price}, {message.leverage}x"
        case HarvestIntent() | FullCloseIntent():
            action = message.intent_type.removeprefix("HARVEST_")
            return f"intent   {action}: {message.side} {plain(message.qty)}, {message.reason}"
        case MoveStopIntent():
            return f"intent   stop to {plain(message.stop_loss)}, {message.reason}"
        case _:
            return None


def _plan(message: Any) -> str | None:
    match message:
        case AwaitingExitsPlan():
            return f"admitted {message.side} {plain(message.qty)}, awaits its stop and targets"
        case EntryPlan():
            levels = f"stop {plain(message.stop_loss)}, target {plain(message.take_profit)}"
            return f"plan     {message.side} {plain(message.qty)}, {levels}"
        case ExitPlan():
            return f"plan     {message.action}: {message.side} {plain(message.qty)}"
        case MoveStopPlan():
            return f"plan     stop to {plain(message.stop_loss)}"
        case SkipPlan():
            return f"refused  {who_refused(message)}: {why_refused(message)}"
        case _:
            return None


def _result(message: Any) -> str | None:
    match message:
        case FillResult():
            what = fill_name(message)
            trade = f"{message.side} {plain(message.filled_qty)} at {plain(message.avg_price)}"
            money = f", realised {plain(message.realized_pnl)}" if message.reduceOnly else ""
            left = f", {plain(message.position_qty)} left"
            part = " in part" if message.status == "PARTIALLY_FILLED" else ""
            return f"filled   {what}{part}: {trade}{money}{fee_in(message)}{left}"
        case RefusedResult():
            return f"refused  {who_refused(message)}: {why_refused(message)}"
        case StopMovedResult():
            stop = message.position_stop_loss
            return f"stop     stands at {'none' if stop is None else plain(stop)}"
        case PositionResult():
            side = message.position_side or "nothing"
            return f"{message.status.lower():<8} {side} {plain(message.position_qty)}"
        case _:
            return None
