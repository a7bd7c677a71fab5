"""The venue as the runner sees it: requests go out, facts come back, paper's books are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from pydantic import TypeAdapter

from services.apply_layer.exchange import (
    AskOrder,
    CancelOrder,
    LookAgain,
    PlaceOrder,
    VenueEvent,
)
from services.apply_layer.looked import Looked
from services.apply_layer.paper import PaperExchange
from services.apply_layer.paper_account import PaperAccount, PaperBook, PaperPolicy, PaperWallet
from shared.account import ACCOUNT_DOCUMENT, PAPER, account_of, conflict
from shared.contracts import MarketTick, Message
from shared.settings import SettingsError

_BOOK = TypeAdapter(PaperBook)
_WALLET = TypeAdapter(PaperWallet)
_WALLET_NAME = "paper_wallet"
_BOOK_PREFIX = "paper_book/"


class PaperVenue:
    """The paper venue behind the runner's `Outside`.

    Its books and wallet are documents of apply_layer's own state, so that they are committed
    together with the results that they brought about: what is not committed did not happen.
    """

    def __init__(self, policy: PaperPolicy, opening: Callable[[], PaperExchange]) -> None:
        """`opening` makes the account that a venue without documents starts with."""
        self._policy = policy
        self._opening = opening
        self._exchange = opening()
        self._kept = PaperAccount(PaperWallet(policy.initial_wallet, policy.initial_wallet), {})
        self._wallet_kept = False
        self._account_named = False
        self._starting = True

    def restore(self, documents: Mapping[str, bytes]) -> None:
        """Take the books back, or open the account for the first time.

        Raises:
            SettingsError: the state is of an account at a venue.
        """
        refusal = conflict(account_of(documents), PAPER)
        if refusal:
            raise SettingsError(refusal)
        self._starting = True
        self._account_named = ACCOUNT_DOCUMENT in documents
        if _WALLET_NAME not in documents:
            return
        books = {
            name.removeprefix(_BOOK_PREFIX): _BOOK.validate_json(document)
            for name, document in documents.items()
            if name.startswith(_BOOK_PREFIX)
        }
        self._kept = PaperAccount(_WALLET.validate_json(documents[_WALLET_NAME]), books)
        self._wallet_kept = True
        self._exchange = PaperExchange(self._kept, self._policy)

    def documents(self) -> dict[str, bytes]:
        """The books that changed since they were last asked for."""
        account, kept = self._exchange.account, self._kept
        changed = {
            _BOOK_PREFIX + symbol: _BOOK.dump_json(book)
            for symbol, book in account.books.items()
            if kept.books.get(symbol) is not book
        }
        if not self._wallet_kept or account.wallet is not kept.wallet:
            changed[_WALLET_NAME] = _WALLET.dump_json(account.wallet)
            self._wallet_kept = True
        self._kept = account
        if not self._account_named:
            changed[ACCOUNT_DOCUMENT] = PAPER.encode()
            self._account_named = True
        return changed

    def observe(self, message: Message, received_at: datetime) -> Iterable[VenueEvent]:
        """A confirmed mark price triggers, fills, liquidates and settles funding."""
        if not isinstance(message, MarketTick):
            return ()
        return self._exchange.on_tick(message, received_at)

    def perform(self, request: object) -> Iterable[VenueEvent]:
        """Place or cancel."""
        if isinstance(request, PlaceOrder):
            return self._exchange.place(request)
        if isinstance(request, CancelOrder):
            return self._exchange.cancel(request)
        if isinstance(request, AskOrder | LookAgain):
            # It is looked at as a whole every second, and what it shows is all there is.
            return ()
        raise TypeError(f"a venue cannot do {request!r}")

    def urgent(self) -> bool:
        """Paper moves with the prices that it is shown, and at no other time."""
        return False

    def cycle(self) -> Iterable[Looked]:
        """The venue as it stands."""
        starting, self._starting = self._starting, False
        return (Looked(self._exchange.snapshot(), starting),)

    def close(self) -> None:
        """Paper holds no connection."""
