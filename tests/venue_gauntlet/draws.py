"""What a run does of its own accord, drawn from its seed: what is planned, and what breaks.

Pure. Times are seconds from the beginning of the run. Each part has a source of chance of its own,
named after it, so that a change in one moves no other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.venue_gauntlet.steps import BUS_STEPS, CALL_STEPS

D = Decimal

#: Symbols with their first mark, tick, lot step and what an entry buys.
MARKETS: dict[str, tuple[Decimal, Decimal, Decimal, Decimal]] = {
    "BTCUSDT": (D(65000), D("0.1"), D("0.001"), D("0.2")),
    "ETHUSDT": (D(3400), D("0.01"), D("0.001"), D("3")),
    "SOLUSDT": (D(150), D("0.01"), D("0.01"), D("40")),
    "RIVERUSDT": (D("12.32"), D("0.0001"), D("0.01"), D("300")),
}
#: A contract that the suite does not trade, and that some run's venue makes trouble about.
APART = "币安人生USDT"
APART_MARKET = (D("0.25"), D("0.0001"), D("1"), D("4000"))
WALLET = D(100_000)
#: The stop of an entry is this far from it, as a fraction.
STOP_AWAY = D("0.02")
FAULT_RATE = 0.05
#: Faults that strike signed calls, as the double names them; each lasts for the one call. Wishes
#: for silence last longer and are drawn for a run.
CALL_FAULTS = (
    "executed_then_timed_out", "timed_out_not_executed", "late_accept", "order_in_doubt",
    "http_503_unknown", "http_503_service_unavailable", "http_503_internal",
    "http_408", "http_502", "http_504", "code", "stale_read", "partial_fill_then_cancel",
    "garbage",
)  # fmt: skip
SILENCES = ("rate_limited_429", "banned_418")
STREAM_FAULTS = (
    "stream_dropped", "stream_event_lost", "stream_doubled", "stream_reordered",
    "listen_key_expired",
)  # fmt: skip
#: Faults for an order under way, in addition to those that are drawn for every call alike: orders
#: are few among all calls, and they are what matters.
ORDER_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("executed_then_timed_out", {"how": "silence"}),
    ("executed_then_timed_out", {"how": "close"}),
    ("timed_out_not_executed", {"how": "silence"}),
    ("timed_out_not_executed", {"how": "close"}),
    ("late_accept", {"how": "503", "delay_s": 0.4}),
    ("late_accept", {"how": "close", "delay_s": 0.7}),
    ("order_in_doubt", {"code": -1006, "executed": True}),
    ("order_in_doubt", {"code": -1007, "executed": False}),
    ("http_503_unknown", {"executed": True}),
    ("http_503_unknown", {"executed": False}),
    ("http_503_service_unavailable", {}),
    ("code", {"code": -2022}),
    ("code", {"code": -4131}),
    ("code", {"code": -1008}),
    ("code", {"code": -1021}),
    ("partial_fill_then_cancel", {"part": D("0.4")}),
    ("garbage", {"how": "html", "executed": True}),
    ("garbage", {"how": "cut", "executed": False}),
)
#: By how much apply_layer's own wall clock is set, in seconds.
CLOCK_STEPS = (-3600, -30, -2, 2, 30, 3600)
#: What the venue withholds of a contract, or says of it.
TROUBLES_APART: tuple[tuple[str, dict[str, Any]], ...] = (
    ("symbol_missing", {"pieces": ["all"]}),
    ("symbol_missing", {"pieces": ["leverageBracket"]}),
    ("symbol_missing", {"pieces": ["symbolConfig"]}),
    ("symbol_status", {"status": "SETTLING", "mark": "0"}),
)
TRIGGER_FAULTS = ("stop_rejected_at_trigger", "stop_stuck_triggering")


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens at a time: `kind` says what, to a symbol or to all."""

    at: float
    kind: str
    symbol: str = ""
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Strike:
    """Where a life is struck: at the `nth` time that it reaches `step`; `wake_s` ends a pause."""

    step: str
    nth: int
    how: str = "kill"
    wake_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Draw:
    """One run. `strikes` has one entry for each life that is struck, in their order."""

    seed: int
    symbols: tuple[str, ...]
    acts: tuple[Act, ...]
    strikes: tuple[Strike, ...]
    #: What one order of a symbol may have at most, where that is less than a hand may add.
    most: dict[str, Decimal]


def draw(seed: int) -> Draw:
    """The run of a seed."""
    chance = _chance(seed, "run")
    symbols = tuple(sorted(chance.sample(sorted(MARKETS), chance.choice((2, 2, 3, 4)))))
    until = chance.uniform(5.0, 8.0)
    acts: list[Act] = []
    for symbol in symbols:
        acts += _story(_chance(seed, symbol), symbol, until)
    acts += _disturbances(_chance(seed, "disturbances"), symbols, until)
    acts += _oddities(_chance(seed, "oddities"), until)
    acts.sort(key=lambda act: act.at)
    strikes = tuple(_strikes(_chance(seed, "strikes")))
    few = chance.choice(symbols)
    most = {few: MARKETS[few][3] * D("1.2")} if chance.random() < 0.2 else {}
    return Draw(seed, symbols, tuple(acts), strikes, most)


def _chance(seed: int, part: str) -> random.Random:
    return random.Random(f"{seed}/{part}")


def _story(chance: random.Random, symbol: str, until: float) -> Iterator[Act]:
    """One symbol: entered, harvested, its stop moved, ended, and perhaps entered again."""
    at = chance.uniform(0.0, 0.4)
    while at < until - 1.2:
        side = chance.choice(("BUY", "SELL"))
        yield Act(at, "enter", symbol, {"side": side})
        if chance.random() < 0.2:
            yield Act(at + chance.uniform(0, 0.5), "again", symbol)
        at += chance.uniform(0.4, 0.8)
        for action in ("PARTIAL_25", "PARTIAL_50", "PARTIAL_75"):
            if chance.random() < 0.6:
                yield Act(at, "exit", symbol, {"action": action})
                at += chance.uniform(0.05, 0.4)
            if chance.random() < 0.4:
                yield Act(at, "move_stop", symbol, {"part": chance.choice(("0.3", "0.5", "0.7"))})
                at += chance.uniform(0.05, 0.3)
            if chance.random() < 0.2:
                yield Act(at, "again", symbol)
        yield _end(chance, symbol, at)
        at += chance.uniform(0.4, 1.0)
    for tick in range(int(until / 0.25)):
        yield Act(tick * 0.25, "drift", symbol, {"by": str(round(chance.uniform(-1, 1), 3))})


def _end(chance: random.Random, symbol: str, at: float) -> Act:
    """How a position ends, or that it stays."""
    kinds = (
        "close", "close", "gap", "gap", "hand_close", "hand_part", "hand_grow", "hand_grow",
        "hand_cancel", "liquidation", "adl", "stay", "stuck", "rejected",
    )  # fmt: skip
    kind = chance.choice(kinds)
    if kind == "close":
        return Act(at, "exit", symbol, {"action": "FULL_CLOSE_PROPOSED"})
    if kind in ("stuck", "rejected"):
        fault = TRIGGER_FAULTS[1] if kind == "stuck" else TRIGGER_FAULTS[0]
        return Act(at, "gap", symbol, {"fault": fault})
    return Act(at, kind, symbol)


def _disturbances(chance: random.Random, symbols: tuple[str, ...], until: float) -> Iterator[Act]:
    """What goes wrong besides calls: the venue is down, the stream breaks, the mode turns."""
    if chance.random() < 0.3:
        at = chance.uniform(0.5, until - 1.5)
        yield Act(at, "down", params={"how": chance.choice(("503", "close"))})
        yield Act(at + chance.uniform(0.3, 1.5), "up")
    if chance.random() < 0.3:
        at = chance.uniform(0.5, until - 1.0)
        yield Act(at, "mode", params={"mode": "EXITS_ONLY"})
        yield Act(at + chance.uniform(0.5, 1.5), "mode", params={"mode": "RUN"})
    for _ in range(chance.choice((1, 2, 2, 3, 4))):
        kind, params = chance.choice(ORDER_FAULTS)
        path = "/fapi/v1/order"
        if kind != "partial_fill_then_cancel" and chance.random() < 0.4:
            path = "/fapi/v1/algoOrder"
        about = {"fault": kind, "path": path, "params": params}
        yield Act(chance.uniform(0.0, until), "order_fault", params=about)
    for _ in range(chance.choice((0, 1, 2))):
        kind = chance.choice(STREAM_FAULTS)
        yield Act(chance.uniform(0.3, until), "stream", params={"fault": kind})
    if chance.random() < 0.15:
        symbol = chance.choice(symbols)
        yield Act(
            chance.uniform(0.2, until),
            "hand_open",
            symbol,
            {"side": chance.choice(("BUY", "SELL"))},
        )
    if chance.random() < 0.1:
        at = chance.uniform(0.5, until - 1.0)
        yield Act(at, "skew", params={"ms": chance.choice((-1200, -700, 700, 1200))})
        yield Act(at + chance.uniform(0.5, 1.5), "skew", params={"ms": 0})
    if chance.random() < 0.25:
        yield Act(chance.uniform(0.5, until), "kill")
    if chance.random() < 0.15:
        wake = chance.uniform(0.3, 2.5)
        yield Act(chance.uniform(0.5, until), "pause", params={"wake_s": wake})


def _oddities(chance: random.Random, until: float) -> Iterator[Act]:
    """A clock that is set while apply_layer runs, and a contract that the venue denies."""
    if chance.random() < 0.3:
        for _ in range(chance.choice((1, 1, 2))):
            by_s = chance.choice(CLOCK_STEPS)
            yield Act(chance.uniform(0.3, until), "set_clock", params={"by_s": by_s})
    if chance.random() < 0.3:
        at = chance.uniform(0.0, until - 2.0)
        yield Act(at, "hand_open", APART, {"side": chance.choice(("BUY", "SELL"))})
        kind, params = chance.choice(TROUBLES_APART)
        yield Act(at + chance.uniform(0, 1), "trouble_apart", APART, {"kind": kind, "of": params})
        if chance.random() < 0.5:
            yield Act(at + chance.uniform(1, 2), "trouble_over", APART)


#: Steps that come up only now and then are drawn more often, and earlier.
_RARE = tuple(f"{when}_{call}" for call in ("order", "cancel", "ask", "set")
              for when in ("before", "sent", "after"))  # fmt: skip


def _strikes(chance: random.Random) -> Iterator[Strike]:
    """The lives that are struck, one after the other."""
    for _ in range(chance.choice((0, 1, 1, 2, 2, 3))):
        step = chance.choice((*BUS_STEPS, *CALL_STEPS, *_RARE, *_RARE))
        many = 8 if step in _RARE else 60
        how = "pause" if step != "commit_sent" and chance.random() < 0.15 else "kill"
        yield Strike(step, chance.randint(1, many), how, round(chance.uniform(0.2, 2.5), 2))
