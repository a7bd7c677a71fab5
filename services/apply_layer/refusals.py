"""What the venue refuses again and again: each time it is sent later, and told with its words.

A refusal is kept by what the order was for and its symbol until such an order is accepted. What is
refused for a state of the account waits until that state was read to have changed.
"""

from __future__ import annotations

from dataclasses import replace

from services.apply_layer.exchange import OrderRejected
from services.apply_layer.journal import Leg
from services.apply_layer.state import Refusals
from services.apply_layer.times import age_s
from services.apply_layer.turn import Turn

#: The longest wait between two attempts, in seconds.
_WAIT_MOST_S = 30.0
#: Refusals for a state of the account, by the barrier that stands as long as it is read to last.
_STATES = {"-4061": "hedge_mode", "-4168": "multi_assets"}


def key_of(leg: Leg, symbol: str) -> str:
    """The place of a refusal in the state."""
    return f"{leg.value}.{symbol}"


def note_refusal(turn: Turn, leg: Leg, fact: OrderRejected) -> None:
    """Remember what was refused, with the words that were given."""
    key = key_of(leg, fact.symbol)
    before = turn.state.refusals.get(key)
    times = before.times + 1 if before else 1
    refusals = Refusals(fact.symbol, leg, str(fact.code), fact.reason, times, turn.now)
    turn.state = replace(turn.state, refusals={**turn.state.refusals, key: refusals})


def note_success(turn: Turn, leg: Leg, symbol: str) -> None:
    """Such an order was accepted: nothing is held against the next one."""
    key = key_of(leg, symbol)
    if key in turn.state.refusals:
        rest = {k: v for k, v in turn.state.refusals.items() if k != key}
        turn.state = replace(turn.state, refusals=rest)


def refusal_of(turn: Turn, leg: Leg, symbol: str) -> Refusals | None:
    """What the venue last said against such an order, if it accepted none since."""
    return turn.state.refusals.get(key_of(leg, symbol))


def may_send(turn: Turn, leg: Leg, symbol: str) -> bool:
    """Whether it is time for such an order again."""
    refused = refusal_of(turn, leg, symbol)
    if refused is None:
        return True
    if _STATES.get(refused.code) in turn.state.barriers:
        return False
    return age_s(turn, refused.at) >= wait_s(refused.times)


def wait_s(times: int) -> float:
    """How long after so many refusals: not at all after one, then 2, 4, 8, 16 and 30 seconds."""
    return 0.0 if times < 2 else min(2.0 ** min(times - 1, 10), _WAIT_MOST_S)


def forget_states_that_changed(turn: Turn) -> None:
    """What was refused for a state of the account that does not last any more is sent at once."""
    rest = {
        key: refused
        for key, refused in turn.state.refusals.items()
        if refused.code not in _STATES or _STATES[refused.code] in turn.state.barriers
    }
    if len(rest) != len(turn.state.refusals):
        turn.state = replace(turn.state, refusals=rest)
