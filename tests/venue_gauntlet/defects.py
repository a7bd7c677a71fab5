"""Deliberate defects: small changes of the real code that a life makes to itself before it begins.

They show that the checker can fail: each breaks something that the design forbids, and the gauntlet
has to find it. Nothing but the gauntlet uses them, and only in a process of their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from redis import Redis

from services.apply_layer import decider, doubt, fills, plans, protection, sendings, turn
from services.apply_layer.binance import books, client, ledger, orders
from services.apply_layer.exchange import FORCED_PREFIXES
from services.apply_layer.journal import Leg
from shared import runner
from shared.bus import RedisBus
from shared.decisions import Mode
from shared.streams import state_key
from tests.venue_gauntlet.draws import Strike

#: The seeds that a defect is tried on where it names none.
SEEDS = tuple(range(1, 21))
_ORDERS = ("fapiPrivatePostOrder", "fapiPrivatePostAlgoOrder")


@dataclass(frozen=True, slots=True)
class Defect:
    """A switch: `apply` changes the code of this process; `breaks` are the invariants at stake.

    What shows only when a life is struck between two steps has `strikes` there, in place of those
    that a seed draws.
    """

    name: str
    breaks: tuple[int, ...]
    apply: Callable[[], None]
    seeds: tuple[int, ...] = SEEDS
    strikes: tuple[Strike, ...] = ()


DEFECTS: dict[str, Defect] = {}


def _defect(
    *breaks: int, seeds: tuple[int, ...] = (), strikes: tuple[Strike, ...] = ()
) -> Callable[[Callable[[], None]], None]:
    """Register a defect under its function's name; `seeds` are tried first."""

    def register(apply: Callable[[], None]) -> None:
        name = apply.__name__.replace("_", "-")
        others = tuple(seed for seed in SEEDS if seed not in seeds)
        DEFECTS[name] = Defect(name, breaks, apply, (*seeds, *others), strikes)

    return register


def _swap(place: Any, name: str, change: Callable[[Any], Any]) -> None:
    """Put something else in the place of a function or method; `change` gets the real one."""
    setattr(place, name, change(getattr(place, name)))


@_defect(3)
def send_before_journal() -> None:
    """Requests are made at once, and committed with what came of them."""

    def late(real: Any) -> Any:
        def commit(self: Any) -> None:
            if not self._requests:
                real(self)

        return commit

    _swap(runner.Runner, "_commit", late)


@_defect(1, 4)
def resend_after_timeout() -> None:
    """An order without an answer is simply sent again."""

    def again(call: Any) -> Any:
        def patient(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
            try:
                return call(self, name, *args, **kwargs)
            except client.NoAnswer:
                if name not in _ORDERS:
                    raise
                return call(self, name, *args, **kwargs)

        return patient

    _swap(client.Client, "call", again)


@_defect(1, 4, 5, 6, 9)
def timeout_is_a_refusal() -> None:
    """An order without an answer counts as refused."""

    def sure(call: Any) -> Any:
        def told(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
            try:
                return call(self, name, *args, **kwargs)
            except client.NoAnswer as error:
                if name not in _ORDERS:
                    raise
                raise client.VenueError(400, -2010, str(error)) from None

        return told

    _swap(client.Client, "call", sure)


@_defect(1, 4)
def one_absence_is_proof() -> None:
    """The first answer that knows nothing of an order ends its doubt, however early."""

    def hasty(real: Any) -> Any:
        def told(turn_: Any, sent: Any, reason: str, *, unlikely: bool) -> None:
            real(turn_, sent, reason, unlikely=True)

        return told

    _swap(doubt, "_doubt", hasty)
    _swap(doubt, "_counts", lambda _real: lambda *_args: True)


@_defect(6)
def cancel_before_place() -> None:
    """A stop is moved by withdrawing the old one first."""

    def first(real: Any) -> Any:
        def moved(turn_: Any, position: Any, stop: Any, *, plan: Any = None) -> None:
            for old in turn_.orders_of(position.symbol, Leg.STOP):
                if old.accepted:
                    sendings.withdraw(turn_, old)
            real(turn_, position, stop, plan=plan)

        return moved

    _swap(plans, "send_stop", first)


@_defect(4, 7)
def ignore_the_algo_book() -> None:
    """Only the plain book is read, and only there is an order asked for."""

    def plain(real: Any) -> Any:
        def read(self: Any, of_plain: Any, _conditional: Any, purpose: Any) -> Any:
            return real(self, of_plain, (), purpose)

        return read

    _swap(books.Books, "read", plain)
    _swap(orders.Orders, "_ask_conditional", lambda _real: orders.Orders._ask_plain)


@_defect(6, seeds=(2,))
def no_stop_after_an_entry() -> None:
    """What a fill has added is left without a stop."""
    _swap(decider, "protect_what_grew", lambda _real: lambda turn_: turn_.needs_stop.clear())
    _swap(protection, "protect", lambda _real: lambda *_args: None)


@_defect(7)
def leave_stops_when_flat() -> None:
    """Orders of a position that has ended are not withdrawn."""
    _swap(fills, "withdraw", lambda _real: lambda *_args: None)
    _swap(protection, "_tidy", lambda _real: lambda *_args: None)


@_defect(8)
def exits_not_reduce_only() -> None:
    """A market order that closes may also open."""

    def loose(real: Any) -> Any:
        def params(self: Any, order: Any) -> dict[str, object]:
            made: dict[str, object] = real(self, order)
            made.pop("reduceOnly", None)
            return made

        return params

    _swap(orders.Orders, "_market", loose)


@_defect(15, seeds=(10,))
def exits_blocked_by_the_mode() -> None:
    """EXITS_ONLY stops exits as well."""

    def blocked(real: Any) -> Any:
        def on_plan(turn_: Any, plan: Any) -> None:
            if turn_.mode is Mode.RUN:
                real(turn_, plan)
            else:
                plans._refuse(turn_, plan, "mode_exits_only", "a gate that blocks exits")

        return on_plan

    _swap(plans, "on_plan", blocked)
    _swap(decider, "on_plan", lambda _real: plans.on_plan)


@_defect(13, strikes=(Strike("after_read", 4, "pause", 0.6), Strike("after_read", 8, "pause", 0.6)))
def no_fence() -> None:
    """A commit does not ask whether a successor has taken over."""

    def unfenced(real: Any) -> Any:
        def commit(self: Any, batch: Any) -> None:
            owner = self._commands.hmget(state_key("apply_layer"), "_epoch", "_seq")
            self._epoch, self._sequence = owner[0], int(owner[1])
            real(self, batch)

        return commit

    def blind(real: Any) -> Any:
        def read(self: Any, *args: Any) -> Any:
            self._epoch = self._commands.hget(state_key("apply_layer"), "_epoch")
            return real(self, *args)

        return read

    _swap(RedisBus, "commit", unfenced)
    _swap(RedisBus, "_read_new", blind)


@_defect(5, 9)
def trust_a_repeated_fill() -> None:
    """A trade that is told a second time is applied a second time."""

    def overlapping(real: Any) -> Any:
        def trades(self: Any, symbol: str, purpose: Any) -> Any:
            kept = self.bookmarks.get(symbol)
            if kept is not None and kept.number:
                self.bookmarks[symbol] = replace(kept, number=kept.number - 1)
            try:
                return real(self, symbol, purpose)
            finally:
                if kept is not None:
                    self.bookmarks[symbol] = kept

        return trades

    def all_of_them(self: Any, told: Any) -> Any:
        self.bookmarks[told.fills[0].symbol] = ledger.bookmark_after(told.fills)
        return told

    _swap(ledger.Ledger, "new_trades", overlapping)
    _swap(ledger.Ledger, "hand_out", lambda _real: all_of_them)
    _swap(fills, "_is_news", lambda _real: lambda *_args: True)


@_defect(5, 9, seeds=(6,))
def ignore_forced_fills() -> None:
    """Trades that the venue forced are passed over."""

    def own(real: Any) -> Any:
        def on_filled(turn_: Any, fact: Any) -> None:
            if not fact.client_order_id.startswith(FORCED_PREFIXES):
                real(turn_, fact)

        return on_filled

    _swap(fills, "on_filled", own)


@_defect(9)
def fees_not_counted() -> None:
    """A close costs nothing, as far as the position knows."""

    def free(real: Any) -> Any:
        def reduced(position: Any, fill: Any, *, harvest: bool) -> Any:
            after = real(position, fill, harvest=harvest)
            return replace(after, fees=position.fees)

        return reduced

    _swap(fills, "reduced_by", free)


@_defect(9, 13)
def a_fill_is_told_twice() -> None:
    """Each trade is published by the order's answer and once more by the trade."""

    def twice(real: Any) -> Any:
        def filled(self: Any, *args: Any) -> None:
            real(self, *args)
            real(self, *args)

        return filled

    _swap(turn.Turn, "filled", twice)


@_defect(1)
def a_rung_at_full_size() -> None:
    """A partial close closes everything."""
    _swap(plans, "_SHARES", lambda _real: {})

    def whole(real: Any) -> Any:
        def reduce(turn_: Any, plan: Any, position: Any) -> None:
            real(turn_, plan.model_copy(update={"qty": position.qty}), position)

        return reduce

    _swap(plans, "_reduce", whole)


@_defect(5, 9, strikes=tuple(Strike("before_commit", nth) for nth in (9, 13, 17, 21)))
def cursor_before_commit() -> None:
    """How far trades were read is kept at once, and what they did with the next commit."""

    def eager(real: Any) -> Any:
        def fill(row: Any, *about: Any) -> Any:
            text = f'{{"number":{row.id},"at":"{row.time.isoformat()}"}}'
            with Redis.from_url(os.environ["REDIS_URL"]) as direct:
                direct.hset(state_key("apply_layer"), f"trades/{row.symbol}", text)
            return real(row, *about)

        return fill

    _swap(ledger, "fill_of", eager)


@_defect(6)
def stops_on_the_contract_price() -> None:
    """The venue is not told which price triggers a stop."""

    def silent(real: Any) -> Any:
        def params(self: Any, order: Any) -> dict[str, object]:
            made: dict[str, object] = real(self, order)
            made.pop("workingType", None)
            return made

        return params

    _swap(orders.Orders, "_conditional", silent)
