"""How the paper venue hears of prices: confirmed, in order, and never from ahead of time.

Pure. A venue of its own would not fill at a wrong price of our feed, and paper is to be like it.
What a tick from ahead of time has left in a book is put right by the next one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from services.apply_layer.paper_account import PaperAccount, PaperBook, PaperPolicy
from shared.contracts import MarketTick
from shared.formulas import confirmed, marks_after
from shared.ticks import is_late


def taken(
    account: PaperAccount, policy: PaperPolicy, tick: MarketTick, now: datetime
) -> tuple[PaperAccount, Decimal] | None:
    """The account that has heard of a tick, and the price that it makes; None for one too late.

    A symbol that the venue does not list has no price. `now` is the clock of who reads the tick.
    """
    book = account.book(tick.symbol)
    if tick.symbol not in policy.rules or is_late(tick, book.mark_at, now):
        return None
    marks = book.marks or (None if book.mark_price is None else (book.mark_price,) * 3)
    marks = marks_after(marks, tick.mark_price, recorded=tick.recorded)
    heard = replace(_healed(book, tick), marks=marks)
    return account.with_book(heard), confirmed(marks)


def _healed(book: PaperBook, tick: MarketTick) -> PaperBook:
    """The book without the time of a last mark that came from ahead."""
    if book.mark_at is not None and tick.timestamp <= book.mark_at:
        return replace(book, mark_at=None)
    return book
