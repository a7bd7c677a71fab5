"""`quantum:venue`: why no entry may be made, and every trouble with the venue by its true cause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.apply_layer.exchange import OrderType
from services.apply_layer.journal import Leg
from services.apply_layer.state import ACCOUNT, State
from shared.decisions import Record
from shared.streams import VENUE_KEY

_ORDER = {Leg.STOP: "stop", Leg.FLATTEN: "forced close", Leg.ENTRY: "entry"}


def barriers_of(state: State) -> Mapping[str, str]:
    """Why no entry may be made, by code: what the venue's side says, and a stop that is refused."""
    barred = state.stops_barred.get(ACCOUNT)
    if barred is None:
        return state.barriers
    return {**state.barriers, "stops_refused": barred.words}


def venue_record(state: State) -> Record:
    """What people and watchers read of the venue; each field names one cause."""
    barriers = barriers_of(state)
    fields = {"entries": "barred" if barriers else "open"}
    fields |= {f"barrier.{code}": text for code, text in sorted(barriers.items())}
    fields |= sorted(_orders(state))
    fields |= sorted(_refused(state))
    fields |= {f"over_cap.{symbol}": words for symbol, words in sorted(state.over_cap.items())}
    fields |= {
        f"quarantine.{symbol}": f"{found.code} {found.reason}"
        for symbol, found in sorted(state.quarantine.items())
    }
    return Record(VENUE_KEY, fields)


def _orders(state: State) -> Iterator[tuple[str, str]]:
    """Orders in doubt, and exits that stand at the venue without an outcome."""
    for name, sent in state.orders.items():
        request = sent.request
        if sent.doubt is not None:
            since = sent.doubt.since.isoformat()
            yield f"unknown.{name}", f"{request.symbol} {sent.leg.name} since {since}"
        elif sent.accepted and request.reduce_only and request.type is OrderType.MARKET:
            since = request.sent_at.isoformat() if request.sent_at else "unknown"
            words = f"{request.symbol} {sent.action} of {request.qty:f} waits since {since}"
            yield f"waits.{name}", words


def _refused(state: State) -> Iterator[tuple[str, str]]:
    """The venue's words against protection of what is naked, and against entries, by symbol."""
    words: dict[str, list[str]] = {}
    for _, refused in sorted(state.refusals.items(), key=lambda item: item[1].at):
        if refused.leg is Leg.ENTRY:
            if refused.times > 1:
                kind = f"entry_refused.{refused.symbol}"
                yield kind, f"{refused.times} times: {refused.code} {refused.reason}"
            continue
        position = state.positions.get(refused.symbol)
        if position is not None and position.stop_order is None and refused.leg in _ORDER:
            said = f"{_ORDER[refused.leg]} refused by the venue: {refused.code} {refused.reason}"
            words.setdefault(refused.symbol, []).append(said)
    for symbol, said_all in words.items():
        yield f"stop_refused.{symbol}", "; ".join(said_all)
