"""The real venue behind the runner's `Outside`: requests become calls, calls become facts.

The ledger of the venue is the only source of trades. They are read by number, in their order,
from the last one applied on; the user stream only says when it is worth a look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from services.apply_layer.binance import pace
from services.apply_layer.binance.account import Account
from services.apply_layer.binance.answers import Meaning
from services.apply_layer.binance.aside import Aside
from services.apply_layer.binance.barriers import Barriers
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.held import Held
from services.apply_layer.binance.identity import Identity
from services.apply_layer.binance.orders import Orders
from services.apply_layer.binance.performed import Performed
from services.apply_layer.binance.stream import UserStream
from services.apply_layer.doubt import Beat, Began
from services.apply_layer.exchange import (
    AskOrder,
    CancelOrder,
    LookAgain,
    PlaceOrder,
    Quarantine,
    Quarantined,
    Trades,
    VenueHealth,
)
from services.apply_layer.looked import Looked
from shared.at_once import Place
from shared.contracts import Message
from shared.log import logger
from shared.outside import NotYet
from shared.settings import SettingsError

#: How often the account is looked at while nothing rings.
_BLIND_S = 5.0
#: How soon to try again to see an account that was lost from sight; then twice as long each time.
_LOST_S, _LOST_LONGEST_S, _LOST_POOR_S = 0.25, 1.0, 1.5
#: The document of apply_layer's state that holds the number of the last order.
_NUMBER_NAME = "numbers/orders"


class BinanceVenue:
    """One account on Binance USD-M. Intervals are seconds, `drift_ms` what clocks may differ by."""

    #: Requests at a time, and how many of them are kept for what protects.
    at_once, kept = 12, 4

    def __init__(
        self,
        client: Client,
        account: Account,
        stream: UserStream,
        identity: Identity,
        *,
        reconcile_every_s: float = 30.0,
        watch_every_s: float = 1.0,
        beat_every_s: float = 1.0,
        drift_ms: int = 500,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._account = account
        self._stream = stream
        self._identity = identity
        self._reconcile_every_s = reconcile_every_s
        self._watch_every_s = watch_every_s
        self._beat_every_s = beat_every_s
        self._watch_at = self._stops_at = self._past_at = 0.0
        self._lost_s = _LOST_S
        self._drift_ms = drift_ms
        self._monotonic = monotonic
        self._begun = self._seen = False
        self._lost = True
        self._look_at = self._beat_at = 0.0
        self._barriers = Barriers(client.budget)
        self._orders = Orders(client, account, ring=stream.ring)
        self._performed = Performed()
        self._aside = Aside()
        self._told: dict[str, str] | None = None
        self._set_apart: dict[str, Quarantine] = {}

    # -- the runner's side --------------------------------------------------------------------

    def restore(self, documents: Mapping[str, bytes]) -> None:
        """Learn from the daemon's own state what was applied, what it holds and what was sent."""
        self._identity.restore(documents)
        self._performed.restore(int(documents.get(_NUMBER_NAME, b"0")))
        self._account.restore(documents)

    def documents(self) -> dict[str, bytes]:
        """Whose account it is, and how far funding was told."""
        return self._identity.documents() | self._account.documents()

    def observe(self, _message: Message, _received_at: datetime) -> Iterable[object]:
        """Prices of the ring are no news to the venue."""
        return ()

    def urgent(self) -> bool:
        """Whether the venue rang, was cut off and nobody was told, or is due to be seen again."""
        if self._lost:
            return self._seen and self._monotonic() >= self._look_at
        cut = self._stream.missed and self._stream.barrier not in (self._told or {})
        due = self._monotonic() >= self._watch_at
        return self._seen and (cut or due or self._stream.rang(self._performed.symbols))

    def close(self) -> None:
        """Let go of the user stream."""
        self._stream.stop()
        self._aside.close()

    @property
    def barred(self) -> bool:
        """Whether no entry may be made now, as far as was told; so it is until a look told else."""
        return self._told is None or bool(self._told)

    def asked(self, request: object) -> Place | None:
        """Stops and exits go first; a look is for the runner's own thread."""
        return self._performed.asked(request)

    def heard(self, request: object, answers: Iterable[object]) -> Iterator[object]:
        """Facts as they are; of trades those that no look has told meanwhile."""
        self._performed.heard(request)
        for answer in answers:
            if isinstance(answer, VenueError | NoAnswer):
                self._note_error(answer)
            elif isinstance(answer, Trades):
                fresh = self._account.ledger.hand_out(answer)
                if fresh is not None:
                    yield fresh
            else:
                yield answer

    def perform(self, request: object) -> Iterator[object]:
        """Place, cancel, ask or look."""
        match request:
            case PlaceOrder():
                return self._orders.place(request)
            case CancelOrder():
                return self._orders.cancel(request)
            case AskOrder():
                return self._orders.ask(request)
            case LookAgain() if self._aside.busy:
                # One look at a time: it is taken after the one that is under way.
                for symbol in request.symbols:
                    self._stream.ring(symbol)
                return iter(())
            case LookAgain():
                return self._look(request.symbols, Purpose.PROTECT)
        raise TypeError(f"a venue cannot do {request!r}")

    def cycle(self) -> Iterator[object]:
        """What rang, or everything when it is time; and why no entry may be made.

        Raises:
            NotYet: the account was not seen since the start.
        """
        self._stream.check()
        if not self._begun:
            self._begin()
        self._stream.keep_alive()
        if self._stream.is_unclear():
            self._watch_at = self._stops_at = 0.0
        rung = self._stream.take(self._performed.symbols)
        rung |= self._account.quarantines.due(self._monotonic())
        if not self._stream.up:
            # Nothing rings any more.
            self._look_at = min(self._look_at, self._monotonic() + _BLIND_S)
        due = self._monotonic() >= self._look_at
        if self._lost:
            if due:
                yield from self._reconcile()
        elif (self._stream.missed and self._stream.up) or (due and self._can_afford_a_round()):
            yield from self._reconcile()
        elif rung:
            yield from self._look(rung, Purpose.PROTECT)
        elif self._monotonic() >= self._watch_at:
            yield from self._watch()
        elif self._account.pasts.wanted and self._monotonic() >= self._past_at:
            yield from self._read_past()
        if self._account.modes.in_doubt:
            self._read_modes()
        yield from self._health()
        if not self._lost and self._monotonic() >= self._beat_at:
            # By the clock, not by the bell: an answer that rings would else be asked for at once.
            self._beat_at = self._monotonic() + self._beat_every_s
            yield Beat()

    # -- looking ------------------------------------------------------------------------------

    def _begin(self) -> None:
        try:
            self._client.measure_clock()
            self._identity.confirm()
            self._account.begin()
            refusal = self._account.refuses_to_start()
        except (VenueError, NoAnswer) as error:
            self._note_error(error)
            raise NotYet(str(error)) from None
        if refusal is not None:
            raise SettingsError(refusal)
        self._begun = True
        self._stream.start()

    def _watch(self) -> Iterator[object]:
        """See the positions, and when it is their turn the stops: look at whatever has changed."""
        now = self._monotonic()
        self._watch_at = now + self._watch_every_s
        stops_too = now >= self._stops_at
        weight = 5 + (pace.book_weight(self._account.held_symbols) if stops_too else 0)
        if not self._client.affords(weight, Purpose.WATCH):
            return
        begun, busy = self._performed.beginnings, self._performed.symbols

        def read() -> Held:
            held = self._account.held(Purpose.WATCH)
            return self._account.with_stops(held, Purpose.WATCH) if stops_too else held

        try:
            held = yield from self._aside.read(read)
            if stops_too:
                self._stops_at = now + self._stops_every_s(len(held.rows))
        except VenueError as error:
            self._note_error(error)
            return
        except NoAnswer as error:
            yield from self._out_of_sight(error)
            return
        # A change of our own that is under way, or was, is told by its answer.
        changed = self._account.changed(held) - busy - self._performed.since(begun)
        if changed and stops_too:
            yield from self._look(changed, Purpose.PROTECT, held, begun)
            return
        for symbol in changed:
            self._stream.ring(symbol)
        yield held.marks(self._client.now())

    def _stops_every_s(self, held: int) -> float:
        return pace.stops_every_s(
            held, len(self._account.symbols), watch_every_s=self._watch_every_s,
            reconcile_every_s=self._reconcile_every_s, limit=self._client.budget.limit,
        )  # fmt: skip

    def _read_past(self) -> Iterator[object]:
        """Read one page of what was before, within its small share of the budget."""
        try:
            weight, known = yield from self._aside.read(
                lambda: self._account.read_past(self._client.now())
            )
        except (VenueError, NoAnswer) as error:
            logger().warning("past_not_read", reason=str(error))
            self._past_at = self._monotonic() + _BLIND_S
            return
        limit = self._client.budget.limit
        self._past_at = self._monotonic() + pace.history_pause_s(weight, limit)
        if known is not None:
            yield known

    def _read_modes(self) -> None:
        """A refusal has named a mode: see whether the account stands in it."""
        try:
            self._account.modes.read(Purpose.PROTECT)
        except (VenueError, NoAnswer) as error:
            logger().warning("modes_not_read", reason=str(error))

    def _can_afford_a_round(self) -> bool:
        """Whether a round that nothing calls for leaves alone what is kept for protection."""
        if self._client.affords(pace.round_weight(len(self._account.symbols)), Purpose.WATCH):
            return True
        self._look_at = self._monotonic() + _BLIND_S
        return False

    def _reconcile(self) -> Iterator[object]:
        """Look at everything; after a start or an outage the look begins anew."""
        up = self._stream.up
        try:
            yield from self._aside.read(self._client.measure_clock)
        except (VenueError, NoAnswer) as error:
            # Nothing but a cheap call was made: the venue's return should not be missed.
            self._lost_s = _LOST_S
            yield from self._out_of_sight(error)
            return
        try:
            yield from self._aside.read(self._account.refresh_rules)
        except (VenueError, NoAnswer) as error:
            # The rules that were read last go on: what is held is protected by them.
            self._note_error(error)
        yield from self._look(None, Purpose.PROTECT if self._lost else Purpose.WATCH)
        if not self._lost:
            self._look_at = self._monotonic() + self._reconcile_every_s
            if up:
                self._stream.caught_up()

    def _look(
        self,
        symbols: frozenset[str] | None,
        purpose: Purpose,
        seen: Held | None = None,
        begun: int | None = None,
    ) -> Iterator[object]:
        """Positions first, then both books, then trades: what changed meanwhile shows as older.

        `seen` was read just now, after so many requests had been begun. Where a request is under
        way, or is begun meanwhile, its own answer will tell, and then it is looked at.
        """
        begun = self._performed.beginnings if begun is None else begun
        up_to, busy = self._performed.up_to, self._performed.symbols
        if symbols is not None:
            symbols -= busy
            if not symbols:
                return
        try:
            now = self._client.now()
            view = yield from self._aside.read(
                lambda: self._account.view(symbols, now, purpose=purpose, seen=seen, busy=busy)
            )
        except (VenueError, NoAnswer) as error:
            if purpose is Purpose.WATCH and error.is_too_often:
                # Nothing called for it, and it has its turn again in a moment.
                self._look_at = self._monotonic() + _BLIND_S
            else:
                yield from self._out_of_sight(error)
            return
        starting, after_start = self._lost, not self._seen
        self._lost, self._seen = False, True
        self._lost_s = _LOST_S
        if starting:
            yield Began(after_start)
        view = view.without(self._performed.since(begun))
        self._account.told(view)
        for symbol in view.later:
            self._stream.ring(symbol)
        yield from self._quarantined()
        yield from view.facts
        yield Looked(replace(view.snapshot, after_order=up_to), starting)

    def _quarantined(self) -> Iterator[Quarantined]:
        """Which symbols are set apart, when that has changed."""
        standing = self._account.quarantines.standing
        if standing != self._set_apart:
            for symbol, why in standing.items() - self._set_apart.items():
                logger().error("quarantined", symbol=symbol, code=why.code, reason=why.reason)
            self._set_apart = standing
            yield Quarantined(standing, self._client.now())

    def _out_of_sight(self, error: VenueError | NoAnswer) -> Iterator[object]:
        self._note_error(error)
        if not self._seen:
            raise NotYet(str(error))
        if not self._lost:
            logger().error("venue_out_of_sight", reason=str(error))
        self._lost = True
        self._look_at = self._monotonic() + self._lost_s
        self._lost_s = min(2 * self._lost_s, _LOST_LONGEST_S)
        # Not seeing must not use up what protecting will need; but a position may be naked.
        if not self._can_afford_a_round():
            self._look_at = self._monotonic() + _LOST_POOR_S
        yield from self._health()

    # -- why no entry may be made -------------------------------------------------------------

    def _note_error(self, error: VenueError | NoAnswer) -> None:
        """Draw the consequences of a refusal that go beyond the one call."""
        logger().warning("venue", reason=str(error))
        if not isinstance(error, VenueError):
            return
        now = self._monotonic()
        self._barriers.note(error, now)
        self._account.modes.refused(error)
        if error.meaning is Meaning.CLOCK:
            try:
                self._client.measure_clock()
            except (VenueError, NoAnswer):
                self._look_at = now
        elif error.meaning is Meaning.FILTERS:
            self._account.listing.forget()
            self._look_at = now

    def _health(self) -> Iterator[VenueHealth]:
        barriers = self._barriers.standing(self._monotonic())
        if self._lost:
            barriers["venue_unreachable"] = "the venue cannot be read"
        if self._stream.missed:
            barriers[self._stream.barrier] = "nothing was read since the user stream was cut"
        barriers |= self._account.modes.barriers
        offset_ms = self._client.clock_offset_ms
        if abs(offset_ms) > self._drift_ms:
            barriers["clock_drift"] = f"the clocks differ by {offset_ms} ms"
        if barriers != self._told:
            self._told = barriers
            yield VenueHealth(barriers, self._client.now())
