"""Messages that keep to the contract field by field and make no sense as a whole.

Nobody may crash, hang or go blind over one of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from shared import log
from shared.bus import MemoryServer
from shared.streams import harvest_key

from .live import now_text
from .memory import ENTERED, HELD, READERS, Sim
from .messages import Sample, golden


@pytest.fixture(autouse=True)
def _quiet_logs() -> Iterator[None]:
    log.configure(daemon="simulation", level="critical")
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def sim() -> Sim:
    """A quiet ring with two open positions."""
    started = Sim(1, crash_share=0.0)
    started.run_until_the_entry()
    return started


def sent(sim: Sim, message: Sample) -> MemoryServer:
    """Send it, and let every daemon do all that follows from it."""
    sim.server.add(message.stream.key, message.flat)
    for _ in range(50):
        for daemon in READERS:
            sim.turn(daemon)
        if sim.quiet:
            return sim.server
    raise AssertionError("it does not come to rest")


HOLES = {
    "an open position without its side": golden(
        "apply.result.adopted", symbol="BTCUSDT", result_id="h.1"
    ).without("position_side"),
    "an open position without its id": golden(
        "apply.result.adopted", symbol="BTCUSDT", result_id="h.2"
    ).without("position_id"),
    "a price beyond every market": golden(
        "market.tick.bare", symbol=HELD, tick_id="h.3", mark_price="999999999999999999"
    ),
    "a maintenance margin of everything": golden(
        "apply.plan.awaiting_exits", plan_id="h.7", maintenance_margin_rate="1"
    ),
    "a position without risk": golden(
        "apply.result.adopted",
        symbol="BTCUSDT",
        result_id="h.4",
        position_initial_stop="104252.40",
    ),
}


@pytest.mark.parametrize("message", HOLES.values(), ids=HOLES.keys())
def test_a_message_that_makes_no_sense_ends_nobody(sim: Sim, message: Sample) -> None:
    tick = golden("market.tick.bare", symbol=message.fields["symbol"], timestamp=now_text())
    sent(sim, message)
    sent(sim, tick.but(mark_price="0.0001", tick_id="after"))


def test_a_price_of_a_far_future_is_refused_and_blinds_nobody(sim: Sim) -> None:
    future = golden(
        "market.tick.bare", symbol=ENTERED, tick_id="h.5", timestamp="2090-01-01T00:00:00.000Z"
    )
    server = sent(sim, future)
    (letter,) = server.entries(future.stream.dead_key)
    assert letter["code"] == "ahead_of_time"
    assert not any(
        b"2090" in document for state in server.hashes.values() for document in state.values()
    )


def test_a_price_of_a_distant_past_changes_nothing(sim: Sim) -> None:
    before = dict(sim.server.hashes[harvest_key(HELD)])
    past = golden(
        "market.tick.bare", symbol=HELD, tick_id="h.6", timestamp="0001-01-01T00:00:00.000Z",
        mark_price="0.0001",
    )  # fmt: skip
    server = sent(sim, past)
    assert server.hashes[harvest_key(HELD)] == before
    assert sim.fills(HELD) == []
