"""apply_layer and the paper venue, turned by hand and in the very order in which the runner does.

A `Desk` keeps what was committed apart from what is only in memory, so that it can be killed
between any two steps and come back from the documents alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.apply_layer.decider import decide
from services.apply_layer.exchange import (
    AskOrder,
    CancelOrder,
    LookAgain,
    OpenOrder,
    OrderInDoubt,
    OrderRejected,
    OrderType,
    PlaceOrder,
    VenuePosition,
    VenueSnapshot,
)
from services.apply_layer.outside import PaperVenue
from services.apply_layer.paper import PaperExchange
from services.apply_layer.paper_account import PaperPolicy
from services.apply_layer.positions import Position
from services.apply_layer.state import ORDERS, Policy, State
from shared.contracts import (
    REPLAY_SOURCE,
    ApplyResult,
    MarketTick,
    Message,
    decode,
    encode,
)
from shared.decisions import DeadLetter, Mode, Note, Received, Record
from shared.state import StateCodec
from shared.streams import position_key

D = Decimal
#: Market time begins here, and the wall clock a year later: the two are never to be confused.
MARKET = datetime(2025, 6, 1, tzinfo=UTC)
WALL = datetime(2026, 6, 1, tzinfo=UTC)
SYMBOL = "RIVERUSDT"
CODEC = StateCodec(State)
FREE = PaperPolicy(slippage_bps=D(0), taker_fee=D(0))


class Killed(Exception):
    """The process is gone."""


class Desk:
    """One apply_layer before one paper venue. `results` holds only what was committed."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        paper: PaperPolicy = FREE,
        positions: Sequence[VenuePosition] = (),
        open_orders: Sequence[OpenOrder] = (),
    ) -> None:
        self.policy = policy or Policy()
        self.paper = paper
        self.mode = Mode.RUN
        self.now = WALL
        self.market = MARKET
        self.results: list[Any] = []
        self.notes: list[Note] = []
        self.dead: list[DeadLetter] = []
        self.records: dict[str, Mapping[str, str] | None] = {}
        self.documents: dict[str, bytes] = {}
        self.requests_made: list[object] = []
        self.refuse: Callable[[PlaceOrder], int | None] = lambda _order: None
        #: Orders that get no answer: `executed` says whether the venue has them all the same.
        self.silent: Callable[[PlaceOrder], bool] = lambda _order: False
        self.executed = False
        self.unlikely = False
        #: Whether what the venue does not show is certainly not there, as on paper.
        self.conclusive = True
        self.steps_left: int | None = None
        self.down_s = 3.0
        self.restart_in: Mode | None = None
        self.while_down: Callable[[], None] = lambda: None
        self._seed = (positions, open_orders)
        self._boot()
        self.look(starting=True)

    # -- what a test does ---------------------------------------------------------------------

    def tick(
        self,
        price: str | Decimal,
        *,
        symbol: str = SYMBOL,
        after_s: float = 1,
        wall_s: float = 1,
        source: str = REPLAY_SOURCE,
    ) -> None:
        """A new mark price, some time later; recorded, so that it needs no other."""
        self.market += timedelta(seconds=after_s)
        self.now += timedelta(seconds=wall_s)
        self.deliver(
            MarketTick(
                timestamp=self.market,
                produced_at=self.now,
                source=source,
                tick_id=f"{symbol}.{int(self.market.timestamp() * 1000)}",
                symbol=symbol,
                mark_price=D(price),
            )
        )

    def deliver(self, message: Message) -> None:
        """Hand over a message until it is acknowledged, through every crash on the way."""
        while True:
            try:
                self._take(message)
                self._commit()
            except Killed:
                self.restart()
            else:
                return

    def hear(self, *facts: object) -> None:
        """Facts that the venue tells of its own accord."""
        for fact in facts:
            self._decide(fact)
            self._settle()
        self._commit()

    def look(self, *, after_s: float = 0, starting: bool = False) -> None:
        """The look at the venue that is due at a start and then once a second."""
        self.now += timedelta(seconds=after_s)
        try:
            for fact in self.venue.cycle():
                view = replace(
                    fact.snapshot,
                    conclusive=self.conclusive,
                    after_order=self.state.numbers.get(ORDERS, 0),
                )
                self._decide(replace(fact, snapshot=view))
                self._settle()
            self._commit()
        except Killed:
            self.restart()

    def restart(self) -> None:
        """Die and come back `down_s` later: only what was committed is left."""
        self.now += timedelta(seconds=self.down_s)
        self.mode = self.restart_in or self.mode
        self._boot()
        self.while_down()
        self.look(starting=True)

    def behind_its_back(self, request: PlaceOrder | CancelOrder) -> None:
        """Somebody else does something on the venue, for good, and nobody tells apply_layer."""
        list(self.venue.perform(request))
        self.documents |= self.venue.documents()

    # -- what a test checks -------------------------------------------------------------------

    @property
    def statuses(self) -> list[str]:
        """What became of everything, without the statements of how a symbol stands."""
        return [r.status for r in self.results if r.status != "POSITION"]

    @property
    def codes(self) -> list[str]:
        return [r.error_code for r in self.results if r.status in ("REJECTED", "EXPIRED")]

    @property
    def position(self) -> Position:
        """The one position in the state."""
        (position,) = self.state.positions.values()
        return position

    @property
    def record(self) -> Mapping[str, str] | None:
        return self.records.get(position_key(SYMBOL))

    def snapshot(self) -> VenueSnapshot:
        (looked,) = self.venue.cycle()
        return looked.snapshot

    def venue_qty(self, symbol: str = SYMBOL) -> Decimal:
        """What the venue holds; negative for a SHORT."""
        return sum(
            (p.side.sign * p.qty for p in self.snapshot().positions if p.symbol == symbol), D(0)
        )

    def stops(self, symbol: str = SYMBOL) -> list[OpenOrder]:
        return [
            order
            for order in self.snapshot().open_orders
            if order.symbol == symbol and order.type is OrderType.STOP_MARKET
        ]

    def stop_prices(self) -> list[Decimal | None]:
        return [stop.trigger_price for stop in self.stops()]

    def noted(self, event: str) -> list[Note]:
        return [note for note in self.notes if note.event == event]

    # -- the runner, without streams ----------------------------------------------------------

    def _boot(self) -> None:
        positions, open_orders = self._seed
        self.venue = PaperVenue(
            self.paper, lambda: PaperExchange.seed(self.paper, positions, open_orders)
        )
        self.state = self._committed = CODEC.load(self.documents)
        self.venue.restore(self.documents)
        self._outputs: list[object] = []
        self._requests: list[object] = []

    def _take(self, message: Message) -> None:
        for fact in self.venue.observe(message, self.now):
            self._decide(fact)
        self._decide(message)
        self._settle()

    def _decide(self, event: object) -> None:
        self.state, outputs = decide(self.state, Received(event, self.now, self.mode), self.policy)
        for output in outputs:
            kind = PlaceOrder | CancelOrder | AskOrder | LookAgain
            (self._requests if isinstance(output, kind) else self._outputs).append(output)

    def _settle(self) -> None:
        while self._requests:
            self._commit()
            requests, self._requests = self._requests, []
            for request in requests:
                self._step()
                for fact in self._perform(request):
                    self._decide(fact)
                self._step()

    def _perform(self, request: object) -> Iterable[object]:
        self.requests_made.append(request)
        if isinstance(request, PlaceOrder) and self.silent(request):
            if self.executed:
                self.behind_its_back(request)
            name = request.client_order_id
            hint = self.unlikely
            return [OrderInDoubt(name, request.symbol, "no answer", self.market, unlikely=hint)]
        code = self.refuse(request) if isinstance(request, PlaceOrder) else None
        if code is None or not isinstance(request, PlaceOrder):
            return self.venue.perform(request)
        name, symbol = request.client_order_id, request.symbol
        return [OrderRejected(name, symbol, code, "refused by the test", request.at)]

    def _commit(self) -> None:
        self._step()
        changes = CODEC.changes(self._committed, self.state) | self.venue.documents()
        for name, document in changes.items():
            if document is None:
                self.documents.pop(name, None)
            else:
                self.documents[name] = document
        self._committed = self.state
        outputs, self._outputs = self._outputs, []
        for output in outputs:
            self._publish(output)
        self._step()

    def _publish(self, output: object) -> None:
        if isinstance(output, Message):
            fields = [(name.encode(), value.encode()) for name, value in encode(output)]
            self.results.append(decode(ApplyResult, fields))
        elif isinstance(output, Record):
            self.records[output.key] = output.fields
        elif isinstance(output, DeadLetter):
            self.dead.append(output)
        elif isinstance(output, Note):
            self.notes.append(output)

    def _step(self) -> None:
        if self.steps_left is None:
            return
        if self.steps_left == 0:
            self.steps_left = None
            raise Killed
        self.steps_left -= 1
