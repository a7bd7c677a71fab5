"""`quantum check` and `init` against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from shared.bus import load_library
from shared.cli import app
from shared.daemon import EXIT_SETTINGS
from shared.redaction import shown_address
from shared.streams import MODE_KEY


@pytest.fixture
def client(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """The server of REDIS_URL with the library loaded; its settings are put back."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("COLUMNS", "160")
    with Redis.from_url(redis_url) as opened:
        load_library(opened)
        names = ("appendfsync", "maxmemory-policy")
        before = {name: opened.config_get(name)[name] for name in names}
        yield opened
        for name, value in before.items():
            opened.config_set(name, value)
        load_library(opened)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def checked(*words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit status of `quantum check --json` and its findings by what was looked at."""
    ended = run("check", "--json", *words)
    assert ended.stderr == ""
    told = json.loads(ended.stdout)
    assert told["ok"] is (ended.exit_code == 0)
    return ended.exit_code, {
        one["what"]: (one["verdict"], one["detail"]) for one in told["findings"]
    }


def verdicts(*words: str) -> dict[str, str]:
    return {what: verdict for what, (verdict, _) in checked(*words)[1].items()}


def test_a_server_that_can_be_used_is_all_right(client: Redis) -> None:
    client.config_set("appendfsync", "always")
    status, found = checked()
    assert status == 0
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert found.keys() == {
        "settings",
        "ladder",
        "server",
        "durability",
        "memory",
        "library",
        "mode",
    }
    assert found["mode"] == ("ok", "RUN")
    assert found["server"][1].startswith(("Redis ", "Valkey "))


@pytest.mark.parametrize("fsync", ["everysec", "no"])
def test_a_server_that_may_lose_writes_is_worth_a_warning(client: Redis, fsync: str) -> None:
    client.config_set("appendfsync", fsync)
    status, found = checked()
    assert status == 0
    verdict, detail = found["durability"]
    assert verdict == "warn"
    assert f"appendfsync is {fsync}" in detail
    assert "always" in detail


def test_a_server_that_may_evict_is_refused(client: Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    status, found = checked()
    assert status == 1
    assert found["memory"] == (
        "fail", "maxmemory-policy is allkeys-lru: it may evict positions"
    )  # fmt: skip


def test_a_missing_library_is_named_and_init_loads_it(client: Redis) -> None:
    client.function_flush()
    status, found = checked()
    assert status == 1
    assert found["library"] == ("fail", "the Function library is missing: run `quantum init`")
    loaded = run("init")
    assert (loaded.exit_code, loaded.stdout) == (0, "The Function library `quantum` is loaded.\n")
    assert checked()[1]["library"] == ("ok", "loaded, and the one of this version")


def test_a_library_of_another_version_is_named(client: Redis) -> None:
    code = "#!lua name=quantum\nredis.register_function('quantum_version', function() return 0 end)"
    client.function_load(code, replace=True)
    status, found = checked()
    assert status == 1
    assert found["library"] == ("fail", "the Function library is another: run `quantum init`")


@pytest.mark.parametrize(
    ("mode", "verdict", "detail"),
    [
        ("RUN", "ok", "RUN"),
        ("EXITS_ONLY", "warn", "EXITS_ONLY"),
        ("HALT", "warn", "HALT"),
        ("run", "warn", "'run', which is none of RUN, EXITS_ONLY, HALT; no entry is admitted"),
        ("", "warn", "'', which is none of"),
        (b"\xff", "warn", "which is none of"),
    ],
)
def test_a_mode_that_holds_something_up_is_told(
    client: Redis, mode: str | bytes, verdict: str, detail: str
) -> None:
    client.set(MODE_KEY, mode)
    status, found = checked()
    assert status == 0
    assert found["mode"][0] == verdict
    assert detail in found["mode"][1]


def test_a_server_that_is_away_is_a_clear_line_and_an_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"unix://{tmp_path}/nobody.sock"
    monkeypatch.setenv("REDIS_URL", url)
    status, found = checked()
    assert status == 1
    assert found["server"][0] == "fail"
    assert "no server can be reached" in found["server"][1]
    ended = run("init")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"no server at {url}: ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1", "redis://127.0.0.1:port"])
def test_an_address_that_is_none_is_a_clear_line_and_no_crash(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    status, found = checked()
    assert (status, found["server"][0]) == (1, "fail")
    ended = run("positions")
    assert ended.exit_code == EXIT_SETTINGS
    assert ended.stdout == ""
    assert shown_address(url) in ended.stderr


def test_settings_that_cannot_be_used_fail_with_their_path(client: Redis, tmp_path: Path) -> None:
    config = tmp_path / "quantum.toml"
    config.write_text("[harvest_brain]\ncost_bps = -1\n", encoding="utf-8")
    status, found = checked("--config", str(config))
    assert status == 1
    verdict, detail = found["settings [harvest_brain]"]
    assert verdict == "fail"
    assert detail.startswith(f"{config}: harvest_brain.cost_bps: ")
    assert "settings" not in found
    config.write_text("[watcher]\nrung_within_s = 0\n", encoding="utf-8")
    status, found = checked("--config", str(config))
    assert (status, found["settings [watcher]"][0]) == (1, "fail")
    config.write_text("[nonsense]\n", encoding="utf-8")
    assert verdicts("--config", str(config)) == {"settings": "fail"}
    ended = run("positions", "--config", str(config))
    assert (ended.exit_code, ended.stdout) == (EXIT_SETTINGS, "")
    assert "[nonsense] is no section" in ended.stderr


def test_a_ladder_that_the_targets_cut_off_is_worth_a_warning(
    client: Redis, tmp_path: Path
) -> None:
    config = tmp_path / "quantum.toml"
    config.write_text("[apply_layer]\ntake_profit_mode = 'bracket'\n", encoding="utf-8")
    status, found = checked("--config", str(config))
    assert status == 0
    verdict, detail = found["ladder"]
    assert verdict == "warn"
    assert "take_profit_mode=bracket at 10x leaves PARTIAL" in detail


def test_check_has_a_table_for_people(client: Redis) -> None:
    client.function_flush()
    ended = run("check")
    assert ended.exit_code == 1
    rows = [line.split(maxsplit=2) for line in ended.stdout.splitlines() if line.strip()]
    verdict_of = {row[0]: row[1] for row in rows if len(row) == 3}
    assert verdict_of["library"] == "fail"
    assert verdict_of["settings"] == "ok"


LIVE = """
[market_feed]
source = "binance-usdm"
symbols = {watched}
[market_feed.live]
network = "testnet"
[apply_layer]
venue = "binance-usdm"
symbols = ["BTCUSDT", "SOLUSDT"]
[apply_layer.live]
network = "{network}"
i_understand_real_money = "yes"
"""


@pytest.mark.parametrize(
    ("network", "watched", "found"),
    [
        ("testnet", ["BTCUSDT", "SOLUSDT"], {"venues": "ok"}),
        ("production", ["BTCUSDT", "SOLUSDT"], {"venues": "fail"}),
        ("testnet", ["BTCUSDT"], {"venues": "ok", "symbols": "fail"}),
    ],
)
def test_orders_go_to_where_the_prices_come_from_and_every_symbol_is_watched(
    client: Redis, tmp_path: Path, network: str, watched: list[str], found: dict[str, str]
) -> None:
    config = tmp_path / "quantum.toml"
    config.write_text(LIVE.format(network=network, watched=json.dumps(watched)))
    told = verdicts("--config", str(config))
    assert {what: told[what] for what in ("venues", "symbols") if what in told} == found


def test_asking_the_venue_without_keys_or_on_paper_is_a_finding_and_no_crash(
    client: Redis, tmp_path: Path
) -> None:
    config = tmp_path / "quantum.toml"
    config.write_text(LIVE.format(network="testnet", watched=json.dumps(["BTCUSDT", "SOLUSDT"])))
    assert verdicts("--live", "--config", str(config))["live keys"] == "fail"
    assert verdicts("--live")["venue"] == "fail"


@pytest.mark.parametrize(
    "url", ["redis://operator:canary@127.0.0.1:1/0", "unix://operator:can@ary@/nowhere/redis.sock"]
)
@pytest.mark.parametrize("command", ["positions", "init"])
def test_a_password_in_the_address_shows_in_no_error(
    monkeypatch: pytest.MonkeyPatch, url: str, command: str
) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    ended = run(command)
    assert ended.exit_code == 1
    assert "operator:***@" in ended.stderr
    assert "ary" not in ended.stderr
