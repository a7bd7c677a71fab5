"""What stands around apply_layer in a run: it plans, listens and asks again, as the ring would.

Plays intent_bridge and exitbrain (entries with a stop), harvest_brain (rungs, moved stops, closes;
a refused exit is asked again under a new id, with backoff), the market, a hand in the exchange's
app and the operator. Reads apply.result, writes apply.plan, market.tick and the mode.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from redis import Redis

from services.apply_layer.double import Double, Refused
from shared.contracts import EntryPlan, ExitPlan, MarketTick, Message, MoveStopPlan, encode
from shared.sides import Side
from shared.streams import APPLY_PLAN, APPLY_RESULT, MARKET_TICK, MODE_KEY
from tests.venue_gauntlet.draws import APART_MARKET, MARKETS, STOP_AWAY, Act, Draw
from tests.venue_gauntlet.evidence import Fields, number
from tests.venue_gauntlet.lives import Notes
from tests.venue_gauntlet.wall_clock import WallClock

D = Decimal
#: When a refused wish is asked again, the first time; each time twice as long, up to the last.
_AGAIN_S, _AGAIN_MOST_S = 0.25, 2.0
#: When a wish that nobody has answered is asked again.
_UNANSWERED_S = 5.0
#: How often an entry that was refused for a passing reason is planned anew.
_ENTRIES_MOST = 4
#: Answers to an entry that it is no use to plan anew.
_NO_ENTRY = {"position_exists", "closed_by_venue", "entry_in_flight"}
#: Answers that say there is nothing left to wish for.
_SETTLED = {"already_harvested", "no_such_position", "stop_not_tighter", "stop_cannot_move"}
_SHARES = {"PARTIAL_25": D("0.25"), "PARTIAL_50": D("0.50"), "PARTIAL_75": D("0.75")}


@dataclass(slots=True)
class Held:
    """A position as its last result states it."""

    position_id: str
    side: Side
    qty: Decimal
    initial_qty: Decimal
    harvested_qty: Decimal
    stop: Decimal


@dataclass(slots=True)
class Wish:
    """Something that harvest_brain wants of a position until it is so, or has no object."""

    symbol: str
    position_id: str
    action: str
    stop: Decimal | None = None
    plan_id: str = ""
    refusals: int = 0
    due_at: float = 0.0


@dataclass
class Producer:
    """One run's surroundings. `turn` does what is due; all times are of the monotonic clock."""

    client: Redis
    venue: Double
    draw: Draw
    notes: Notes
    wall: WallClock
    held: dict[str, Held] = field(default_factory=dict)
    wishes: list[Wish] = field(default_factory=list)
    over: bool = False
    _plans: int = 0
    _ticks: int = 0
    _heard: str = "0"
    _last: dict[str, Message] = field(default_factory=dict)
    _entries: dict[str, Act] = field(default_factory=dict)
    _later: list[tuple[float, Act]] = field(default_factory=list)

    # -- doing --------------------------------------------------------------------------------

    def do(self, act: Act) -> None:
        """Do one thing that was drawn; where it has no object now, nothing."""
        _ACTS[act.kind](self, act)

    def enter(self, act: Act) -> None:
        """An entry with its stop, at the mark, as exitbrain would send it on."""
        _, tick, _, qty = MARKETS[act.symbol]
        mark = self.venue.mark_of(act.symbol)
        side = Side(act.params["side"])
        sign = 1 if side is Side.BUY else -1
        targets = [_to(mark * (1 + sign * n * STOP_AWAY * 3), tick) for n in (1, 2, 3)]
        fields = self._head("ENTRY_PROPOSED", act.symbol, side) | {
            "source": "exitbrain", "qty": qty, "leverage": 10, "entry_price": mark,
            "tick_size": tick, "maintenance_margin_rate": D("0.01"), "confidence": D("0.8"),
            "volatility_factor": D(1), "exchange_divergence": D(0), "funding_rate": D(0),
            "regime": "NORMAL", "stop_loss": _to(mark * (1 - sign * STOP_AWAY), tick),
            "take_profit": targets[0], "take_profit_2": targets[1], "take_profit_3": targets[2],
            "lsf": D("0.2943"),
        }  # fmt: skip
        self._entries[fields["plan_id"]] = act
        self._send(EntryPlan(**fields))

    def exit(self, act: Act) -> None:
        """A rung or a close is due."""
        if (held := self.held.get(act.symbol)) is not None:
            self._wish(Wish(act.symbol, held.position_id, act.params["action"]))

    def move_stop(self, act: Act) -> None:
        """The stop is to stand nearer to the mark by a part of the way."""
        held = self.held.get(act.symbol)
        if held is None or not held.stop:
            return
        mark = self.venue.mark_of(act.symbol)
        stop = held.stop + (mark - held.stop) * D(act.params["part"])
        self._wish(
            Wish(act.symbol, held.position_id, "MOVE_STOP", _to(stop, MARKETS[act.symbol][1]))
        )

    def again(self, act: Act) -> None:
        """The last plan of the symbol is delivered a second time."""
        if (plan := self._last.get(act.symbol)) is not None:
            self._add(APPLY_PLAN.key, plan)

    def drift(self, act: Act) -> None:
        """The mark moves a little."""
        self._mark(act.symbol, self.venue.mark_of(act.symbol) * (1 + D(act.params["by"]) / 600))

    def gap(self, act: Act) -> None:
        """The mark jumps past the stop; what becomes of the stop may be drawn as well."""
        held = self.held.get(act.symbol)
        if held is None or not held.stop:
            return
        if "fault" in act.params:
            self.venue.faults.script(act.params["fault"], symbol=act.symbol)
        sign = 1 if held.side is Side.BUY else -1
        self._mark(act.symbol, held.stop * (1 - sign * D("0.004")))

    def by_hand(self, act: Act) -> None:
        """Somebody trades in the exchange's app."""
        _, _, lot, qty = MARKETS.get(act.symbol, APART_MARKET)
        position = self.venue.position(act.symbol)
        if act.kind == "hand_open":
            if not position:
                self.venue.by_hand(act.symbol, act.params["side"], qty)
            return
        part = abs(position) if act.kind == "hand_close" else abs(position) // 2 // lot * lot
        if part:
            grows = act.kind == "hand_grow"
            side = "BUY" if (position > 0) == grows else "SELL"
            # More than one order may be is refused to a hand as well; then nothing happened.
            with suppress(Refused):
                self.venue.by_hand(act.symbol, side, part, reduce_only=not grows)

    def cancel_by_hand(self, act: Act) -> None:
        """Somebody withdraws the stop in the exchange's app."""
        for order in self.venue.open_algo_orders():
            if order["symbol"] == act.symbol:
                self.venue.cancel_by_hand(order["clientAlgoId"])

    def forced(self, act: Act) -> None:
        """The venue closes a position by force."""
        if self.venue.position(act.symbol):
            self.venue.faults.script(act.kind, symbol=act.symbol)

    def stream(self, act: Act) -> None:
        """The user stream fails in some way."""
        self.venue.faults.script(act.params["fault"])

    def order_fault(self, act: Act) -> None:
        """The next order, of one book, meets a fault."""
        path, params = act.params["path"], act.params["params"]
        self.venue.faults.script(act.params["fault"], "POST", path, **params)

    def silence(self, act: Act) -> None:
        """The next call is answered by a wish for silence."""
        seconds = 1 if act.params["fault"] == "rate_limited_429" else 2
        self.venue.faults.script(act.params["fault"], retry_after_s=seconds)

    def skew(self, act: Act) -> None:
        """The venue's clock differs from ours."""
        self.venue.faults.script("clock_skew", offset_ms=act.params["ms"])

    def down(self, act: Act) -> None:
        """The venue is gone."""
        self.venue.faults.script("venue_down", how=act.params["how"])

    def up(self, act: Act) -> None:
        """The venue is back."""
        self.venue.faults.script("venue_up")

    def mode(self, act: Act) -> None:
        """The operator turns the switch."""
        self.client.set(MODE_KEY, act.params["mode"])
        self.notes.write("mode", mode=act.params["mode"])

    def set_clock(self, act: Act) -> None:
        """The wall clock of apply_layer's machine is set, under its hands."""
        self.wall.step(act.params["by_s"])
        self.notes.write("set_clock", by_s=act.params["by_s"])

    def trouble_apart(self, act: Act) -> None:
        """The venue denies a contract, or a part of it."""
        self.venue.faults.script(act.params["kind"], symbol=act.symbol, **act.params["of"])

    def trouble_over(self, act: Act) -> None:
        """The contract is as all others again."""
        self.venue.faults.script("symbol_missing", symbol=act.symbol, pieces=[])
        self.venue.faults.script("symbol_status", symbol=act.symbol, status="TRADING")

    # -- listening ----------------------------------------------------------------------------

    def turn(self) -> None:
        """Take up new results, and ask again for what is due."""
        rows: Any = self.client.xrange(APPLY_RESULT.key, min=f"({self._heard}", max="+")
        for id_, fields in rows:
            self._heard = id_.decode()
            self._hear({name.decode(): value.decode() for name, value in fields.items()})
        for wish in list(self.wishes):
            self._press(wish)
        due = [act for at, act in self._later if at <= time.monotonic()]
        self._later = [(at, act) for at, act in self._later if act not in due]
        for act in due:
            self.enter(act)

    def _entry_refused(self, plan_id: str, code: str) -> None:
        """The strategy sees its chance still: it comes back with a new entry, a few times."""
        act = self._entries.pop(plan_id, None)
        if act is None or code in _NO_ENTRY or self.over:
            return
        tries = act.params.get("tries", 0) + 1
        if tries < _ENTRIES_MOST:
            again = replace(act, params=act.params | {"tries": tries})
            self._later.append((time.monotonic() + _AGAIN_S * tries, again))

    def _hear(self, result: Fields) -> None:
        symbol, position_id = result["symbol"], result.get("position_id", "")
        qty = number(result, "position_qty")
        if qty:
            self.held[symbol] = Held(
                position_id=position_id,
                side=Side.BUY if result["position_side"] == "LONG" else Side.SELL,
                qty=qty,
                initial_qty=number(result, "position_initial_qty"),
                harvested_qty=number(result, "position_harvested_qty"),
                stop=number(result, "position_stop_loss"),
            )
        elif "error_code" not in result or result["error_code"] == "no_such_position":
            self.held.pop(symbol, None)
        if "error_code" in result:
            self._entry_refused(result.get("plan_id", ""), result["error_code"])
        for wish in [w for w in self.wishes if w.plan_id and w.plan_id == result.get("plan_id")]:
            self._answered(wish, result)

    def _answered(self, wish: Wish, result: Fields) -> None:
        code = result.get("error_code")
        if code is None:
            if result["status"] != "PARTIALLY_FILLED":
                self.wishes.remove(wish)
        elif code in _SETTLED:
            self.wishes.remove(wish)
        else:
            delay_s = min(_AGAIN_S * 2**wish.refusals, _AGAIN_MOST_S)
            wish.refusals += 1
            wish.plan_id = ""
            wish.due_at = time.monotonic() + delay_s

    def _wish(self, wish: Wish) -> None:
        """One wish of a kind at a time, as harvest_brain has it; a new stop replaces an older."""
        same = [w for w in self.wishes if (w.symbol, w.action) == (wish.symbol, wish.action)]
        if not same:
            self.wishes.append(wish)
            self._press(wish)

    def _press(self, wish: Wish) -> None:
        """Ask for a wish that is due, and drop one without an object."""
        if time.monotonic() < wish.due_at:
            return
        held = self.held.get(wish.symbol)
        if held is None or held.position_id != wish.position_id:
            self.wishes.remove(wish)
            return
        plan = self._plan_of(wish, held)
        if plan is None:
            self.wishes.remove(wish)
            return
        wish.plan_id = plan.plan_id
        wish.due_at = time.monotonic() + _UNANSWERED_S
        self._send(plan)

    def _plan_of(self, wish: Wish, held: Held) -> ExitPlan | MoveStopPlan | None:
        side = Side.SELL if held.side is Side.BUY else Side.BUY
        fields = {"reduceOnly": True, "position_id": held.position_id, "source": "intent_bridge"}
        if wish.action == "MOVE_STOP":
            mark = self.venue.mark_of(wish.symbol)
            if wish.stop is None or (mark - wish.stop) * (1 if held.side is Side.BUY else -1) <= 0:
                return None
            head = self._head(wish.action, wish.symbol, side)
            return MoveStopPlan(**(head | fields | {"stop_loss": wish.stop}))
        lot = MARKETS[wish.symbol][2]
        qty = held.qty
        if wish.action in _SHARES:
            due = _to(_SHARES[wish.action] * held.initial_qty, lot) - held.harvested_qty
            qty = min(qty, due)
        if qty <= 0:
            return None
        return ExitPlan(**(self._head(wish.action, wish.symbol, side) | fields | {"qty": qty}))

    # -- writing ------------------------------------------------------------------------------

    def _head(self, action: str, symbol: str, side: Side) -> dict[str, Any]:
        self._plans += 1
        now = datetime.now(UTC)
        return {
            "timestamp": now,
            "produced_at": now,
            "plan_id": f"g{self.draw.seed}.{self._plans}",
            "intent_id": f"i{self.draw.seed}.{self._plans}",
            "symbol": symbol,
            "side": side,
            "action": action,
            "decision": "EXECUTE",
        }

    def _send(self, plan: EntryPlan | ExitPlan | MoveStopPlan) -> None:
        self._last[plan.symbol] = plan
        self._add(APPLY_PLAN.key, plan)

    def _add(self, key: str, message: Message) -> None:
        words = [word for pair in encode(message) for word in pair]
        self.client.execute_command("XADD", key, "*", *words)  # type: ignore[no-untyped-call]

    def _mark(self, symbol: str, price: Decimal) -> None:
        price = _to(price, MARKETS[symbol][1])
        self.venue.mark(symbol, price)
        self._ticks += 1
        now = datetime.now(UTC)
        self._add(
            MARKET_TICK.key,
            MarketTick(
                timestamp=now, produced_at=now, source="market_feed",
                tick_id=f"t{self._ticks}", symbol=symbol, mark_price=price,
            ),
        )  # fmt: skip


def _to(price: Decimal, step: Decimal) -> Decimal:
    return (price / step).to_integral_value() * step


_ACTS: dict[str, Callable[[Producer, Act], None]] = {
    "enter": Producer.enter,
    "exit": Producer.exit,
    "move_stop": Producer.move_stop,
    "again": Producer.again,
    "drift": Producer.drift,
    "gap": Producer.gap,
    "hand_open": Producer.by_hand,
    "hand_close": Producer.by_hand,
    "hand_part": Producer.by_hand,
    "hand_grow": Producer.by_hand,
    "hand_cancel": Producer.cancel_by_hand,
    "liquidation": Producer.forced,
    "adl": Producer.forced,
    "stay": lambda _producer, _act: None,
    "stream": Producer.stream,
    "silence": Producer.silence,
    "order_fault": Producer.order_fault,
    "skew": Producer.skew,
    "down": Producer.down,
    "up": Producer.up,
    "mode": Producer.mode,
    "set_clock": Producer.set_clock,
    "trouble_apart": Producer.trouble_apart,
    "trouble_over": Producer.trouble_over,
}
