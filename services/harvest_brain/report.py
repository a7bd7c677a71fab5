"""`quantum:harvest:<SYMBOL>`: what harvest_brain saw last, for people and for metrics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from services.harvest_brain.positions import Held, Policy
from shared.decisions import Record
from shared.formulas import KillParts
from shared.streams import harvest_key


@dataclass(frozen=True, slots=True)
class View:
    """All that one evaluation looks at."""

    held: Held
    mark_price: Decimal
    at: datetime
    received_at: datetime
    r: Decimal
    parts: KillParts
    policy: Policy


def harvest_record(view: View) -> Record:
    """The record after one evaluation: R, kill score with its parts, rungs, what is awaited."""
    held, parts = view.held, view.parts
    rungs = " ".join(_rung(view, index) for index in range(len(held.plan)))
    return Record(
        harvest_key(held.symbol),
        {
            "position_id": held.position_id,
            "symbol": held.symbol,
            "mark_price": format(view.mark_price, "f"),
            "r_net": f"{view.r:.4f}",
            "r_max": f"{held.r_max:.4f}",
            "kill_score": f"{parts.score:.4f}",
            "kill_parts": (
                f"bias={parts.bias:.2f} regime_flip={parts.regime_flip:.2f} "
                f"sigma_spike={parts.sigma_spike:.2f} ts_drop={parts.ts_drop:.2f} "
                f"age={parts.age:.2f}"
            ),
            "rungs": rungs,
            "harvested_qty": format(held.harvested_qty, "f"),
            "remaining_qty": format(held.qty, "f"),
            "risk_per_unit": format(held.risk_per_unit, "f"),
            "awaiting": " ".join(
                asked.intent_id for asked in (held.exit_asked, held.stop_asked) if asked
            ),
            "refusals": str(max((b.refusals for b in held.backoffs.values()), default=0)),
            "retry_at": " ".join(
                f"{wish}={backoff.retry_at.isoformat(timespec='milliseconds')}"
                for wish, backoff in sorted(held.backoffs.items())
            ),
            "evaluated_at": view.at.isoformat(timespec="milliseconds"),
        },
    )


def _rung(view: View, index: int) -> str:
    planned = view.held.plan[index]
    if planned.merged:
        state = "merged"
    elif planned.target_qty <= view.held.harvested_qty:
        state = "taken"
    elif view.held.r_max >= planned.rung.r_level:
        state = "due"
    else:
        state = "ahead"
    return f"{planned.rung.name}@{planned.rung.r_level:.2f}R={state}"
