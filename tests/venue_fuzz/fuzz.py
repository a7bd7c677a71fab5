"""Many garbage answers and frames before one apply_layer: looks, orders, questions, decisions.

Nothing goes over a network: the adapter's exchanges are answered from what the double once told.
After each case all is as it was, a true look succeeds and the account is seen.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.apply_layer.binance.budget import Budget
from services.apply_layer.binance.http import Http, Reply
from services.apply_layer.double.garbage import garbage_frame
from services.apply_layer.exchange import AskOrder, CancelOrder, OrderType, PlaceOrder
from shared.outside import NotYet
from shared.sides import Side
from tests.binance.desk import BTC, D, Desk
from tests.venue_fuzz.recorded import Key, Recorded, key_of, record, true_events

#: A life decides so many cases; what garbage made it believe ends with it.
_CASES_A_LIFE = 50
#: So many true looks, at the most, until the account is seen again.
_LOOKS_MAX = 3


@dataclass
class Figures:
    """What was played: cases by endpoint, and how often one of them had its say."""

    cases: Counter[str] = field(default_factory=Counter)
    struck: int = 0
    seconds: float = 0.0


class NotSurvived(AssertionError):
    """A case that ended something; says how to play it alone."""


def play(seed: int, cases: int, first: int = 0) -> Figures:
    """Play the cases of a seed, each of them the same whether alone or not but for its life.

    Raises:
        NotSurvived: an exception came out, or the account was not seen again afterwards.
    """
    figures, began = Figures(), time.monotonic()
    with tempfile.TemporaryDirectory() as name, _recorded(Path(name)) as recorded:
        keys = sorted(recorded.answers)
        desk: Desk | None = None
        for number in range(first, first + cases):
            if desk is None or (number - first) % _CASES_A_LIFE == 0:
                desk = _life(desk, Path(name))
            chance = random.Random(f"{seed}/{number}")
            where = "frame" if chance.random() < 0.2 else ""
            key = chance.choice(keys)
            figures.cases[where or " ".join(key)] += 1
            try:
                if where:
                    _frame(desk, chance)
                else:
                    _answer(desk, recorded, key, chance)
                    _heal(desk, recorded)
            except Exception as error:
                again = f"python -m tests.venue_fuzz --seed {seed} --first {number} --cases 1"
                raise NotSurvived(f"{where or key}: {error!r}; again: {again}") from error
        if desk is not None:
            desk.die()
        figures.struck = recorded.struck
    figures.seconds = time.monotonic() - began
    return figures


@contextmanager
def _recorded(folder: Path) -> Iterator[Recorded]:
    recorded = record(folder)
    real = Http.exchange

    def told(self: Http, method: str, url: str, headers: Any, body: Any) -> Reply:
        return recorded.answer(method, url, body)

    Http.exchange = told  # type: ignore[method-assign]
    try:
        yield recorded
    finally:
        Http.exchange = real  # type: ignore[method-assign]


class _NoVenue:
    """An address where nothing listens: nothing that is asked leaves the process."""

    rest_url, ws_url = "http://127.0.0.1:9", "ws://127.0.0.1:9"


def _life(before: Desk | None, folder: Path) -> Desk:
    if before is not None:
        before.die()
    desk = Desk(_NoVenue(), folder, reconcile_every_s="30")  # type: ignore[arg-type]
    # Frames are handed over by hand.
    desk.outside._stream.start = lambda: None
    desk.runner._cycle_s = 0.0
    return desk


def _answer(desk: Desk, recorded: Recorded, key: Key, chance: random.Random) -> None:
    """One endpoint tells garbage to whatever asks it: the looks, and each kind of request."""
    recorded.spoiled, recorded.chance = key, chance
    _look(desk)
    for request in _requests(chance):
        for fact in desk.outside.perform(request):
            desk.runner._decide(fact, datetime.now(UTC))
            desk.runner._requests.clear()
        desk.runner._commit()
    desk.outside._stream.keep_alive()
    with suppress(OSError):
        desk.outside._stream._url()


def _heal(desk: Desk, recorded: Recorded) -> None:
    """The venue tells the truth again, and the account is seen."""
    recorded.spoiled = None
    budget = desk.outside._client.budget
    for _ in range(_LOOKS_MAX):
        # What the garbage made of limits and silences ends with time, which here does not pass.
        budget.meters, budget.paused_until, budget.banned_until = Budget().meters, 0.0, 0.0
        _look(desk)
        if not desk.outside._lost:
            return
    raise NotSurvived(f"the account was not seen again: {desk.outside._told}")


def _look(desk: Desk) -> None:
    """A look at everything, decided and committed; orders that follow from it are not sent."""
    outside = desk.outside
    outside._look_at = outside._watch_at = outside._stops_at = outside._beat_at = 0.0
    outside._account.listing.forget()
    try:
        for fact in outside.cycle():
            desk.runner._decide(fact, datetime.now(UTC))
            desk.runner._requests.clear()
    except NotYet:
        pass
    desk.runner._commit()


def _requests(chance: random.Random) -> Iterator[Any]:
    now, name = datetime.now(UTC), f"s{chance.randint(1, 9)}-{chance.getrandbits(80):020x}"
    sides = {"side": Side.SELL, "qty": D("0.1"), "reduce_only": True, "at": now, "sent_at": now}
    yield PlaceOrder(name, BTC, type=OrderType.MARKET, **sides)  # type: ignore[arg-type]
    stop = OrderType.STOP_MARKET
    yield PlaceOrder(name, BTC, type=stop, trigger_price=D(60000), **sides)  # type: ignore[arg-type]
    for conditional in (True, False):
        yield AskOrder(name, BTC, conditional, now)
        yield CancelOrder(name, BTC, now, conditional)


def _frame(desk: Desk, chance: random.Random) -> None:
    frame = garbage_frame(chance.choice(true_events()), chance)
    text = frame.decode(errors="replace") if isinstance(frame, bytes) else frame
    desk.outside._stream._on_message(text)
    json.dumps(sorted(desk.outside._stream.take()))


__all__ = ["Figures", "NotSurvived", "key_of", "play"]
