"""`quantum up`: what cannot work is refused before a server or a daemon is started."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import given
from typer.testing import CliRunner

from services.apply_layer.settings import ApplyLayerSettings
from shared.candle_names import named
from shared.cli import app
from shared.cli.ring import replay_environment
from shared.daemon import EXIT_SETTINGS
from shared.settings import load
from tests.symbols.odd import symbols


def refused(*words: str) -> str:
    """What `quantum up` says while it refuses."""
    ended = CliRunner().invoke(app, ["up", *words])
    assert ended.exit_code == EXIT_SETTINGS
    assert ended.stdout == ""
    return ended.stderr


def test_a_candle_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "RIVERUSDT-1m.csv"
    for word in (str(missing), f"RIVERUSDT={missing}", str(tmp_path)):
        file = word.partition("=")[2] or word
        assert refused("--replay", word) == f"{file}: there is no such candle file\n"


def test_settings_that_cannot_be_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "quantum.toml"
    assert f"{config}: there is no such settings file" in refused("--config", str(config))
    config.write_text("[harvest_brian]\n", encoding="utf-8")
    assert "[harvest_brian] is no section" in refused("--config", str(config))
    monkeypatch.setenv("QUANTUM_HARVEST_BRIAN__COST_BPS", "1")
    assert "[harvest_brian] is no section" in refused()


@pytest.mark.parametrize(
    ("url", "status", "shown"),
    [
        # What cannot be read as an address may hold a password, so it is not repeated.
        ("nonsense", EXIT_SETTINGS, "redis.url: "),
        ("unix:///nowhere/redis.sock", 1, "unix:///nowhere/redis.sock"),
    ],
)
def test_a_server_that_cannot_be_had_is_a_clear_line(
    url: str, status: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setenv("REDIS_URL", url)
    try:
        ended = CliRunner().invoke(app, ["up", "--json"])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert (ended.exit_code, ended.stdout) == (status, "")
    assert shown in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("file", "symbol"),
    [
        ("RIVERUSDT-1m-2025-06.zip", "RIVERUSDT"),
        ("/data/BTCUSDT-1m.csv.gz", "BTCUSDT"),
        ("SOLUSDT=/data/prices.csv", "SOLUSDT"),
    ],
)
def test_the_symbol_of_a_file_is_given_or_stands_before_its_first_dash(
    file: str, symbol: str
) -> None:
    assert named(file).symbol == symbol


def test_a_ring_that_replays_lists_the_symbols_of_its_files_once() -> None:
    files = ["B=b.csv", "A-1m.csv", "B=c.csv"]
    environment = replay_environment(files, speed="max", until_end=False, max_ticks_ahead=4)
    assert environment == {
        "QUANTUM_MARKET_FEED__FILES": '["B=b.csv", "A-1m.csv", "B=c.csv"]',
        "QUANTUM_MARKET_FEED__SPEED": "max",
        "QUANTUM_MARKET_FEED__UNTIL_END": "false",
        "QUANTUM_MARKET_FEED__MAX_TICKS_AHEAD": "4",
        "QUANTUM_APPLY_LAYER__SYMBOLS": '["A", "B"]',
    }


@given(symbols)
def test_the_settings_of_a_replay_carry_every_symbol(symbol: str) -> None:
    environment = replay_environment([f"{symbol}=b.csv"], speed="max", until_end=True)
    own = load(None, environment).section("apply_layer", ApplyLayerSettings)
    assert own.symbols == (symbol,)
