"""Where notices go: from systemd's credentials or from a file that only its owner reads.

The addresses bear tokens. They are never in the settings, the environment, an argument or a log;
a receiver is named by its place in the file and the scheme of its address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from shared.redaction import keep_secret
from shared.secret_file import read_secret
from shared.settings import SettingsError

CREDENTIAL = "notices"
WHERE_THEY_BELONG = (
    "no receivers: set notifier.receivers_file to a file of mode 0600 with an address a line, or "
    f"let systemd load the credential {CREDENTIAL}"
)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}(?=://.)", re.IGNORECASE)
#: What stands between the parts of an address, of which any may be a token.
_PARTS = re.compile(r"[/?#@:&=]")
#: More receivers than a person has.
_MOST = 20


@dataclass(frozen=True, slots=True)
class Address:
    """One receiver; `url` is a secret."""

    name: str
    url: str = field(repr=False)


def read_addresses(receivers_file: str | None, credentials: str | None) -> list[Address]:
    """Read the receivers from `receivers_file`, or else from systemd's credentials directory.

    One address a line, in the form of apprise; empty lines and those that begin with # are left
    out. There may be none: then nobody is told.

    Raises:
        SettingsError: they cannot be read, or others may read them; never shows an address.
    """
    if receivers_file is not None:
        path = Path(receivers_file)
        text = read_secret(path, private="the addresses")
    elif credentials is not None:
        path = Path(credentials) / CREDENTIAL
        text = read_secret(path)
    else:
        return []
    lines = [line.strip() for line in text.splitlines()]
    for line in lines:
        # Which part of an address is its token, only its service knows.
        keep_secret(line, line.partition("://")[2], *_PARTS.split(line.partition("://")[2]))
    addresses = [
        _address(path, number, line)
        for number, line in enumerate(lines, start=1)
        if line and not line.startswith("#")
    ]
    if len(addresses) > _MOST:
        raise SettingsError(f"{path}: holds {len(addresses)} addresses; {_MOST} can be told")
    return addresses


def _address(path: Path, number: int, line: str) -> Address:
    scheme = _SCHEME.match(line)
    if scheme is None:
        raise SettingsError(f"{path}: line {number} is no address, such as json://host/path")
    return Address(f"{number} {scheme[0].lower()}", line)
