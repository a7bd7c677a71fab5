"""apply_layer's state, and one decision in the making: what it changes and what it puts out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from services.apply_layer.exchange import OrderFilled, SymbolRules
from services.apply_layer.journal import Leg, Proof, Sent
from services.apply_layer.positions import Position, position_block, position_record
from shared.contracts import (
    FillResult,
    PositionResult,
    RefusedResult,
    StopMovedResult,
)
from shared.decisions import Mode, Note, Record
from shared.repeats import Seen
from shared.sides import Side
from shared.streams import VENUE_KEY
from shared.symbols import slug

_ID_LENGTH_MAX = 64
#: Proofs that ended a doubt, kept for whoever asks how.
_PROOFS_KEPT = 500


class TakeProfitMode(StrEnum):
    """Who takes the profit. HARVEST: the ladder. BRACKET: one target. SCHEME: three targets."""

    HARVEST = "harvest"
    BRACKET = "bracket"
    SCHEME = "scheme"


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds of wall clock. `adopt=False` leaves positions of others alone.

    An order in doubt counts as absent after two answers that know nothing of it, the first not
    before `doubt_first_s` after it was sent, the second `doubt_again_s` later. A quantity of the
    venue's that its trades do not explain is believed once it has stood for `settle_s`. After the
    venue forced a position closed, its symbol takes no entry for `no_reentry_s`.
    """

    max_intent_age_s: Decimal = Decimal(30)
    naked_limit_s: Decimal = Decimal(2)
    price_every_s: Decimal = Decimal(1)
    adopt: bool = True
    take_profit_mode: TakeProfitMode = TakeProfitMode.HARVEST
    doubt_first_s: Decimal = Decimal(10)
    doubt_again_s: Decimal = Decimal(10)
    settle_s: Decimal = Decimal(5)
    no_reentry_s: Decimal = Decimal(3600)


@dataclass(frozen=True, slots=True)
class LastTrade:
    """The newest trade of a symbol that was applied; later ones have higher numbers."""

    number: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A quantity that the venue states and our trades do not; `since` is wall clock."""

    qty: Decimal
    since: datetime
    looks: int = 1


@dataclass(frozen=True, slots=True)
class State:
    """All by symbol, but orders without a final outcome and proofs by client order id.

    `left_alone` holds the quantity of positions of somebody else that are not to be adopted,
    `trades` the last trade applied, `unexplained` a quantity of the venue's that no
    trade explains yet, `forced` when the venue last forced a position closed. `stops_refused` has
    the venue's words for a position that stands naked because of them. `barriers` says by code why
    no entry may be made.
    """

    positions: Mapping[str, Position] = field(default_factory=dict)
    orders: Mapping[str, Sent] = field(default_factory=dict)
    seen: Mapping[str, tuple[Seen, ...]] = field(default_factory=dict)
    rules: Mapping[str, SymbolRules] = field(default_factory=dict)
    statements: Mapping[str, int] = field(default_factory=dict)
    left_alone: Mapping[str, Decimal] = field(default_factory=dict)
    trades: Mapping[str, LastTrade] = field(default_factory=dict)
    unexplained: Mapping[str, Unexplained] = field(default_factory=dict)
    forced: Mapping[str, datetime] = field(default_factory=dict)
    stops_refused: Mapping[str, str] = field(default_factory=dict)
    barriers: Mapping[str, str] = field(default_factory=dict)
    proofs: Mapping[str, Proof] = field(default_factory=dict)


class Turn:
    """One call of `decide`: it starts from a state and collects what follows from the event."""

    def __init__(self, state: State, policy: Policy, now: datetime, mode: Mode) -> None:
        self.state = state
        self.policy = policy
        self.now = now
        self.mode = mode
        self.outputs: list[object] = []
        #: Symbols whose position has grown in this decision: one stop for all that was added.
        self.needs_stop: dict[str, None] = {}

    def orders_of(self, symbol: str, *legs: Leg) -> Iterator[Sent]:
        """Orders of a symbol without a final outcome, of the given legs or of all."""
        for sent in tuple(self.state.orders.values()):
            if sent.request.symbol == symbol and (not legs or sent.leg in legs):
                yield sent

    def keep(self, position: Position) -> None:
        """Store a position and its record; one with nothing left is gone."""
        others = {s: p for s, p in self.state.positions.items() if s != position.symbol}
        if position.qty:
            others[position.symbol] = position
        refusals = self.state.stops_refused
        if position.symbol in refusals and (position.stop_order is not None or not position.qty):
            refusals = {s: why for s, why in refusals.items() if s != position.symbol}
        self.state = replace(self.state, positions=others, stops_refused=refusals)
        self.outputs.append(position_record(position))

    def send(self, sent: Sent) -> None:
        """Write an order into the journal and ask the venue for it."""
        sent = replace(sent, request=replace(sent.request, sent_at=self.now), doubt=None)
        self.journal(sent)
        self.outputs.append(sent.request)

    def journal(self, sent: Sent) -> None:
        """Write an order into the journal."""
        orders = {**self.state.orders, sent.request.client_order_id: sent}
        self.state = replace(self.state, orders=orders)

    def forget(self, client_order_id: str) -> None:
        """Remove an order that has its final outcome."""
        orders = {k: v for k, v in self.state.orders.items() if k != client_order_id}
        self.state = replace(self.state, orders=orders)

    def proved(self, sent: Sent, verdict: str, how: str) -> None:
        """Keep what ended an order's doubt; the oldest proofs make room."""
        doubt = sent.doubt
        if doubt is None:
            return
        proof = Proof(
            symbol=sent.request.symbol,
            plan_id=sent.plan_id,
            verdict=verdict,
            how=how,
            reason=doubt.reason,
            since=doubt.since,
            at=self.now,
            absent_at=doubt.absent_at,
        )
        kept = sorted(self.state.proofs.items(), key=lambda item: item[1].at)[-_PROOFS_KEPT:]
        proofs = {**dict(kept), sent.request.client_order_id: proof}
        self.state = replace(self.state, proofs=proofs)
        self.note(
            "order_known", "warning", symbol=proof.symbol, verdict=verdict, how=how,
            client_order_id=sent.request.client_order_id, plan_id=sent.plan_id,
        )  # fmt: skip

    def note(self, event: str, level: Any = "info", **fields: object) -> None:
        """Tell the log, once this decision is committed."""
        self.outputs.append(Note(event, fields, level))

    def filled(self, fill: OrderFilled, status: Any, position: Position, sent: Sent | None) -> None:
        """Publish a trade."""
        result = FillResult(
            **self._head(f"fill.{fill.trade_id}", fill.at, sent),
            **position_block(position, self.state.rules[fill.symbol]),
            status=status,
            side=fill.side,
            reduceOnly=fill.reduce_only,
            order_id=fill.order_id,
            client_order_id=fill.client_order_id,
            filled_qty=fill.qty,
            avg_price=fill.price,
            fee=fill.fee,
            realized_pnl=fill.realized_pnl,
            reason=sent.action if sent else forced_by(fill),
        )
        self.outputs.append(result)
        self.note(
            "fill",
            symbol=fill.symbol,
            status=status,
            side=fill.side,
            qty=fill.qty,
            price=fill.price,
            realized_pnl=fill.realized_pnl,
            remaining=position.qty,
            position_id=position.position_id,
            plan_id=result.plan_id,
        )

    def stop_moved(self, position: Position, sent: Sent, at: datetime) -> None:
        """Publish that the stop stands."""
        self.outputs.append(
            StopMovedResult(
                **self._head(f"stop.{sent.request.client_order_id}", at, sent),
                **position_block(position, self.state.rules[position.symbol]),
                status="STOP_MOVED",
                order_id=sent.order_id,
                client_order_id=sent.request.client_order_id,
            )
        )
        self.note(
            "stop",
            symbol=position.symbol,
            stop_loss=position.stop_loss,
            position_id=position.position_id,
            plan_id=sent.plan_id,
        )

    def stated(self, status: Any, symbol: str, at: datetime, reason: str = "") -> None:
        """Publish a position that was adopted, or how a symbol stands."""
        position = self.state.positions.get(symbol)
        self._state(status, status.lower(), symbol, at, position, reason=reason)

    def changed_elsewhere(self, position: Position, at: datetime) -> None:
        """Publish what somebody else left of a position; of nothing, too, with the id it had."""
        symbol = position.symbol
        self._state("POSITION", "changed", symbol, at, position, reason="changed elsewhere")

    def _state(
        self,
        status: Any,
        word: str,
        symbol: str,
        at: datetime,
        position: Position | None,
        *,
        reason: str,
    ) -> None:
        number = self.state.statements.get(symbol, 0) + 1
        statements = {**self.state.statements, symbol: number}
        self.state = replace(self.state, statements=statements)
        name = f"{word}.{slug(symbol)}.{number}"
        self.outputs.append(
            PositionResult(
                **self._head(name, at, None),
                **position_block(position, self.state.rules[symbol]),
                status=status,
                reason=reason,
            )
        )

    def refused(
        self,
        *,
        symbol: str,
        plan_id: str,
        intent_id: str | None,
        side: Side,
        reduce_only: bool,
        at: datetime,
        code: str,
        reason: str,
        status: Any = "REJECTED",
    ) -> None:
        """Publish that a plan came to nothing."""
        head = self._head(_refusal_id(plan_id), at, None)
        rules = self.state.rules[symbol]
        self.outputs.append(
            RefusedResult(
                **(head | {"plan_id": plan_id, "intent_id": intent_id}),
                **position_block(self.state.positions.get(symbol), rules),
                status=status,
                side=side,
                reduceOnly=reduce_only,
                error_code=code,
                reason=reason[:512],
            )
        )
        self.note(
            "refused", "warning", symbol=symbol, status=status, code=code, reason=reason,
            plan_id=plan_id, intent_id=intent_id,
        )  # fmt: skip

    def _head(self, result_id: str, at: datetime, sent: Sent | None) -> dict[str, Any]:
        return {
            "result_id": result_id,
            "timestamp": at,
            "produced_at": self.now,
            "source": "apply_layer",
            "plan_id": sent.plan_id if sent else None,
            "intent_id": sent.intent_id if sent else None,
        }


def venue_record(state: State) -> Record:
    """`quantum:venue`: why no entry may be made, what is in doubt, and which stop was refused."""
    unknown = {
        name: f"{sent.request.symbol} {sent.leg.name} since {sent.doubt.since.isoformat()}"
        for name, sent in sorted(state.orders.items())
        if sent.doubt is not None
    }
    fields = {"entries": "barred" if state.barriers else "open"}
    fields |= {f"barrier.{code}": text for code, text in sorted(state.barriers.items())}
    fields |= {f"unknown.{name}": text for name, text in unknown.items()}
    fields |= {f"stop_refused.{s}": text for s, text in sorted(state.stops_refused.items())}
    return Record(VENUE_KEY, fields)


def forced_by(fill: OrderFilled) -> str:
    """What the venue calls a trade that it forced; nothing of others."""
    return fill.client_order_id if fill.forced else ""


def _refusal_id(plan_id: str) -> str:
    """The id of a refusal; where a plan's own name is too long for that, a digest stands for it."""
    name = f"refused.{plan_id}"
    if len(name) <= _ID_LENGTH_MAX:
        return name
    return f"refused.{hashlib.sha256(plan_id.encode()).hexdigest()[:40]}"
