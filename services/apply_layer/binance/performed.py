"""Which requests are under way, and so which orders a view that is begun now can tell of."""

from __future__ import annotations

from services.apply_layer.exchange import AskOrder, CancelOrder, PlaceOrder
from shared.at_once import Place

#: The ranks of requests.
_PROTECTS, _TIDIES, _ENTERS = 0, 1, 2


class Performed:
    """The symbols with requests under way, and the highest order number that was begun."""

    def __init__(self) -> None:
        self._highest = 0
        self._symbols: dict[str, int] = {}
        self._begun: dict[str, int] = {}
        self.beginnings = 0

    def restore(self, number: int) -> None:
        """Whatever an earlier life sent has its answer, or never gets one."""
        self._highest = number
        self._symbols.clear()

    def asked(self, request: object) -> Place | None:
        """A request is under way from now on; None for one that is no order's."""
        match request:
            case PlaceOrder():
                self.began(request.symbol, request.number)
                return Place(request.symbol, _PROTECTS if request.reduce_only else _ENTERS)
            case CancelOrder() | AskOrder():
                self.began(request.symbol)
                return Place(request.symbol, _TIDIES)
        return None

    def heard(self, request: object) -> None:
        """The answer to a request has come."""
        if isinstance(request, PlaceOrder | CancelOrder | AskOrder):
            self.ended(request.symbol)

    def began(self, symbol: str, number: int = 0) -> None:
        """A request is under way; an order has a number, and numbers grow with each sending."""
        self._symbols[symbol] = self._symbols.get(symbol, 0) + 1
        self._highest = max(self._highest, number)
        self.beginnings += 1
        self._begun[symbol] = self.beginnings

    def ended(self, symbol: str) -> None:
        """Its answer was heard."""
        self._symbols[symbol] -= 1
        if not self._symbols[symbol]:
            del self._symbols[symbol]

    def since(self, beginnings: int) -> frozenset[str]:
        """Where something was begun after so many beginnings."""
        return frozenset(s for s, number in self._begun.items() if number > beginnings)

    @property
    def symbols(self) -> frozenset[str]:
        """Where something is under way: a view of these would be old before it is there."""
        return frozenset(self._symbols)

    @property
    def up_to(self) -> int:
        """All orders up to this number had their answer, but for those of `symbols`."""
        return self._highest
