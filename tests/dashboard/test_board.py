"""How many may look at once, and who makes room for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from services.dashboard.web.board import STAYS_S, SYMBOLS_MAX, VIEWERS_MAX, Board, Full


class Room:
    """A board, its clock, and those who look at it by their names."""

    def __init__(self, stack: ExitStack) -> None:
        self.now = 0.0
        self.loop = asyncio.new_event_loop()
        self.board = Board(self.loop, lambda: self.now)
        self.left: list[str] = []
        self._stack = stack

    def enter(self, name: str, symbol: str | None = None) -> None:
        self._stack.enter_context(self.board.viewer(symbol, lambda: self.left.append(name)))


@pytest.fixture
def room() -> Iterator[Room]:
    with ExitStack() as stack:
        opened = Room(stack)
        yield opened
    opened.loop.close()


def test_whoever_has_just_come_keeps_the_place(room: Room) -> None:
    for number in range(VIEWERS_MAX):
        room.enter(f"{number}")
    room.now = STAYS_S - 0.1
    with pytest.raises(Full, match=f"{VIEWERS_MAX} pages are open"):
        room.enter("more")
    assert room.left == []


def test_whoever_has_looked_the_longest_makes_room(room: Room) -> None:
    for number in range(VIEWERS_MAX):
        room.enter(f"{number}")
    room.now = STAYS_S
    room.enter("first")
    room.enter("second")
    assert room.left == ["0", "1"]


def test_a_symbol_makes_room_that_nobody_has_come_to_for_the_longest(room: Room) -> None:
    for number in range(SYMBOLS_MAX):
        room.enter(f"{number}", f"S{number}USDT")
    with pytest.raises(Full, match=f"{SYMBOLS_MAX} symbols"):
        room.enter("more", "MOREUSDT")
    room.now = STAYS_S
    room.enter("again", "S0USDT")
    room.enter("more", "MOREUSDT")
    assert room.left == ["1"]
    assert set(room.board.symbols()) == {"MOREUSDT", *(f"S{n}USDT" for n in (0, 2, 3, 4, 5, 6, 7))}


def test_places_are_counted_once_however_they_become_free() -> None:
    with ExitStack() as stack:
        room = Room(stack)
        for _ in range(3):
            for number in range(VIEWERS_MAX):
                room.enter(f"{number}", "BTCUSDT" if number % 2 else None)
                room.now += STAYS_S
    assert room.board.symbols() == ()
    with ExitStack() as stack:
        again = Room(stack)
        for number in range(VIEWERS_MAX):
            again.enter(f"{number}")
        assert again.left == []
    room.loop.close()
    again.loop.close()
