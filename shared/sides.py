"""The two sides of an order and of a position, and the sign that formulas use for them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Side(StrEnum):
    """The side of an order."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> Literal[1, -1]:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The side that closes what this side opened."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @property
    def position(self) -> PositionSide:
        """The position that an entry order of this side opens."""
        return PositionSide.LONG if self is Side.BUY else PositionSide.SHORT


class PositionSide(StrEnum):
    """The direction of an open position."""

    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> Literal[1, -1]:
        """+1 for LONG, -1 for SHORT."""
        return 1 if self is PositionSide.LONG else -1

    @property
    def entry(self) -> Side:
        """The order side that opens or adds to the position."""
        return Side.BUY if self is PositionSide.LONG else Side.SELL

    @property
    def exit(self) -> Side:
        """The order side that reduces the position."""
        return self.entry.opposite
