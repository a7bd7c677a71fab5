"""Settings that are read again while a daemon runs: taken over whole, or refused whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.apply_layer.settings import ApplyLayerSettings
from services.intent_bridge.settings import IntentBridgeSettings
from services.market_feed.settings import MarketFeedSettings
from shared.reload import Reload
from shared.runner import Runner
from shared.settings import Settings, load
from shared.streams import APPLY_PLAN, TRADE_INTENT
from shared.systemd import Supervisor
from tests.ring.live import now_text
from tests.runner.counting import Policy, add_ticks, service
from tests.worlds import RedisWorld, World

from .manager import Manager, a_manager


class Bridge:
    """intent_bridge on its settings file, and what it makes of one entry after the other."""

    def __init__(self, world: RedisWorld, manager: Manager, folder: Path) -> None:
        self.world = world
        self.manager = manager
        self.file = folder / "quantum.toml"
        self._sent = 0

    def says(self, limit: str, *, more: str = "") -> None:
        """Write the settings file: how old an intent may be, in seconds."""
        text = f'[redis]\nurl = "{self.world.url}"\n[intent_bridge]\nmax_ahead_s = 1\n{more}'
        self.file.write_text(f"{text}max_intent_age_s = {limit}\n", encoding="utf-8")

    def start(self) -> None:
        environment = {"QUANTUM_CONFIG": str(self.file)}
        self.manager.start("-m", "services.intent_bridge", environment=environment)
        self.manager.until_said("READY=1")

    def reload(self, event: str, times: int = 1) -> dict[str, Any]:
        """Ask for it, and wait until the log tells how it ended; returns what it tells."""
        self.manager.signal(signal.SIGHUP)
        self.manager.until(lambda: len(self.manager.events(event)) >= times, event)
        return self.manager.events(event)[-1]

    def decides(self, age_s: int) -> str:
        """Why an entry of this age is refused: it is too old, or else its symbol is unknown."""
        self._sent += 1
        symbol = f"T{self._sent}USDT"
        intent = {
            "version": "1", "source": "test", "intent_id": f"i-{self._sent}", "symbol": symbol,
            "intent_type": "ENTRY", "side": "BUY", "confidence": "0.6", "entry_price": "100",
            "leverage": "10", "position_size_usd": "500",
            "timestamp": now_text(-age_s), "produced_at": now_text(-age_s),
        }  # fmt: skip
        self.world.add(TRADE_INTENT.key, intent)
        plans = self.manager.until(
            lambda: [p for p in self.world.entries(APPLY_PLAN.key) if p["symbol"] == symbol],
            f"a plan for {symbol}",
        )
        return plans[0]["reason"]


@pytest.fixture
def bridge(redis_world: RedisWorld, tmp_path: Path) -> Iterator[Bridge]:
    with a_manager(tmp_path) as manager:
        running = Bridge(redis_world, manager, tmp_path)
        running.says("100")
        running.start()
        yield running


def test_valid_settings_are_taken_over_by_the_same_process_and_systemd_is_told(
    bridge: Bridge,
) -> None:
    assert bridge.decides(50) == "rules_unknown"
    bridge.says("20")
    told = bridge.reload("reloaded")
    assert told["changed"] == ["intent_bridge.max_intent_age_s"]
    assert bridge.decides(50) == "stale_intent"
    bridge.manager.until_said("READY=1", times=2)
    said = bridge.manager.said
    began = said.index("RELOADING=1")
    assert said[began + 1].startswith("MONOTONIC_USEC=")
    assert "READY=1" in said[began + 2 :]
    assert len(bridge.manager.events("started")) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[intent_bridge]\nmax_order_notional = -1\n", "intent_bridge.max_order_notional"),
        ("[intent_bridge]\nmax_order_notinal = 1\n", "intent_bridge.max_order_notinal"),
        ("[intent_bridge\n", "quantum.toml"),
        ("[harvest]\n", "[harvest] is no section"),
        (None, "there is no such settings file"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_the_reason_and_the_old_ones_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, reason: str
) -> None:
    reload = a_reload(monkeypatch, tmp_path, "[intent_bridge]\nmax_order_notional = 5\n")
    write(tmp_path, text)
    reload.ask()
    with capture_logs() as logs:
        assert reload.take() is None
    assert [line["event"] for line in logs] == ["reload_refused"]
    assert reason in logs[0]["reason"]


def test_a_refusal_shows_until_the_file_is_mended(bridge: Bridge) -> None:
    good = bridge.file.read_text()
    bridge.says("20", more="max_open_positions = 0\n")
    told = bridge.reload("reload_refused")
    assert "intent_bridge.max_open_positions: " in told["reason"]
    assert bridge.decides(50) == "rules_unknown"
    bridge.manager.until(
        lambda: any("new settings are refused: " in line for line in bridge.manager.said),
        "a status that says so",
    )
    bridge.file.write_text(good, encoding="utf-8")
    bridge.reload("reloaded")
    shown = len(bridge.manager.said)
    bridge.manager.until(
        lambda: "STATUS=runs" in bridge.manager.said[shown:], "a status without the remark"
    )


def test_a_file_that_changes_what_cannot_change_is_named_and_nothing_of_it_is_taken(
    bridge: Bridge,
) -> None:
    bridge.says("20")
    text = bridge.file.read_text().replace("unix://", "unix://operator@")
    bridge.file.write_text(f"{text}[log]\nlevel = 'debug'\n", encoding="utf-8")
    told = bridge.reload("reload_refused")
    assert "log.level, redis.url cannot change while it runs: restart it" in told["reason"]
    assert bridge.decides(50) == "rules_unknown"


def test_of_two_in_a_row_the_last_one_holds(bridge: Bridge) -> None:
    for limit in ("40", "30", "20"):
        bridge.says(limit)
        bridge.manager.signal(signal.SIGHUP)
    bridge.manager.until(
        lambda: bridge.decides(25) == "stale_intent", "the limit that was written last"
    )
    bridge.says("100")
    bridge.manager.signal(signal.SIGHUP)
    bridge.manager.until(lambda: bridge.decides(25) == "rules_unknown", "the next one")


def test_a_batch_is_decided_by_the_policy_that_it_began_with(world: World) -> None:
    """The signal comes while the first message of three is being decided."""
    decided: list[tuple[str, str]] = []
    asked: list[Policy] = []
    new = Policy(on_decide=lambda tick_id: decided.append((tick_id, "new")))

    def old(tick_id: str) -> None:
        decided.append((tick_id, "old"))
        asked[:] = [new]

    stop = threading.Event()
    runner = Runner(
        service(Policy(on_decide=old)),
        world.bus("harvest_brain"),
        stop=stop,
        reload=lambda: asked.pop() if asked else None,
    )
    runner.start()
    add_ticks(world, "t1", "t2", "t3")
    runner.turn(block_ms=1)
    add_ticks(world, "t4")
    runner.turn(block_ms=1)
    assert decided == [("t1", "old"), ("t2", "old"), ("t3", "old"), ("t4", "new")]


def test_who_did_not_ask_gets_nothing_and_who_asked_gets_it_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reload = a_reload(monkeypatch, tmp_path, "[intent_bridge]\nmax_order_notional = 5\n")
    assert reload.take() is None
    reload.ask()
    reload.ask()
    write(tmp_path, "[intent_bridge]\nmax_order_notional = 6\n")
    policy = reload.take()
    assert policy is not None
    assert policy.max_order_notional == 6
    assert reload.take() is None


def test_what_other_daemons_read_is_no_reason_to_refuse(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reload = a_reload(monkeypatch, tmp_path, '[apply_layer]\nvenue = "paper"\n')
    write(tmp_path, '[apply_layer]\nvenue = "binance-usdm"\n[market_feed]\nspeed = "no number"\n')
    reload.ask()
    assert reload.take() is not None


def test_a_daemon_that_decides_by_nothing_refuses_every_change_and_takes_none_for_granted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path, "[market_feed]\nspeed = 1\n")
    monkeypatch.setenv("QUANTUM_CONFIG", str(tmp_path / "quantum.toml"))
    settings = load(None, {"QUANTUM_CONFIG": str(tmp_path / "quantum.toml")})
    settings.section("market_feed", MarketFeedSettings)
    reload = Reload[None](settings, Supervisor())
    reload.ask()
    with capture_logs() as logs:
        reload.take()
        write(tmp_path, "[market_feed]\nspeed = 2\n")
        reload.ask()
        reload.take()
    assert [line["event"] for line in logs] == ["reloaded", "reload_refused"]
    assert "market_feed.speed cannot change while it runs" in logs[1]["reason"]


def test_a_companion_ends_in_order_to_be_started_on_settings_that_can_be_used(
    redis_world: RedisWorld, tmp_path: Path
) -> None:
    with a_manager(tmp_path) as manager:
        environment = {
            "QUANTUM_CONFIG": str(tmp_path / "quantum.toml"), "REDIS_URL": redis_world.url,
        }  # fmt: skip
        write(tmp_path, "[harvest_brain]\ncost_bps = 10\n")
        manager.start("-m", "services.watcher", environment=environment)
        manager.until_said("READY=1")
        write(tmp_path, "[watcher]\nlook_every = 1\n")
        manager.signal(signal.SIGHUP)
        manager.until(lambda: manager.events("reload_refused"), "a refusal")
        write(tmp_path, "[harvest_brain]\ncost_bps = 11\n")
        manager.signal(signal.SIGHUP)
        assert manager.ends() == 0
        assert len(manager.events("begins_anew")) == 1


@pytest.mark.parametrize(
    ("new", "may_change"),
    [
        ({"naked_limit_s": 3}, True),
        ({"adopt": False}, True),
        ({"take_profit_mode": "bracket"}, True),
        ({"venue": "binance-usdm"}, False),
        ({"symbols": ["BTCUSDT"]}, False),
        ({"paper": {"initial_wallet": 5}}, False),
        ({"live": {"recv_window_ms": 100}}, False),
    ],
)
def test_a_venue_its_symbols_and_its_money_need_a_restart(
    new: dict[str, Any], may_change: bool
) -> None:
    before = Settings({}, "before")
    before.section("apply_layer", ApplyLayerSettings)
    [name] = new
    after = Settings({"apply_layer": new}, "after")
    assert before.changed(after) == {f"apply_layer.{name}": may_change}


def a_reload(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Reload[Any]:
    """What intent_bridge does on SIGHUP, with `text` as the settings it runs on."""
    write(folder, text)
    environment = {"QUANTUM_CONFIG": str(folder / "quantum.toml")}
    monkeypatch.setenv("QUANTUM_CONFIG", environment["QUANTUM_CONFIG"])

    def policy(settings: Settings) -> Any:
        return settings.section("intent_bridge", IntentBridgeSettings).policy()

    settings = load(None, environment)
    policy(settings)
    return Reload(settings, Supervisor(), policy)


def write(folder: Path, text: str | None) -> None:
    """The settings file as `text`, or none at all."""
    file = folder / "quantum.toml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text, encoding="utf-8")
