"""Whose account the keys open, by the venue's own id of it; a state of another one is refused.

Reads the balance, whose rows name the account (`accountAlias`); keeps the name in apply_layer's
state.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.apply_layer.binance.budget import Purpose
from services.apply_layer.binance.client import Client
from services.apply_layer.binance.endpoints import BALANCE, read_rows
from shared.account import ACCOUNT_DOCUMENT, account_at, account_of, conflict
from shared.outside import NotYet
from shared.settings import SettingsError


class Identity:
    """The account behind a client on a network, and the one that the state tells of."""

    def __init__(self, client: Client, network: str) -> None:
        self._client = client
        self._network = network
        self._found: str | None = None
        self._own: str | None = None
        self._kept = False

    def restore(self, documents: Mapping[str, bytes]) -> None:
        """Learn whose state it is."""
        self._found = account_of(documents)
        self._own = None
        self._kept = ACCOUNT_DOCUMENT in documents

    def confirm(self) -> None:
        """Ask the venue whose account this is; called before anything else of it is read.

        Raises:
            SettingsError: the state is of another account.
            NotYet: the venue does not name the account, and the state is of one.
            VenueError, NoAnswer: the venue cannot be asked.
        """
        told = read_rows(self._client, BALANCE, purpose=Purpose.PROTECT)
        named = [row.account_alias for row in told.rows if row.account_alias]
        if not named:
            if self._found is not None:
                raise NotYet("the venue does not name the account")
            return
        self._own = account_at(self._network, named[0])
        refusal = conflict(self._found, self._own)
        if refusal:
            raise SettingsError(refusal)

    def documents(self) -> dict[str, bytes]:
        """The name of the account, once."""
        if self._kept or self._own is None:
            return {}
        self._kept = True
        return {ACCOUNT_DOCUMENT: self._own.encode()}
