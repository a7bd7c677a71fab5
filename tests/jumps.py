"""Clocks that jump, for the properties of every daemon: seconds that are added to a wall clock."""

from __future__ import annotations

from hypothesis import strategies as st

#: How far a clock jumps, either way: an adjustment, a wrong zone, a wrong day.
JUMPS_S = st.sampled_from([s * sign for s in (2, 30, 3600, 86_400) for sign in (1, -1)])
#: One wrong price among right ones, as a factor.
WRONG = ("1.25", "0.75", "10", "0.1")
