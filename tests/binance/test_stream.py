"""The user stream only rings: nothing that it brings can end anything, or is taken for more."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.server import ServerConnection

from services.apply_layer.binance.stream import UserStream
from shared.streams import STARTING
from tests.binance.raw import client_of, http, raw
from tests.websocket.station import station, until_gone

from .desk import BTC, SOL, D, Desk, desk_at

WITHIN_S = 10.0
KEY = http(b'{"listenKey": "key"}')


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def told(*messages: str | bytes) -> Iterator[UserStream]:
    """A user stream whose server says these and then waits."""

    def conduct(_number: int, connection: ServerConnection) -> None:
        for message in messages:
            connection.send(message)
        until_gone(connection)

    with raw(lambda _: [(0.0, KEY)]) as (_, client), station(conduct) as on_air:
        stream = UserStream(client, on_air.url.rstrip("/"))
        stream.start()
        try:
            yield stream
        finally:
            stream.stop()


def event(kind: str, **more: object) -> str:
    return json.dumps({"e": kind, "E": 1, **more})


ORDER = event("ORDER_TRADE_UPDATE", o={"s": BTC})


def test_an_event_rings_at_its_symbols() -> None:
    positions = event("ACCOUNT_UPDATE", a={"P": [{"s": SOL}, {"s": "币安人生USDT"}]})
    algo = event("ALGO_UPDATE", o={"s": "BTCUSDT_260327"})
    with told(ORDER, positions, algo, event("TRADE_LITE", s=BTC), event("MARGIN_CALL")) as stream:
        until(lambda: stream.rang(frozenset({BTC, SOL, "币安人生USDT"})))
        assert stream.take() == {BTC, SOL, "币安人生USDT", "BTCUSDT_260327"}
        stream.check()


DEEP = "[" * 50_000
UNREADABLE: dict[str, str | bytes] = {
    "no json": "<html>",
    "cut": ORDER[:-3],
    "nothing": "",
    "a list": "[]",
    "a word": '"ORDER_TRADE_UPDATE"',
    "null": "null",
    "no kind": "{}",
    "a kind that is none": event("SOMETHING_NEW"),
    "a kind that is a list": '{"e": ["ORDER_TRADE_UPDATE"]}',
    "no order": event("ORDER_TRADE_UPDATE"),
    "an order that is none": event("ORDER_TRADE_UPDATE", o=[]),
    "a symbol that is none": event("ORDER_TRADE_UPDATE", o={"s": 7}),
    "a symbol that is no name": event("ALGO_UPDATE", o={"s": "BTC USDT\n"}),
    "half a character": '{"e": "ALGO_UPDATE", "o": {"s": "\\ud83d"}}',
    "positions that are none": event("ACCOUNT_UPDATE", a={"P": {"s": BTC}}),
    "a position that is none": event("ACCOUNT_UPDATE", a={"P": [{"s": BTC}, None]}),
    "binary": b"\xff\xfe\x00",
    "deep": DEEP,
    "huge": event("ORDER_TRADE_UPDATE", o={"s": "B" * 900_000}),
}


@pytest.mark.parametrize("kind", list(UNREADABLE))
def test_what_cannot_be_read_may_tell_of_anything_and_ends_nothing(kind: str) -> None:
    with told(UNREADABLE[kind], ORDER) as stream:
        until(lambda: BTC in stream.take())
        assert stream.is_unclear()
        assert not stream.is_unclear()
        stream.check()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(BTC),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["e", "o", "a", "P", "s", "ac", "ai"]), inner, max_size=4)
    ),
    max_leaves=12,
)
KINDS = ["ORDER_TRADE_UPDATE", "ALGO_UPDATE", "ACCOUNT_UPDATE", "ACCOUNT_CONFIG_UPDATE", "x"]


@given(kind=st.sampled_from(KINDS), fields=st.dictionaries(st.sampled_from("oaPs"), VALUES))
def test_any_event_rings_at_names_or_is_unclear(kind: str, fields: dict[str, object]) -> None:
    stream = UserStream(client_of("http://127.0.0.1:1"), "ws://127.0.0.1:1")
    stream._on_message(json.dumps({"e": kind, **fields}))
    assert all(isinstance(symbol, str) and symbol for symbol in stream.take())


def test_a_start_is_no_loss_of_the_stream(tmp_path: object) -> None:
    stream = UserStream(client_of("http://127.0.0.1:1"), "ws://127.0.0.1:1")
    assert stream.missed
    assert stream.barrier == STARTING


def test_no_start_and_no_restart_tells_of_a_lost_stream(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    with desk_at(tmp_path_factory.mktemp("desk")) as desk:
        desk.ready()
        desk.restart()
        desk.ready()
        assert "user_stream_down" not in capsys.readouterr().out
        desk.venue.faults.script("stream_dropped")
        desk.until(lambda: "user_stream_down" in desk.state.barriers)


def test_garbage_on_the_stream_costs_a_watch_and_finds_what_it_may_have_told(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with desk_at(tmp_path_factory.mktemp("desk"), {"watch_every_s": "30"}) as desk:
        desk.ready()
        desk.enter()
        desk.until(desk.holds)
        desk.until(lambda: not desk.outside._stream.rang())
        desk.venue.faults.script("stream_event_lost", times=50)
        lose_stop(desk)
        desk.outside._stream._on_message("<html>")
        desk.until(lambda: desk.stops() and desk.holds(), 5.0)
        assert desk.venue.position(BTC) == D("0.1")


def lose_stop(desk: Desk) -> None:
    (stop,) = desk.stops()
    desk.venue.cancel_by_hand(stop["clientAlgoId"])
