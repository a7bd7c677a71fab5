"""The page of one symbol: why nothing is sold, the story in lines, and what its chart draws.

Pure; reads and writes nothing. Times on the chart are market time in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from services.dashboard.prices import Bars
from shared.contracts import EntryIntent, FillResult
from shared.why.chains import Chain, fill_name
from shared.why.document import as_json
from shared.why.lines import line_of
from shared.why.rungs import rungs_of
from shared.why.story import Held, Story
from shared.why.words import Finding, on_tick, plain, safe

#: How much of what was before the opening is drawn: so many seconds at least, else a share.
_BEFORE_S, _BEFORE_SHARE = 120.0, 0.25
#: Of what was asked for, so many lines, the newest.
_ASKED = 12
_TARGETS = ("take_profit", "take_profit_2", "take_profit_3")


def symbol_page(story: Story, findings: list[Finding], bars: Bars) -> dict[str, Any]:
    """The whole page as one JSON document: the answer of `quantum why`, in lines, with a chart."""
    told = as_json(story, findings, None)
    # Every message in full is for machines; people read a line of each.
    told.pop("asked", None)
    told.pop("entry", None)
    return told | {
        "entry": list(_entry(story)),
        "asked": list(_asked(story)),
        "chart": _chart(story, bars),
    }


def _entry(story: Story) -> Iterator[dict[str, str]]:
    """What opened the position, as far as the streams reach back; else the last that was asked."""
    chain = story.entry
    if story.held is None:
        chain = next((c for c in reversed(list(story.chains.values())) if c.kind == "ENTRY"), None)
    if chain is not None:
        for said in chain.said:
            yield {"at": said.at.isoformat(), "line": line_of(said.message)}
            if isinstance(said.message, EntryIntent):
                yield {"at": said.at.isoformat(), "line": safe(_causes(said.message))}
        return
    for said in story.told:
        if said.message.status == "ADOPTED":
            yield {"at": said.at.isoformat(), "line": "adopted: the suite did not open it"}


def _causes(intent: EntryIntent) -> str:
    atr = "unknown" if intent.atr_value is None else plain(intent.atr_value)
    source = " ".join(filter(None, (intent.source, intent.model)))
    reason = intent.reason or "no reason given"
    return (
        f"from {source}: {reason}; confidence {plain(intent.confidence)}, "
        f"regime {intent.regime}, ATR {atr}"
    )


def _asked(story: Story) -> Iterator[dict[str, str]]:
    """The newest of what was asked for, each with what became of it."""
    own = story.held.position_id if story.held else None
    chains = [c for c in story.chains.values() if own is None or c.position_id == own]
    exits = [chain for chain in chains if own is None or chain.kind != "ENTRY"]
    for chain in reversed(exits[-_ASKED:]):
        yield {"at": chain.said[0].at.isoformat(), "kind": chain.kind, "line": _end(chain)}


def _end(chain: Chain) -> str:
    last = chain.said[-1]
    return line_of(last.message) if last is not chain.said[0] else "no answer yet"


def _chart(story: Story, bars: Bars) -> dict[str, Any]:
    held = story.held
    shown = bars.bars if held is None else bars.since(_drawn_from(held, bars))
    drawn: dict[str, Any] = {
        "width_s": bars.width_s,
        "at": [bar.at for bar in shown],
        "low": [bar.low for bar in shown],
        "high": [bar.high for bar in shown],
        "last": [bar.last for bar in shown],
        "fills": list(_fills(story)),
    }
    if held is None:
        return drawn
    record = story.picture.position
    # R is linear in the price; the costs are in the R that is known.
    per_unit = held.side.sign / float(held.risk_per_unit)
    return drawn | {
        "opened": held.opened_at.timestamp(),
        "entry": float(held.entry_price),
        "r_at_0": float(held.r) - per_unit * float(held.mark_price),
        "r_per_unit": per_unit,
        "stops": list(_stops(story, held, shown[-1].at if shown else 0)),
        "targets": [float(record[name]) for name in _TARGETS if name in record],
        "rungs": [
            {
                "name": rung.name,
                "r": float(rung.r_level),
                "price": float(on_tick(rung.price, story.tick_size)),
                "state": rung.state,
            }
            for rung in rungs_of(story)
        ],
    }


def _drawn_from(held: Held, bars: Bars) -> float:
    opened = held.opened_at.timestamp()
    last = bars.bars[-1].at if bars.bars else opened
    return opened - max(_BEFORE_S, _BEFORE_SHARE * (last - opened))


def _stops(story: Story, held: Held, last: int) -> Iterator[list[float | None]]:
    """Where the stop stood from when on: pairs of market time and price, only the changes.

    The record may know of a change that no message tells: it shows at the `last` price at the
    latest, so that a stop that is gone is never drawn as one that stands.
    """
    before: Decimal | None = None
    for said in story.told:
        stop = said.message.position_stop_loss
        if stop != before:
            before = stop
            yield [said.message.timestamp.timestamp(), None if stop is None else float(stop)]
    if held.stop_loss is None and before is not None:
        since = story.picture.naked_since
        yield [last if since is None else min(since.timestamp(), last), None]
    elif held.stop_loss is not None and held.stop_loss != before:
        at = last if story.told else held.opened_at.timestamp()
        yield [at, float(held.stop_loss)]


def _fills(story: Story) -> Iterator[dict[str, Any]]:
    """The trades of the position."""
    for said in story.told:
        fill = said.message
        if isinstance(fill, FillResult):
            yield {
                "at": fill.timestamp.timestamp(),
                "price": float(fill.avg_price),
                "side": str(fill.side),
                "exit": fill.reduceOnly,
                "name": fill_name(fill),
                "line": line_of(fill),
            }
