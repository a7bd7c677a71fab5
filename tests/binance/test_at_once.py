"""Many orders at a venue that is 200 ms away: all go out soon, and none keeps a stop waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.apply_layer.double import Double

from .desk import D, Desk, desk_at
from .far import Far

NAMES = [f"S{number:02}USDT" for number in range(30)]
LATENCY_S = 0.2


@contextmanager
def far_desk(folder: Path, **config: Any) -> Iterator[tuple[Desk, Far]]:
    """A desk before a double that is far away, ready for entries."""
    symbols = {name: D(100) for name in NAMES}
    with (
        desk_at(
            folder, {"timeout_s": "3", "recv_window_ms": 5000}, symbols=symbols, **config
        ) as desk,
        Far(desk.venue.port, 0.0) as far,
    ):
        desk.live |= {"rest_url": far.rest_url, "ws_url": far.ws_url}
        desk.own["symbols"] = NAMES
        desk.restart()
        desk.until(lambda: not desk.outside.barred and not desk.state.barriers, 30.0)
        far.latency_s = LATENCY_S
        yield desk, far
        desk.die()


def send_all(desk: Desk, names: list[str]) -> None:
    """Publish an entry for each symbol, all before the first is read."""
    turn, desk.turn = desk.turn, lambda: None  # type: ignore[method-assign]
    for name in names:
        desk.enter(name)
    desk.turn = turn  # type: ignore[method-assign]


def naked_spans(venue: Double, names: list[str]) -> dict[str, float]:
    """By the ledger alone, in seconds: from a symbol's first trade to the stop that covers it."""
    opened: dict[str, float] = {}
    spans: dict[str, float] = {}
    for line in sorted(venue.ledger, key=lambda line: line["n"]):
        symbol = line.get("symbol")
        if symbol not in names:
            continue
        if line["kind"] == "trade":
            opened.setdefault(symbol, line["t"])
        elif line["kind"] == "order" and line["type"] == "STOP_MARKET" and symbol in opened:
            spans.setdefault(symbol, line["t"] - opened[symbol])
    return spans


def test_thirty_entries_at_once_are_open_and_each_is_under_a_stop_within_two_seconds(
    tmp_path: Path,
) -> None:
    with far_desk(tmp_path, wallet=D(1_000_000)) as (desk, _):
        send_all(desk, NAMES)
        began = time.monotonic()
        desk.until(lambda: all(desk.holds(name) for name in NAMES), 30.0)
        assert time.monotonic() - began < 15.0
        spans = naked_spans(desk.venue, NAMES)
        assert set(spans) == set(NAMES)
        assert max(spans.values()) < 2.0, sorted(spans.values())
        assert all(len(desk.stops(name)) == 1 for name in NAMES)
        assert desk.statuses.count("FILLED") == 30
        assert all(line["http"] != 429 for line in desk.lines("request"))


def test_a_stop_that_is_lost_while_entries_go_out_is_back_within_two_seconds(
    tmp_path: Path,
) -> None:
    with far_desk(tmp_path, wallet=D(1_000_000)) as (desk, _):
        first, others = NAMES[0], NAMES[1:]
        desk.enter(first)
        desk.until(lambda: desk.holds(first))
        send_all(desk, others)
        desk.venue.cancel_by_hand(desk.stops(first)[0]["clientAlgoId"])
        began = time.monotonic()
        lost: list[float] = []

        def back() -> bool:
            if not lost and desk.stops(first):
                lost.append(time.monotonic() - began)
            return all(desk.holds(name) for name in others)

        desk.until(back, 30.0)
        (ended,) = [e for e in desk.lines("ended", symbol=first) if e["book"] == "algo"][:1]
        placed = [o["t"] for o in desk.lines("order", symbol=first) if o["type"] == "STOP_MARKET"]
        assert placed[-1] - ended["t"] < 2.0
        assert desk.venue.position(first) == D(10)


def test_an_order_in_doubt_is_asked_for_with_each_beat_and_no_faster(tmp_path: Path) -> None:
    with desk_at(tmp_path, {"recv_window_ms": 3000}) as desk:
        desk.ready()
        desk.venue.faults.script("http_503_unknown", method="POST", path="/fapi/v1/order")
        desk.enter()
        desk.for_s(1.0)
        assert any(sent.doubt for sent in desk.state.orders.values())
        before = len(desk.lines("request"))
        desk.for_s(1.0)
        # Ten beats a second here, each with one question of at most four calls, and a look.
        assert len(desk.lines("request")) - before < 130
