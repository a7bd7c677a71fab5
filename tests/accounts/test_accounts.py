"""apply_layer's state is of one account; another one is refused, and the way to it is clear."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from typer.testing import CliRunner

from services.apply_layer.double import Double, DoubleConfig
from services.apply_layer.outside import PaperVenue
from services.apply_layer.settings import ApplyLayerSettings
from shared.account import ACCOUNT_DOCUMENT, PAPER, UNNAMED, account_at, account_of, conflict
from shared.bus.client import call
from shared.cli import app
from shared.settings import SettingsError
from shared.streams import (
    APPLY_RESULT,
    DAEMONS,
    MODE_KEY,
    heartbeat_key,
    position_key,
    state_key,
)
from tests.binance.desk import BTC, Desk, desk_at
from tests.cli.asking import Open

PAPER_BOOKS = {"paper_wallet": b"{}"}
TESTNET, LIVE = account_at("testnet", "aaaa"), account_at("production", "bbbb")


def paper_venue() -> PaperVenue:
    return ApplyLayerSettings().paper_venue()


def refused(desk: Desk) -> str:
    """Why the venue refuses to go on; turns until it does."""
    with pytest.raises(SettingsError) as told:
        desk.until(lambda: False, 5)
    return str(told.value)


@pytest.mark.parametrize(
    ("documents", "account"),
    [
        ({}, None),
        ({"rules/BTCUSDT": b"{}", "_epoch": b"1"}, None),
        (PAPER_BOOKS, PAPER),
        ({"paper_book/BTCUSDT": b"{}", "positions/BTCUSDT": b"{}"}, PAPER),
        ({"trades/BTCUSDT": b"{}"}, UNNAMED),
        ({"positions/BTCUSDT": b"{}"}, UNNAMED),
        ({ACCOUNT_DOCUMENT: LIVE.encode(), "trades/BTCUSDT": b"{}"}, LIVE),
        ({ACCOUNT_DOCUMENT: PAPER.encode(), **PAPER_BOOKS}, PAPER),
        # Paper and a venue were mixed before states named their account.
        ({**PAPER_BOOKS, "trades/BTCUSDT": b"{}"}, PAPER),
    ],
)
def test_a_state_tells_whose_it_is(documents: dict[str, bytes], account: str | None) -> None:
    assert account_of(documents) == account


@pytest.mark.parametrize("found", [PAPER, UNNAMED, TESTNET, LIVE])
@pytest.mark.parametrize("own", [PAPER, TESTNET, LIVE])
def test_two_accounts_are_never_mixed(found: str, own: str) -> None:
    unnamed_goes_on = found == UNNAMED and own != PAPER
    assert bool(conflict(found, own)) is (found != own and not unnamed_goes_on)


def test_paper_names_its_state_and_goes_on_with_it() -> None:
    venue = paper_venue()
    venue.restore({})
    kept = venue.documents()
    assert kept[ACCOUNT_DOCUMENT] == b"paper"
    again = paper_venue()
    again.restore(kept)
    assert again.documents() == {}


def test_paper_of_an_older_version_is_named_at_its_next_start() -> None:
    venue = paper_venue()
    venue.restore({})
    kept = venue.documents()
    del kept[ACCOUNT_DOCUMENT]
    again = paper_venue()
    again.restore(kept)
    assert again.documents() == {ACCOUNT_DOCUMENT: b"paper"}


@pytest.mark.parametrize(
    "documents",
    [{ACCOUNT_DOCUMENT: LIVE.encode()}, {"trades/BTCUSDT": b'{"number":7}'}],
)
def test_paper_refuses_the_state_of_a_venue(documents: dict[str, bytes]) -> None:
    with pytest.raises(SettingsError, match="never mixed"):
        paper_venue().restore(documents)


def test_a_live_start_on_papers_state_books_and_places_nothing(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        desk.ready().enter()
        desk.until(desk.holds)
        documents = dict(desk.documents)
        desk.die()
        # The same state, as paper would have left it.
        documents |= {ACCOUNT_DOCUMENT: b"paper", "paper_wallet": b"{}"}
        desk.server.hashes[state_key("apply_layer")] = documents
        before = len(desk.lines("request", method="POST"))
        results = len(desk.results)
        desk.start()
        said = refused(desk)
        assert "quantum reset --paper" in said
        assert [
            line for line in desk.lines("request", method="POST")[before:]
            if "order" in str(line["path"]).lower()
        ] == []  # fmt: skip
        assert len(desk.results) == results


def test_a_live_state_goes_on_with_its_account_and_with_no_other(tmp_path: Path) -> None:
    with desk_at(tmp_path, account_id="first") as desk:
        desk.ready()
        named = desk.documents[ACCOUNT_DOCUMENT]
        assert named == account_at("testnet", "first").encode()
        desk.restart()
        desk.ready()
        config = DoubleConfig(
            symbols={BTC: Decimal(65000), "SOLUSDT": Decimal(150)},
            api_key="canary-key-8d1f",
            api_secret="canary-secret-77ac",
            account_id="second",
        )
        with Double.start(config, ledger=tmp_path / "second.jsonl") as second:
            desk.die()
            desk.live |= {"rest_url": second.rest_url, "ws_url": second.ws_url}
            desk.start()
            said = refused(desk)
        assert {"testnet:first", "testnet:second"} <= set(re.findall(r"testnet:\w+", said))
        assert "quantum reset --testnet" in said


def test_a_live_state_of_an_older_version_takes_its_accounts_name(tmp_path: Path) -> None:
    with desk_at(tmp_path) as desk:
        desk.ready().enter()
        desk.until(desk.holds)
        del desk.documents[ACCOUNT_DOCUMENT]
        desk.restart()
        desk.ready()
        assert desk.documents[ACCOUNT_DOCUMENT] == account_at("testnet", "double").encode()
        assert desk.holds()


# -- the commands ---------------------------------------------------------------------------------


def quantum(*words: str, answer: str | None = None) -> tuple[int, str]:
    ended = CliRunner().invoke(app, list(words), input=answer)
    return ended.exit_code, ended.output


def account_of_check(words: tuple[str, ...] = ()) -> Any:
    rows = json.loads(quantum("check", "--json", *words)[1])["findings"]
    return next((row for row in rows if row["what"] == "account"), None)


def test_check_says_when_the_state_is_of_another_account(
    open_ring: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = open_ring()
    assert account_of_check()["verdict"] == "ok"
    call(ring.client, "HSET", state_key("apply_layer"), ACCOUNT_DOCUMENT, LIVE)
    assert account_of_check()["verdict"] == "fail"
    monkeypatch.setenv("QUANTUM_APPLY_LAYER__VENUE", "binance-usdm")
    assert account_of_check()["verdict"] == "fail"
    monkeypatch.setenv("QUANTUM_APPLY_LAYER__LIVE__NETWORK", "production")
    monkeypatch.setenv("QUANTUM_APPLY_LAYER__LIVE__I_UNDERSTAND_REAL_MONEY", "yes")
    assert account_of_check()["verdict"] == "ok"


def test_reset_clears_all_that_paper_left_and_keeps_the_switch(open_ring: Open) -> None:
    ring = open_ring()
    ring.tick("12.5")
    ring.settle()
    ring.stop(*DAEMONS)
    for daemon in DAEMONS:
        ring.client.delete(heartbeat_key(daemon))
    ring.client.set(MODE_KEY, "EXITS_ONLY")
    assert ring.length(APPLY_RESULT.key)
    assert quantum("reset", "--paper", answer="n\n")[0] == 1
    assert ring.client.exists(position_key("RIVERUSDT"))
    status, said = quantum("reset", "--paper", "--yes")
    assert (status, "cleared" in said) == (0, True), said
    left = {key.decode() for key in ring.client.scan_iter("quantum:*")}
    assert {key for key in left if ":heartbeat:" not in key} == {MODE_KEY}
    # The ring begins anew, as on a server that holds nothing.
    ring.start("apply_layer", "harvest_brain", "intent_bridge", "exitbrain", "trading_bot")
    ring.settle()
    assert ring.client.hget(state_key("apply_layer"), ACCOUNT_DOCUMENT) == b"paper"


@pytest.fixture
def server(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """A server that holds nothing, and that the commands ask."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.mark.parametrize(
    ("account", "option", "clears"),
    [
        (PAPER, "--paper", True), (PAPER, "--testnet", False),
        (TESTNET, "--testnet", True), (TESTNET, "--paper", False),
        (LIVE, "--paper", False), (LIVE, "--testnet", False),
    ],
)  # fmt: skip
def test_reset_clears_the_account_that_it_names_and_never_a_real_one(
    server: Redis, account: str, option: str, *, clears: bool
) -> None:
    call(server, "HSET", state_key("apply_layer"), ACCOUNT_DOCUMENT, account)
    status, said = quantum("reset", option, "--yes")
    assert (status == 0) is clears, said
    assert bool(server.exists(state_key("apply_layer"))) is not clears


def test_reset_refuses_while_a_daemon_beats(server: Redis) -> None:
    stop = threading.Event()

    def beat() -> None:
        count = 0
        while not stop.wait(0.02):
            server.hset(heartbeat_key("apply_layer"), "at", f"beat {count}")
            count += 1

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        while not server.exists(heartbeat_key("apply_layer")):
            stop.wait(0.01)
        status, said = quantum("reset", "--paper", "--yes")
    finally:
        stop.set()
        beating.join()
    assert (status, "apply_layer runs" in said) == (1, True), said
    # A beat of the past moves no more.
    assert quantum("reset", "--paper", "--yes")[0] == 0
