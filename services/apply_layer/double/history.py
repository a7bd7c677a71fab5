"""What the engine did, put into the venue's numbers: records, ledger lines and user events.

The engine knows an order by a name of ours, `o<number>` in the plain book and `a<number>` in the
conditional one, so that client ids are unique only where the venue wants them so. What the engine
forces itself has a name of its own kind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from services.apply_layer.double import events
from services.apply_layer.double.books import (
    ZERO,
    AlgoRecord,
    Books,
    Income,
    OrderRecord,
    TradeRecord,
)
from services.apply_layer.double.config import DoubleConfig
from services.apply_layer.double.ledger import Ledger
from services.apply_layer.double.switches import Switches
from services.apply_layer.exchange import FundingPaid, OrderEnded, OrderFilled, VenueEvent
from services.apply_layer.paper_account import PaperAccount, new_account
from services.apply_layer.paper_money import money

Emit = Callable[[dict[str, Any]], None]

_STATUS = {"cancelled": "CANCELED", "expired": "EXPIRED"}


def order_name(number: int) -> str:
    """The engine's name for an order of the plain book."""
    return f"o{number}"


def algo_name(number: int) -> str:
    """The engine's name for an order of the conditional book."""
    return f"a{number}"


def _ours(name: str) -> bool:
    """Whether a name of the engine's is one that we gave."""
    return name[0] in "oa" and name[1:].isdigit()


class History:
    """The books as they are and as they were before the last change; all calls under `lock`."""

    def __init__(self, config: DoubleConfig, ledger: Ledger, emit: Emit) -> None:
        self.lock = threading.RLock()
        self.config = config
        self.policy = config.policy()
        self.offset_ms = 0
        self.switches = Switches(
            multi_assets=config.multi_assets, fee_asset=config.fee_asset, fee_price=config.fee_price
        )
        self.books = Books(new_account(self.policy))
        #: As of the moment before the last change, for answers that are stale.
        self.before = self.books
        self.ledger = ledger
        self.emit = emit
        self._numbers = {
            "order": 8_000_000_000,
            "algo": 2_000_000_000,
            "trade": 500_000,
            "income": 9_000_000,
        }

    def now_ms(self) -> int:
        """The venue's time."""
        return int(self.config.clock() * 1000) + self.offset_ms

    def number(self, kind: str) -> int:
        """The next number of a kind."""
        self._numbers[kind] += 1
        return self._numbers[kind]

    def remember(self) -> None:
        """From now on a stale answer is one of this moment."""
        self.before = self.books

    def settle(self, after: PaperAccount, facts: tuple[VenueEvent, ...]) -> None:
        """Take over what the engine did, fact by fact."""
        wallet = self.books.account.wallet.balance
        held = {symbol: self.books.signed_qty(symbol) for symbol in self.config.symbols}
        self.books = replace(self.books, account=self._without_fees(after, facts))
        for fact in facts:
            match fact:
                case OrderFilled():
                    for part in self._in_parts(fact):
                        wallet += part.realized_pnl
                        wallet -= ZERO if self.switches.fee_asset else part.fee
                        held[part.symbol] += part.side.sign * part.qty
                        self._on_fill(part, held[part.symbol] or ZERO, wallet)
                case OrderEnded():
                    self._on_end(fact)
                case FundingPaid():
                    wallet += fact.amount
                    self._on_funding(fact, wallet)

    def _without_fees(self, after: PaperAccount, facts: tuple[VenueEvent, ...]) -> PaperAccount:
        """The account where fees are paid in another asset than the wallet's."""
        if not self.switches.fee_asset:
            return after
        fees = sum((fact.fee for fact in facts if isinstance(fact, OrderFilled)), ZERO)
        wallet = replace(after.wallet, balance=after.wallet.balance + fees)
        return replace(after, wallet=wallet)

    def _fee(self, fact: OrderFilled) -> tuple[Decimal, str]:
        """What a trade is charged, and the asset."""
        paid_in = self.switches.fee_asset
        if paid_in:
            return money(fact.fee / self.switches.fee_price), paid_in
        return fact.fee, self.config.quote_of(fact.symbol)

    # -- a trade ------------------------------------------------------------------------------

    def _in_parts(self, fact: OrderFilled) -> list[OrderFilled]:
        """A fill as the several trades that it comes in; their sums are exactly the fill."""
        step = self.policy.rules[fact.symbol].lot_step
        parts = min(self.config.trades_per_order, int(fact.qty / step))
        if parts < 2 or not _ours(fact.client_order_id):
            return [fact]
        qty = fact.qty / parts // step * step
        share = qty / fact.qty
        fee, realized = money(fact.fee * share), money(fact.realized_pnl * share)
        one = replace(fact, qty=qty, fee=fee, realized_pnl=realized, done=False)
        rest = parts - 1
        last = replace(
            fact,
            qty=fact.qty - rest * qty,
            fee=fact.fee - rest * fee,
            realized_pnl=fact.realized_pnl - rest * realized,
        )
        return [*[one] * rest, last]

    def _on_fill(self, fact: OrderFilled, position: Decimal, wallet: Decimal) -> None:
        now = self.now_ms()
        name, algo = fact.client_order_id, None
        if not _ours(name):
            order = self._forced(fact, now)
        elif name[0] == "o":
            order = self.books.orders[int(name[1:])]
        else:
            algo = self.books.algos[int(name[1:])]
            known = self.books.orders.get(algo.order_id)
            order = self._became_of(algo, now) if known is None else known
        trade = self._trade(fact, order, now)
        executed = order.executed + fact.qty
        over = "FILLED" if executed == order.qty or order.close_position else "EXPIRED"
        order = replace(
            order,
            executed=executed,
            quote=order.quote + fact.qty * fact.price,
            status=over if fact.done else "PARTIALLY_FILLED",
            update_ms=now,
        )
        self.books = self.books.with_order(order)
        self.ledger.write(
            "trade", trade_id=trade.trade_id, order_id=order.order_id, client_id=order.client_id,
            symbol=fact.symbol, side=fact.side.value, qty=fact.qty, price=fact.price, fee=fact.fee,
            realized=fact.realized_pnl, reduce_only=order.reduce_only, position=position,
            wallet=wallet,
        )  # fmt: skip
        self.emit(
            events.account_event(self.books, [fact.symbol], now, asset=self.config.wallet_asset)
        )
        self.emit(events.order_event(_as_traded(order), "TRADE", now, trade))
        if order.status == "EXPIRED":
            self.emit(events.order_event(order, "EXPIRED", now))
        if algo is not None and fact.done:
            self._finish(algo, order, now)
        elif fact.done:
            self.ledger.write("ended", **events.ended_line(order))

    def _trade(self, fact: OrderFilled, order: OrderRecord, now: int) -> TradeRecord:
        fee, fee_asset = self._fee(fact)
        trade = TradeRecord(
            self.number("trade"), order.order_id, fact.symbol, fact.side, fact.qty, fact.price,
            fee, fact.realized_pnl, now, fee_asset,
        )  # fmt: skip
        quote = self.config.quote_of(fact.symbol)
        incomes = [
            Income(self.number("income"), fact.symbol, kind, amount, now, asset, trade.trade_id)
            for kind, amount, asset in (
                ("REALIZED_PNL", fact.realized_pnl, quote),
                ("COMMISSION", -fee, fee_asset),
            )
            if amount
        ]
        self.books = replace(
            self.books,
            trades=(*self.books.trades, trade),
            incomes=(*self.books.incomes, *incomes),
            updated_ms={**self.books.updated_ms, fact.symbol: now},
        )
        return trade

    def _became_of(self, algo: AlgoRecord, now: int) -> OrderRecord:
        """What a conditional order becomes when it triggers: an order with a number of its own."""
        order = OrderRecord(
            self.number("order"), algo.client_id, algo.symbol, algo.side, "MARKET", algo.qty,
            algo.reduce_only, now, now, close_position=algo.close_position,
            working_type=algo.working_type, original_type="MARKET",
        )  # fmt: skip
        triggered = replace(
            algo, status="TRIGGERED", triggered_ms=now, update_ms=now, order_id=order.order_id
        )
        self.books = self.books.with_order(order).with_algo(triggered)
        self.ledger.write(
            "triggered", algo_id=algo.algo_id, order_id=order.order_id, client_id=algo.client_id,
            symbol=algo.symbol,
        )  # fmt: skip
        self.emit(events.algo_event(replace(triggered, status="TRIGGERING", order_id=0), now))
        self.emit(events.algo_event(triggered, now))
        self.emit(events.order_event(order, "NEW", now))
        return order

    def _finish(self, algo: AlgoRecord, order: OrderRecord, now: int) -> None:
        finished = replace(
            self.books.algos[algo.algo_id],
            status="FINISHED",
            executed=order.executed,
            average=order.average,
            update_ms=now,
        )
        self.books = self.books.with_algo(finished)
        self.ledger.write("ended", **events.ended_algo_line(finished))
        self.emit(events.algo_event(finished, now))

    def _forced(self, fact: OrderFilled, now: int) -> OrderRecord:
        order = OrderRecord(
            self.number("order"), f"autoclose-{now}{fact.trade_number:06d}", fact.symbol,
            fact.side, "LIQUIDATION", fact.qty, fact.reduce_only, now, now,
        )  # fmt: skip
        self.books = self.books.with_order(order)
        self.ledger.write(
            "order", book="orders", order_id=order.order_id, client_id=order.client_id,
            symbol=order.symbol, side=order.side.value, type="MARKET", qty=order.qty,
            reduce_only=True, close_position=False, trigger=None, working_type="MARK_PRICE",
        )  # fmt: skip
        self.emit(events.order_event(order, "NEW", now))
        return order

    # -- an end without a trade, and funding ------------------------------------------------------

    def _on_end(self, fact: OrderEnded) -> None:
        number, status = int(fact.client_order_id[1:]), _STATUS.get(fact.reason)
        if fact.client_order_id.startswith("a"):
            reason = "" if status else fact.reason.replace("_", " ")
            self.end_algo(self.books.algos[number], status or "REJECTED", reason)
            return
        now = self.now_ms()
        order = replace(self.books.orders[number], status=status or "EXPIRED", update_ms=now)
        self.books = self.books.with_order(order)
        self.ledger.write("ended", **events.ended_line(order))
        self.emit(events.order_event(order, order.status, now))

    def end_algo(self, algo: AlgoRecord, status: str, reason: str = "") -> None:
        """A conditional order stands no more, and nothing of it was executed."""
        now = self.now_ms()
        ended = replace(algo, status=status, reason=reason, update_ms=now)
        self.books = self.books.with_algo(ended)
        self.ledger.write("ended", **events.ended_algo_line(ended))
        self.emit(events.algo_event(ended, now))

    def _on_funding(self, fact: FundingPaid, wallet: Decimal) -> None:
        now = self.now_ms()
        paid = Income(
            self.number("income"), fact.symbol, "FUNDING_FEE", fact.amount, now,
            self.config.quote_of(fact.symbol),
        )  # fmt: skip
        self.books = replace(self.books, incomes=(*self.books.incomes, paid))
        self.ledger.write("funding", symbol=fact.symbol, amount=fact.amount, wallet=wallet)
        self.emit(
            events.account_event(
                self.books,
                [fact.symbol],
                now,
                reason="FUNDING_FEE",
                change=fact.amount,
                asset=self.config.wallet_asset,
            )
        )


def _as_traded(order: OrderRecord) -> OrderRecord:
    """The order as its trade left it, before the rest of it expired."""
    return replace(order, status="PARTIALLY_FILLED") if order.status == "EXPIRED" else order
