"""The paper venue: one pure matching and margin engine for market, stop and take-profit orders.

`place`, `cancel` and `on_mark` take an account and return the account after it and the facts, in
order. They read no clock: time is the order's market time and the mark's. The same calls give the
same account and facts, always.

A market order decided at time t fills at once when the book has a mark at or after t, otherwise at
the next mark, whatever time that has. Conditional orders trigger on the mark and fill at the mark
that triggered them, so a gap is paid for. A fill costs slippage and the taker fee.

A new mark is worked off in this order; a mark that is not newer than the last one changes nothing:
1. funding, for every 00:00, 08:00 and 16:00 UTC since the last mark
2. stops, in the order of acceptance
3. liquidation of what the stops left open
4. market orders that waited for this mark
5. targets
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Self

from services.apply_layer.exchange import (
    CancelOrder,
    FundingPaid,
    OpenOrder,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderRejected,
    OrderType,
    PlaceOrder,
    VenueEvent,
    VenuePosition,
    VenueSnapshot,
)
from services.apply_layer.paper_account import (
    ZERO,
    PaperAccount,
    PaperBook,
    PaperOrder,
    PaperPolicy,
    aware,
    new_account,
    seed,
    snapshot,
)
from services.apply_layer.paper_money import (
    EPOCH,
    closable_qty,
    fill,
    funding_amount,
    funding_boundaries,
    is_liquidated,
    is_triggered,
    liquidation_of,
    opens,
    taker_price,
    to_tick_against_taker,
)
from services.apply_layer.paper_refusals import (
    REDUCE_ONLY_NO_POSITION,
    UNKNOWN_ORDER,
    Refusal,
    refusal_before_acceptance,
    refusal_of_exposure,
)
from services.apply_layer.paper_ticks import taken
from shared.contracts import MarketTick
from shared.symbols import slug
from shared.ticks import is_ahead

Outcome = tuple[PaperAccount, tuple[VenueEvent, ...]]


def place(account: PaperAccount, policy: PaperPolicy, order: PlaceOrder) -> Outcome:
    """Accept an order and, if it is a market order and the mark is not older, fill it; or refuse.

    A refused order leaves the very same account. An order that waits is judged by the last mark,
    and again by the one that fills it.
    """
    at = aware(order.at)
    guard = order.guard
    against = guard and guard.refusal(order.qty, account.book(order.symbol).mark_price)
    if against:
        return account, (OrderRejected(order.client_order_id, order.symbol, *against, at),)
    refusal = refusal_before_acceptance(account, policy, order)
    if refusal:
        return account, (_rejected(order, refusal),)
    accepted, held = _accept(account.book(order.symbol), order)
    with_order = account.with_book(accepted)
    events = (OrderAccepted(held.client_order_id, order.symbol, held.order_id, at),)
    if held.type is not OrderType.MARKET or accepted.mark_price is None:
        return with_order, events
    attempt = _attempt(with_order, policy, accepted, held, accepted.mark_at or at)
    if isinstance(attempt, Refusal):
        return account, (_rejected(order, attempt),)
    if accepted.mark_at is None or accepted.mark_at < at:
        return with_order, events
    filled_account, filled = attempt
    after, ended = _end_with_position(filled_account, order.symbol, filled.at)
    return after, (*events, filled, *ended)


def cancel(account: PaperAccount, order: CancelOrder) -> Outcome:
    """Withdraw an open order; -2011 when the venue does not hold it (it may be filled)."""
    at = aware(order.at)
    book = account.book(order.symbol)
    if book.order(order.client_order_id) is None:
        return account, (_rejected(order, UNKNOWN_ORDER),)
    ended = OrderEnded(order.client_order_id, order.symbol, "cancelled", at)
    return account.with_book(book.without(order.client_order_id)), (ended,)


def on_mark(
    account: PaperAccount,
    policy: PaperPolicy,
    symbol: str,
    price: Decimal,
    at: datetime,
    *,
    funding_rate: Decimal | None = None,
) -> Outcome:
    """Work off a new mark price. `funding_rate` is per 8 h; without one the last known holds.

    A symbol that the venue does not list is ignored. Raises ValueError for a price that is not
    positive and finite.
    """
    if not price.is_finite() or price <= 0:
        raise ValueError(f"the mark price of {symbol} must be positive and finite")
    book = account.book(symbol)
    if symbol not in policy.rules or (book.mark_at is not None and aware(at) <= book.mark_at):
        return account, ()
    rate = book.funding_rate if funding_rate is None else funding_rate
    previous = book.mark_at
    marked = replace(book, mark_price=price, mark_at=aware(at), funding_rate=rate)
    account, events = _settle_funding(account.with_book(marked), policy, marked, previous)
    for step in _AFTER_FUNDING:
        account, more = step(account, policy, symbol)
        events += more
    return account, events


def _accept(book: PaperBook, order: PlaceOrder) -> tuple[PaperBook, PaperOrder]:
    number = book.order_count + 1
    held = PaperOrder(
        client_order_id=order.client_order_id,
        order_id=f"{slug(book.symbol)}-{number}",
        side=order.side,
        type=order.type,
        qty=order.qty,
        reduce_only=order.reduce_only or order.close_position,
        leverage=order.leverage,
        trigger_price=order.trigger_price,
        close_position=order.close_position,
    )
    return replace(book, orders=(*book.orders, held), order_count=number), held


def _is_due(order: PaperOrder, book: PaperBook) -> bool:
    """Whether an order that the book holds fills at its newest mark."""
    if book.mark_price is None or book.mark_at is None:
        return False
    if order.trigger_price is not None:
        return is_triggered(order.type, order.side, order.trigger_price, book.mark_price)
    return True


def _attempt(
    account: PaperAccount, policy: PaperPolicy, book: PaperBook, order: PaperOrder, at: datetime
) -> tuple[PaperAccount, OrderFilled] | Refusal:
    """The order filled at the book's mark as far as it may be, or why it may not be.

    An exit is clipped to the position, so it cannot flip it; only what adds exposure needs margin.
    """
    qty = order.qty
    if order.reduce_only:
        closable = closable_qty(book.position, order.side)
        qty = closable if order.close_position else min(qty, closable)
        if not qty:
            return REDUCE_ONLY_NO_POSITION
    tick_size = policy.rules[book.symbol].tick_size
    mark = book.mark_price or ZERO
    price = taker_price(mark, order.side, policy.slippage_bps, tick_size)
    after, filled = fill(book, order, qty, price=price, fee_rate=policy.taker_fee, at=at)
    filled_account = account.with_book(after, filled.realized_pnl - filled.fee)
    if opens(book.position, order.side, qty):
        refusal = refusal_of_exposure(filled_account, policy, book.symbol, price)
        if refusal:
            return refusal
    return filled_account, filled


def _settle_funding(
    account: PaperAccount, policy: PaperPolicy, book: PaperBook, previous: datetime | None
) -> Outcome:
    """Settle at the new mark and rate what fell due since `previous`; nothing did before a mark."""
    if previous is None or book.mark_price is None or book.mark_at is None:
        return account, ()
    boundaries = tuple(funding_boundaries(previous, book.mark_at))
    if not boundaries or not policy.funding:
        return account, ()
    amount = ZERO
    if book.position and book.funding_rate:
        amount = funding_amount(book.position, book.mark_price, book.funding_rate)
    total = amount * len(boundaries)
    settled = replace(book, funding_at=boundaries[-1], funding=book.funding + total)
    paid = tuple(FundingPaid(book.symbol, amount, at) for at in boundaries if amount)
    return account.with_book(settled, total), paid


def _fill_due(
    order_type: OrderType,
) -> Callable[[PaperAccount, PaperPolicy, str], Outcome]:
    """The step that fills the due orders of one type, one after the other."""

    def step(account: PaperAccount, policy: PaperPolicy, symbol: str) -> Outcome:
        events: list[VenueEvent] = []
        for order in account.books[symbol].orders:
            book = account.books[symbol]
            if order.type is not order_type or book.mark_at is None or not _is_due(order, book):
                continue
            if order not in book.orders:
                # It ended with the position that an order before it closed.
                continue
            attempt = _attempt(account, policy, book, order, book.mark_at)
            if isinstance(attempt, Refusal):
                account = account.with_book(book.without(order.client_order_id))
                ended = OrderEnded(order.client_order_id, symbol, attempt.reason, book.mark_at)
                events.append(ended)
            else:
                account, filled = attempt
                account, over = _end_with_position(account, symbol, filled.at)
                events += [filled, *over]
        return account, tuple(events)

    return step


def _liquidate(account: PaperAccount, policy: PaperPolicy, symbol: str) -> Outcome:
    """Close a position whose margin is used up, at its liquidation price; resting orders stay."""
    book = account.books[symbol]
    position, mark, at = book.position, book.mark_price, book.mark_at
    if position is None or mark is None or at is None:
        return account, ()
    liquidation = liquidation_of(position, policy.brackets_of(symbol))
    if not is_liquidated(position, liquidation, mark):
        return account, ()
    number = book.order_count + 1
    forced = PaperOrder(
        client_order_id=f"autoclose-{slug(symbol)}-{number}",
        order_id=f"{slug(symbol)}-{number}",
        side=position.side.exit,
        type=OrderType.MARKET,
        qty=abs(position.qty),
        reduce_only=True,
        leverage=position.leverage,
    )
    price = to_tick_against_taker(liquidation, forced.side, policy.rules[symbol].tick_size)
    counted = replace(book, order_count=number)
    after, filled = fill(counted, forced, forced.qty, price=price, fee_rate=policy.taker_fee, at=at)
    closed = account.with_book(after, filled.realized_pnl - filled.fee)
    closed, ended = _end_with_position(closed, symbol, at)
    return closed, (filled, *ended)


def _end_with_position(account: PaperAccount, symbol: str, at: datetime) -> Outcome:
    """The orders that close a whole position expire with it."""
    book = account.books[symbol]
    if book.position is not None:
        return account, ()
    over = [order for order in book.orders if order.close_position]
    for order in over:
        book = book.without(order.client_order_id)
    ended = tuple(OrderEnded(o.client_order_id, symbol, "expired", at) for o in over)
    return (account.with_book(book) if over else account), ended


_AFTER_FUNDING = (
    _fill_due(OrderType.STOP_MARKET),
    _liquidate,
    _fill_due(OrderType.MARKET),
    _fill_due(OrderType.TAKE_PROFIT_MARKET),
)


def _rejected(request: PlaceOrder | CancelOrder, refusal: Refusal) -> OrderRejected:
    return OrderRejected(
        request.client_order_id, request.symbol, refusal.code, refusal.reason, request.at
    )


class PaperExchange:
    """The engine and what it works on: holds the account and the latest time heard of."""

    def __init__(self, account: PaperAccount, policy: PaperPolicy) -> None:
        """Raise ValueError when the account holds a symbol that the policy does not list."""
        for symbol, book in account.books.items():
            if symbol not in policy.rules and (book.position or book.orders):
                raise ValueError(f"the account holds {symbol}, which the venue does not list")
        self._account = account
        self._policy = policy
        marks = (book.mark_at for book in account.books.values() if book.mark_at)
        opened = (book.position.opened_at for book in account.books.values() if book.position)
        self._at = max((*marks, *opened), default=EPOCH)

    @classmethod
    def seed(
        cls,
        policy: PaperPolicy,
        positions: Iterable[VenuePosition],
        open_orders: Iterable[OpenOrder] = (),
    ) -> Self:
        """A fresh account that starts with what somebody else opened."""
        return cls(seed(new_account(policy), policy, positions, open_orders), policy)

    @property
    def account(self) -> PaperAccount:
        """The account as the last call left it."""
        return self._account

    def place(self, order: PlaceOrder) -> list[VenueEvent]:
        """Send one order."""
        return self._keep(place(self._account, self._policy, order), order.at)

    def cancel(self, order: CancelOrder) -> list[VenueEvent]:
        """Withdraw one open order."""
        return self._keep(cancel(self._account, order), order.at)

    def on_mark(
        self, symbol: str, price: Decimal, at: datetime, funding_rate: Decimal | None = None
    ) -> list[VenueEvent]:
        """Work off a new mark price."""
        outcome = on_mark(self._account, self._policy, symbol, price, at, funding_rate=funding_rate)
        return self._keep(outcome, at)

    def on_tick(self, tick: MarketTick, now: datetime) -> list[VenueEvent]:
        """Work off a price of the feed once it is confirmed; `now` is the reader's clock."""
        heard = taken(self._account, self._policy, tick, now)
        if heard is None:
            return []
        self._account, price = heard
        if is_ahead(self._at, now):
            self._at = tick.timestamp
        return self.on_mark(tick.symbol, price, tick.timestamp, tick.funding_rate)

    def snapshot(self) -> VenueSnapshot:
        """All that the venue holds, as of the latest time heard of; the epoch before any."""
        return snapshot(self._account, self._policy, self._at)

    def _keep(self, outcome: Outcome, at: datetime) -> list[VenueEvent]:
        self._account, events = outcome
        self._at = max(self._at, at)
        return list(events)
