"""What may go wrong at the double: scripted by a test, or drawn from a seed.

A draw depends only on the seed, the call (method and path) and how many calls of that kind there
were, so that the same sequence of calls meets the same faults. Reads nothing, writes nothing.
The kinds are in `fault_kinds`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from services.apply_layer.double.fault_kinds import (
    AT_ONCE_KINDS,
    DRAWN_KINDS,
    EVENT_KINDS,
    KINDS,
    ORDERS,
    TRIGGER_KINDS,
    Fault,
    fits_call,
)
from services.apply_layer.double.garbage import KINDS as GARBAGE

#: The codes that a drawn `code` takes, for orders and for everything else.
_ORDER_CODES = (-1008, -1021, -2019, -2022, -4131, -4005, -5028, -1015)
_OTHER_CODES = (-1008, -1021, -1003)


class Faults:
    """The faults to come. `at_once(fault)` does what does not wait for a call; thread-safe."""

    def __init__(
        self,
        seed: int,
        at_once: Callable[[Fault], None],
        rate: float = 0.0,
        kinds: Iterable[str] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self._at_once = at_once
        self._scripted: list[Fault] = []
        self._counts: dict[tuple[str, str], int] = {}
        self._rate = 0.0
        self._kinds: tuple[str, ...] = ()
        self.set_rate(rate, kinds)

    def set_rate(self, rate: float, kinds: Iterable[str] | None = None) -> None:
        """From now on strike this share of the signed calls. ValueError for an unknown kind."""
        chosen = DRAWN_KINDS if kinds is None else tuple(kinds)
        for kind in chosen:
            _known(kind)
        with self._lock:
            self._rate, self._kinds = rate, chosen

    def script(
        self,
        kind: str,
        method: str | None = None,
        path: str | None = None,
        times: int = 1,
        **params: Any,
    ) -> None:
        """Strike the next `times` calls that fit, or do it at once. ValueError: unknown kind."""
        fault = Fault(_known(kind), method, path, times, params)
        if kind in AT_ONCE_KINDS:
            self._at_once(fault)
            return
        with self._lock:
            self._scripted.append(fault)

    def clear(self) -> None:
        """Nothing scripted is left, and nothing is drawn any more."""
        with self._lock:
            self._scripted.clear()
            self._rate = 0.0

    def strike_public(self, path: str, asked: Mapping[str, str]) -> Fault | None:
        """The scripted fault that strikes a public read, or None; none is drawn for them."""
        with self._lock:
            return self._take(lambda fault: fault.fits_public(path, asked))

    def strike(self, method: str, path: str, asked: Mapping[str, str]) -> Fault | None:
        """The fault that strikes a signed call, or None."""
        with self._lock:
            count = self._counts[method, path] = self._counts.get((method, path), 0) + 1
            scripted = self._take(lambda fault: fault.fits(method, path, asked))
            if scripted is not None or not self._rate:
                return scripted
            chance = random.Random(f"{self._seed} {method} {path} {count}")
            if chance.random() >= self._rate:
                return None
            fault = self._draw(chance, method, path)
        if fault is not None and fault.kind in AT_ONCE_KINDS:
            self._at_once(fault)
            return None
        return fault

    def take(self, kind: str, symbol: str = "") -> bool:
        """Whether a fault that waits for something else than a call strikes now."""
        with self._lock:
            return (
                self._take(
                    lambda fault: fault.kind == kind and fault.get("symbol", symbol) == symbol
                )
                is not None
            )

    def _take(self, fits: Callable[[Fault], bool]) -> Fault | None:
        for at, fault in enumerate(self._scripted):
            if fits(fault):
                if fault.times > 1:
                    self._scripted[at] = replace(fault, times=fault.times - 1)
                else:
                    del self._scripted[at]
                return fault
        return None

    def _draw(self, chance: random.Random, method: str, path: str) -> Fault | None:
        other = (*TRIGGER_KINDS, *EVENT_KINDS, *AT_ONCE_KINDS)
        fitting = [k for k in self._kinds if k in other or fits_call(k, method, path)]
        if not fitting:
            return None
        kind = chance.choice(fitting)
        fault = Fault(kind, params=_drawn_params(kind, path, chance))
        if kind in TRIGGER_KINDS or kind in EVENT_KINDS:
            self._scripted.append(fault)
            return None
        return fault


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"{kind} is no fault; there are {', '.join(KINDS)}")
    return kind


def _drawn_params(kind: str, path: str, chance: random.Random) -> dict[str, Any]:
    how = chance.choice(("silence", "close"))
    executed = chance.random() < 0.5
    codes = _ORDER_CODES if path in ORDERS else _OTHER_CODES
    drawn: dict[str, dict[str, Any]] = {
        "executed_then_timed_out": {"how": how},
        "executed_then_code": {"code": -1007},
        "timed_out_not_executed": {"how": how},
        "late_accept": {"how": chance.choice(("503", "close")), "delay_s": chance.uniform(0.05, 1)},
        "http_503_unknown": {"executed": executed},
        "order_in_doubt": {"code": chance.choice((-1006, -1007)), "executed": executed},
        "code": {"code": chance.choice(codes), "retry_after_s": 1},
        "rate_limited_429": {"retry_after_s": 1},
        "banned_418": {"retry_after_s": 2},
        "partial_fill_then_cancel": {"part": chance.choice((Decimal("0.3"), Decimal("0.6")))},
        "garbage": {"how": chance.choice(GARBAGE), "executed": executed},
        "slow": {"delay_s": chance.uniform(0.05, 0.8)},
        "clock_skew": {"offset_ms": chance.choice((-900, 900))},
    }
    return drawn.get(kind, {})
