"""A connection is made anew whenever it is lost, however it was lost, and never by a busy loop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from shared.websocket import Socket

from .station import WITHIN_S, Heard, cut_cable, free_port, station, until_gone

SOON = (0.01, 0.05)


@contextlib.contextmanager
def listening(url: str | Callable[[], str], heard: Heard, **options: Any) -> Iterator[Socket]:
    """A socket that reports to `heard`, stopped at the end of the block."""
    given: dict[str, Any] = {"backoff_s": SOON, "on_up": heard.up, "on_down": heard.down} | options
    asked = url if callable(url) else lambda: str(url)
    client = Socket("test", asked, given.pop("on_message", heard.message), **given)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        assert not client.up


def says(*messages: str) -> Callable[[int, ServerConnection], None]:
    """A server that says these to its first client, its number to each later one, and waits."""

    def conduct(number: int, connection: ServerConnection) -> None:
        for message in messages if number == 0 else [f"from {number}"]:
            connection.send(message)
        until_gone(connection)

    return conduct


def test_messages_arrive_in_their_order_between_up_and_down() -> None:
    heard = Heard()
    with station(says("a", "b", "c")) as on_air, listening(on_air.url, heard) as client:
        heard.wait_for("up", "a", "b", "c")
        assert client.up
        assert client.reconnects == 0
    heard.wait_for("up", "a", "b", "c", "down: stopped")
    assert client.failed is None


def test_a_silent_server_is_left_for_a_new_connection() -> None:
    heard = Heard()
    with (
        station(says("a")) as on_air,
        listening(on_air.url, heard, silent_after_s=0.2) as client,
    ):
        heard.wait_for("up", "a", "down: silent for 0.2 s", "up", "from 1")
        assert client.reconnects == 1


def test_a_server_that_speaks_often_enough_is_not_silent() -> None:
    def speaks(_number: int, connection: ServerConnection) -> None:
        for count in range(10):
            connection.send(f"{count}")
            # Not a wait for something: the pace is what is tested.
            time.sleep(0.05)
        until_gone(connection)

    heard = Heard()
    with station(speaks) as on_air, listening(on_air.url, heard, silent_after_s=0.3):
        heard.wait_for("up", *map(str, range(10)), "down: silent for 0.3 s")


def test_a_dropped_connection_comes_back() -> None:
    def drops_the_first(number: int, connection: ServerConnection) -> None:
        connection.send(f"from {number}")
        if number == 0:
            connection.socket.shutdown(2)
        else:
            until_gone(connection)

    heard = Heard()
    with station(drops_the_first) as on_air, listening(on_air.url, heard):
        heard.wait_for(
            "up",
            "from 0",
            "down: closed: no close frame received or sent",
            "up",
            "from 1",
        )


def test_a_half_open_connection_is_found_by_its_pings_alone() -> None:
    heard = Heard()
    with (
        station(says("a")) as on_air,
        cut_cable(on_air.port) as (port, cut),
        listening(
            f"ws://127.0.0.1:{port}/", heard, silent_after_s=None, ping_s=(0.1, 0.1)
        ) as client,
    ):
        heard.wait_for("up", "a")
        cut.set()
        heard.wait_for(
            "up",
            "a",
            "down: closed: sent 1011 (internal error) keepalive ping timeout; no close frame "
            "received",
            "up",
            "from 1",
        )
        assert client.reconnects == 1


def test_the_pings_of_a_socket_as_it_comes_find_a_dead_connection_within_10_s() -> None:
    client = Socket("test", lambda: "", lambda _text: None)
    assert sum(client._ping_s) <= 10
    assert client._silent_after_s == 10


def test_an_aged_connection_is_replaced_without_a_wait() -> None:
    heard = Heard()
    with (
        station(says("a")) as on_air,
        # With a backoff of a minute the second connection would not come in time.
        listening(on_air.url, heard, max_age_s=0.3, backoff_s=(60.0, 60.0)),
    ):
        heard.wait_for("up", "a", "down: old", "up", "from 1", "down: old", "up", "from 2")


def test_a_server_that_is_not_there_yet_is_found_when_it_comes() -> None:
    heard, port = Heard(), free_port()
    asked = threading.Event()
    attempts = []

    def url() -> str:
        attempts.append(1)
        if len(attempts) == 3:
            asked.set()
        return f"ws://127.0.0.1:{port}/"

    with listening(url, heard) as client:
        assert asked.wait(WITHIN_S)
        assert heard.told == []
        with station(says("a"), port):
            heard.wait_for("up", "a")
            assert client.reconnects == 0
            client.stop()


def test_the_url_is_asked_for_each_connection_and_may_be_refused_for_now() -> None:
    heard = Heard()
    answers = iter(["first", None, None, "second"])

    def url() -> str:
        answer = next(answers)
        if answer is None:
            raise OSError("no key")
        return f"{on_air.url}{answer}"

    with station(says("a")) as on_air, listening(url, heard) as client:
        heard.wait_for("up", "a")
        client.reconnect()
        heard.wait_for("up", "a", "down: asked to connect anew", "up", "from 1")
        assert on_air.paths == ["/first", "/second"]


def test_a_callback_may_ask_for_a_new_connection() -> None:
    heard = Heard()
    replaced: list[str] = []

    def on_message(text: str) -> None:
        heard.message(text)
        if not replaced:
            replaced.append(text)
            client.reconnect()

    with (
        station(says("a")) as on_air,
        listening(on_air.url, heard, on_message=on_message) as client,
    ):
        heard.wait_for("up", "a", "down: asked to connect anew", "up", "from 1")


def test_connections_that_bring_nothing_are_spaced_further_and_further() -> None:
    moments: list[float] = []
    enough = threading.Event()

    def hangs_up(_number: int, connection: ServerConnection) -> None:
        moments.append(time.monotonic())
        if len(moments) == 5:
            enough.set()

    heard = Heard()
    with station(hangs_up) as on_air, listening(on_air.url, heard, backoff_s=(0.1, 10.0)):
        assert enough.wait(WITHIN_S)
    # Of 0.1, 0.2, 0.4 and 0.8 s at least half each.
    assert moments[4] - moments[0] >= 0.75


def test_a_good_connection_sets_the_backoff_back() -> None:
    moments: list[float] = []
    enough = threading.Event()

    def speaks_and_hangs_up(number: int, connection: ServerConnection) -> None:
        moments.append(time.monotonic())
        connection.send("a")
        if len(moments) == 6:
            enough.set()

    heard = Heard()
    with station(speaks_and_hangs_up) as on_air, listening(on_air.url, heard, backoff_s=(0.1, 60)):
        assert enough.wait(WITHIN_S)
    # Five waits of at most 0.1 s; doubled each time they would come to at least 1.55 s.
    assert moments[5] - moments[0] < 1.5


@pytest.mark.parametrize("callback", ["on_message", "on_up", "on_down", "url"])
def test_a_bug_in_a_callback_ends_the_thread_and_is_kept_for_the_owner(callback: str) -> None:
    def buggy(*_args: object) -> Any:
        raise KeyError("a bug")

    def hangs_up(_number: int, connection: ServerConnection) -> None:
        connection.send("a")

    with station(hangs_up) as on_air:
        url = buggy if callback == "url" else on_air.url
        options = {} if callback == "url" else {callback: buggy}
        with listening(url, Heard(), **options) as client:
            client._thread.join(WITHIN_S)
            assert not client._thread.is_alive()
            assert not client.up
    assert isinstance(client.failed, KeyError)


def test_an_error_of_the_network_that_a_callback_raises_is_a_bug_too() -> None:
    def buggy(_text: str) -> None:
        raise OSError("not from the socket")

    with station(says("a")) as on_air, listening(on_air.url, Heard(), on_message=buggy) as client:
        client._thread.join(WITHIN_S)
        assert isinstance(client.failed, OSError)


def test_a_server_that_refuses_the_upgrade_is_asked_again() -> None:
    heard = Heard()
    refused: list[int] = []

    def process_request(connection: ServerConnection, _request: Any) -> Any:
        refused.append(1)
        return connection.respond(503, "not now\n") if len(refused) < 3 else None

    with (
        station(says("a"), process_request=process_request) as on_air,
        listening(on_air.url, heard),
    ):
        heard.wait_for("up", "a")
        assert len(refused) == 3


def test_stop_does_not_wait_for_a_backoff() -> None:
    tried = threading.Event()

    def url() -> str:
        tried.set()
        raise OSError("never")

    client = Socket("test", url, lambda _text: None, backoff_s=(600.0, 600.0))
    client.start()
    assert tried.wait(WITHIN_S)
    started = time.monotonic()
    client.stop()
    assert time.monotonic() - started < 5
    assert client.failed is None


def test_a_socket_that_never_started_can_be_stopped() -> None:
    client = Socket("test", lambda: "", lambda _text: None)
    client.stop()
    assert not client.up
