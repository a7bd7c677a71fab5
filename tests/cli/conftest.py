"""The ring that the commands are asked about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .asking import Open
from .small_ring import SmallRing, a_small_ring


@pytest.fixture
def open_ring(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens a ring that ends with the test; its server is the one that the commands ask."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "160")
    opened: list[Any] = []

    def opener(settings: dict[str, Any] | None = None) -> SmallRing:
        opened.append(a_small_ring(redis_url, settings))
        ring: SmallRing = opened[-1].__enter__()
        return ring

    yield opener
    for ring in opened:
        ring.__exit__(None, None, None)
