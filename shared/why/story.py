"""The open position as `quantum why` tells of it: how it stands, what opened it, its stops.

Pure; reads and writes nothing. Prices in quote units, quantities in base units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.contracts import PositionResult, RefusedResult, StopMovedResult
from shared.formulas import r_multiple, risk_per_unit
from shared.records import figure, moment
from shared.sides import PositionSide
from shared.why.chains import Chain, chains_of, is_exit
from shared.why.picture import Picture, Said

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Held:
    """The open position, from its record and the last result that tells of it."""

    position_id: str
    side: PositionSide
    qty: Decimal
    initial_qty: Decimal
    harvested_qty: Decimal
    entry_price: Decimal
    stop_loss: Decimal | None
    risk_per_unit: Decimal
    mark_price: Decimal
    leverage: int
    r: Decimal
    r_max: Decimal
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Story:
    """All that is told of one symbol; `told` is what was said of the open position, in order."""

    picture: Picture
    chains: Mapping[str, Chain]
    held: Held | None = None
    told: tuple[Said, ...] = ()
    unknown_history: bool = False
    kill: Mapping[str, Decimal] = field(default_factory=dict)

    def chains_of(self, *kinds: str) -> list[Chain]:
        """What was asked for the open position, of some kinds or of all; oldest first."""
        own = self.held.position_id if self.held else None
        return [
            chain
            for chain in self.chains.values()
            if chain.position_id == own and (not kinds or chain.kind in kinds)
        ]

    @property
    def entry(self) -> Chain | None:
        """What opened the position, as far as the streams reach back."""
        return next(iter(self.chains_of("ENTRY")), None) if self.held else None

    @property
    def kill_score(self) -> Decimal | None:
        """The kill score as last evaluated."""
        return number(self.picture.harvest.get("kill_score")) if self.watched else None

    @property
    def watched(self) -> bool:
        """Whether harvest_brain's record is of this position."""
        own = self.held.position_id if self.held else None
        return own is not None and self.picture.harvest.get("position_id") == own

    @property
    def tick_size(self) -> Decimal | None:
        """The venue's price step, as last stated."""
        results, rules = self.picture.results, self.picture.rules
        stated: Any = results[-1].message if results else rules
        step: Decimal | None = stated and stated.tick_size
        return step

    @property
    def evaluated_at(self) -> datetime | None:
        """The market time of the last evaluation."""
        text = self.picture.harvest.get("evaluated_at")
        return moment(text) if text and self.watched else None


def number(text: str | None) -> Decimal | None:
    """A figure of a record, or None."""
    try:
        return None if text is None else figure(text)
    except (ValueError, ArithmeticError):
        return None


def story_of(picture: Picture) -> Story:
    """Put the story together."""
    story = Story(picture, chains_of(picture))
    held = _held(picture)
    if held is None:
        return story
    told = tuple(s for s in picture.results if s.message.position_id == held.position_id)
    story = replace(story, held=held, told=told, kill=_kill_parts(picture))
    return replace(story, unknown_history=_history_unknown(story))


def _held(picture: Picture) -> Held | None:
    record, harvest = picture.position, picture.harvest
    if not record:
        return None
    if record["symbol"] != picture.symbol:
        raise ValueError(f"the record is of {record['symbol'][:40]!r}")
    side, entry = PositionSide(record["side"]), figure(record["entry_price"])
    if entry <= 0:
        raise ValueError("entry_price: is not above 0")
    risk = risk_per_unit(entry, number(record.get("initial_stop")))
    r_max = ZERO
    if harvest.get("position_id") == record["position_id"]:
        risk = number(harvest.get("risk_per_unit")) or risk
        r_max = number(harvest.get("r_max")) or ZERO
    mark = figure(record["current_price"])
    if picture.tick is not None:
        mark = picture.tick.message.mark_price
    r = r_multiple(
        side=side,
        entry_price=entry,
        mark_price=mark,
        risk_per_unit=risk,
        cost_bps=picture.terms.cost_bps,
    )
    qty = figure(record["qty"])
    if qty <= 0:
        raise ValueError("qty: is not above 0")
    return Held(
        position_id=record["position_id"],
        side=side,
        qty=qty,
        initial_qty=figure(record["initial_qty"]),
        harvested_qty=figure(record["harvested_qty"]),
        entry_price=entry,
        stop_loss=number(record.get("stop_loss")),
        risk_per_unit=risk,
        mark_price=mark,
        leverage=int(record["leverage"]),
        r=r,
        r_max=r_max,
        opened_at=moment(record["opened_at"]),
    )


def _history_unknown(story: Story) -> bool:
    """Whether rungs count as taken because nobody could tell: more than there ever was."""
    held = story.held
    adopted = any(
        isinstance(said.message, PositionResult) and said.message.status == "ADOPTED"
        for said in story.told
    )
    fills = sum(
        (s.message.filled_qty for s in story.told if is_exit(s.message)),
        ZERO,
    )
    return (
        held is not None
        and (adopted or not story.told)
        and held.qty + held.harvested_qty > held.initial_qty
        and fills < held.harvested_qty
    )


def _kill_parts(picture: Picture) -> dict[str, Decimal]:
    """The weighted terms of the kill score, as the record has them."""
    words = (word.partition("=") for word in picture.harvest.get("kill_parts", "").split())
    return {name: figure(value) for name, _, value in words}


def stops_of(story: Story) -> list[tuple[Said, Decimal | None, str]]:
    """Where the stop stood and what became of it, oldest first."""
    found: list[tuple[Said, Decimal | None, str]] = []
    for said in story.told:
        result = said.message
        if isinstance(result, StopMovedResult):
            cause = "asked for" if _asked(story, result.intent_id) else "protects the position"
            found.append((said, result.position_stop_loss, cause))
        elif isinstance(result, PositionResult) and result.status == "ADOPTED":
            found.append((said, result.position_stop_loss, "adopted"))
        elif isinstance(result, RefusedResult) and _asked(story, result.intent_id):
            cause = f"refused: {result.error_code} {result.reason}"
            found.append((said, result.position_stop_loss, cause))
    return found


def _asked(story: Story, intent_id: str | None) -> bool:
    chain = story.chains.get(intent_id or "")
    return chain is not None and chain.kind == "MOVE_STOP"
