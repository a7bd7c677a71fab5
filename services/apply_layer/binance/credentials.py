"""The keys of the account: from systemd's credentials or from a file that only its owner reads.

Never from the command line or the environment, and never printed: a `Keys` shows itself without
them.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from shared.redaction import keep_secret
from shared.secret_file import read_secret
from shared.settings import SettingsError

_KEY_NAME, _SECRET_NAME = "binance-key", "binance-secret"


@dataclass(frozen=True, slots=True)
class Keys:
    """An API key and its secret."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


def read_keys(key_file: Path | None, credentials: str | None) -> Keys:
    """Read the keys from `key_file`, or else from systemd's credentials directory.

    The file is TOML with `key` and `secret`, mode 0600. In the directory they are the credentials
    `binance-key` and `binance-secret`.

    Raises:
        SettingsError: there are none, or others may read them; says what to do, never a key.
    """
    if key_file is not None:
        return _from_file(key_file)
    if credentials is not None:
        folder = Path(credentials)
        return _keys(
            str(folder),
            read_secret(folder / _KEY_NAME).strip(),
            read_secret(folder / _SECRET_NAME).strip(),
        )
    raise SettingsError(
        "apply_layer.live: no keys: set key_file to a file of mode 0600, or let systemd load the "
        f"credentials {_KEY_NAME} and {_SECRET_NAME}"
    )


def _from_file(path: Path) -> Keys:
    text = read_secret(path, private="the keys")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        # The decoder's message may quote the line, and with it a key.
        raise SettingsError(
            f'{path}: not TOML; it holds two lines: key = "…" secret = "…"'
        ) from None
    return _keys(str(path), table.get("key"), table.get("secret"))


def _keys(origin: str, key: object, secret: object) -> Keys:
    if not isinstance(key, str) or not isinstance(secret, str) or not key or not secret:
        raise SettingsError(f"{origin}: key or secret is missing")
    keep_secret(key, secret)
    return Keys(key, secret)
