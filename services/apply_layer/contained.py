"""What goes wrong with one symbol stays with it: it is quarantined, and the others go on.

A rule that is missing or a value of the venue's that makes no sense raises in the middle of a
decision. What that symbol's part of the decision had changed is taken back, the symbol is
quarantined with the reason, and its next look tries again. Where only a result cannot be built, the
decision stands and nothing but the telling is lost (`Turn` does that).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from services.apply_layer.state import INCONSISTENT, State
from services.apply_layer.turn import ONE_SYMBOL_S, Turn


@contextmanager
def contained(turn: Turn, symbol: str) -> Iterator[None]:
    """Take back what this part of the decision has done if it fails, and quarantine the symbol."""
    state, made, needs_stop = turn.state, len(turn.outputs), dict(turn.needs_stop)
    try:
        yield
    except ONE_SYMBOL_S as error:
        turn.state, turn.needs_stop = state, needs_stop
        del turn.outputs[made:]
        turn.quarantine(symbol, error)


def try_again(turn: Turn, symbol: str, at: datetime) -> None:
    """Free a symbol whose look has gone well, if how it stands can be told again."""
    found = turn.state.quarantine.get(symbol)
    if found is None or found.code != INCONSISTENT or symbol in turn.failed:
        return
    rest = {s: q for s, q in turn.state.quarantine.items() if s != symbol}
    turn.state = replace(turn.state, quarantine=rest)
    turn.stated("POSITION", symbol, at)


def say_what_changed(turn: Turn, before: State) -> None:
    """Tell which symbols came into quarantine in this decision, and which left it."""
    then, now = before.quarantine, turn.state.quarantine
    if then is now:
        return
    for symbol, found in now.items():
        if then.get(symbol) != found:
            turn.note(
                "symbol_quarantined", "error", symbol=symbol, code=found.code, reason=found.reason
            )
    for symbol in then.keys() - now.keys():
        turn.note("symbol_free_again", symbol=symbol)
