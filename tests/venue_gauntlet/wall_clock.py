"""The wall clock of a life, which the run may set while the life goes on.

By how much it is off stands in a file that all processes of a run map into their memory. What a
life measures by (`monotonic`) is not touched, as no hand sets that either.
"""

from __future__ import annotations

import mmap
import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared import clock

_OFFSET = struct.Struct("d")


class WallClock:
    """By how much the wall clock is off, in seconds; any process of the run may read or set it."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, _OFFSET.size)
        self._shared = mmap.mmap(descriptor, _OFFSET.size)
        os.close(descriptor)

    def step(self, by_s: float) -> None:
        """Set the clock by so much."""
        _OFFSET.pack_into(self._shared, 0, self.off_s() + by_s)

    def off_s(self) -> float:
        """By how much it is off now."""
        return float(_OFFSET.unpack_from(self._shared, 0)[0])

    def close(self) -> None:
        """Let go of the file."""
        self._shared.close()

    def rule(self) -> None:
        """Make it the wall clock of this process."""

        def wall() -> datetime:
            return datetime.now(UTC) + timedelta(seconds=self.off_s())

        # A new one in its place: it starts at what the wall clock says now, as in a new process.
        clock.CLOCK.__init__(wall)  # type: ignore[misc]
