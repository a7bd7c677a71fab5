"""Keys come from where only their owner reads, and show themselves to nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.apply_layer.binance.credentials import Keys, read_keys
from shared.settings import SettingsError

KEY, SECRET = "canary-key-1234", "canary-secret-5678"


def key_file(folder: Path, text: str = f'key = "{KEY}"\nsecret = "{SECRET}"\n') -> Path:
    path = folder / "keys.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_file_of_mode_0600_is_read(tmp_path: Path) -> None:
    keys = read_keys(key_file(tmp_path), None)
    assert (keys.key, keys.secret) == (KEY, SECRET)


def test_the_credentials_of_systemd_are_read(tmp_path: Path) -> None:
    (tmp_path / "binance-key").write_text(KEY + "\n")
    (tmp_path / "binance-secret").write_text(SECRET)
    assert read_keys(None, str(tmp_path)) == Keys(KEY, SECRET)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path)
    path.chmod(mode)
    with pytest.raises(SettingsError, match="chmod 600"):
        read_keys(path, None)


@pytest.mark.parametrize(
    "text", [f"key = {KEY}", f'key = "{KEY}"', f'key = "{KEY}"\nsecret = ""', "\u00e9", ""]
)
def test_a_file_that_holds_no_keys_is_refused_without_showing_what_it_holds(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read_keys(key_file(tmp_path, text), None)
    assert KEY not in str(refused.value)
    assert refused.value.__cause__ is None


def test_without_keys_it_is_said_where_they_belong() -> None:
    with pytest.raises(SettingsError, match="key_file"):
        read_keys(None, None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"keys\.toml: No such file"):
        read_keys(tmp_path / "keys.toml", None)


def test_keys_do_not_show_themselves() -> None:
    shown = repr(Keys(KEY, SECRET)) + str(Keys(KEY, SECRET))
    assert KEY not in shown
    assert SECRET not in shown
