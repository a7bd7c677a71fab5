"""Each alert fires, in a real Prometheus, when what it is for is brought about in a real ring.

One ring, one Prometheus, one evening on which everything goes wrong: a healthy ring first, which
raises no alert, and a watcher that hangs last. It is one test, as each scene goes on from the one
before, and so that the evening is gone through once.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared.cli.demo_market import write_candles
from shared.contracts import EntryIntent, MarketTick, encode
from shared.formulas import price_at_r
from shared.sides import PositionSide
from shared.streams import (
    DAEMONS,
    MARKET_TICK,
    MODE_KEY,
    PROGRAMS,
    TRADE_INTENT,
    VENUE_KEY,
    WATCH_KEY,
    position_key,
)
from tests.ring.live import (
    SEED,
    Live,
    a_ring,
    a_server,
    call,
    is_quiet,
    ladder,
)
from tests.ring.messages import golden, send
from tests.ring.test_metrics_and_logs import free_range

from .station import PROMETHEUS, Station, a_prometheus, rules

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")

SYMBOL = "RIVERUSDT"
#: How long the market is silent between two prices.
_PRICE_EVERY_S = 0.3
_SETTINGS = f"""{SEED}
[watcher]
settle_s = 1
rung_within_s = 2
outcome_within_s = 2
lag_within_s = 2
price_within_s = 2
heartbeat_within_s = 5
look_every_s = 0.3
"""


def at_r(r: float) -> Decimal:
    """The price at which the seeded position has this R, net of costs."""
    price = price_at_r(
        side=PositionSide.LONG,
        entry_price=Decimal("12.32"),
        r=Decimal(str(r)),
        risk_per_unit=Decimal("0.2464"),
        cost_bps=Decimal(10),
    )
    return price.quantize(Decimal("0.0001")) + Decimal("0.0001")


@dataclass
class Evening:
    """The ring, the market that the test makes for it, and the Prometheus that looks on."""

    live: Live
    station: Station
    price: Decimal | None = Decimal("12.32")
    stopped: list[int] = field(default_factory=list)
    fired: set[str] = field(default_factory=set)
    _next_price_at: float = 0.0
    _count: int = 0

    def turn(self) -> None:
        """Let the market go on: a price, if one is due."""
        if self.price is None or time.monotonic() < self._next_price_at:
            return
        self._next_price_at = time.monotonic() + _PRICE_EVERY_S
        self._count += 1
        now = datetime.now(UTC).replace(microsecond=0) + timedelta(milliseconds=self._count)
        tick = MarketTick(
            timestamp=now,
            produced_at=now,
            source="market_feed",
            tick_id=f"evening-{self._count}",
            symbol=SYMBOL,
            mark_price=self.price,
        )
        self.put(tick)

    def put(self, message: Any) -> None:
        """A message on its stream."""
        words = [word for pair in encode(message) for word in pair]
        call(self.live.client, "XADD", f"quantum:stream:{message.stream_name}", "*", *words)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for a condition while the market goes on."""

        def meanwhile() -> Any:
            self.turn()
            time.sleep(0.04)
            return condition()

        return self.live.until(meanwhile, what)

    def stop(self, program: str) -> None:
        """Let a program hang: it lives, and its loop does not turn."""
        pid = self.live.ring.pid(program)
        os.kill(pid, signal.SIGSTOP)
        self.stopped.append(pid)

    def fires(self, name: str, **labels: str) -> dict[str, Any]:
        """Wait until an alert fires with these labels."""

        def firing() -> dict[str, Any] | None:
            for alert in self.station.alerts().get(name, []):
                if labels.items() <= alert["labels"].items():
                    found: dict[str, Any] = alert
                    return found
            return None

        found: dict[str, Any] = self.until(firing, f"{name} {labels} to fire")
        self.fired.add(name)
        return found

    def says(self, field_: str) -> str:
        """Wait until `quantum:watch` has an alarm, and return its sentence."""
        value = self.until(lambda: self.live.client.hget(WATCH_KEY, field_), f"alarm {field_}")
        since, _, text = value.decode().partition(" ")
        assert abs((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds()) < 60
        return str(text)

    def record(self) -> dict[str, str]:
        """What `quantum:watch` says."""
        flat = call(self.live.client, "HGETALL", WATCH_KEY)
        return {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2], strict=True)}


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    folder = tmp_path
    base_port = free_range(len(PROGRAMS) + 1)
    with (
        a_server(folder, appendfsync="no") as server,
        a_ring(
            server,
            folder,
            settings=_SETTINGS,
            candles=write_candles(folder, [12.32])[0],
            until_end=False,
            environment={"QUANTUM_METRICS__BASE_PORT": str(base_port)},
            daemons=(*DAEMONS, "watcher"),
        ) as live,
        a_prometheus(
            folder / "prometheus", port=base_port + len(PROGRAMS), base_port=base_port
        ) as station,
    ):
        evening = Evening(live, station)
        try:
            yield evening
        finally:
            for pid in evening.stopped:
                os.kill(pid, signal.SIGCONT)


def a_healthy_ring_raises_no_alert_though_it_harvests(evening: Evening) -> None:
    live, station = evening.live, evening.station
    evening.until(lambda: len(station.query('up{job="quantum"} == 1')) == 7, "all targets")
    evening.until(lambda: is_quiet(live.client) and "seen_at" in evening.record(), "a quiet ring")
    evening.price = at_r(2.2)
    evening.until(lambda: [name for name, _ in ladder(live.client)] == ["PARTIAL_25"], "a rung")
    evening.until(lambda: is_quiet(live.client), "a quiet ring")
    began = time.monotonic()
    # Long enough for each alert to wait, to be judged, and to have passed every shortened limit.
    evening.until(lambda: time.monotonic() > began + 5, "five seconds")
    r = station.query(f'quantum_position_r_multiple{{symbol="{SYMBOL}"}}')
    assert float(r[0]["value"][1]) == pytest.approx(2.2, abs=0.01)
    assert station.query('ALERTS{alertname!=""}') == []
    assert evening.record().keys() == {"seen_at"}


def what_is_put_aside_stays_an_alert_until_somebody_looks(evening: Evening) -> None:
    send(evening.live.client, golden("market.tick.bare", mark_price="NaN"))
    alert = evening.fires("DeadLetters", stream="market.tick")
    assert alert["annotations"]["summary"] == "market.tick had messages that could not be read"
    assert "quantum dead list" in evening.says("dead_letters.market.tick")
    call(evening.live.client, "DEL", MARKET_TICK.dead_key)
    evening.until(lambda: "DeadLetters" not in evening.station.alerts(), "the end of the alert")
    assert "dead_letters.market.tick" not in evening.record()


def an_order_of_which_nobody_knows_and_a_venue_that_takes_no_entries(evening: Evening) -> None:
    unknown = {"unknown.e1-abc": f"{SYMBOL} ENTRY since 2026-07-01T00:00:00+00:00"}
    barred = {"entries": "barred", "barrier.ip_ban": "until 12:00"}
    words = [word for item in (unknown | barred).items() for word in item]
    call(evening.live.client, "HSET", VENUE_KEY, *words)
    evening.fires("UnknownOrder")
    evening.fires("EntriesBarred")
    assert "e1-abc" in evening.says(f"unknown_order.{SYMBOL}")
    call(evening.live.client, "HDEL", VENUE_KEY, "unknown.e1-abc", "barrier.ip_ban")


def a_switch_that_is_not_at_run(evening: Evening) -> None:
    call(evening.live.client, "SET", MODE_KEY, "EXITS_ONLY")
    evening.fires("ModeNotRun", mode="EXITS_ONLY")
    call(evening.live.client, "DEL", MODE_KEY)


def a_server_that_is_told_to_keep_nothing(evening: Evening) -> None:
    call(evening.live.client, "CONFIG", "SET", "appendonly", "no")
    evening.fires("RedisNotDurable")
    assert "no append-only file" in evening.says("redis_not_durable")
    call(evening.live.client, "CONFIG", "SET", "appendonly", "yes")
    evening.until(lambda: "redis_not_durable" not in evening.record(), "the end of the alarm")


def a_price_above_a_rung_while_nobody_harvests(evening: Evening) -> None:
    evening.stop("harvest_brain")
    evening.price = at_r(4.3)
    alert = evening.fires("RungNotTaken", symbol=SYMBOL)
    assert alert["annotations"]["summary"] == f"{SYMBOL} stands in profit and nobody sells"
    assert evening.says(f"rung_not_taken.{SYMBOL}").startswith(f"PARTIAL_50 of {SYMBOL} is due")
    evening.fires("GroupLags", stream="market.tick", group="harvest_brain")
    evening.fires("DaemonSilent", daemon="harvest_brain")
    assert "harvest_brain" in evening.says("group_lags.market.tick/harvest_brain")
    assert "it hangs" in evening.says("daemon_silent.harvest_brain")


def an_intent_that_nobody_answers(evening: Evening) -> None:
    evening.stop("intent_bridge")
    now = datetime.now(UTC).replace(microsecond=0)
    evening.put(
        EntryIntent(
            timestamp=now,
            produced_at=now,
            source="stranger",
            intent_id="stranger-1",
            intent_type="ENTRY",
            symbol="SOLUSDT",
            side="BUY",
            confidence=Decimal("0.7"),
            entry_price=Decimal(150),
            leverage=10,
            qty=Decimal(10),
        )
    )
    evening.fires("IntentWithoutOutcome")
    assert "ENTRY stranger-1" in evening.says("intent_without_outcome.SOLUSDT")
    evening.fires("GroupLags", stream=TRADE_INTENT.name, group="intent_bridge")


def a_position_that_has_lost_its_stop(evening: Evening) -> None:
    evening.stop("apply_layer")
    call(evening.live.client, "HDEL", position_key(SYMBOL), "stop_loss")
    evening.fires("PositionWithoutStop", symbol=SYMBOL)
    assert "stands without a stop" in evening.says(f"position_without_stop.{SYMBOL}")


def prices_that_do_not_come(evening: Evening) -> None:
    evening.price = None
    evening.fires("FeedStale", symbol=SYMBOL)
    assert f"no new price of {SYMBOL}" in evening.says(f"feed_stale.{SYMBOL}")


def a_program_that_is_gone(evening: Evening) -> None:
    pid = evening.live.ring.pid("exitbrain")
    os.kill(pid, signal.SIGSTOP)
    evening.stopped.append(pid)
    evening.fires("TargetDown", program="exitbrain")


def a_server_that_does_not_answer(evening: Evening) -> None:
    evening.live.server.kill()
    evening.fires("RedisUnreachable")
    assert "WatcherDown" not in evening.station.alerts()
    evening.live.server.restart()
    seen_at = evening.record()["seen_at"]
    evening.until(lambda: evening.record()["seen_at"] > seen_at, "another look")
    evening.until(lambda: "RedisUnreachable" not in evening.station.alerts(), "its end")


def a_watcher_that_hangs(evening: Evening) -> None:
    evening.stop("watcher")
    evening.fires("WatcherDown")


SCENES: tuple[Callable[[Evening], None], ...] = (
    a_healthy_ring_raises_no_alert_though_it_harvests,
    what_is_put_aside_stays_an_alert_until_somebody_looks,
    an_order_of_which_nobody_knows_and_a_venue_that_takes_no_entries,
    a_switch_that_is_not_at_run,
    a_server_that_is_told_to_keep_nothing,
    a_price_above_a_rung_while_nobody_harvests,
    an_intent_that_nobody_answers,
    a_position_that_has_lost_its_stop,
    prices_that_do_not_come,
    a_program_that_is_gone,
    a_server_that_does_not_answer,
    a_watcher_that_hangs,
)


def test_each_alert_fires_when_what_it_is_for_comes_about_and_not_before(evening: Evening) -> None:
    for scene in SCENES:
        scene(evening)
    assert evening.fired == {rule.name for rule in rules()}
