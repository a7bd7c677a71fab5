"""The paper venue's values: its policy, and what it holds: a wallet and one book per symbol.

Everything is an immutable value of plain types, so a book or the wallet is one durable document.
Money is Decimal in quote units, quantities are in base units, times are aware. A position's
quantity is signed: positive is LONG, negative is SHORT. The arithmetic is in `paper_money`, the
matching in `paper`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from services.apply_layer.exchange import (
    OpenOrder,
    OrderType,
    SymbolRules,
    VenuePosition,
    VenueSnapshot,
)
from services.apply_layer.paper_rules import (
    BUILT_IN_BRACKETS,
    BUILT_IN_RULES,
    LeverageBracket,
    single_bracket,
)
from shared.formulas import Marks
from shared.sides import PositionSide, Side
from shared.symbols import slug

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class PaperPolicy:
    """The settings of the paper venue. `taker_fee` is a fraction of notional; every order takes.

    `rules` names every symbol that the venue lists; `brackets` may refine some of them.
    """

    initial_wallet: Decimal = Decimal(10000)
    taker_fee: Decimal = Decimal("0.0005")
    slippage_bps: Decimal = Decimal(1)
    funding: bool = True
    max_conditional_orders: int = 200
    rules: Mapping[str, SymbolRules] = field(default_factory=lambda: BUILT_IN_RULES)
    brackets: Mapping[str, tuple[LeverageBracket, ...]] = field(
        default_factory=lambda: BUILT_IN_BRACKETS
    )

    def __post_init__(self) -> None:
        """Raise ValueError for a policy under which the venue's arithmetic has no meaning."""
        if not 0 <= self.taker_fee < 1 or not 0 <= self.slippage_bps < 10_000:
            raise ValueError("taker_fee must be in [0, 1) and slippage_bps in [0, 10000)")
        for symbol, table in self.brackets.items():
            caps = [bracket.notional_cap for bracket in table]
            if not caps or caps != sorted(set(caps)):
                raise ValueError(f"the brackets of {symbol} must have rising notional caps")

    def brackets_of(self, symbol: str) -> tuple[LeverageBracket, ...]:
        """The leverage brackets of a listed symbol, smallest notional first."""
        return self.brackets.get(symbol) or single_bracket(self.rules[symbol])


@dataclass(frozen=True, slots=True)
class PaperPosition:
    """An open position with isolated margin; `qty` is signed and never zero."""

    qty: Decimal
    entry_price: Decimal
    leverage: int
    opened_at: datetime

    @property
    def side(self) -> PositionSide:
        """The direction that the sign of the quantity says."""
        return PositionSide.LONG if self.qty > 0 else PositionSide.SHORT

    @property
    def entry_notional(self) -> Decimal:
        """Quantity at the entry price, in quote units."""
        return abs(self.qty) * self.entry_price

    @property
    def margin(self) -> Decimal:
        """The part of the wallet that this position holds."""
        return self.entry_notional / self.leverage


@dataclass(frozen=True, slots=True)
class PaperOrder:
    """An order that the venue holds. `qty` is what is left of it.

    A market order waits for the next mark; a conditional one has a trigger. One with
    `close_position` closes all that is held when it triggers, whatever its `qty`, and ends when the
    position does.
    """

    client_order_id: str
    order_id: str
    side: Side
    type: OrderType
    qty: Decimal
    reduce_only: bool
    leverage: int
    trigger_price: Decimal | None = None
    close_position: bool = False


@dataclass(frozen=True, slots=True)
class PaperBook:
    """All of one symbol: last mark, position, open orders, counters and ledger sums.

    `mark_price` without `mark_at` is a price that a seeded position came with: good for checks,
    never for a fill. `marks` are the last ones heard, from which the next price is confirmed.
    """

    symbol: str
    mark_price: Decimal | None = None
    mark_at: datetime | None = None
    position: PaperPosition | None = None
    orders: tuple[PaperOrder, ...] = ()
    order_count: int = 0
    trade_count: int = 0
    funding_at: datetime | None = None
    funding_rate: Decimal | None = None
    realized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    marks: Marks | None = None

    def order(self, client_order_id: str) -> PaperOrder | None:
        """The open order of that id."""
        return next((o for o in self.orders if o.client_order_id == client_order_id), None)

    def without(self, client_order_id: str) -> PaperBook:
        """The book when that order is gone."""
        rest = tuple(o for o in self.orders if o.client_order_id != client_order_id)
        return replace(self, orders=rest)


@dataclass(frozen=True, slots=True)
class PaperWallet:
    """`balance - initial` is exactly the sum over all books of realised profit - fees + funding."""

    initial: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class PaperAccount:
    """The venue for one account, one-way mode. A change to a symbol replaces that book alone."""

    wallet: PaperWallet
    books: Mapping[str, PaperBook] = field(default_factory=dict)

    def book(self, symbol: str) -> PaperBook:
        """The book of a symbol; an empty one when nothing was heard of it yet."""
        return self.books.get(symbol) or PaperBook(symbol)

    def with_book(self, book: PaperBook, wallet_change: Decimal = ZERO) -> PaperAccount:
        """The account when `book` is the symbol's book and the wallet has changed by an amount."""
        wallet = self.wallet
        if wallet_change:
            wallet = replace(wallet, balance=wallet.balance + wallet_change)
        return PaperAccount(wallet, {**self.books, book.symbol: book})

    @property
    def free_wallet(self) -> Decimal:
        """The balance that no position holds as margin; unrealised profit does not count."""
        held = (book.position.margin for book in self.books.values() if book.position)
        return self.wallet.balance - sum(held, ZERO)


def new_account(policy: PaperPolicy) -> PaperAccount:
    """An account with the initial wallet and nothing else."""
    return PaperAccount(PaperWallet(policy.initial_wallet, policy.initial_wallet))


def seed(
    account: PaperAccount,
    policy: PaperPolicy,
    positions: Iterable[VenuePosition],
    open_orders: Iterable[OpenOrder] = (),
) -> PaperAccount:
    """The account holding positions and conditional orders that somebody else brought about.

    No fill stands for a seeded position, so a symbol's position is its seed plus its fills.
    Triggers are taken as they are, on the tick or not. The venue numbers the orders itself.
    Raises ValueError for what cannot be held.
    """
    for stated in positions:
        book = account.book(stated.symbol)
        if stated.symbol not in policy.rules or book.position or stated.qty <= 0:
            raise ValueError(f"a position in {stated.symbol} cannot be seeded")
        held = PaperPosition(
            qty=stated.qty * stated.side.sign,
            entry_price=stated.entry_price,
            leverage=stated.leverage,
            opened_at=aware(stated.opened_at),
        )
        mark_price = book.mark_price or stated.mark_price
        account = account.with_book(replace(book, position=held, mark_price=mark_price))
    for order in open_orders:
        account = account.with_book(_with_seeded_order(account.book(order.symbol), policy, order))
    return account


def _with_seeded_order(book: PaperBook, policy: PaperPolicy, order: OpenOrder) -> PaperBook:
    listed = order.symbol in policy.rules and not book.order(order.client_order_id)
    if not listed or order.trigger_price is None or order.type is OrderType.MARKET:
        raise ValueError(f"the order {order.client_order_id} cannot be seeded")
    number = book.order_count + 1
    held = PaperOrder(
        client_order_id=order.client_order_id,
        order_id=f"{slug(book.symbol)}-{number}",
        side=order.side,
        type=order.type,
        qty=order.qty,
        reduce_only=order.reduce_only,
        leverage=book.position.leverage if book.position else 1,
        trigger_price=order.trigger_price,
        close_position=order.close_position,
    )
    return replace(book, orders=(*book.orders, held), order_count=number)


def snapshot(account: PaperAccount, policy: PaperPolicy, at: datetime) -> VenueSnapshot:
    """What the venue states about the account; symbols in order, orders as they were accepted."""
    books = [account.books[symbol] for symbol in sorted(account.books)]
    return VenueSnapshot(
        at=aware(at),
        wallet=account.wallet.balance,
        positions=tuple(_stated(book, book.position) for book in books if book.position),
        open_orders=tuple(_open(book, order) for book in books for order in book.orders),
        rules=tuple(policy.rules[symbol] for symbol in sorted(policy.rules)),
    )


def _stated(book: PaperBook, position: PaperPosition) -> VenuePosition:
    return VenuePosition(
        symbol=book.symbol,
        side=position.side,
        qty=abs(position.qty),
        entry_price=position.entry_price,
        leverage=position.leverage,
        mark_price=book.mark_price or position.entry_price,
        opened_at=position.opened_at,
    )


def _open(book: PaperBook, order: PaperOrder) -> OpenOrder:
    return OpenOrder(
        client_order_id=order.client_order_id,
        order_id=order.order_id,
        symbol=book.symbol,
        side=order.side,
        type=order.type,
        qty=order.qty,
        reduce_only=order.reduce_only,
        trigger_price=order.trigger_price,
        close_position=order.close_position,
    )


def aware(at: datetime) -> datetime:
    """The same time; ValueError when it does not say its zone."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone is refused")
    return at
