"""What is odd about the account and its symbols just now: set by hand, told by every read.

Values only; the account holds one `Switches` and replaces it. Times are seconds of the venue's
clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

#: Where a symbol may be missing: from a list, from its settings, or from the venue altogether.
PIECES = frozenset({"exchangeInfo", "leverageBracket", "symbolConfig", "positionRisk", "all"})
TRADING = "TRADING"
#: Statuses in which a position can still be made smaller.
_CLOSES = frozenset({TRADING, "PRE_DELIVERING", "PRE_SETTLE"})
#: What of a standing conditional order is denied: that it is listed, found, can be withdrawn.
DENIALS = frozenset({"list", "query", "cancel"})


@dataclass(frozen=True, slots=True)
class Switches:
    """`missing` has the pieces that lack a symbol, `told_marks` marks that are told in place of
    the true ones. `denied_until` and `denied` are of conditional orders that stand and are denied.
    `fee_asset` and `fee_price` are what fees are paid in and what it costs.
    """

    status: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, frozenset[str]] = field(default_factory=dict)
    told_marks: Mapping[str, Decimal] = field(default_factory=dict)
    multi_assets: bool = False
    denied_until: float = 0.0
    denied: frozenset[str] = frozenset()
    denied_symbol: str = ""
    fee_asset: str = ""
    fee_price: Decimal = Decimal(1)

    def status_of(self, symbol: str) -> str:
        """The status of a symbol, as exchangeInfo tells it."""
        return self.status.get(symbol, TRADING)

    def may_open(self, symbol: str) -> bool:
        """Whether a position may be opened or made larger."""
        return self.status_of(symbol) == TRADING

    def may_trade(self, symbol: str) -> bool:
        """Whether any order is taken."""
        return self.status_of(symbol) in _CLOSES

    def lacks(self, symbol: str, piece: str) -> bool:
        """Whether a symbol is missing from a piece."""
        pieces = self.missing.get(symbol, frozenset())
        return "all" in pieces or piece in pieces

    def delisted(self, symbol: str) -> bool:
        """Whether the venue knows nothing of a symbol."""
        return "all" in self.missing.get(symbol, frozenset())

    def denies(self, what: str, symbol: str, now: float) -> bool:
        """Whether a standing conditional order is denied now."""
        of_it = self.denied_symbol in ("", symbol)
        return of_it and what in self.denied and now < self.denied_until

    def with_status(self, symbol: str, status: str, mark: Decimal | None) -> Switches:
        """A symbol has another status, and a mark that is told while it has."""
        marks = {s: m for s, m in self.told_marks.items() if s != symbol}
        if mark is not None:
            marks[symbol] = mark
        return replace(self, status={**self.status, symbol: status}, told_marks=marks)

    def without(self, symbol: str, pieces: frozenset[str]) -> Switches:
        """A symbol is missing from pieces, and from no others. ValueError: an unknown piece."""
        unknown = pieces - PIECES
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: there are {', '.join(sorted(PIECES))}")
        return replace(self, missing={**self.missing, symbol: pieces})

    def denying(self, until: float, what: frozenset[str], symbol: str) -> Switches:
        """Deny standing conditional orders. ValueError: an unknown denial."""
        unknown = what - DENIALS
        if unknown:
            raise ValueError(
                f"{', '.join(sorted(unknown))}: there are {', '.join(sorted(DENIALS))}"
            )
        return replace(self, denied_until=until, denied=what, denied_symbol=symbol)
