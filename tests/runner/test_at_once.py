"""Requests side by side: how many at a time, which first, and in which order for one key."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.at_once import AtOnce, Place

WITHIN_S = 10.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Gate:
    """Performs a request when it is let through; notes what runs and what has run."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self._let: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def perform(self, request: object) -> Iterator[object]:
        name = str(request)
        with self._lock:
            self.begun.append(name)
        assert self.event(name).wait(WITHIN_S)
        with self._lock:
            self.ended.append(name)
        yield f"{name} is done"

    def event(self, name: str) -> threading.Event:
        with self._lock:
            return self._let.setdefault(name, threading.Event())

    def let(self, *names: str) -> None:
        for name in names:
            self.event(name).set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


def line_of(gate: Gate, most: int = 4, kept: int = 2) -> AtOnce[str]:
    return AtOnce(gate, most=most, kept=kept)


def all_done(line: AtOnce[str]) -> list[str]:
    found: list[str] = []
    deadline = time.monotonic() + WITHIN_S
    while line:
        assert time.monotonic() < deadline
        found += [str(done.answers()[0]) for done in line.done(0.01)]
    return found


def test_requests_of_different_keys_run_at_once_and_those_of_one_in_their_order(gate: Gate) -> None:
    line = line_of(gate)
    for name, key in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        line.submit(name, Place(key, 0), "cause")
    until(lambda: sorted(gate.begun) == ["a1", "b1"])
    gate.let("b1", "a1", "a2")
    assert sorted(all_done(line)) == ["a1 is done", "a2 is done", "b1 is done"]
    assert gate.begun.index("a1") < gate.begun.index("a2")


def test_threads_are_kept_for_what_protects(gate: Gate) -> None:
    line = line_of(gate)
    for number in range(6):
        line.submit(f"entry{number}", Place(f"e{number}", 2), "cause")
    until(lambda: len(gate.begun) == 2)
    line.submit("stop", Place("s", 0), "cause")
    until(lambda: "stop" in gate.begun)
    gate.let("stop", *(f"entry{number}" for number in range(6)))
    assert len(all_done(line)) == 7


def test_the_lower_rank_goes_first(gate: Gate) -> None:
    line = line_of(gate, most=1, kept=0)
    for name, rank in (("first", 2), ("entry", 2), ("cancel", 1), ("stop", 0)):
        line.submit(name, Place(name, rank), "cause")
    gate.let("first", "entry", "cancel", "stop")
    all_done(line)
    assert gate.begun == ["first", "stop", "cancel", "entry"]


def test_a_request_is_under_way_until_its_answers_are_taken(gate: Gate) -> None:
    line = line_of(gate)
    line.submit("ask", Place("a", 1), "cause")
    assert line.has("ask")
    assert line.keys == {"a"}
    gate.let("ask")
    until(lambda: gate.ended == ["ask"])
    assert line.has("ask")
    assert all_done(line) == ["ask is done"]
    assert not line.has("ask")
    assert line.keys == frozenset()


def test_what_went_wrong_is_raised_where_the_answers_are_taken() -> None:
    class Buggy:
        def perform(self, _request: object, /) -> Iterator[object]:
            raise ZeroDivisionError("a bug")
            yield

    line = AtOnce[str](Buggy(), most=1, kept=0)
    line.submit("ask", Place("a", 1), "cause")
    with pytest.raises(ZeroDivisionError):
        all_done(line)


def test_after_the_end_nothing_more_is_begun(gate: Gate) -> None:
    line = line_of(gate, most=1, kept=0)
    line.submit("one", Place("a", 0), "cause")
    line.submit("two", Place("b", 0), "cause")
    until(lambda: gate.begun == ["one"])
    line.close()
    gate.let("one", "two")
    until(lambda: gate.ended == ["one"])
    assert gate.begun == ["one"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=25))
def test_whatever_comes_each_is_performed_once_and_those_of_a_key_in_order(
    asked: list[tuple[str, int]],
) -> None:
    seen: list[tuple[int, str]] = []

    class Noting:
        def perform(self, request: object) -> Iterator[object]:
            seen.append(request)  # type: ignore[arg-type]
            yield request

    line = AtOnce[int](Noting(), most=3, kept=1)
    for number, (key, rank) in enumerate(asked):
        line.submit((number, key), Place(key, rank), number)
    told: list[int] = []
    while line:
        told += [done.cause for done in line.done(1.0)]
    line.close()
    assert sorted(told) == list(range(len(asked)))
    for key in "abc":
        of_key = [number for number, its in seen if its == key]
        assert of_key == sorted(of_key)
