"""Settings: one TOML file, then the environment; every error names the setting by its path.

A section of the file is one daemon's, or one of those below. The environment overrides a single
value: `QUANTUM_HARVEST_BRAIN__COST_BPS=12` is `cost_bps` of `[harvest_brain]`, and two underscores
go one table deeper. `REDIS_URL` is `[redis] url`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from redis.connection import parse_url

from shared.redaction import keep_address, redact, shown_address
from shared.streams import PROGRAMS

CONFIG_VARIABLE = "QUANTUM_CONFIG"
_PREFIX = "QUANTUM_"
_NO_ADDRESS = (
    "must be an address such as redis://127.0.0.1:6379/0 or unix:///run/redis.sock, and odd "
    "characters of a password in it percent-encoded"
)
#: What the environment may say besides settings.
_NOT_SETTINGS = {CONFIG_VARIABLE}


class SettingsError(Exception):
    """A setting that cannot be used; the text says where it stands and what it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


class Section(BaseModel):
    """A table of the settings file; a name that is none of its own is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: Settings of this table that a daemon reads once, when it starts.
    fixed: ClassVar[frozenset[str]] = frozenset()


class RedisSettings(Section):
    """Where the server is."""

    fixed = frozenset({"url"})

    url: str = "redis://127.0.0.1:6379/0"

    @field_validator("url")
    @classmethod
    def _usable(cls, url: str) -> str:
        _, _, rest = url.partition("://")
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        try:
            parse_url(url)  # type: ignore[no-untyped-call]
        except ValueError:
            # What the parser says may hold a part of the password.
            raise ValueError(_NO_ADDRESS) from None
        if authority and "@" not in authority and "@" in rest:
            raise ValueError(_NO_ADDRESS)
        return url


class LogSettings(Section):
    """`format=auto` is readable lines in a terminal and JSON elsewhere."""

    fixed = frozenset({"level", "format"})

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class MetricsSettings(Section):
    """Each daemon serves /metrics on 127.0.0.1 at `base_port` plus its place in the ring.

    market_feed has the first port, the companions of the ring the last. 0 serves nothing.
    """

    fixed = frozenset({"base_port"})

    base_port: int = Field(default=9460, ge=0, le=65_000)

    def port_of(self, daemon: str) -> int:
        """The port of one daemon, or 0."""
        return self.base_port + PROGRAMS.index(daemon) if self.base_port else 0


class ClockSettings(Section):
    """A price that is further ahead of a reader's clock than `max_tick_ahead_s` is refused."""

    fixed = frozenset({"max_tick_ahead_s"})

    max_tick_ahead_s: float = Field(default=5, gt=0, le=3600)

    @property
    def max_tick_ahead(self) -> timedelta:
        """The same as a span of time."""
        return timedelta(seconds=self.max_tick_ahead_s)


_SHARED: dict[str, type[Section]] = {
    "redis": RedisSettings,
    "log": LogSettings,
    "metrics": MetricsSettings,
    "clock": ClockSettings,
}

T = TypeVar("T", bound=Section)


class Settings:
    """The tables as they were read; `section` checks one of them against its model."""

    def __init__(self, tables: Mapping[str, Any], origin: str) -> None:
        self._tables = tables
        self._read: dict[str, type[Section]] = {}
        self.origin = origin
        unknown = sorted(tables.keys() - {*_SHARED, *PROGRAMS})
        if unknown:
            known = ", ".join((*_SHARED, *PROGRAMS))
            raise SettingsError(f"{origin}: [{unknown[0]}] is no section; there are {known}")

    def section(self, name: str, model: type[T]) -> T:
        """Read one section.

        Raises:
            SettingsError: names file, path, value and what was expected, one line each.
        """
        self._read[name] = model
        try:
            return model.model_validate(self._tables.get(name, {}))
        except ValidationError as invalid:
            lines = [_line(self.origin, name, error) for error in invalid.errors()]
            raise SettingsError("\n".join(lines)) from None

    def changed(self, new: Settings) -> dict[str, bool]:
        """Each setting that `new` has otherwise, and whether it may change while a daemon runs.

        Only sections that were read of these settings count: the others are not this daemon's.

        Raises:
            SettingsError: `new` cannot be used.
        """
        changed = {}
        for name, model in tuple(self._read.items()):
            before, after = self.section(name, model), new.section(name, model)
            for field in model.model_fields:
                if getattr(before, field) != getattr(after, field):
                    changed[f"{name}.{field}"] = field not in model.fixed
        return changed

    def differ(self, new: Settings) -> bool:
        """Whether anything is otherwise in `new`, in whatever section, read or not."""
        return self._tables != new._tables

    @property
    def redis(self) -> RedisSettings:
        """`[redis]`."""
        return self.section("redis", RedisSettings)

    @property
    def log(self) -> LogSettings:
        """`[log]`."""
        return self.section("log", LogSettings)

    @property
    def metrics(self) -> MetricsSettings:
        """`[metrics]`."""
        return self.section("metrics", MetricsSettings)

    @property
    def clock(self) -> ClockSettings:
        """`[clock]`."""
        return self.section("clock", ClockSettings)


def _line(origin: str, section: str, error: Any) -> str:
    path = ".".join((section, *(str(part) for part in error["loc"])))
    given = "" if error["type"] == "missing" else f" (it is {_given(path, error['input'])})"
    if error["type"] == "extra_forbidden":
        return f"{origin}: {path}: there is no such setting"
    return f"{origin}: {path}: {error['msg']}{given}"


def _given(path: str, value: object) -> str:
    return shown_address(str(value)) if path == "redis.url" else repr(value)


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Read the settings from `path` (or `QUANTUM_CONFIG`, or none) and the environment.

    Raises:
        SettingsError: the file is missing or not TOML, or a name in it or in the environment is
            not known.
    """
    if path is None and environment.get(CONFIG_VARIABLE):
        path = Path(environment[CONFIG_VARIABLE])
    tables: dict[str, Any] = {}
    origin = "defaults and environment"
    if path is not None:
        origin = str(path)
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        except FileNotFoundError:
            raise SettingsError(f"{path}: there is no such settings file") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{path}: {error}") from None
    if environment.get("REDIS_URL"):
        _override(tables, "QUANTUM_REDIS__URL", environment["REDIS_URL"])
    for name, value in sorted(environment.items()):
        if name.startswith(_PREFIX) and name not in _NOT_SETTINGS:
            _override(tables, name, value)
    server = tables.get("redis")
    url = server.get("url") if isinstance(server, dict) else server
    if isinstance(url, str):
        keep_address(url)
    return Settings(tables, origin)


def _override(tables: dict[str, Any], name: str, value: str) -> None:
    words = name.removeprefix(_PREFIX).split("__")
    # A table `symbol` has the venue's names as keys, spelled as they are; all else is small.
    *path, last = (
        word if before.lower() == "symbol" else word.lower()
        for before, word in zip(("", *words), words, strict=False)
    )
    if not path:
        raise SettingsError(f"{name}: name a section and a setting, as in QUANTUM_LOG__LEVEL")
    table = tables
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SettingsError(f"{name}: {part} is a value, not a section")
    table[last] = _list(name, value) if value.startswith("[") else value


def _list(name: str, value: str) -> Any:
    """A list is written as in the file: `["BTCUSDT", "SOLUSDT"]`."""
    try:
        return tomllib.loads(f"value = {value}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{name}: {error}") from None
