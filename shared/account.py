"""Whose state apply_layer's is: the account that its documents tell of. Pure.

A state that grew on one account says nothing of another: its trade numbers, positions and stops
would be booked and placed where they do not belong. So apply_layer's state names its account, and
one that is started against another account refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: The document that names the account.
ACCOUNT_DOCUMENT = "venue/account"
#: The account inside apply_layer.
PAPER = "paper"
#: An account at the venue, in a state of a version that did not name it.
UNNAMED = "an account at the venue"
_AT_THE_VENUE = ("positions/", "orders/", "trades/", "venue/")


def account_at(network: str, account_id: str) -> str:
    """The name of an account that a venue has given an id."""
    return f"binance-usdm:{network}:{account_id}"


def account_of(documents: Mapping[str, bytes]) -> str | None:
    """The account that a state tells of; None for a state that tells of none yet."""
    named = documents.get(ACCOUNT_DOCUMENT)
    if named is not None:
        return str(named, "utf-8", "replace")
    if _any(documents, ("paper_",)):
        return PAPER
    return UNNAMED if _any(documents, _AT_THE_VENUE) else None


def _any(documents: Iterable[str], beginnings: tuple[str, ...]) -> bool:
    return any(name.startswith(beginnings) for name in documents)


def conflict(found: str | None, own: str) -> str:
    """Why a state cannot go on with an account, and what to do about it; empty if it can."""
    unnamed_fits = found == UNNAMED and own != PAPER
    if found is None or found == own or unnamed_fits:
        return ""
    return (
        f"apply_layer's state on this server is of {_told(found)}, and the settings are for "
        f"{_told(own)}. Two accounts are never mixed. Go back to the settings of the first, or "
        f"{_way_out(found)}"
    )


def way_to_clear(found: str) -> str | None:
    """The option of `quantum reset` that clears a state of this account; None: none does."""
    if found == PAPER:
        return "--paper"
    return "--testnet" if found.startswith(account_at("testnet", "")) else None


def _told(account: str) -> str:
    return "the paper account" if account == PAPER else account


def _way_out(found: str) -> str:
    own_server = "give this account a server (or a database) of its own: [redis] url"
    option = way_to_clear(found)
    if option is None:
        return own_server
    return f"stop all daemons and clear what it left: `quantum reset {option}`; or {own_server}"
