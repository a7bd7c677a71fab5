"""What the double holds beside the engine: orders and trades with the venue's numbers, and history.

Pure, immutable values; a stale answer is given from the value of a moment before. Times are
milliseconds since 1970 by the venue's clock, money is USDT, quantities are base units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from services.apply_layer.paper_account import PaperAccount, PaperPosition
from shared.sides import Side

ZERO = Decimal(0)
OPEN = ("NEW", "PARTIALLY_FILLED")
DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order of the plain book, open or over. `trigger` is 0 for one that does not wait."""

    order_id: int
    client_id: str
    symbol: str
    side: Side
    type: str
    qty: Decimal
    reduce_only: bool
    at_ms: int
    update_ms: int
    status: str = "NEW"
    executed: Decimal = ZERO
    quote: Decimal = ZERO
    close_position: bool = False
    trigger: Decimal = ZERO
    working_type: str = "CONTRACT_PRICE"
    original_type: str = ""

    @property
    def open(self) -> bool:
        """Whether it may still change."""
        return self.status in OPEN

    @property
    def average(self) -> Decimal:
        """The mean price of what was executed; 0 for nothing."""
        return self.quote / self.executed if self.executed else ZERO


@dataclass(frozen=True, slots=True)
class AlgoRecord:
    """An order of the conditional book. `order_id` is that of what it became, 0 before."""

    algo_id: int
    client_id: str
    symbol: str
    side: Side
    type: str
    qty: Decimal
    reduce_only: bool
    close_position: bool
    trigger: Decimal
    working_type: str
    at_ms: int
    update_ms: int
    status: str = "NEW"
    triggered_ms: int = 0
    order_id: int = 0
    executed: Decimal = ZERO
    average: Decimal = ZERO
    reason: str = ""

    @property
    def open(self) -> bool:
        """Whether it stands, or hangs between its trigger and its fill."""
        return self.status in ("NEW", "TRIGGERING")


@dataclass(frozen=True, slots=True)
class TradeRecord:
    """One trade of the account; the venue does not tell whose client id it was."""

    trade_id: int
    order_id: int
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    fee: Decimal
    realized: Decimal
    at_ms: int
    fee_asset: str = "USDT"


@dataclass(frozen=True, slots=True)
class Income:
    """A change of the wallet, by its kind: REALIZED_PNL, COMMISSION or FUNDING_FEE."""

    number: int
    symbol: str
    kind: str
    amount: Decimal
    at_ms: int
    asset: str = "USDT"
    trade_id: int = 0


@dataclass(frozen=True, slots=True)
class Books:
    """Everything that a read may tell. `updated_ms` is when a trade last changed a position."""

    account: PaperAccount
    orders: dict[int, OrderRecord] = field(default_factory=dict)
    algos: dict[int, AlgoRecord] = field(default_factory=dict)
    trades: tuple[TradeRecord, ...] = ()
    incomes: tuple[Income, ...] = ()
    updated_ms: Mapping[str, int] = field(default_factory=dict)
    leverage: Mapping[str, int] = field(default_factory=dict)
    margin_type: Mapping[str, str] = field(default_factory=dict)

    def position(self, symbol: str) -> PaperPosition | None:
        """The open position of a symbol."""
        return self.account.book(symbol).position

    def signed_qty(self, symbol: str) -> Decimal:
        """Its quantity: positive is LONG, negative is SHORT, 0 is none."""
        position = self.position(symbol)
        return position.qty if position else ZERO

    def mark(self, symbol: str) -> Decimal:
        """The last mark price."""
        return self.account.book(symbol).mark_price or ZERO

    def open_orders(self, symbol: str | None = None) -> list[OrderRecord]:
        """The plain book, oldest first."""
        return [o for o in self.orders.values() if o.open and symbol in (None, o.symbol)]

    def open_algos(self, symbol: str | None = None) -> list[AlgoRecord]:
        """The conditional book, oldest first."""
        return [a for a in self.algos.values() if a.open and symbol in (None, a.symbol)]

    def orders_named(self, client_id: str) -> Iterator[OrderRecord]:
        """Every order that had a client id, the latest first."""
        return (o for o in reversed(self.orders.values()) if o.client_id == client_id)

    def algos_named(self, client_id: str) -> Iterator[AlgoRecord]:
        """Every conditional order that had a client id, the latest first."""
        return (a for a in reversed(self.algos.values()) if a.client_id == client_id)

    def with_order(self, order: OrderRecord) -> Books:
        """These books when an order is as given."""
        return replace(self, orders={**self.orders, order.order_id: order})

    def with_algo(self, algo: AlgoRecord) -> Books:
        """These books when a conditional order is as given."""
        return replace(self, algos={**self.algos, algo.algo_id: algo})


def aged(books: Books, symbol: str, by_ms: int) -> Books:
    """These books when all of a symbol but its standing orders was that much longer ago."""

    def shifted(at_ms: int) -> int:
        return at_ms - by_ms

    def order(o: OrderRecord) -> OrderRecord:
        ours = o.symbol == symbol and not o.open
        return replace(o, at_ms=shifted(o.at_ms), update_ms=shifted(o.update_ms)) if ours else o

    return replace(
        books,
        orders={number: order(o) for number, o in books.orders.items()},
        trades=tuple(
            replace(t, at_ms=shifted(t.at_ms)) if t.symbol == symbol else t for t in books.trades
        ),
        incomes=tuple(
            replace(i, at_ms=shifted(i.at_ms)) if i.symbol == symbol else i for i in books.incomes
        ),
        updated_ms={s: shifted(ms) if s == symbol else ms for s, ms in books.updated_ms.items()},
    )
