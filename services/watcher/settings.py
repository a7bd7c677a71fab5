"""`[watcher]`: how long anything may stand before it is an alarm in `quantum:watch`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import Field

from services.watcher.state import Policy
from shared.settings import Section
from shared.why.picture import Terms


class WatcherSettings(Section):
    """Times in seconds of wall clock.

    A rung that was reached is taken within `rung_within_s`, a position has a stop within
    `stop_within_s`, an intent its outcome within `outcome_within_s`. No message waits longer than
    `lag_within_s`, no price is older than `price_within_s`, no heartbeat than `heartbeat_within_s`,
    and the venue bars entries no longer than `barred_within_s`.
    It looks every `look_every_s`, judges nothing before `settle_s` have passed since its start, and
    reads the streams back for `read_back_s` then.
    """

    rung_within_s: float = Field(default=60, gt=0)
    stop_within_s: float = Field(default=2, ge=0)
    outcome_within_s: float = Field(default=30, gt=0)
    lag_within_s: float = Field(default=10, gt=0)
    price_within_s: float = Field(default=30, gt=0)
    heartbeat_within_s: float = Field(default=15, ge=5)
    barred_within_s: float = Field(default=10, ge=0)
    look_every_s: float = Field(default=1, gt=0, le=10)
    settle_s: float = Field(default=10, ge=0)
    read_back_s: float = Field(default=3600, ge=600)

    def policy(
        self,
        symbols: Iterable[str] = (),
        terms_of: Callable[[str], Terms] = lambda _symbol: Terms(),
    ) -> Policy:
        """What the decider goes by; `symbols` and `terms_of` come from other sections."""
        own: dict[str, Any] = self.model_dump(exclude={"look_every_s"})
        return Policy(symbols=frozenset(symbols), terms_of=terms_of, **own)
