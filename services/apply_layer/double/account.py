"""The double's account: the one matching engine, asked in the words of the venue.

Orders come in, the mark moves, and what follows is recorded before the call returns. Every call
may come from any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.apply_layer.double import events
from services.apply_layer.double.books import ZERO, AlgoRecord, OrderRecord
from services.apply_layer.double.codes import Refused
from services.apply_layer.double.config import DoubleConfig
from services.apply_layer.double.history import Emit, History, algo_name, order_name
from services.apply_layer.double.ledger import Ledger
from services.apply_layer.exchange import CancelOrder, OrderRejected, OrderType, PlaceOrder
from services.apply_layer.paper import Outcome, cancel, on_mark, place
from services.apply_layer.paper_money import closable_qty, is_triggered
from services.apply_layer.paper_refusals import refusal_before_acceptance
from shared.sides import Side

ONE = Decimal(1)
CONTRACT_PRICE, MARK_PRICE = "CONTRACT_PRICE", "MARK_PRICE"


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order as somebody asks for it. `part` is how much of it the market takes, if not all.

    What the venue has `forced` knows no largest quantity.
    """

    client_id: str
    symbol: str
    side: Side
    type: OrderType
    qty: Decimal
    reduce_only: bool = False
    close_position: bool = False
    trigger: Decimal | None = None
    working_type: str = CONTRACT_PRICE
    part: Decimal | None = None
    forced: bool = False


class Account(History):
    """One account in one-way mode. `struck(kind, symbol)` says whether a fault strikes now."""

    def __init__(
        self,
        config: DoubleConfig,
        ledger: Ledger,
        emit: Emit,
        struck: Callable[[str, str], bool],
    ) -> None:
        super().__init__(config, ledger, emit)
        self.hedge_mode = config.hedge_mode
        #: The last price of each symbol, by which orders trigger that do not ask for the mark.
        self.contract: dict[str, Decimal] = {}
        self._struck = struck
        bounds = {s: replace(r, max_qty=Decimal("Infinity")) for s, r in self.policy.rules.items()}
        self._unbounded = replace(self.policy, rules=bounds)
        for symbol, price in config.symbols.items():
            self.mark(symbol, price)

    def _moment(self, symbol: str) -> datetime:
        """Now, and later than the last mark: the engine takes no mark twice."""
        now = datetime.fromtimestamp(self.config.clock() + self.offset_ms / 1000, UTC)
        last = self.books.account.book(symbol).mark_at
        return now if last is None else max(now, last + timedelta(microseconds=1))

    # -- the market ---------------------------------------------------------------------------

    def mark(
        self,
        symbol: str,
        price: Decimal,
        funding_rate: Decimal | None = None,
        contract: Decimal | None = None,
    ) -> None:
        """Move the mark, and the last price with it unless one is given; all that follows is done.

        Raises ValueError for a price that is not positive and finite.
        """
        if not price.is_finite() or price <= 0:
            raise ValueError(f"the mark price of {symbol} must be positive and finite")
        with self.lock:
            self.ledger.write("mark", symbol=symbol, price=price)
            self.contract[symbol] = price if contract is None else contract
            self._strike_triggers(symbol, price)
            self._mark(symbol, price, funding_rate)
            self._trigger_by_contract(symbol)

    def move_contract(self, symbol: str, price: Decimal) -> None:
        """Move the last price alone, until the mark moves: orders that go by it trigger."""
        with self.lock:
            self.contract[symbol] = price
            self._trigger_by_contract(symbol)

    def _mark(self, symbol: str, price: Decimal, funding_rate: Decimal | None = None) -> None:
        after, facts = on_mark(
            self.books.account, self.policy, symbol, price, self._moment(symbol),
            funding_rate=funding_rate,
        )  # fmt: skip
        if facts:
            self.remember()
        self.settle(after, facts)

    def _due_algos(self, symbol: str, price: Decimal) -> list[AlgoRecord]:
        return [
            algo
            for algo in self.books.open_algos(symbol)
            if algo.status == "NEW"
            and is_triggered(OrderType(algo.type), algo.side, algo.trigger, price)
        ]

    def _strike_triggers(self, symbol: str, price: Decimal) -> None:
        """What is about to trigger and is scripted not to come to a fill leaves the engine."""
        for algo in self._due_algos(symbol, price):
            if algo.working_type != MARK_PRICE:
                continue
            if self._struck("stop_rejected_at_trigger", symbol):
                self._drop(algo, "REJECTED", "The order was rejected by the matching engine.")
            elif self._struck("stop_stuck_triggering", symbol):
                self._drop(algo, "TRIGGERING")

    def _trigger_by_contract(self, symbol: str) -> None:
        """What goes by the last price is kept out of the engine until that price is there."""
        for algo in self._due_algos(symbol, self.contract[symbol]):
            if self.books.algos[algo.algo_id].status != "NEW" or algo.working_type == MARK_PRICE:
                continue
            closable = closable_qty(self.books.position(symbol), algo.side)
            wanted = Wanted(
                algo.client_id, symbol, algo.side, OrderType.MARKET,
                closable if algo.close_position else algo.qty, reduce_only=algo.reduce_only,
            )  # fmt: skip
            after, facts = self._place(algo_name(algo.algo_id), wanted)
            if isinstance(facts[0], OrderRejected):
                self.end_algo(algo, "REJECTED", facts[0].reason.replace("_", " "))
            else:
                self.remember()
                self.settle(after, facts)

    # -- orders -------------------------------------------------------------------------------

    def leverage(self, symbol: str) -> int:
        """The leverage that the next order of a symbol opens with."""
        return self.books.leverage.get(symbol, self.config.leverage)

    def place_order(self, wanted: Wanted) -> OrderRecord:
        """Accept an order of the plain book; a market order is executed before this returns.

        Raises Refused, and then nothing has changed.
        """
        with self.lock:
            if any(o.open for o in self.books.orders_named(wanted.client_id)):
                raise self._refused(wanted, -4116)
            self._mark(wanted.symbol, self.books.mark(wanted.symbol))
            number = self._numbers["order"] + 1
            after, facts = self._place(order_name(number), wanted)
            if isinstance(facts[0], OrderRejected):
                raise self._refused(wanted, int(facts[0].code))
            if wanted.part is not None:
                in_part = self._place(order_name(number), replace(wanted, qty=wanted.part))
                if not isinstance(in_part[1][0], OrderRejected):
                    after, facts = in_part
            self.remember()
            now = self.now_ms()
            closes = wanted.close_position
            record = OrderRecord(
                self.number("order"), wanted.client_id, wanted.symbol, wanted.side,
                wanted.type.value, wanted.qty, wanted.reduce_only or closes, now, now,
                close_position=closes, trigger=wanted.trigger or ZERO,
                working_type=wanted.working_type,
            )  # fmt: skip
            self._tell_accepted("orders", number, wanted)
            self.books = self.books.with_order(record)
            self.emit(events.order_event(record, "NEW", now))
            self.settle(after, facts)
            return self.books.orders[number]

    def place_algo(self, wanted: Wanted) -> AlgoRecord:
        """Accept a conditional order. Raises Refused, and then nothing has changed."""
        with self.lock:
            if any(a.open for a in self.books.algos_named(wanted.client_id)):
                raise self._refused(wanted, -4116)
            if wanted.close_position and self._closes_already(wanted):
                raise self._refused(wanted, -4130)
            account = self.books.account
            by_mark = wanted.working_type == MARK_PRICE
            if not by_mark:
                book = account.book(wanted.symbol)
                account = account.with_book(replace(book, mark_price=self.contract[wanted.symbol]))
            number = self._numbers["algo"] + 1
            request = self._request(algo_name(number), wanted)
            refusal = refusal_before_acceptance(account, self.policy, request)
            if refusal is not None:
                raise self._refused(wanted, refusal.code)
            self.remember()
            now = self.now_ms()
            record = AlgoRecord(
                self.number("algo"), wanted.client_id, wanted.symbol, wanted.side,
                wanted.type.value, wanted.qty, wanted.reduce_only or wanted.close_position,
                wanted.close_position, wanted.trigger or ZERO, wanted.working_type, now, now,
            )  # fmt: skip
            self._tell_accepted("algo", number, wanted)
            if by_mark:
                account, _ = place(self.books.account, self.policy, request)
                self.books = replace(self.books, account=account)
            self.books = self.books.with_algo(record)
            self.emit(events.algo_event(record, now))
            return record

    def _closes_already(self, wanted: Wanted) -> bool:
        return any(
            a.close_position and (a.side, a.type) == (wanted.side, wanted.type.value)
            for a in self.books.open_algos(wanted.symbol)
        )

    def _request(self, name: str, wanted: Wanted) -> PlaceOrder:
        return PlaceOrder(
            client_order_id=name,
            symbol=wanted.symbol,
            side=wanted.side,
            type=wanted.type,
            qty=wanted.qty,
            reduce_only=wanted.reduce_only or wanted.close_position,
            at=self.books.account.book(wanted.symbol).mark_at or self._moment(wanted.symbol),
            trigger_price=wanted.trigger,
            leverage=self.leverage(wanted.symbol),
            close_position=wanted.close_position,
        )

    def _place(self, name: str, wanted: Wanted) -> Outcome:
        policy = self._unbounded if wanted.forced else self.policy
        return place(self.books.account, policy, self._request(name, wanted))

    def _refused(self, wanted: Wanted, code: int) -> Refused:
        self.ledger.write(
            "refused", client_id=wanted.client_id, symbol=wanted.symbol, code=code,
            reduce_only=wanted.reduce_only or wanted.close_position, type=wanted.type.value,
        )  # fmt: skip
        return Refused(code)

    def _tell_accepted(self, book: str, number: int, wanted: Wanted) -> None:
        witness = self.config.witness
        seen = {} if witness is None or wanted.forced else {"witness": witness(wanted.client_id)}
        self.ledger.write(
            "order", book=book, order_id=number, client_id=wanted.client_id,
            symbol=wanted.symbol, side=wanted.side.value, type=wanted.type.value, qty=wanted.qty,
            reduce_only=wanted.reduce_only or wanted.close_position,
            close_position=wanted.close_position, trigger=wanted.trigger,
            working_type=wanted.working_type, **seen,
        )  # fmt: skip

    def cancel_algo(self, algo: AlgoRecord) -> AlgoRecord:
        """Withdraw a conditional order that stands."""
        with self.lock:
            self._drop(algo, "CANCELED")
            return self.books.algos[algo.algo_id]

    def forget_algo(self, algo: AlgoRecord) -> None:
        """Lose a conditional order: no list has it and no query knows it."""
        with self.lock:
            self._drop(algo, "EXPIRED")
            rest = {n: a for n, a in self.books.algos.items() if n != algo.algo_id}
            self.books = self.before = replace(self.books, algos=rest)

    def _drop(self, algo: AlgoRecord, status: str, reason: str = "") -> None:
        self.remember()
        account = self.books.account
        book = account.book(algo.symbol).without(algo_name(algo.algo_id))
        self.books = replace(self.books, account=account.with_book(book))
        self.end_algo(algo, status, reason)

    def cancel_order(self, order: OrderRecord) -> OrderRecord:
        """Withdraw an order of the plain book that stands."""
        with self.lock:
            self.remember()
            name, at = order_name(order.order_id), self._moment(order.symbol)
            self.settle(*cancel(self.books.account, CancelOrder(name, order.symbol, at)))
            return self.books.orders[order.order_id]

    def force_close(self, symbol: str, client_id: str, share: Decimal = ONE) -> bool:
        """The venue closes a share of a position at the mark, under a client id of its own kind."""
        with self.lock:
            position = self.books.position(symbol)
            if position is None:
                return False
            side, step = position.side.exit, self.policy.rules[symbol].lot_step
            held = abs(position.qty)
            qty = held if share >= ONE else held * share // step * step
            self.place_order(
                Wanted(
                    client_id, symbol, side, OrderType.MARKET, qty, reduce_only=True, forced=True
                )
            )
            return True
