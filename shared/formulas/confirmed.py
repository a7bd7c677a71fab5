"""A confirmed price: what a decision goes by, so that one wrong tick decides nothing.

The median of the last three marks of a symbol. A mark that stands alone, however far off, never
comes out; a level that the price passes and holds is passed one tick later (one second on a live
feed). Recorded candles are taken as they are: a replay's four prices of a bar are no stream of
marks, and its high and low are what a stop and a rung were touched at.
"""

from __future__ import annotations

from decimal import Decimal

#: The last three marks of a symbol as they came, the newest last.
Marks = tuple[Decimal, Decimal, Decimal]


def marks_after(before: Marks | None, mark: Decimal, *, recorded: bool = False) -> Marks:
    """The last three marks after one more; the first one of a symbol stands for all three.

    `recorded` is the tick's. Only a tick that is newer than the one before it may be given: the
    same tick twice would confirm itself.
    """
    if before is None or recorded:
        return (mark, mark, mark)
    return (before[1], before[2], mark)


def confirmed(marks: Marks) -> Decimal:
    """The price to decide by: the one in the middle."""
    return sorted(marks)[1]
