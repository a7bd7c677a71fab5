"""One entry of a stream as news for a person: what happened, in one plain line, and how bad it is.

Pure. The words are for somebody tired who reads them on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.notifier.values import Heard, Kind, Missed, News, Severity
from shared.contracts import FillResult, PositionResult, RefusedResult, SkipPlan, StopMovedResult
from shared.formulas import r_multiple, risk_per_unit
from shared.sides import Side
from shared.why.chains import who_refused, why_refused
from shared.why.words import fee_in, on_tick, plain, safe

#: What strangers wrote is cut to this many characters.
TEXT_MAX = 240
#: What else than a liquidation the venue closes of its own accord.
_CLOSED_BY_VENUE = {"DELEVERAGED": "deleveraged (ADL)", "SETTLED": "settled"}
_WHAT = {
    "ENTRY_PROPOSED": "entry",
    "PARTIAL_25": "rung 25 %",
    "PARTIAL_50": "rung 50 %",
    "PARTIAL_75": "rung 75 %",
    "FULL_CLOSE_PROPOSED": "full close",
    "MOVE_STOP": "new stop",
}


def news_of(heard: Heard) -> News | None:
    """What an entry tells, if it tells anything."""
    match heard.message:
        case FillResult():
            return _fill(heard.message, heard.at)
        case StopMovedResult():
            text = f"{_stop(heard.message)} now, {plain(heard.message.position_qty)} held"
            return _said(heard, Kind.STOP_MOVED, text)
        case PositionResult(status="ADOPTED"):
            text = f"adopted {_held(heard.message)}, {_stop(heard.message)}"
            return _said(heard, Kind.ADOPTION, text)
        case SkipPlan() | RefusedResult():
            return _refusal(heard)
        case Mapping():
            return _letter(heard.message, heard.at)
        case _:
            return None


def news_of_gap(missed: Missed, at: datetime) -> News:
    """What could not be heard any more."""
    stream = missed.key.removeprefix("quantum:stream:")
    text = f"{missed.count} entries of {stream} were trimmed before they could be told here"
    return News(Kind.GAP, Severity.WARNING, at, text)


def _said(heard: Heard, kind: Kind, text: str, severity: Severity = Severity.INFO) -> News:
    symbol = str(heard.message.symbol)
    return News(kind, severity, heard.at, brief(f"{symbol}: {text}"), symbol)


def _fill(fill: Any, at: datetime) -> News:
    verb = "bought" if fill.side is Side.BUY else "sold"
    price = on_tick(fill.avg_price, fill.tick_size)
    part = " in part" if fill.status == "PARTIALLY_FILLED" else ""
    traded = f"{verb} {plain(fill.filled_qty)}{part} at {price}{fee_in(fill)}"
    kind, severity = Kind.FILL, Severity.INFO
    if not fill.reduceOnly:
        text = f"{traded}; {_held(fill)} now, {_stop(fill)}"
    else:
        end = f"{money(fill.realized_pnl)} realised; {_left(fill)}"
        if fill.status == "LIQUIDATED":
            kind, severity = Kind.LIQUIDATION, Severity.URGENT
            text = f"liquidated by the venue: {traded}, {end}"
        elif fill.status in _CLOSED_BY_VENUE:
            severity = Severity.URGENT
            text = f"{_CLOSED_BY_VENUE[fill.status]} by the venue: {traded}, {end}"
        elif fill.status == "STOPPED_OUT":
            kind = Kind.STOP_HIT
            text = f"stop hit: {traded}, {end}"
        elif fill.reason.startswith("PARTIAL_"):
            kind = Kind.RUNG
            text = f"{verb} {_share(fill)} at {price}{_in_r(fill)}, {end}"
        else:
            text = f"{traded}{_in_r(fill)}, {end}"
    realised = fill.realized_pnl - fill.fee
    return News(kind, severity, at, brief(f"{fill.symbol}: {text}"), fill.symbol, realised=realised)


def _share(fill: Any) -> str:
    """How much of the whole position it was."""
    if not fill.position_initial_qty:
        return plain(fill.filled_qty)
    return f"{100 * fill.filled_qty / fill.position_initial_qty:.0f} %"


def _in_r(fill: Any) -> str:
    """The profit of the trade in units of risk, where the position says what it risked."""
    entry, side = fill.position_entry_price, fill.position_side
    if entry is None or side is None or fill.position_initial_stop == entry:
        return ""
    risk = risk_per_unit(entry, fill.position_initial_stop)
    r = r_multiple(side=side, entry_price=entry, mark_price=fill.avg_price, risk_per_unit=risk)
    return f" ({r:.1f} R)"


def _held(result: Any) -> str:
    price = result.position_entry_price
    from_ = "" if price is None else f" from {on_tick(price, result.tick_size)}"
    return f"{result.position_side or 'nothing'} {plain(result.position_qty)}{from_}"


def _left(result: Any) -> str:
    if result.position_qty:
        return f"{plain(result.position_qty)} left, {_stop(result)}"
    if result.position_realized_pnl is None:
        return "nothing left"
    in_all = result.position_realized_pnl - (result.position_fees or Decimal(0))
    return f"nothing left, {money(in_all)} in all after fees"


def _stop(result: Any) -> str:
    stop = result.position_stop_loss
    return "no stop yet" if stop is None else f"stop {on_tick(stop, result.tick_size)}"


def _refusal(heard: Heard) -> News:
    message = heard.message
    action = getattr(message, "action", "")
    what = _WHAT.get(action, action) or ("exit" if message.reduceOnly else "entry")
    why = why_refused(message)
    text = f"{what}: {who_refused(message)}{': ' if why else ''}{why}"
    severity = Severity.WARNING if message.reduceOnly else Severity.INFO
    return _said(heard, Kind.REFUSAL, text, severity)


def _letter(fields: Mapping[str, str], at: datetime) -> News:
    stream, code = fields.get("stream", "a stream"), fields.get("code", "no code")
    text = f"a message on {stream} was put aside ({code}): {fields.get('detail', '')}"
    symbol = fields.get("symbol")
    return News(Kind.DEAD_LETTER, Severity.WARNING, at, brief(text), symbol)


def money(amount: Decimal) -> str:
    """An amount with its sign, in hundredths; finer where there would be nothing left of it."""
    digits = 2 if not amount or abs(amount) >= Decimal("0.01") else 6
    return f"{amount:+.{digits}f}"


def brief(text: str) -> str:
    """One line that a phone shows, without what could be taken for a command."""
    text = safe(" ".join(text.split()))
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"
