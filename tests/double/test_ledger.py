"""The ledger alone tells the wallet and the positions; a witness is asked before the execution."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.apply_layer.double import Double, Refused

from .raw import BTC, SOL, D, Raw, config, lines

PRICES = {BTC: (D(65_000), D("0.1")), SOL: (D(150), D("0.01"))}


def busy(venue: Double, chance: random.Random) -> None:
    """Orders of every kind by hand, and a mark that jumps, for a while."""
    for _ in range(60):
        symbol = chance.choice((BTC, SOL))
        first, tick = PRICES[symbol]
        qty = D(chance.randint(1, 9)) * (D("0.05") if symbol == BTC else D(20))
        side = chance.choice(("BUY", "SELL"))
        mark = venue.mark_of(symbol)
        try:
            match chance.randrange(6):
                case 0 | 1:
                    venue.by_hand(symbol, side, qty)
                case 2:
                    venue.by_hand(symbol, side, qty, reduce_only=True)
                case 3:
                    away = D(chance.choice((98, 99, 101, 102))) / 100
                    trigger = (mark * away / tick).to_integral_value() * tick
                    book = chance.choice(("algo", "orders"))
                    venue.stop_by_hand(symbol, side, trigger, qty, book=book)
                case 4:
                    trigger = (mark * D("0.97") / tick).to_integral_value() * tick
                    venue.stop_by_hand(symbol, "SELL", trigger)
                case 5:
                    venue.faults.script("liquidation", symbol=symbol)
        except Refused:
            continue
        finally:
            moved = first * (1 + D(chance.randint(-40, 40)) / 1000)
            venue.mark(symbol, (moved / tick).to_integral_value() * tick)


def sums(told: list[dict[str, Any]]) -> tuple[Decimal, dict[str, Decimal]]:
    """The change of the wallet and the positions, from the trades and the funding alone."""
    wallet, held = D(0), defaultdict[str, Decimal](Decimal)
    for line in told:
        if line["kind"] == "trade":
            sign = 1 if line["side"] == "BUY" else -1
            held[line["symbol"]] += sign * D(line["qty"])
            wallet += D(line["realized"]) - D(line["fee"])
            assert D(line["position"]) == held[line["symbol"]]
        elif line["kind"] == "funding":
            wallet += D(line["amount"])
        else:
            continue
        assert D(line["wallet"]) == 100_000 + wallet
    return wallet, held


@pytest.mark.parametrize("seed", range(6))
def test_the_sums_of_the_ledger_are_the_engine_s_wallet_and_positions(
    tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "ledger.jsonl"
    with Double.start(config(trades_per_order=1 + seed % 3), ledger=path) as venue:
        busy(venue, random.Random(seed))
        held_by_engine = {symbol: venue.position(symbol) for symbol in (BTC, SOL)}
        wallet, memory = venue.wallet, venue.ledger
        standing = {o["algoId"] for o in venue.open_algo_orders()}
        standing |= {o["orderId"] for o in venue.open_orders()}
    written = [json.loads(text) for text in path.read_text().splitlines()]
    assert written == memory
    assert [line["n"] for line in written] == list(range(1, len(written) + 1))
    change, held = sums(written)
    assert 100_000 + change == wallet
    assert {symbol: held[symbol] for symbol in held_by_engine} == held_by_engine
    accepted = {line["order_id"] for line in written if line["kind"] == "order"}
    ended = {line["order_id"] for line in written if line["kind"] == "ended"}
    assert accepted - ended == standing


def test_a_reduce_only_order_never_opens_and_never_flips() -> None:
    with Double.start(config()) as venue:
        busy(venue, random.Random(11))
        before = defaultdict[str, Decimal](Decimal)
        reducing = 0
        for line in lines(venue, "trade"):
            after = D(line["position"])
            if line["reduce_only"]:
                reducing += 1
                assert abs(after) < abs(before[line["symbol"]])
                assert after * before[line["symbol"]] >= 0
            before[line["symbol"]] = after
        assert reducing > 3


def test_the_witness_is_asked_before_anything_of_the_order_is_executed() -> None:
    seen: list[tuple[str, Decimal]] = []

    def witness(client_id: str) -> bool:
        seen.append((client_id, venue.position(BTC)))
        return client_id != "e2"

    with Double.start(config(witness=witness)) as venue:
        raw = Raw(venue)
        raw.market(newClientOrderId="e1")
        raw.market(newClientOrderId="e2")
        raw.stop(clientAlgoId="s1")
        raw.market(newClientOrderId="e3", quantity="1000")
        venue.mark(BTC, D(63_900))
    assert seen == [("e1", D(0)), ("e2", D("0.1")), ("s1", D("0.2"))]
    assert [line["witness"] for line in lines(venue, "order")] == [True, False, True]


def test_without_a_witness_nothing_is_claimed(raw: Raw) -> None:
    raw.market()
    (line,) = lines(raw.venue, "order")
    assert "witness" not in line
    assert line["book"] == "orders"
    assert (line["qty"], line["reduce_only"], line["trigger"]) == ("0.1", False, None)


def test_a_ledger_that_stood_there_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    for _ in range(2):
        with Double.start(config(), ledger=path) as venue:
            venue.by_hand(BTC, "BUY", D("0.1"))
    kinds = [json.loads(text)["kind"] for text in path.read_text().splitlines()]
    assert kinds.count("trade") == 2
