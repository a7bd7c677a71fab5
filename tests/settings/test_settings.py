"""Settings: a file, then the environment; every error names the file, the path and what to do."""

from __future__ import annotations

import importlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.apply_layer.settings import ApplyLayerSettings
from services.exitbrain.settings import ExitbrainSettings
from services.harvest_brain.settings import HarvestBrainSettings
from services.intent_bridge.settings import IntentBridgeSettings
from services.market_feed.settings import MarketFeedSettings
from services.trading_bot.settings import TradingBotSettings
from shared.sections import settings_of
from shared.settings import Settings, SettingsError, load
from shared.streams import DAEMONS, PROGRAMS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "quantum.toml"


def read(file: Path, text: str, **environment: str) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load(file, environment)


def error_of(daemon: str, settings: Settings) -> str:
    """What is said when a daemon asks for its section."""
    with pytest.raises(SettingsError) as refused:
        settings_of(daemon, settings)
    return str(refused.value)


def harvest(settings: Settings) -> HarvestBrainSettings:
    return settings.section("harvest_brain", HarvestBrainSettings)


def test_without_a_file_every_daemon_has_its_defaults_and_builds_a_policy() -> None:
    settings = load(None, {})
    assert settings.origin == "defaults and environment"
    for daemon in DAEMONS:
        own: Any = settings_of(daemon, settings)
        policy = importlib.import_module(type(own.policy()).__module__)
        assert policy.__name__.startswith(f"services.{daemon}.")
    assert settings.redis.url == "redis://127.0.0.1:6379/0"
    assert settings.log.level == "info"
    ports = [settings.metrics.port_of(daemon) for daemon in DAEMONS]
    assert ports == [9460, 9461, 9462, 9463, 9464, 9465]


def test_the_policies_hold_what_the_file_says(file: Path) -> None:
    settings = read(
        file,
        """
        [harvest_brain]
        cost_bps = 7.5
        rungs_r = [1, 2.5, 5]
        [harvest_brain.symbol.SOLUSDT]
        cost_bps = 12
        [intent_bridge]
        symbols = ["BTCUSDT", "SOLUSDT"]
        [intent_bridge.symbol.SOLUSDT]
        max_leverage = 5
        [trading_bot.symbol.SOLUSDT]
        leverage = 3
        [apply_layer.paper.symbol.RIVERUSDT]
        tick_size = 0.001
        [apply_layer]
        symbols = ["PEPEUSDT"]
        [market_feed]
        speed = "max"
        """,
    )
    policy = harvest(settings).policy()
    # A number of the file never passes through binary: 7.5 is exactly 7.5.
    assert policy.cost_bps == Decimal("7.5")
    assert [rung.r_level for rung in policy.ladder] == [Decimal(1), Decimal("2.5"), Decimal(5)]
    assert policy.of("SOLUSDT").cost_bps == 12
    assert policy.of("SOLUSDT").ladder == policy.ladder
    assert policy.of("BTCUSDT").cost_bps == Decimal("7.5")
    bridge = settings.section("intent_bridge", IntentBridgeSettings).policy()
    assert bridge.symbols == ("BTCUSDT", "SOLUSDT")
    assert bridge.max_leverage == {"SOLUSDT": 5}
    bot = settings.section("trading_bot", TradingBotSettings).policy()
    assert bot.overrides["SOLUSDT"].leverage == 3
    venue = settings.section("apply_layer", ApplyLayerSettings).paper_policy()
    assert venue.rules["RIVERUSDT"].tick_size == Decimal("0.001")
    assert venue.rules["RIVERUSDT"].lot_step == Decimal("0.01")
    assert "PEPEUSDT" in venue.rules
    feed = settings.section("market_feed", MarketFeedSettings).policy()
    assert feed.speed is None


def test_an_exit_tunable_of_a_symbol_stands_on_those_of_all(file: Path) -> None:
    text = """
    [exitbrain.exits]
    maintenance_margin_rate = 0.02
    [exitbrain.symbol.SOLUSDT]
    maintenance_margin_rate = 0.03
    """
    policy = read(file, text).section("exitbrain", ExitbrainSettings).policy()
    assert policy.exits.maintenance_margin_rate == Decimal("0.02")
    assert policy.overrides["SOLUSDT"].maintenance_margin_rate == Decimal("0.03")


def test_the_environment_overrides_one_value_and_leaves_the_rest(file: Path) -> None:
    settings = read(
        file,
        """
        [harvest_brain]
        cost_bps = 7
        ratchet = true
        [harvest_brain.symbol.SOLUSDT]
        cost_bps = 8
        lock_at_r = 3
        """,
        QUANTUM_HARVEST_BRAIN__COST_BPS="9.25",
        QUANTUM_HARVEST_BRAIN__SYMBOL__SOLUSDT__COST_BPS="10",
        QUANTUM_INTENT_BRIDGE__SYMBOLS='["BTCUSDT", "SOLUSDT"]',
        QUANTUM_METRICS__BASE_PORT="0",
        QUANTUM_LOG__LEVEL="debug",
    )
    policy = harvest(settings).policy()
    assert (policy.cost_bps, policy.ratchet) == (Decimal("9.25"), True)
    own = policy.of("SOLUSDT")
    assert (own.cost_bps, own.lock_at_r) == (Decimal(10), Decimal(3))
    bridge = settings.section("intent_bridge", IntentBridgeSettings)
    assert bridge.symbols == ("BTCUSDT", "SOLUSDT")
    assert settings.metrics.port_of("harvest_brain") == 0
    assert settings.log.level == "debug"


def test_the_file_is_named_by_the_environment_unless_it_is_given(
    file: Path, tmp_path: Path
) -> None:
    file.write_text("[log]\nlevel = 'error'\n", encoding="utf-8")
    other = tmp_path / "other.toml"
    other.write_text("[log]\nlevel = 'warning'\n", encoding="utf-8")
    environment = {"QUANTUM_CONFIG": str(file)}
    assert load(None, environment).log.level == "error"
    assert load(None, environment).origin == str(file)
    assert load(other, environment).log.level == "warning"


def test_redis_url_is_the_servers_address(file: Path) -> None:
    text = "[redis]\nurl = 'redis://file:6379/0'\n"
    assert read(file, text).redis.url == "redis://file:6379/0"
    assert read(file, text, REDIS_URL="unix:///s").redis.url == "unix:///s"
    assert load(None, {"REDIS_URL": "unix:///s"}).redis.url == "unix:///s"
    assert load(None, {"REDIS_URL": ""}).redis.url == "redis://127.0.0.1:6379/0"


def test_a_variable_of_somebody_else_is_left_alone() -> None:
    load(None, {"QUANTUMX": "1", "HOME": "/", "quantum_log__level": "nonsense"})


def test_a_section_that_there_is_not_is_named_with_those_that_there_are(file: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        read(file, "[harvest_brian]\ncost_bps = 1\n")
    assert str(refused.value) == (
        f"{file}: [harvest_brian] is no section; there are redis, log, metrics, clock, "
        + ", ".join(PROGRAMS)
    )
    with pytest.raises(SettingsError, match=r"environment: \[nonsense\] is no section"):
        load(None, {"QUANTUM_NONSENSE__LEVEL": "1"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[harvest_brain]\ncosts = 1\n", "harvest_brain.costs: there is no such setting"),
        (
            "[harvest_brain.symbol.SOLUSDT]\ncosts = 1\n",
            "harvest_brain.symbol.SOLUSDT.costs: there is no such setting",
        ),
        (
            "[harvest_brain]\ncost_bps = 'much'\n",
            "harvest_brain.cost_bps: Input should be a valid decimal (it is 'much')",
        ),
        (
            "[harvest_brain]\ncost_bps = -1\n",
            "harvest_brain.cost_bps: Input should be greater than or equal to 0 (it is -1)",
        ),
        (
            "[harvest_brain]\nrungs_r = [6, 4, 2]\n",
            "harvest_brain.rungs_r: Value error, the three levels must rise from above 0",
        ),
        ("[harvest_brain]\nrungs_r = [2, 4]\n", "harvest_brain.rungs_r.2: Field required"),
        (
            "[harvest_brain]\nkill_threshold = 0.4\n",
            "harvest_brain.kill_threshold: Input should be greater than 0.4",
        ),
        ("harvest_brain = 1\n", "harvest_brain: Input should be a valid dictionary"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_by_its_path_with_what_is_expected(
    file: Path, text: str, expected: str
) -> None:
    said = error_of("harvest_brain", read(file, text))
    assert said.startswith(f"{file}: {expected}")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("daemon", "text", "expected"),
    [
        ("market_feed", "[market_feed]\nspeed = 'fast'\n", "market_feed.speed"),
        ("market_feed", "[market_feed]\nspeed = 0\n", "greater than 0"),
        ("market_feed", "[market_feed]\nfiles = 'a.csv'\n", "market_feed.files"),
        ("market_feed", "[market_feed]\nmax_ticks_ahead = 101\n", "less than or equal to 100"),
        ("trading_bot", "[trading_bot]\nleverage = 1001\n", "trading_bot.leverage"),
        ("intent_bridge", "[intent_bridge]\ncooldown_s = -1\n", "intent_bridge.cooldown_s"),
        ("intent_bridge", "[intent_bridge.symbol.X]\n", "symbol.X.max_leverage: Field required"),
        ("exitbrain", "[exitbrain.exits]\nstop = 1\n", "stop is no tunable; there are "),
        ("exitbrain", "[exitbrain]\nmax_intent_age_s = 0\n", "exitbrain.max_intent_age_s"),
        ("apply_layer", "[apply_layer]\nvenue = 'binance'\n", "Input should be 'paper'"),
        ("apply_layer", "[[apply_layer.paper.position]]\n", "paper.position.0.symbol: Field"),
        ("apply_layer", "[apply_layer]\ntake_profit_mode = 'all'\n", "'harvest', 'bracket' or"),
    ],
)
def test_every_daemon_refuses_what_it_cannot_use(
    file: Path, daemon: str, text: str, expected: str
) -> None:
    said = error_of(daemon, read(file, text))
    assert expected in said
    assert all(line.startswith(f"{file}: {daemon}") for line in said.splitlines())


def test_each_wrong_setting_has_a_line(file: Path) -> None:
    said = error_of("harvest_brain", read(file, "[harvest_brain]\na = 1\nb = 2\ncost_bps = ''\n"))
    assert len(said.splitlines()) == 3


def test_a_strategy_that_cannot_be_had_is_named(file: Path) -> None:
    settings = read(file, "[trading_bot]\nstrategy = 'crystal_ball'\n")
    with pytest.raises(SettingsError, match=r"^trading_bot\.strategy: .*crystal_ball"):
        settings.section("trading_bot", TradingBotSettings).policy()


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    with pytest.raises(SettingsError) as missing:
        load(file, {})
    assert str(missing.value) == f"{file}: there is no such settings file"
    for text in ("[harvest_brain\n", "a = 1\na = 2\n", "[log]\nlevel = \n"):
        with pytest.raises(SettingsError) as broken:
            read(file, text)
        assert str(broken.value).startswith(f"{file}: ")
        assert "line 1" in str(broken.value) or "line 2" in str(broken.value)
    file.write_bytes(b"[log]\nlevel = '\xff'\n")
    with pytest.raises(SettingsError, match="utf-8"):
        load(file, {})
    with pytest.raises(SettingsError, match="Is a directory"):
        load(file.parent, {})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("QUANTUM_LEVEL", "1", "QUANTUM_LEVEL: name a section and a setting, as in"),
        ("QUANTUM_LOG__LEVEL__DEEPER", "1", "QUANTUM_LOG__LEVEL__DEEPER: level is a value"),
        ("QUANTUM_INTENT_BRIDGE__SYMBOLS", '["BTC', "QUANTUM_INTENT_BRIDGE__SYMBOLS: "),
        ("QUANTUM_INTENT_BRIDGE__SYMBOLS", "[BTC]", "QUANTUM_INTENT_BRIDGE__SYMBOLS: "),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(
    file: Path, name: str, value: str, expected: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read(file, "[log]\nlevel = 'info'\n", **{name: value})
    assert str(refused.value).startswith(expected)


@pytest.mark.parametrize("text", ["redis = 1\n", "redis = 'x'\n"])
def test_a_section_that_is_a_value_is_an_error_and_no_crash(file: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="redis"):
        _ = read(file, text, REDIS_URL="unix:///s").redis
