"""The hands at the double: the market that moves, somebody in the exchange's app, and who looks.

Every call may come from any thread. Prices are USDT, quantities base units.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from services.apply_layer.double.account import MARK_PRICE, Account, Wanted
from services.apply_layer.double.books import DAY_MS, aged
from services.apply_layer.double.market import Bar, Bars
from services.apply_layer.double.order_reads import algo_json, order_json
from services.apply_layer.double.switches import DENIALS
from services.apply_layer.double.writes import set_leverage, set_multi_assets
from services.apply_layer.exchange import OrderType
from shared.sides import Side


class Hands:
    """What a test does and sees; the server brings the account and tells the streams."""

    account: Account
    _bars: dict[str, Bars]

    def _marked(self, symbol: str, price: Decimal) -> None:
        """The mark has moved."""
        raise NotImplementedError

    def mark(
        self,
        symbol: str,
        price: Decimal,
        funding_rate: Decimal | None = None,
        contract: Decimal | None = None,
    ) -> None:
        """Move the mark; triggers, fills and liquidations have happened when this returns.

        `contract` is the last price where it differs from the mark. `funding_rate` is per 8 h.
        """
        self.account.mark(symbol, price, funding_rate, contract)
        self._marked(symbol, price)

    def contract(self, symbol: str, price: Decimal) -> None:
        """Move the last price alone, until the mark moves."""
        self.account.move_contract(symbol, price)

    def mark_of(self, symbol: str) -> Decimal:
        """The mark price."""
        return self.account.books.mark(symbol)

    def tick_of(self, symbol: str) -> Decimal:
        """The smallest step of a price."""
        return self.account.policy.rules[symbol].tick_size

    def put_bar(self, symbol: str, bar: Bar) -> None:
        """A one-minute candle of the past, for the klines endpoints."""
        self._bars[symbol].put(bar)

    def by_hand(
        self,
        symbol: str,
        side: str,
        qty: Decimal,
        *,
        reduce_only: bool = False,
        client_id: str | None = None,
    ) -> str:
        """A market order as from the exchange's app. Returns its client id; raises Refused."""
        name = client_id or f"web_{uuid.uuid4().hex[:20]}"
        wanted = Wanted(name, symbol, Side(side), OrderType.MARKET, qty, reduce_only=reduce_only)
        self.account.place_order(wanted)
        return name

    def stop_by_hand(
        self,
        symbol: str,
        side: str,
        trigger: Decimal,
        qty: Decimal | None = None,
        *,
        book: str = "algo",
        client_id: str | None = None,
    ) -> str:
        """A stop as from the app, in either book; without a quantity it closes the position."""
        name = client_id or f"web_{uuid.uuid4().hex[:20]}"
        wanted = Wanted(
            name, symbol, Side(side), OrderType.STOP_MARKET, qty or Decimal(0),
            reduce_only=True, close_position=qty is None, trigger=trigger, working_type=MARK_PRICE,
        )  # fmt: skip
        if book == "orders":
            self.account.place_order(wanted)
        else:
            self.account.place_algo(wanted)
        return name

    def cancel_by_hand(self, client_id: str) -> bool:
        """Withdraw an open order of either book; False when there is none of that client id."""
        with self.account.lock:
            books = self.account.books
            for order in books.open_orders():
                if order.client_id == client_id:
                    self.account.cancel_order(order)
                    return True
            for algo in books.open_algos():
                if algo.client_id == client_id and algo.status == "NEW":
                    self.account.cancel_algo(algo)
                    return True
        return False

    def forget_algo_order(self, client_id: str) -> None:
        """The conditional book loses an order: no list has it and no query knows it."""
        with self.account.lock:
            for algo in list(self.account.books.algos_named(client_id)):
                self.account.forget_algo(algo)

    def forget_trades(self, symbol: str) -> None:
        """The venue's history of a symbol does not reach back to before now."""
        with self.account.lock:
            books = self.account.books
            kept = tuple(trade for trade in books.trades if trade.symbol != symbol)
            self.account.books = self.account.before = replace(books, trades=kept)

    def switch(self, kind: str, params: Mapping[str, Any]) -> None:
        """Something of the account or a symbol is switched, as by hand in the app or by the venue.

        `fault_kinds` says which there are and what they take. ValueError for another.
        """
        account, symbol = self.account, params.get("symbol", "")
        with account.lock:
            now, switches = account.now_ms() / 1000, account.switches
            match kind:
                case "multi_assets":
                    on = bool(params.get("on", True))
                    if on != switches.multi_assets:
                        set_multi_assets(account, {"multiAssetsMargin": str(on).lower()})
                case "symbol_status":
                    mark = params.get("mark")
                    told = None if mark is None else Decimal(str(mark))
                    account.switches = switches.with_status(symbol, params["status"], told)
                case "symbol_missing":
                    pieces = frozenset(params.get("pieces", ("all",)))
                    account.switches = switches.without(symbol, pieces)
                case "deny_stops":
                    what = frozenset(params.get("what", DENIALS))
                    until = now + float(params.get("seconds", 45))
                    account.switches = switches.denying(until, what, symbol)
                case "fees_in":
                    account.switches = replace(
                        switches,
                        fee_asset=params.get("asset", ""),
                        fee_price=Decimal(str(params.get("price", 600))),
                    )
                case "leverage":
                    set_leverage(account, {"symbol": symbol, "leverage": str(params["leverage"])})
                case "margin_type":
                    told_types = {**account.books.margin_type, symbol: params["margin_type"]}
                    account.books = replace(account.books, margin_type=told_types)
                case "aged":
                    account.books = account.before = aged(
                        account.books, symbol, int(float(params["days"]) * DAY_MS)
                    )
                case _:
                    raise ValueError(f"{kind} cannot be switched")

    # -- what is so ---------------------------------------------------------------------------

    def position(self, symbol: str) -> Decimal:
        """What is held: positive LONG, negative SHORT."""
        return self.account.books.signed_qty(symbol)

    def leverage_of(self, symbol: str) -> int:
        """The leverage that the symbol is set to."""
        return self.account.leverage(symbol)

    def open_orders(self) -> list[dict[str, Any]]:
        """The plain book, as the venue tells it."""
        return [order_json(order) for order in self.account.books.open_orders()]

    def open_algo_orders(self) -> list[dict[str, Any]]:
        """The conditional book, as the venue tells it."""
        return [algo_json(algo) for algo in self.account.books.open_algos()]

    @property
    def wallet(self) -> Decimal:
        """The balance, without unrealised profit."""
        return self.account.books.account.wallet.balance
