"""What harvest_brain asks for at one price: the kill, then the ladder, then the lock. Pure."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from services.harvest_brain.positions import Asked, Held
from services.harvest_brain.report import View
from shared.contracts import FullCloseIntent, HarvestIntent, MoveStopIntent
from shared.decisions import Note
from shared.formulas import harvest, locked_stop, ratcheted_stop

FULL_CLOSE = "FULL_CLOSE_PROPOSED"
MOVE_STOP = "MOVE_STOP"
RUNG = "RUNG"
_SHOWN = Decimal("0.0001")
_TOLD_MOST = Decimal(10**15)
_MONEY_STEP = Decimal("1E-8")


def act(view: View) -> tuple[Held, list[object]]:
    """Ask for what is due and not asked for already."""
    held = view.held
    outputs: list[object] = []
    if held.exit_asked is None:
        held = _ask_for_exit(view, outputs)
    closing = held.exit_asked is not None and held.exit_asked.action == FULL_CLOSE
    if held.stop_asked is None and not closing:
        held = _ask_for_stop(replace(view, held=held), outputs)
    return held, outputs


def _may_ask(view: View, wish: str) -> bool:
    """Whether a wish of this kind was not refused, or long enough ago."""
    backoff = view.held.backoffs.get(wish)
    if backoff is None or view.at >= backoff.retry_at:
        return True
    # No wait is longer than the longest: that time was told by a clock that was ahead.
    return (backoff.retry_at - view.at).total_seconds() > view.policy.retry_longest_s


def _ask_for_exit(view: View, outputs: list[object]) -> Held:
    held = view.held
    if view.parts.score >= view.policy.kill_threshold:
        if not _may_ask(view, FULL_CLOSE):
            return held
        held, intent_id = _numbered(held, "CLOSE")
        outputs.append(
            FullCloseIntent(intent_type=FULL_CLOSE, qty=held.qty, **_exit(view, intent_id))
        )
        action, qty = FULL_CLOSE, held.qty
    else:
        due = harvest(
            held.plan, r=held.r_max, harvested_qty=held.harvested_qty, remaining_qty=held.qty
        )
        if due.action is None or not _may_ask(view, RUNG):
            return held
        action, qty = due.action.name, due.close_qty
        held, intent_id = _numbered(held, action.replace("PARTIAL_", "P"))
        kind: Any = f"HARVEST_{action}"
        outputs.append(HarvestIntent(intent_type=kind, qty=qty, **_exit(view, intent_id)))
    outputs.append(_harvest_note(view, action, intent_id, qty=qty))
    return replace(held, exit_asked=Asked(intent_id, action, view.received_at))


def _ask_for_stop(view: View, outputs: list[object]) -> Held:
    held, policy = view.held, view.policy
    stop = locked_stop(
        side=held.side,
        entry_price=held.entry_price,
        r=view.r,
        current_stop=held.stop_loss,
        tick_size=held.tick_size,
        at_r=policy.lock_at_r,
        offset=policy.lock_offset,
        mark_price=view.mark_price,
    )
    if policy.ratchet and held.taken is not None:
        stop = ratcheted_stop(
            side=held.side,
            entry_price=held.entry_price,
            risk_per_unit=held.risk_per_unit,
            ladder=held.ladder,
            taken=held.taken,
            current_stop=stop or held.stop_loss,
            tick_size=held.tick_size,
            cost_bps=policy.cost_bps,
            mark_price=view.mark_price,
        ) or stop  # fmt: skip
    if stop is None or stop <= 0 or not _may_ask(view, MOVE_STOP):
        return held
    held, intent_id = _numbered(held, "STOP")
    outputs.append(MoveStopIntent(intent_type=MOVE_STOP, stop_loss=stop, **_exit(view, intent_id)))
    outputs.append(_harvest_note(view, MOVE_STOP, intent_id, stop_loss=stop))
    return replace(held, stop_asked=Asked(intent_id, MOVE_STOP, view.received_at))


def _numbered(held: Held, action: str) -> tuple[Held, str]:
    """The name of this decision: position, action, attempt; the same however often it is made."""
    count = held.counts.get(action, 0) + 1
    held = replace(held, counts={**held.counts, action: count})
    return held, f"{held.position_id}.{action}.{count}"


def _exit(view: View, intent_id: str) -> dict[str, Any]:
    held = view.held
    unrealized_pnl = held.side.sign * (view.mark_price - held.entry_price) * held.qty
    return {
        "timestamp": view.at,
        "produced_at": view.received_at,
        "source": "harvest_brain",
        "intent_id": intent_id,
        "symbol": held.symbol,
        "side": held.side.exit,
        "reduceOnly": True,
        "position_id": held.position_id,
        "r_level": short(view.r),
        "kill_score": short(Decimal(view.parts.score)),
        "unrealized_pnl": short(unrealized_pnl, _MONEY_STEP),
        "reason": f"R {short(view.r)}, kill score {view.parts.score:.2f}",
    }


def _harvest_note(view: View, action: str, intent_id: str, **more: object) -> Note:
    return Note(
        "harvest",
        {
            "symbol": view.held.symbol,
            "r": f"{view.r:.2f}",
            "kill": f"{view.parts.score:.2f}",
            "action": action,
            **more,
            "position_id": view.held.position_id,
            "intent_id": intent_id,
        },
    )


def short(value: Decimal, step: Decimal = _SHOWN) -> Decimal:
    """A figure as it is told; what no market brings about is told as the most there is room for."""
    return min(max(value, -_TOLD_MOST), _TOLD_MOST).quantize(step)
