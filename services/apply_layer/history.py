"""What the trades of an open position tell of it, when nothing else remembers.

Pure. A venue's trades are read backwards from the position that it holds now until the position
was flat; that trade opened it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from services.apply_layer.exchange import OrderFilled, Past, VenuePosition
from shared.sides import Side

#: The client ids that the journal makes; the letter says what the order was for.
OURS = re.compile(r"[exstfp][0-9]+-[0-9a-f]{20}", re.ASCII)
#: Exits and targets take profit for a rung; stops and forced closes do not.
_HARVESTS = ("x", "t")
ZERO = Decimal(0)


class Traded(Protocol):
    """What of a trade says how it changed a position."""

    @property
    def side(self) -> Side: ...

    @property
    def qty(self) -> Decimal: ...


def opening_of(position: VenuePosition, trades: Sequence[Traded]) -> int | None:
    """The place of the trade that opened a position, or None where they do not reach back to it."""
    held = position.side.sign * position.qty
    place = len(trades)
    while held and place:
        place -= 1
        before = held - trades[place].side.sign * trades[place].qty
        if before * held < 0:
            # It was turned round here: what crossed zero opened it.
            return place
        held = before
    return None if held or not trades else place


def past_of(position: VenuePosition, trades: Sequence[OrderFilled]) -> Past:
    """The past of an open position, from the trades of its symbol, oldest first.

    Where none of its trades is ours, somebody else runs it: what is held now is then its initial
    quantity. Where the trades do not reach back to its opening, `known` is False.
    """
    opening = opening_of(position, trades)
    if opening is None:
        return Past(position.qty, position.opened_at, known=False)
    since = trades[opening:]
    ours = any(OURS.fullmatch(trade.client_order_id) for trade in since)
    added = sum((t.qty for t in since if t.side is position.side.entry), ZERO)
    taken = sum((t.qty for t in since if _harvests(position, t)), ZERO)
    reduced = sum((t.qty for t in since if t.side is position.side.exit), ZERO)
    return Past(
        # What crossed zero with the opening trade belongs to the position before.
        initial_qty=position.qty + reduced if ours and added else position.qty,
        opened_at=since[0].at,
        harvested_qty=taken if ours else ZERO,
        realized_pnl=sum((t.realized_pnl for t in since), ZERO),
        fees=sum((t.fee for t in since), ZERO),
    )


def is_harvest(client_order_id: str) -> bool:
    """Whether an order took profit for a rung, by nothing but its name."""
    return OURS.fullmatch(client_order_id) is not None and client_order_id.startswith(_HARVESTS)


def _harvests(position: VenuePosition, trade: OrderFilled) -> bool:
    return trade.side is position.side.exit and is_harvest(trade.client_order_id)
