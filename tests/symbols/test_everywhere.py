"""A walk with odd symbols over everything that carries one: nothing breaks, nothing is mixed up."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import ccxt
import pytest
from hypothesis import given, settings
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from services.apply_layer.double import Double, DoubleConfig
from services.apply_layer.journal import Leg, client_order_id
from services.apply_layer.paper_refusals import CLIENT_ORDER_ID
from services.apply_layer.settings import ApplyLayerSettings
from services.harvest_brain.settings import HarvestBrainSettings
from services.market_feed.binance.wire import streams
from services.notifier.news import brief
from shared.candle_names import named
from shared.contracts.fields import ID_PATTERN
from shared.settings import Settings, SettingsError, load
from shared.streams import harvest_key, position_key
from shared.symbols import as_typed, slug
from shared.why.words import safe
from tests.double.raw import D, Raw

from .odd import CHINESE, LISTED, NOT_SYMBOLS, QUARTERLY, symbols

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(symbols, symbols)
def test_each_symbol_has_keys_of_its_own(one: str, other: str) -> None:
    for key in (position_key, harvest_key):
        assert (key(one) == key(other)) == (one == other)
        assert key(one).rpartition(":")[2] == one


@given(symbols)
def test_a_client_order_id_is_within_the_venue_s_charset(symbol: str) -> None:
    position_id = f"{slug(symbol)}-1767225600000-500001"
    for leg in Leg:
        made = client_order_id(f"plan.{position_id}.P75.12", leg, 3)
        assert CLIENT_ORDER_ID.fullmatch(made), made
    forced = f"autoclose-{slug(symbol)}-{10**4}"
    assert re.fullmatch(r"[.A-Z:/a-z0-9_-]{1,36}", forced), forced


@given(symbols)
def test_a_tick_of_the_live_feed_and_of_a_replay_has_an_id(symbol: str) -> None:
    assert re.fullmatch(ID_PATTERN, f"{slug(symbol)}-{int(NOW.timestamp() * 1000)}")


@given(symbols)
def test_a_symbol_goes_through_a_path_of_the_page_and_back(symbol: str) -> None:
    path = f"/symbol/{quote(symbol, safe='')}"
    assert path.isascii()
    assert unquote(path.rpartition("/")[2]) == symbol


@given(symbols, symbols)
def test_the_market_streams_are_asked_for_by_their_small_names(one: str, other: str) -> None:
    path = streams([one, other])
    assert path.isascii()
    (asked,) = parse_qs(urlsplit(path).query)["streams"]
    names = {name.partition("@")[0] for name in asked.split("/")}
    assert names == {one.lower(), other.lower()}


@given(symbols)
def test_a_candle_file_is_named_by_its_symbol(symbol: str) -> None:
    assert named(f"/data/{symbol}-1m-2025-06.csv.gz").symbol == symbol
    assert named(f"{symbol}=/data/year=2025/bars.csv") == (
        "/data/year=2025/bars.csv", symbol, None,
    )  # fmt: skip


@given(symbols)
def test_a_metric_s_label_is_read_back(symbol: str) -> None:
    registry = CollectorRegistry()
    Counter("quantum_seen", "Seen.", ["symbol"], registry=registry).labels(symbol).inc()
    text = generate_latest(registry).decode()
    found = {
        sample.labels["symbol"]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "quantum_seen_total"
    }
    assert found == {symbol}


@given(symbols)
def test_a_terminal_and_a_notice_show_a_symbol_as_it_is(symbol: str) -> None:
    assert safe(symbol) == symbol
    assert brief(symbol) == symbol
    assert as_typed(f" {symbol} ") == symbol


def test_what_is_typed_small_is_understood() -> None:
    assert as_typed("btcusdt") == "BTCUSDT"
    assert as_typed("币安人生usdt") == CHINESE


@given(symbols)
@settings(max_examples=50)
def test_a_symbol_is_a_key_of_the_settings_file(symbol: str) -> None:
    tables = {
        "apply_layer": {"symbols": [symbol], "paper": {"symbol": {symbol: {"lot_step": "0.5"}}}},
        "harvest_brain": {"symbol": {symbol: {"rungs_r": ["1", "2", "3"]}}},
    }
    read = Settings(tables, "test")
    assert read.section("apply_layer", ApplyLayerSettings).paper_policy().rules[
        symbol
    ].lot_step == (D("0.5"))
    assert set(read.section("harvest_brain", HarvestBrainSettings).symbol) == {symbol}


@pytest.mark.parametrize("symbol", [s for s in LISTED if "__" not in s])
def test_a_symbol_is_a_name_in_the_environment(symbol: str) -> None:
    name = f"QUANTUM_APPLY_LAYER__PAPER__SYMBOL__{symbol}__LOT_STEP"
    own = load(None, {name: "0.5"}).section("apply_layer", ApplyLayerSettings)
    assert set(own.paper.symbol) == {symbol}


@pytest.mark.parametrize("text", [t for t in NOT_SYMBOLS if t])
def test_a_setting_that_names_no_symbol_is_refused_by_its_place(text: str) -> None:
    read = Settings({"apply_layer": {"symbols": ["BTCUSDT", text]}}, "test")
    with pytest.raises(SettingsError, match=r"apply_layer\.symbols\.1"):
        read.section("apply_layer", ApplyLayerSettings)


@pytest.mark.parametrize("symbol", LISTED)
def test_ccxt_signs_what_the_venue_verifies(symbol: str) -> None:
    made = DoubleConfig(symbols={symbol: D(200)}, wallet=D(100_000))
    with Double.start(made) as venue:
        client = ccxt.binanceusdm({"apiKey": "double-key", "secret": "double-secret"})
        client.urls["api"]["fapiPrivateV3"] = f"{venue.rest_url}/fapi/v3"
        client.urls["api"]["fapiPrivate"] = f"{venue.rest_url}/fapi/v1"
        order = {"symbol": symbol, "side": "BUY", "type": "MARKET", "quantity": "10"}
        assert client.fapiPrivatePostOrder(order)["symbol"] == symbol
        (row,) = client.fapiPrivateV3GetPositionRisk({"symbol": symbol})
        assert (row["symbol"], D(row["positionAmt"])) == (symbol, D(10))
        assert Raw(venue).get("/fapi/v1/premiumIndex", symbol=symbol).status == 200


@pytest.mark.parametrize("symbol", [CHINESE, QUARTERLY])
def test_quantum_venue_takes_it(symbol: str) -> None:
    from shared.cli.venue import _priced

    assert _priced(f"{symbol}=2.5") == (symbol, D("2.5"))


def test_quantum_venue_says_how_a_symbol_is_written() -> None:
    from shared.cli import app

    told = CliRunner().invoke(app, ["venue", "--symbol", "btcusdt=5"], env={"COLUMNS": "120"})
    assert told.exit_code == 2
    assert "write it as BTCUSDT=65000" in told.output


@given(symbols)
def test_the_double_tells_a_symbol_in_json_of_every_kind(symbol: str) -> None:
    assert json.loads(json.dumps({symbol: symbol})) == {symbol: symbol}
    assert json.loads(json.dumps({symbol: symbol}, ensure_ascii=False).encode()) == {symbol: symbol}


def symbols_in(node: ast.AST) -> Iterator[ast.AST]:
    """Each expression that is a symbol as it stands, not one that `slug` was asked about."""
    match node:
        case ast.Call(func=ast.Name(id="slug")):
            return
        case ast.Name(id="symbol") | ast.Attribute(attr="symbol"):
            yield node
    for child in ast.iter_child_nodes(node):
        yield from symbols_in(child)


def ids_of_symbols(tree: ast.AST) -> Iterator[int]:
    """The lines at which something called `..._id` or `name` is made of a symbol as it stands."""
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg=str() as name, value=ast.JoinedStr() as made):
                pass
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.JoinedStr() as made):
                pass
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    told = key.value if isinstance(key, ast.Constant) else ""
                    if str(told).endswith("_id") and isinstance(value, ast.JoinedStr):
                        yield from (value.lineno for _ in symbols_in(value))
                continue
            case _:
                continue
        if name.endswith("_id"):
            yield from (made.lineno for _ in symbols_in(made))


def test_no_id_is_made_of_a_symbol_as_it_stands() -> None:
    """Ids are ASCII and short; a symbol need be neither. `slug` is what goes into an id."""
    root = Path(__file__).parents[2]
    found = [
        f"{path.relative_to(root)}:{line}"
        for top in ("services", "shared")
        for path in sorted((root / top).rglob("*.py"))
        for line in ids_of_symbols(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found


def test_an_id_that_is_made_of_a_symbol_is_found() -> None:
    for planted in (
        'made(trade_id=f"{book.symbol}-t{number}")',
        'order_id = f"{symbol}-{number}"',
        'fields = {"intent_id": f"{source}.{symbol}"}',
    ):
        assert list(ids_of_symbols(ast.parse(planted))) == [1]
        mended = re.sub(r"\{([a-z.]*symbol)\}", r"{slug(\1)}", planted)
        assert not list(ids_of_symbols(ast.parse(mended)))
