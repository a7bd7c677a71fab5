"""`[dashboard]`: where the page is served, to whom, and how often it looks."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from shared.settings import Section

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)


class DashboardSettings(Section):
    """The page is served on 127.0.0.1 alone; 0 takes any port that is free and logs which.

    `host_names` are names besides localhost by which a browser may ask, such as that of a proxy on
    this machine. `refresh_s` is how often the ring is looked at, `why_every_s` how often at most
    the whole story of one symbol is read, which costs more.
    """

    port: int = Field(default=9480, ge=0, le=65_535)
    host_names: tuple[str, ...] = ()
    refresh_s: float = Field(default=1.0, ge=0.1, le=10)
    why_every_s: float = Field(default=3.0, ge=0.1, le=60)

    @field_validator("host_names")
    @classmethod
    def _plain(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no host name in small letters, without a port")
        return names
