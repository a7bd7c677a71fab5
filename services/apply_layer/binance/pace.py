"""How often the account is looked at: a constant share of the budget at any number of symbols.

Pure. Weights are the venue's, intervals and latencies seconds. `worst_case_s` is what
docs/operations.md states, computed.
"""

from __future__ import annotations

#: The orders of so many symbols are asked for one by one; those of more in one call.
ONE_BY_ONE = 8
_WEIGHT_OF_ALL, _POSITIONS, _TRADES = 40, 5, 5
#: The share of the venue's limit that watching uses in steady state; a little below the half that
#: the budget lets it have, so that a round more at the end of a minute is not refused.
STEADY_SHARE = 0.485
#: The share that reading the past may use beside it.
HISTORY_SHARE = 0.10
#: time, accountConfig, symbolConfig, positions and balance.
_ROUND_BESIDE_BOOKS = 1 + 5 + 5 + 5 + 5
#: exchangeInfo, brackets, funding and the listen key, a minute.
_NOW_AND_THEN = 10.0
#: How long the runner waits for messages before it sees that a look is due.
_WAITS_S = 0.2


def book_weight(symbols: int) -> int:
    """What one book of open orders costs."""
    return symbols if symbols <= ONE_BY_ONE else _WEIGHT_OF_ALL


def round_weight(symbols: int) -> int:
    """What a look at everything costs, while nothing has been traded."""
    return _ROUND_BESIDE_BOOKS + 2 * book_weight(symbols)


def stops_every_s(
    held: int, symbols: int, *, watch_every_s: float, reconcile_every_s: float, limit: int
) -> float:
    """How often the conditional orders are read, so that all watching keeps to its share."""
    steady = 60 / watch_every_s * _POSITIONS + 60 / reconcile_every_s * round_weight(symbols)
    left = max(limit * STEADY_SHARE - steady - _NOW_AND_THEN, limit * 0.05)
    return max(watch_every_s, book_weight(held) * 60 / left)


def steady_weight(
    held: int, symbols: int, *, watch_every_s: float, reconcile_every_s: float, limit: int
) -> float:
    """What watching costs a minute while nothing happens."""
    every_s = stops_every_s(
        held, symbols, watch_every_s=watch_every_s, reconcile_every_s=reconcile_every_s, limit=limit
    )
    return (
        60 / watch_every_s * _POSITIONS
        + 60 / reconcile_every_s * round_weight(symbols)
        + 60 / every_s * book_weight(held)
        + _NOW_AND_THEN
    )


def worst_case_s(
    held: int, latency_s: float, *, told: bool, watch_every_s: float, limit: int
) -> float:
    """The longest until a lost stop is placed again: by the user stream's word, or without it.

    With its word: a look at everything may just have begun (the time, what is beside positions,
    positions, both books at once); then positions, both books, the symbol's trades and the order.
    Without it the conditional orders have to be due first, and the plain ones are read after them;
    a look at everything that comes between reads them itself.
    """
    if told:
        return _WAITS_S + (4 + 4) * latency_s
    every_s = stops_every_s(
        held, held, watch_every_s=watch_every_s, reconcile_every_s=30.0, limit=limit
    )
    return every_s + _WAITS_S + 5 * latency_s


def history_pause_s(weight: int, limit: int) -> float:
    """How long to pause after reading so much of the past."""
    return weight * 60 / (limit * HISTORY_SHARE)
