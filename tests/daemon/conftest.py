"""Who listens in systemd's place, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .ear import Ear


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """A socket that hears what is said to it."""
    listening = Ear(str(tmp_path / "notify"))
    yield listening
    listening.close()


@pytest.fixture
def given(tmp_path: Path, ear: Ear) -> dict[str, str]:
    """What systemd says to a process about that socket."""
    return {"NOTIFY_SOCKET": str(tmp_path / "notify")}
