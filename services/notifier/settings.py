"""`[notifier]`: who is told, of what, how much of it and at which hours."""

from __future__ import annotations

import re
from datetime import time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from services.notifier.outbox import Policy, Quiet
from services.notifier.values import Kind, Severity
from shared.contracts.fields import Symbol
from shared.settings import Section

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class NotifierSettings(Section):
    """Times in seconds. An empty `kinds` or `symbols` means all; what is urgent is always told.

    `receivers_file` holds addresses in the form of apprise, one a line, and with them secrets: so
    it has the mode 0600. Under systemd the credential `notices` is in its place.
    """

    receivers_file: str | None = None
    kinds: tuple[Kind, ...] = ()
    symbols: tuple[Symbol, ...] = ()
    min_severity: Literal["info", "warning", "urgent"] = "info"
    quiet_hours: str = ""
    time_zone: str = "UTC"
    per_minute: int = Field(default=20, ge=1, le=60)
    burst: int = Field(default=5, ge=1, le=60)
    gather_s: float = Field(default=15, ge=0, le=3600)
    stale_after_s: float = Field(default=600, ge=10)
    timeout_s: float = Field(default=15, ge=1, le=25)

    @field_validator("quiet_hours")
    @classmethod
    def _hours(cls, text: str) -> str:
        hours = _HOURS.fullmatch(text)
        if text and (hours is None or hours.groups()[:2] == hours.groups()[2:]):
            raise ValueError('name two times of day, such as "22:00-07:00"')
        return text

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                'no zone that this machine knows, as "Europe/Berlin" is one (apt install tzdata)'
            ) from None
        return name

    def policy(self) -> Policy:
        """What the decider goes by."""
        hours = _HOURS.fullmatch(self.quiet_hours)
        quiet = None
        if hours is not None:
            first, second, third, fourth = map(int, hours.groups())
            quiet = Quiet(time(first, second), time(third, fourth))
        return Policy(
            kinds=frozenset(self.kinds),
            symbols=frozenset(self.symbols),
            min_severity=Severity[self.min_severity.upper()],
            quiet=quiet,
            zone=ZoneInfo(self.time_zone),
            per_minute=self.per_minute,
            burst=self.burst,
            gather=timedelta(seconds=self.gather_s),
            stale_after=timedelta(seconds=self.stale_after_s),
        )
