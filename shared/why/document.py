"""The answer of `quantum why` as one document for machines; pure."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from shared.why.chains import Chain
from shared.why.rungs import rungs_of
from shared.why.story import Story, stops_of
from shared.why.words import Finding, plain


def as_json(story: Story, findings: list[Finding], chain: Chain | None) -> dict[str, Any]:
    """The same for machines; figures as text, as in the streams."""
    document: dict[str, Any] = {
        "symbol": story.picture.symbol,
        "ok": not any(finding.verdict == "fail" for finding in findings),
        "reason": asdict(findings[0]) if findings else None,
        "findings": [asdict(finding) for finding in findings],
        "mode": story.picture.mode or "RUN",
    }
    if chain is not None:
        return document | {"intent_id": chain.intent_id, "said": _said(chain)}
    if story.held is None:
        return document | {"position": None}
    return document | {
        "position": _texts(asdict(story.held)),
        "entry": _said(story.entry) if story.entry else [],
        "rungs": [_texts(asdict(rung)) for rung in rungs_of(story)],
        "stops": [
            {"at": said.at.isoformat(), "stop_loss": _as_text(stop), "cause": cause}
            for said, stop, cause in stops_of(story)
        ],
        "kill": {"score": _as_text(story.kill_score), "parts": _texts(dict(story.kill))},
        "orders": [_texts(asdict(order)) for order in story.picture.orders],
        "evaluated_at": _as_text(story.evaluated_at),
        "asked": [
            {"intent_id": c.intent_id, "kind": c.kind, "open": c.open, "said": _said(c)}
            for c in story.chains_of()
            if c.kind != "ENTRY"
        ],
    }


def _said(chain: Chain) -> list[dict[str, Any]]:
    return [
        {
            "id": said.id,
            "at": said.at.isoformat(),
            **said.message.model_dump(mode="json", exclude_none=True),
        }
        for said in chain.said
    ]


def _texts(table: dict[str, Any]) -> dict[str, Any]:
    return {name: _as_text(value) for name, value in table.items()}


def _as_text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
