"""One double for each test, and a bare client for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.apply_layer.double import Double

from .raw import Raw, config


@pytest.fixture
def venue() -> Iterator[Double]:
    with Double.start(config()) as running:
        yield running


@pytest.fixture
def raw(venue: Double) -> Raw:
    return Raw(venue)
