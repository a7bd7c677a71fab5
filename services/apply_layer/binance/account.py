"""What the venue holds for the account, read for the decider as one view.

A view costs a constant number of calls at any number of symbols; only what was traded since is
asked for by symbol. Every read may fail: one symbol's is set apart, any other fails the view, and
then nothing is changed: the bookmark of trades moves only over what is handed out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.apply_layer.binance.books import (
    Books,
    ids_by_symbol,
    of_one_symbol,
    unanswered,
)
from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client, NoAnswer, VenueError
from services.apply_layer.binance.fees import Fees
from services.apply_layer.binance.funding import Funding
from services.apply_layer.binance.held import Held, PositionState, read_held
from services.apply_layer.binance.ledger import Bookmark, Ledger, bookmark_after
from services.apply_layer.binance.listing import Listing
from services.apply_layer.binance.modes import HEDGE_MODE, Modes
from services.apply_layer.binance.past import Pasts, with_its_past
from services.apply_layer.binance.quarantine import Quarantines
from services.apply_layer.binance.views import Look, View
from services.apply_layer.binance.wire import ZERO, position_of
from services.apply_layer.exchange import (
    OpenOrder,
    OrderFilled,
    Past,
    PastKnown,
    Quarantine,
    SymbolRules,
    Trades,
    VenuePosition,
    VenueSnapshot,
)

#: So many symbols' trades are read in one look; the turn of the others comes with the next.
_TRADES_A_LOOK = 10
#: So many pasts are begun within the look that meets them; more would keep others from protection.
_PASTS_A_LOOK = 2


class Account:
    """One account. `symbols` are those that may be traded; what is held besides is adopted."""

    def __init__(
        self,
        client: Client,
        symbols: Iterable[str],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._monotonic = monotonic
        self.symbols = tuple(symbols)
        self.listing = Listing(client, self.symbols, monotonic)
        self.modes = Modes(client)
        self.quarantines = Quarantines()
        self.ledger = Ledger(client, Fees(client, self.listing, monotonic).of)
        self.pasts = Pasts(client, self.ledger)
        self._books = Books(client)
        self._pool = ThreadPoolExecutor(3, thread_name_prefix="round")
        self._funding = Funding(client)
        self._rules_told: dict[str, SymbolRules] = {}
        #: Symbols with positions or orders of ours, once and for this life.
        self._ours: set[str] = set()
        #: Of those, the ones whose past an earlier life had not read.
        self._past_unread: set[str] = set()
        #: How each position stood, and which stops, when it was last told.
        self._states: dict[str, PositionState] = {}
        self._stops: dict[str, frozenset[str]] = {}

    # -- the decider's own state ----------------------------------------------------------------

    def restore(self, documents: Mapping[str, bytes]) -> None:
        """Take the bookmarks from the decider's own state: what it has applied, and no more."""
        for name, document in documents.items():
            table, _, key = name.partition("/")
            if table == "trades":
                last = json.loads(document)
                at = datetime.fromisoformat(last["at"])
                self.ledger.bookmarks[key] = Bookmark(int(last["number"]), at)
            elif table == "positions":
                self._ours.add(key)
                if json.loads(document).get("history_known") is False:
                    self._past_unread.add(key)
            elif table == "orders":
                self._ours.add(json.loads(document)["request"]["symbol"])
        self._funding.restore(documents)

    def documents(self) -> dict[str, bytes]:
        """How far funding was told, if that is news."""
        return self._funding.documents()

    def begin(self) -> None:
        """Read the modes and the rules for the first time. Raises VenueError, NoAnswer."""
        self.modes.read(Purpose.PROTECT)
        self.modes.read_symbols(Purpose.PROTECT)
        self.listing.want(self._ours)
        self.refresh_rules()

    def refresh_rules(self) -> None:
        """Read the filters when it is time. Raises VenueError, NoAnswer."""
        if self.listing.is_due():
            self.listing.learn()

    def refuses_to_start(self) -> str | None:
        """Why nothing can be done with this account as it is set up; None while it holds anything.

        Raises:
            VenueError, NoAnswer.
        """
        held = self.held(Purpose.PROTECT) if self.modes.hedge else None
        return HEDGE_MODE if held is not None and not (held.rows or held.unread) else None

    # -- positions ------------------------------------------------------------------------------

    @property
    def held_symbols(self) -> int:
        """How many symbols were held when they were last told."""
        return sum(state is not None for state in self._states.values())

    def held(self, purpose: Purpose) -> Held:
        """All positions, in one call. Raises VenueError, NoAnswer."""
        return read_held(self._client, purpose)

    def with_stops(self, held: Held, purpose: Purpose) -> Held:
        """The same with the conditional orders of what is held, read after it."""
        wanted = held.rows.keys() - self.quarantines.unread
        return replace(held, stops=self._books.read((), wanted, purpose)[1])

    def changed(self, held: Held) -> frozenset[str]:
        """The symbols whose position or conditional orders are not as they were last told.

        What the user stream has failed to tell shows here.
        """
        waiting = self.quarantines.waiting(self._monotonic())
        symbols = held.rows.keys() | {s for s, state in self._states.items() if state is not None}
        found = {s for s in symbols if held.state_of(s) != self._states.get(s)}
        found |= held.unread.keys() - self.quarantines.unread
        if held.stops is not None:
            standing = ids_by_symbol(held.stops.orders)
            read = held.rows.keys() - held.stops.unread.keys()
            found |= {s for s in read if standing.get(s, frozenset()) != self._stops.get(s)}
            found |= held.stops.unread.keys()
        return frozenset(found - waiting)

    # -- views ----------------------------------------------------------------------------------

    def view(
        self,
        symbols: frozenset[str] | None,
        now: datetime,
        *,
        purpose: Purpose,
        seen: Held | None = None,
        busy: frozenset[str] = frozenset(),
    ) -> View:
        """Positions, then both books, then trades; of all symbols where none are named.

        Those that are `busy` are left out: what they will hold in a moment nobody knows. `seen`
        are positions and stops that were read just now and need not be read again.
        """
        whole = symbols is None
        wallet = self._round(purpose) if whole else ZERO
        venue_now = now + timedelta(milliseconds=self._client.clock_offset_ms)
        look = Look(purpose, seen or self.held(purpose), wallet)
        self.listing.want(look.held.rows)
        named = self._everything(look.held) if symbols is None else symbols
        waiting = self.quarantines.waiting(self._monotonic())
        look.unread |= {s: self.quarantines.standing[s] for s in waiting}
        look.unread |= {s: why for s, why in look.held.unread.items() if s not in waiting}
        look.unread |= self._without_rules(look.held)
        scope = {s for s in named if s not in look.unread} - busy
        orders = self._orders(look, {s for s in scope if self._exists(s, look.held)})
        self._learn_setups(look, scope)
        ordered = sorted(scope - look.unread.keys(), key=lambda s: (s not in look.held.rows, s))
        self._read_trades(look, ordered, whole=whole)
        for symbol in ordered:
            self._symbol(look, symbol, venue_now)
        look.later |= busy & named
        return self._closed(look, symbols, scope, orders, now)

    def _closed(
        self,
        look: Look,
        symbols: frozenset[str] | None,
        scope: set[str],
        orders: list[OpenOrder],
        now: datetime,
    ) -> View:
        """The view of what could be read; what could not is set apart."""
        mono = self._monotonic()
        waiting = self.quarantines.waiting(mono)
        for symbol, why in look.unread.items():
            if symbol not in waiting:
                self.quarantines.set_apart(symbol, why, mono)
        read = scope - look.unread.keys()
        self.quarantines.release(read)
        if symbols is None:
            # What is held no more and is asked after by nobody is of no concern any more.
            self.quarantines.release(self.quarantines.unread - scope - look.unread.keys())
        unread = frozenset(look.unread) | look.later
        self._bar(look.held)
        paid = self._funding.paid(now, mono) if symbols is None else []
        snapshot = VenueSnapshot(
            at=now,
            wallet=look.wallet,
            positions=tuple(p for p in look.positions if p.symbol not in unread),
            open_orders=tuple(order for order in orders if order.symbol not in unread),
            rules=tuple(
                rules
                for symbol, rules in self.listing.rules.items()
                if self._rules_told.get(symbol) is not rules
            ),
            symbols=None if symbols is None else frozenset(scope),
            conclusive=False,
            last_trades={s: (m.number, m.at) for s, m in look.bookmarks.items()},
            unread=unread,
        )
        return View(
            (*look.facts, *paid, look.held.marks(now)),
            snapshot,
            look.bookmarks,
            {s: look.held.state_of(s) for s in read - look.later},
            look.stops,
            frozenset(look.later),
            max((fact.at for fact in paid), default=None),
        )

    def told(self, view: View) -> None:
        """A view is being handed out; from now on it is the past."""
        self.ledger.bookmarks |= view.bookmarks
        self._rules_told |= {rules.symbol: rules for rules in view.snapshot.rules}
        self._states |= view.states
        self._stops |= {s: view.stops.get(s, frozenset()) for s in view.states}
        self._ours |= {s for s, state in view.states.items() if state is not None}
        self._funding.told(view.funding_until)

    def _everything(self, held: Held) -> frozenset[str]:
        return frozenset({*self.symbols, *self._ours, *held.rows, *held.unread})

    def _exists(self, symbol: str, held: Held) -> bool:
        """Whether it makes sense to ask the venue for a symbol's orders and trades."""
        return symbol in held.rows or self.listing.known(symbol)

    def _learn_setups(self, look: Look, scope: set[str]) -> None:
        new = {s for s in look.held.rows.keys() & scope if self._states.get(s) is None}
        self.modes.learn(
            {s for s in new - look.unread.keys() if self.modes.set_up_as(s) is None}, look.purpose
        )

    def _without_rules(self, held: Held) -> dict[str, Quarantine]:
        """What is held and has no rules cannot be protected: a stop needs its tick and its lot."""
        return {
            symbol: self.listing.flaws.get(symbol) or Quarantine("no_filters", "it has no rules")
            for symbol in held.rows
            if symbol not in self.listing.rules
        }

    def _bar(self, held: Held) -> None:
        everything = self._everything(held)
        flaws = dict(self.listing.flaws_of(everything))
        self.quarantines.bar(flaws | self.modes.flaws(held.rows.keys()))

    def _orders(self, look: Look, symbols: set[str]) -> list[OpenOrder]:
        stops, missing = look.held.stops, symbols
        if stops is not None:
            missing = symbols - look.held.rows.keys()
        plain, read = self._books.read(symbols, missing, look.purpose)
        look.unread |= plain.unread | read.unread
        conditional = read.orders
        if stops is not None:
            look.unread |= {s: why for s, why in stops.unread.items() if s in symbols}
            conditional = [*conditional, *(o for o in stops.orders if o.symbol in symbols)]
        look.stops = ids_by_symbol(conditional)
        return [*plain.orders, *conditional]

    # -- one symbol -----------------------------------------------------------------------------

    def _read_trades(self, look: Look, symbols: list[str], *, whole: bool) -> None:
        """The trades of some symbols, side by side; of too many the turn comes with the next."""
        known = [s for s in symbols if s in self.ledger.bookmarks]
        wanted = [s for s in known if self._has_news(look, s, whole=whole)]
        look.later |= set(wanted[_TRADES_A_LOOK:])
        look.trades = self.ledger.several(wanted[:_TRADES_A_LOOK], look.purpose)

    def _symbol(self, look: Look, symbol: str, venue_now: datetime) -> None:
        row = look.held.rows.get(symbol)
        position = None if row is None else position_of(row, self.modes.leverage_of(row))
        try:
            if symbol not in self.ledger.bookmarks:
                at = venue_now if position is None else position.updated_at or venue_now
                look.bookmarks[symbol] = Bookmark(0, at)
                position = position and self._meet(look, position)
            elif symbol in look.trades:
                position = self._catch_up(look, symbol, position)
        except VenueError as error:
            why = of_one_symbol(error)
            # Of what is gone altogether there is nothing left to ask after.
            if position is not None or self.listing.known(symbol):
                look.unread[symbol] = why
                return
        except NoAnswer as error:
            look.unread[symbol] = unanswered(error, seen=True)
            return
        self.pasts.seen(symbol, position)
        if position is not None:
            if symbol in self._past_unread:
                self.pasts.want(position)
            self._past_unread.discard(symbol)
            look.positions.append(position)

    def _has_news(self, look: Look, symbol: str, *, whole: bool) -> bool:
        """Whether trades may have been made since the last one handed out."""
        if not self._exists(symbol, look.held):
            return False
        if not whole:
            return True
        state = look.held.state_of(symbol)
        if symbol in self._states:
            return state != self._states[symbol]
        if state is None:
            return symbol in self._ours
        return state[1] > self.ledger.bookmarks[symbol].at

    def _catch_up(
        self, look: Look, symbol: str, position: VenuePosition | None
    ) -> VenuePosition | None:
        trades = look.trades[symbol]
        if isinstance(trades, Exception):
            raise trades
        look.bookmarks[symbol] = bookmark_after(trades) if trades else self.ledger.bookmarks[symbol]
        look.facts += [Trades(trades)] if trades else []
        return position and with_its_past(position, trades)

    def _meet(self, look: Look, position: VenuePosition) -> VenuePosition:
        """A position of which nothing was applied yet: what it holds is explained by its past."""
        symbol = position.symbol
        if symbol in self._ours:
            return position
        self.pasts.want(position)
        past: tuple[VenuePosition, Past] | None = None
        if look.pasts_read < _PASTS_A_LOOK:
            look.pasts_read += 1
            past = self.pasts.step(look.purpose, symbol)
        told = past[1] if past else Past(position.qty, position.opened_at, known=False)
        return replace(position, past=told, opened_at=told.opened_at)

    def read_past(self, now: datetime) -> tuple[int, PastKnown | None]:
        """Read one page of a past that is still wanted: its weight, and what became known.

        Raises:
            VenueError, NoAnswer.
        """
        before = self.ledger.spent
        found = self.pasts.step(Purpose.HISTORY)
        weight = self.ledger.spent - before
        if found is None or not found[1].known:
            return weight, None
        position, past = found
        return weight, PastKnown(position.symbol, position.side, position.qty, past, now)

    # -- money ----------------------------------------------------------------------------------

    def _round(self, purpose: Purpose) -> Decimal:
        """The modes, how symbols are set up and the wallet, side by side; the wallet."""
        reads = (self.modes.read, self.modes.read_symbols, self.listing.wallet)
        *_, wallet = self._pool.map(lambda read: read(purpose), reads)
        return wallet or ZERO

    def open_orders(self, symbol: str) -> list[OpenOrder]:
        """Both books of a symbol. Raises VenueError, NoAnswer."""
        return self._books.of(symbol)

    def new_trades(self, symbol: str) -> tuple[OrderFilled, ...]:
        """The trades of a symbol after the last one handed out. Raises VenueError, NoAnswer."""
        if symbol not in self.ledger.bookmarks:
            # Nothing of it was ever told: what is older than this minute is the past.
            self.ledger.bookmarks[symbol] = Bookmark(0, datetime.now(UTC) - timedelta(minutes=1))
        return self.ledger.new_trades(symbol, Purpose.PROTECT)
