"""`quantum:venue`: why no entry may be made, and every trouble with the venue by its true cause."""

from __future__ import annotations

from services.apply_layer.state import State
from shared.decisions import Record
from shared.streams import VENUE_KEY


def venue_record(state: State) -> Record:
    """What people and watchers read of the venue; each field names one cause."""
    unknown = {
        name: f"{sent.request.symbol} {sent.leg.name} since {sent.doubt.since.isoformat()}"
        for name, sent in sorted(state.orders.items())
        if sent.doubt is not None
    }
    fields = {"entries": "barred" if state.barriers else "open"}
    fields |= {f"barrier.{code}": text for code, text in sorted(state.barriers.items())}
    fields |= {f"unknown.{name}": text for name, text in unknown.items()}
    fields |= {f"stop_refused.{s}": text for s, text in sorted(state.stops_refused.items())}
    fields |= {
        f"quarantine.{symbol}": f"{found.code} {found.reason}"
        for symbol, found in sorted(state.quarantine.items())
    }
    return Record(VENUE_KEY, fields)
