"""One decision in the making: what it changes in the state and what it puts out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.apply_layer.exchange import OrderFilled
from services.apply_layer.journal import Leg, Proof, Sent
from services.apply_layer.positions import Position, position_block, position_record
from services.apply_layer.state import ORDERS, Policy, State
from shared.contracts import (
    FillResult,
    PositionResult,
    RefusedResult,
    StopMovedResult,
)
from shared.decisions import Mode, Note
from shared.sides import Side
from shared.symbols import slug

_ID_LENGTH_MAX = 64
#: Proofs that ended a doubt, kept for whoever asks how.
_PROOFS_KEPT = 500


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
        self.state = replace(self.state, positions=others)
        if not position.qty:
            self._forget_troubles(position.symbol)
        self.outputs.append(position_record(position))

    def _forget_troubles(self, symbol: str) -> None:
        """What was said against a position's protection and size ends with it."""
        state = self.state
        refusals = {
            key: refused
            for key, refused in state.refusals.items()
            if refused.symbol != symbol or refused.leg is Leg.ENTRY
        }
        over_cap = {s: words for s, words in state.over_cap.items() if s != symbol}
        if (len(refusals), len(over_cap)) != (len(state.refusals), len(state.over_cap)):
            self.state = replace(state, refusals=refusals, over_cap=over_cap)

    def send(self, sent: Sent) -> None:
        """Write an order into the journal under the next number, and ask the venue for it."""
        number = self.state.numbers.get(ORDERS, 0) + 1
        self.state = replace(self.state, numbers={**self.state.numbers, ORDERS: number})
        request = replace(sent.request, sent_at=self.now, number=number)
        sent = replace(sent, request=request, doubt=None)
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
            fee_asset=fill.fee_asset,
            fee_asset_qty=fill.fee_asset_qty,
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


def forced_by(fill: OrderFilled) -> str:
    """What the venue calls a trade that it forced; nothing of others."""
    return fill.client_order_id if fill.forced else ""


def _refusal_id(plan_id: str) -> str:
    """The id of a refusal; where a plan's own name is too long for that, a digest stands for it."""
    name = f"refused.{plan_id}"
    if len(name) <= _ID_LENGTH_MAX:
        return name
    return f"refused.{hashlib.sha256(plan_id.encode()).hexdigest()[:40]}"
