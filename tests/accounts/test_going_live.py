"""The way from paper over the testnet to a real account, as docs/operations.md has it.

The settings and the commands are the document's own; the two venues are doubles with an account
each. Nothing of one account is booked into another, and no order is placed for what is not there.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.apply_layer.double import Double, DoubleConfig
from shared.cli import app
from shared.settings import SettingsError
from shared.streams import (
    APPLY_RESULT,
    DAEMONS,
    PREFIX,
    VENUE_KEY,
    heartbeat_key,
    position_key,
    state_key,
)
from tests.cli.small_ring import READERS, SmallRing, a_small_ring
from tests.ring.live import eventually, texts

DOCUMENT = Path(__file__).parents[2] / "docs/operations.md"
BTC, SOL = "BTCUSDT", "SOLUSDT"
KEY, SECRET = "key-of-the-test", "secret-of-the-test"
#: What a ring that was stopped and cleared may hold.
ANEW = {"quantum:mode"}


def step(heading: str) -> str:
    """The text of one step of the document."""
    return (
        DOCUMENT.read_text(encoding="utf-8").partition(f"### {heading}")[2].partition("\n### ")[0]
    )


def settings_in(text: str, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """The tables that a step tells the reader to write, over those of the step before."""
    merged: dict[str, Any] = before or {}
    for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL):
        for name, table in tomllib.loads(block, parse_float=Decimal).items():
            merged[name] = _over(merged.get(name, {}), table)
    return merged


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    mixed = {**below, **above}
    for name in below.keys() & above.keys():
        if isinstance(above[name], dict):
            mixed[name] = _over(below[name], above[name])
    return mixed


def commands_in(text: str) -> list[list[str]]:
    """The `quantum` commands of a step that clear something."""
    found = re.findall(r"^sudo quantum (reset .*)$", text, re.MULTILINE)
    return [line.split() for line in found]


@contextmanager
def a_venue(folder: Path, account: str) -> Iterator[Double]:
    config = DoubleConfig(
        symbols={BTC: Decimal(65000), SOL: Decimal(150)},
        wallet=Decimal(100_000),
        api_key=KEY,
        api_secret=SECRET,
        account_id=account,
    )
    with Double.start(config, ledger=folder / f"{account}.jsonl") as venue:
        yield venue


def on(venue: Double, tables: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings of a step with a double in the place of its network."""
    keys = folder / "keys.toml"
    keys.write_text(f'key = "{KEY}"\nsecret = "{SECRET}"\n')
    keys.chmod(0o600)
    double = {"rest_url": venue.rest_url, "ws_url": venue.ws_url, "key_file": str(keys)}
    return _over(tables, {"apply_layer": {"live": double}})


def restart(ring: SmallRing, tables: dict[str, Any]) -> None:
    """Every daemon is stopped, and started with other settings."""
    ring.stop(*READERS)
    ring.settings = tables
    ring.start(*READERS)


def turned(ring: SmallRing, condition: Callable[[], Any]) -> Callable[[], Any]:
    def looked() -> Any:
        for daemon in ring.runners:
            ring.turn(daemon)
        return condition()

    return looked


def entered(ring: SmallRing, price: int = 65000) -> None:
    """A position of 0.002 BTC, opened by an intent."""
    ring.tick(Decimal(price), symbol=BTC)
    at = ring.now()
    ring.put(
        ring.entry(
            symbol=BTC, entry_price=Decimal(price), qty=Decimal("0.002"), leverage=3,
            intent_id=f"stranger.{int(at.timestamp() * 1000)}",
        )
    )  # fmt: skip

    def protected() -> Any:
        # An order of the paper venue is filled at the next price.
        ring.tick(Decimal(price), symbol=BTC)
        return ring.client.hget(position_key(BTC), "stop_loss")

    eventually(turned(ring, protected), "a position under a stop")


def open_for_entries(ring: SmallRing) -> None:
    entries = turned(ring, lambda: ring.client.hget(VENUE_KEY, "entries") == b"open")
    eventually(entries, "entries are open")


def refused(ring: SmallRing) -> str:
    with pytest.raises(SettingsError) as told:
        eventually(turned(ring, lambda: False), "it refuses", within_s=10)
    return str(told.value)


def typed(ring: SmallRing, words: list[str]) -> None:
    """`systemctl stop quantum.target`, and the command that the document gives."""
    ring.stop(*READERS)
    ring.client.delete(*map(heartbeat_key, DAEMONS))
    ended = CliRunner().invoke(app, words, input="y\n")
    assert ended.exit_code == 0, ended.output
    left = {key.decode() for key in ring.client.scan_iter(f"{PREFIX}:*")}
    assert {key for key in left if ":heartbeat:" not in key} <= ANEW


def orders(venue: Double) -> list[dict[str, Any]]:
    return [line for line in venue.ledger if line["kind"] == "order"]


def test_the_documents_way_from_paper_to_a_real_account_mixes_nothing(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    for name in [name for name in os.environ if name.startswith("QUANTUM_")]:
        monkeypatch.delenv(name)
    paper = settings_in(step("1. Paper"))
    testnet = settings_in(step("2. The testnet"))
    live = settings_in(step("3. Small size"), settings_in(step("2. The testnet")))
    to_testnet, to_live = commands_in(step("2. The testnet")), commands_in(step("3. Small size"))
    assert (to_testnet, to_live) == ([["reset", "--paper"]], [["reset", "--testnet"]])
    with (
        a_small_ring(redis_url, paper) as ring,
        a_venue(tmp_path, "play") as play,
        a_venue(tmp_path, "real") as real,
    ):
        entered(ring)
        assert ring.client.hget(state_key("apply_layer"), "venue/account") == b"paper"

        # Six trades by hand that the ring has nothing to do with.
        for side in ("BUY", "SELL") * 3:
            play.by_hand(BTC, side, Decimal("0.05"))
        by_hand = len(orders(play))
        ring.stop(*READERS)
        ring.settings = on(play, testnet, tmp_path)
        ring.start("apply_layer")
        said = refused(ring)
        assert "the paper account" in said
        assert "`quantum reset --paper`" in said
        assert len(orders(play)) == by_hand
        typed(ring, to_testnet[0])
        restart(ring, on(play, testnet, tmp_path))
        open_for_entries(ring)
        assert len(orders(play)) == by_hand
        assert play.open_algo_orders() == []
        assert not ring.client.exists(position_key(BTC))
        assert [r for r in texts(ring.client, APPLY_RESULT) if r["status"] != "POSITION"] == []
        entered(ring)

        real.by_hand(BTC, "SELL", Decimal("0.02"))
        ring.stop(*READERS)
        ring.settings = on(real, live, tmp_path)
        ring.start("apply_layer")
        said = refused(ring)
        assert "testnet:play" in said
        assert "production:real" in said
        typed(ring, to_live[0])
        restart(ring, on(real, live, tmp_path))
        open_for_entries(ring)
        eventually(turned(ring, real.open_algo_orders), "what was held by hand is under a stop")
        assert {order["side"] for order in real.open_algo_orders()} == {"BUY"}
        record = ring.client.hmget(position_key(BTC), "side", "qty")
        assert record == [b"SHORT", b"0.02"]
        assert {r["status"] for r in texts(ring.client, APPLY_RESULT)} <= {
            "POSITION",
            "ADOPTED",
            "STOP_MOVED",
        }
