"""`[apply_layer.live]`: real money is never traded by accident."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.apply_layer.binance.wiring import live_venue
from services.apply_layer.settings import ApplyLayerSettings
from shared.settings import Settings, SettingsError


def apply_layer(**live: Any) -> ApplyLayerSettings:
    tables = {"apply_layer": {"venue": "binance-usdm", "symbols": ["BTCUSDT"], "live": live}}
    return Settings(tables, "quantum.toml").section("apply_layer", ApplyLayerSettings)


def test_the_testnet_is_the_default() -> None:
    assert apply_layer().live.network == "testnet"


@pytest.mark.parametrize("said", ["", "no", "Yes", "true"])
def test_production_wants_the_very_word(said: str) -> None:
    with pytest.raises(SettingsError, match='say i_understand_real_money = "yes"'):
        apply_layer(network="production", i_understand_real_money=said)
    assert apply_layer(network="production", i_understand_real_money="yes")


@pytest.mark.parametrize(
    "url", ["https://fapi.example.com", "http://10.0.0.1:8000", "ws://192.168.1.2", "nonsense"]
)
def test_an_address_that_is_not_of_this_machine_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="only a double on this machine"):
        apply_layer(rest_url=url, ws_url=url)


def test_one_address_without_the_other_is_refused() -> None:
    with pytest.raises(SettingsError, match="go together"):
        apply_layer(rest_url="http://127.0.0.1:8788")


def test_the_proof_of_absence_waits_for_the_whole_window() -> None:
    policy = apply_layer(recv_window_ms=5000).policy()
    assert (policy.doubt_first_s, policy.doubt_again_s) == (Decimal(10), Decimal(10))


def run(tmp_path: Path, text: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """apply_layer's process with a settings file, up to the point where it would need a server."""
    config = tmp_path / "quantum.toml"
    config.write_text('[redis]\nurl = "redis://127.0.0.1:1/0"\n[metrics]\nbase_port = 0\n' + text)
    code = f"{before}\nfrom services.apply_layer.__main__ import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"QUANTUM_CONFIG": str(config), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


LIVE = '[apply_layer]\nvenue = "binance-usdm"\nsymbols = ["BTCUSDT"]\n'


def test_without_the_extra_it_is_said_what_to_install(tmp_path: Path) -> None:
    ended = run(tmp_path, LIVE, "import sys; sys.modules['ccxt'] = None")
    assert ended.returncode == 78
    assert "quantum-trader[live]" in ended.stderr


def test_without_keys_it_is_said_where_they_belong(tmp_path: Path) -> None:
    ended = run(tmp_path, LIVE)
    assert ended.returncode == 78
    assert "key_file" in ended.stderr


def test_without_symbols_it_does_not_start(tmp_path: Path) -> None:
    ended = run(tmp_path, '[apply_layer]\nvenue = "binance-usdm"\n')
    assert ended.returncode == 78
    assert "name the symbols" in ended.stderr


def test_paper_imports_nothing_of_the_real_venue(tmp_path: Path) -> None:
    code = (
        "import sys, services.apply_layer.__main__ as m\n"
        "from shared.metrics import RunnerMetrics\n"
        "from shared.settings import Settings\n"
        "m.service(Settings({}, 'x'), RunnerMetrics())\n"
        "assert not {'ccxt', 'websockets', 'aiohttp'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


def test_production_says_loudly_at_the_start_that_it_trades_real_money(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('key = "k"\nsecret = "s"\n')
    keys.chmod(0o600)
    live_venue(apply_layer(network="production", i_understand_real_money="yes", key_file=str(keys)))
    assert "REAL MONEY" in "".join(capsys.readouterr())
    live_venue(apply_layer(key_file=str(keys)))
    assert "REAL MONEY" not in "".join(capsys.readouterr())
