"""A run told by hand: ledger, streams and hashes as they are when all is well, and then spoilt.

For the checker's own tests. Every call adds what the venue and apply_layer would have written.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.venue_gauntlet.evidence import Evidence, Terms, plan_digest

D = Decimal
START = 1_900_000_000.0
SYMBOL = "BTCUSDT"


def moment(at: float) -> str:
    """A wall time as messages have it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def name_of(leg: str, plan_id: str, count: int = 1) -> str:
    """The client id of one order of a plan."""
    return f"{leg}{count}-{plan_digest(plan_id)}"


class Tale:
    """One symbol, one position at a time. `at` is the clock, moved by `after`."""

    def __init__(self) -> None:
        self.at = START
        self.ledger: list[dict[str, Any]] = []
        self.plans: list[dict[str, str]] = []
        self.results: list[dict[str, str]] = []
        self.documents: dict[str, Any] = {}
        self.records: dict[str, dict[str, str]] = {}
        self.notes: list[dict[str, Any]] = []
        self.held = D(0)
        self.wallet = D(10_000)
        self.initial = D(0)
        self.fees = D(0)
        self.realized = D(0)
        self.numbers = 0

    def after(self, seconds: float) -> Tale:
        """Let time pass."""
        self.at += seconds
        return self

    def line(self, kind: str, **fields: Any) -> dict[str, Any]:
        """One line of the ledger, now."""
        line = {"n": len(self.ledger) + 1, "t": self.at, "kind": kind, **fields}
        self.ledger.append(line)
        return line

    def note(self, kind: str, **fields: Any) -> dict[str, Any]:
        """One note of the run, now."""
        note = {"kind": kind, "t": self.at, **fields}
        self.notes.append(note)
        return note

    def plan(self, plan_id: str, action: str, qty: str = "", **fields: str) -> dict[str, str]:
        """A plan on the stream."""
        plan = {"plan_id": plan_id, "action": action, "symbol": SYMBOL, "qty": qty}
        plan |= {"produced_at": moment(self.at)} | fields
        self.plans.append(plan)
        return plan

    def request(
        self, client_id: str, *, method: str = "POST", http: int = 200, code: int = 0,
        fault: str = "", book: str = "orders",
    ) -> dict[str, Any]:  # fmt: skip
        """A request for, or after, one order."""
        asks = "newClientOrderId" if method == "POST" else "origClientOrderId"
        name, path = (asks, "/fapi/v1/order")
        if book == "algo":
            name, path = "clientAlgoId", "/fapi/v1/algoOrder"
        params = {"symbol": SYMBOL, name: client_id, "timestamp": int(self.at * 1000)}
        return self.line(
            "request", method=method, path=path, params=params, http=http, code=code, fault=fault
        )

    def order(self, client_id: str, side: str, qty: str, **fields: Any) -> dict[str, Any]:
        """The venue accepts an order."""
        self.numbers += 1
        reduces = client_id[0] != "e"
        return self.line(
            "order",
            **({
                "book": "orders", "order_id": self.numbers, "client_id": client_id,
                "symbol": SYMBOL, "side": side, "type": "MARKET", "qty": qty,
                "reduce_only": reduces, "close_position": False, "trigger": None,
                "working_type": "", "witness": True,
            } | fields),
        )  # fmt: skip

    def trade(
        self, order: dict[str, Any], qty: str, price: str = "100", realized: str = "0"
    ) -> dict[str, Any]:
        """An order trades; the stream is told of it."""
        self.numbers += 1
        amount, fee, gain = D(qty), D("0.05"), D(realized)
        before = self.held
        self.held += amount if order["side"] == "BUY" else -amount
        self.wallet += gain - fee
        line = self.line(
            "trade", trade_id=self.numbers, order_id=order["order_id"],
            client_id=order["client_id"], symbol=SYMBOL, side=order["side"], qty=qty, price=price,
            fee=str(fee), realized=realized, reduce_only=order["reduce_only"],
            position=str(self.held), wallet=str(self.wallet),
        )  # fmt: skip
        if abs(self.held) > abs(before):
            self.initial += amount
        self.fees, self.realized = self.fees + fee, self.realized + gain
        self._tell(line)
        return line

    def _tell(self, trade: dict[str, Any]) -> None:
        plan = next((p for p in self.plans if plan_digest(p["plan_id"]) in trade["client_id"]), {})
        self.results.append(
            {
                "result_id": f"fill.{trade['trade_id']}", "status": "FILLED", "symbol": SYMBOL,
                "plan_id": plan.get("plan_id", ""), "position_id": "BTCUSDT-1",
                "client_order_id": trade["client_id"], "side": trade["side"],
                "filled_qty": trade["qty"], "avg_price": trade["price"], "fee": trade["fee"],
                "realized_pnl": trade["realized"], "position_qty": str(abs(self.held)),
                "position_side": "SHORT" if self.held < 0 else "LONG", "lot_step": "0.001",
                "position_initial_qty": str(self.initial), "position_fees": str(self.fees),
                "position_realized_pnl": str(self.realized), "produced_at": moment(self.at),
            }
        )  # fmt: skip
        side = "SHORT" if self.held < 0 else "LONG"
        self.records = {SYMBOL: {"qty": str(abs(self.held)), "side": side}} if self.held else {}

    def ended(self, order: dict[str, Any], status: str = "CANCELED") -> dict[str, Any]:
        """An order is over."""
        return self.line(
            "ended", book=order["book"], order_id=order["order_id"],
            client_id=order["client_id"], symbol=SYMBOL, status=status, executed_qty="0",
        )  # fmt: skip

    def refused(self, plan_id: str, code: str) -> None:
        """apply_layer says that a plan came to nothing."""
        self.results.append(
            {
                "result_id": f"refused.{plan_id}", "status": "REJECTED", "symbol": SYMBOL,
                "plan_id": plan_id, "error_code": code, "position_qty": str(abs(self.held)),
                "position_side": "LONG", "produced_at": moment(self.at),
            }
        )  # fmt: skip

    # -- whole scenes -------------------------------------------------------------------------

    def enter(self, qty: str = "1", plan_id: str = "plan.entry") -> Tale:
        """A LONG is opened by a plan."""
        self.plan(plan_id, "ENTRY_PROPOSED", qty)
        self.request(name_of("e", plan_id))
        self.trade(self.order(name_of("e", plan_id), "BUY", qty), qty)
        return self

    def stop(
        self, qty: str = "1", trigger: str = "90", count: int = 1, plan_id: str = "plan.entry"
    ) -> dict[str, Any]:
        """Its stop is placed."""
        client_id = name_of("s", plan_id, count)
        self.request(client_id, book="algo")
        return self.order(
            client_id, "SELL", qty, book="algo", type="STOP_MARKET", trigger=trigger,
            working_type="MARK_PRICE",
        )  # fmt: skip

    def leave(self, plan_id: str, action: str, qty: str, planned: str = "") -> Tale:
        """An exit is planned and done."""
        self.plan(plan_id, action, planned or qty)
        self.request(name_of("x", plan_id))
        self.trade(self.order(name_of("x", plan_id), "SELL", qty), qty)
        return self

    def mark(self, price: str) -> Tale:
        """The mark moves."""
        self.line("mark", symbol=SYMBOL, price=price)
        return self

    def evidence(self) -> Evidence:
        """All of it, for the checker."""
        return Evidence(
            ledger=self.ledger,
            plans=self.plans,
            results=self.results,
            documents=self.documents,
            records=self.records,
            terms=Terms(
                wallet=D(10_000), recv_window_s=1.0, doubt_again_s=0.5, timeout_s=0.5,
                ended_at=self.at,
            ),
            notes=self.notes,
        )  # fmt: skip


def well() -> Tale:
    """A position that is opened, protected, harvested by a quarter and held."""
    tale = Tale()
    tale.note("acquired", life=1, epoch=10)
    tale.after(0.1).enter()
    tale.after(0.2).stop()
    tale.after(1).leave("plan.P25", "PARTIAL_25", "0.25")
    tale.note("committed", life=1, began=tale.at)
    return tale.after(1)
