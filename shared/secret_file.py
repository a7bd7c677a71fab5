"""Secrets are read from files that only their owner reads; what is wrong is said without them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from shared.settings import SettingsError

_LONGEST = 16_384


def read_secret(path: Path, *, private: str | None = None) -> str:
    """The text of a file; `private` says what is in it that nobody but this user or root may read.

    What systemd made for a unit as its credential is that unit's alone, and needs no such look.

    Raises:
        SettingsError: it cannot be read, or others may read it.
    """
    try:
        with path.open(encoding="ascii") as file:
            found = os.fstat(file.fileno())
            by_others = stat.S_IMODE(found.st_mode) & 0o077
            if private and (by_others or found.st_uid not in (os.geteuid(), 0)):
                raise SettingsError(
                    f"{path}: others may read {private}: chown it to this user, chmod 600"
                )
            return file.read(_LONGEST)
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not plain ASCII") from None
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
