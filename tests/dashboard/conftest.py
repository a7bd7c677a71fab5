"""A ring, its page and a browser, each as a test asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from shared.server import LocalServer
from tests.cli.asking import SHOWN_AT_ONCE
from tests.cli.small_ring import SYMBOL, SmallRing, a_small_ring, at_r, seed
from tests.dashboard.browser import Page, a_browser, chromium
from tests.dashboard.site import a_dashboard


def price(ring: SmallRing, r: str, *, age_s: float = 0) -> None:
    """A price at so many R, of a market time so long ago, and all that follows from it."""
    now = ring.now()
    at = now - timedelta(seconds=age_s)
    symbol = ring.settings["apply_layer"]["paper"]["position"][0]["symbol"]
    ring.put(ring.price(at_r(r), at=at, produced_at=now, symbol=symbol))
    ring.settle()


@pytest.fixture
def symbol(request: pytest.FixtureRequest) -> str:
    """The symbol of the position; one of a test's own has no prices of earlier tests."""
    return str(getattr(request, "param", SYMBOL))


@pytest.fixture
def ring(redis_url: str, symbol: str) -> Iterator[SmallRing]:
    """The reference position, at its entry."""
    with a_small_ring(redis_url, seed(symbol=symbol) | SHOWN_AT_ONCE) as ring:
        price(ring, "0", age_s=60)
        yield ring


@pytest.fixture(scope="session")
def site(redis_server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page of whatever stands on the server of this test process."""
    more = {"QUANTUM_DASHBOARD__HOST_NAMES": '["ring.example"]'}
    with a_dashboard(redis_server.url, tmp_path_factory.mktemp("dashboard"), more) as address:
        yield address


@pytest.fixture(scope="session")
def new_page() -> Iterator[Callable[[], Page]]:
    """Opens a tab in a browser that all tests of this process share."""
    if chromium() is None:
        pytest.skip("needs Chromium: apt install chromium")
    with a_browser() as opened:
        yield opened


@pytest.fixture
def page(new_page: Callable[[], Page]) -> Iterator[Page]:
    """A tab, about which a browser must have had nothing to complain."""
    tab = new_page()
    tab.look(1440, 1000)
    yield tab
    tab.close()
    assert tab.complaints == []
