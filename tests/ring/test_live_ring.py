"""Six processes and a venue that is real to them: from an entry to harvested profit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
from redis import Redis

from services.apply_layer.double import Double, DoubleConfig
from services.apply_layer.paper_rules import default_rules
from shared.bus import load_library
from shared.cli.ring import Ring
from shared.cli.story import reader
from shared.server import LocalServer
from shared.streams import APPLY_RESULT, MARKET_TICK, TRADE_INTENT, VENUE_KEY, position_key
from tests.symbols.odd import CHINESE, QUARTERLY

from .live import call, eventually, now_text, texts

D = Decimal
BTC = "BTCUSDT"
KEY, SECRET = "ring-canary-key", "ring-canary-secret"
SETTINGS = """
[market_feed]
source = "binance-usdm"
symbols = ["{symbol}"]
[market_feed.live]
rest_url = "{rest}"
ws_url = "{ws}"
[trading_bot]
symbols = ["{symbol}"]
min_confidence = "1"
[intent_bridge]
max_order_notional = "10000"
max_exposure = "20000"
[apply_layer]
venue = "binance-usdm"
symbols = ["{symbol}"]
[apply_layer.live]
rest_url = "{rest}"
ws_url = "{ws}"
key_file = "{keys}"
[metrics]
base_port = 0
"""


@dataclass
class Stage:
    """A ring, its server and its venue, in the hands of a test."""

    venue: Double
    client: Redis
    ring: Ring
    logs: Path
    symbol: str

    def wait(self, condition: object, what: str) -> None:
        def holds() -> object:
            self.ring.watch()
            return condition()  # type: ignore[operator]

        eventually(holds, f"{what}; logs in {self.logs}", within_s=40)

    def enter(self) -> None:
        """What a foreign producer sends: an entry of about 0.1 at the mark.

        Prices are believed from the moment on at which the rules of the symbol are known.
        """
        told = len(texts(self.client, MARKET_TICK))
        self.wait(lambda: len(texts(self.client, MARKET_TICK)) > told + 1, "prices come")
        fields = {
            "version": "1", "source": "my_signals", "intent_id": "my-1", "intent_type": "ENTRY",
            "symbol": self.symbol, "side": "BUY", "confidence": "0.9", "entry_price": "65000",
            "leverage": "10", "position_size_usd": "6500",
            "timestamp": now_text(), "produced_at": now_text(),
        }  # fmt: skip
        words = [word for pair in fields.items() for word in pair]
        call(self.client, "XADD", TRADE_INTENT.key, "*", *words)

    def record(self) -> dict[str, str]:
        flat = call(self.client, "HGETALL", position_key(self.symbol))
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return {name.decode(): value.decode() for name, value in pairs}

    def may_enter(self) -> bool:
        return call(self.client, "HGET", VENUE_KEY, "entries") in (None, b"open") and any(
            r["status"] == "POSITION" for r in texts(self.client, APPLY_RESULT)
        )

    def taken(self) -> list[tuple[str, Decimal]]:
        """The rungs that were filled, in order."""
        return [
            (r["reason"], D(r["filled_qty"]))
            for r in texts(self.client, APPLY_RESULT)
            if r.get("reason", "").startswith("PARTIAL")
            and r["status"] in ("FILLED", "PARTIALLY_FILLED")
        ]

    def stops(self) -> list[Decimal]:
        return [
            D(order["quantity"])
            for order in self.venue.open_algo_orders()
            if order["algoStatus"] == "NEW"
        ]


@contextmanager
def staged(folder: Path, symbol: str = BTC) -> Iterator[Stage]:
    keys = folder / "keys.toml"
    keys.write_text(f'key = "{KEY}"\nsecret = "{SECRET}"\n')
    keys.chmod(0o600)
    made = DoubleConfig(
        symbols={symbol: D(65000)},
        rules={symbol: replace(default_rules(BTC), symbol=symbol)},
        wallet=D(100_000),
        api_key=KEY,
        api_secret=SECRET,
        slippage_bps=D(0),
    )
    logs = folder / "logs"
    logs.mkdir()
    config = folder / "quantum.toml"
    with (
        Double.start(made, ledger=folder / "ledger.jsonl") as venue,
        LocalServer.start(folder / "redis", appendfsync="no") as server,
    ):
        config.write_text(
            SETTINGS.format(rest=venue.rest_url, ws=venue.ws_url, keys=keys, symbol=symbol)
        )
        with reader(server.url) as client:
            load_library(client)
            ring = Ring(server.url, {"QUANTUM_CONFIG": str(config)}, logs)
            with ring:
                yield Stage(venue, client, ring, logs, symbol)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as made:
        yield made


def test_the_ladder_is_taken_at_a_real_venue_through_a_kill_and_the_loss_of_redis(
    stage: Stage,
) -> None:
    stage.wait(stage.may_enter, "the account is reconciled")
    stage.enter()
    stage.wait(lambda: stage.record().get("stop_loss"), "the entry is filled and under a stop")
    initial = D(stage.record()["initial_qty"])
    risk = D(stage.record()["entry_price"]) - D(stage.record()["initial_stop"])
    assert stage.stops() == [initial]

    stage.venue.mark(BTC, 65000 + (risk * D("2.3")).quantize(D("0.1")))
    stage.wait(lambda: len(stage.taken()) == 1, "25 % is taken at 2 R")
    stage.ring.kill("apply_layer")
    stage.venue.mark(BTC, 65000 + (risk * D("4.3")).quantize(D("0.1")))
    stage.wait(lambda: len(stage.taken()) == 2, "50 % is taken at 4 R, after a kill")
    assert [name for name, _ in stage.taken()] == ["PARTIAL_25", "PARTIAL_50"]
    left = stage.venue.position(BTC)
    assert abs(left - initial / 2) <= D("0.001")

    stage.client.flushall()
    load_library(stage.client)
    stage.wait(
        lambda: stage.record().get("harvested_qty") == str(initial - left),
        "position, Q0 and rungs are rebuilt from the venue",
    )
    assert D(stage.record()["initial_qty"]) == initial
    stage.venue.mark(BTC, 65000 + (risk * D("6.5")).quantize(D("0.1")))
    stage.wait(lambda: len(stage.taken()) == 1, "75 % is taken at 6 R")
    assert stage.taken()[0][0] == "PARTIAL_75"
    assert abs(stage.venue.position(BTC) - initial / 4) <= D("0.001")
    stage.wait(lambda: len(stage.stops()) == 1, "exactly one stop stands")

    sold = [
        line for line in stage.venue.ledger if line["kind"] == "trade" and line["side"] == "SELL"
    ]
    assert len(sold) == 3
    for log in stage.logs.iterdir():
        text = log.read_text()
        assert KEY not in text
        assert SECRET not in text


@pytest.mark.parametrize("symbol", [CHINESE, QUARTERLY])
def test_a_symbol_of_any_script_is_traded_from_tick_to_harvest(tmp_path: Path, symbol: str) -> None:
    with staged(tmp_path, symbol) as stage:
        stage.wait(stage.may_enter, "the account is reconciled")
        stage.enter()
        stage.wait(lambda: stage.record().get("stop_loss"), "the entry is filled and under a stop")
        risk = D(stage.record()["entry_price"]) - D(stage.record()["initial_stop"])
        stage.venue.mark(symbol, 65000 + (risk * D("2.3")).quantize(D("0.1")))
        stage.wait(lambda: [name for name, _ in stage.taken()] == ["PARTIAL_25"], "25 % at 2 R")
        assert stage.record()["symbol"] == symbol
        stage.wait(lambda: len(stage.stops()) == 1, "exactly one stop stands")
        assert not any("crashed" in log.read_text() for log in stage.logs.iterdir())
