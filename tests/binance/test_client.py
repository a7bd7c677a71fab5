"""What the client makes of any answer: what the venue said, that it refused, or no answer."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.apply_layer.binance.client import Client, NoAnswer, VenueError

from .raw import Pieces, client_of, http, raw

ORDER, TIME = "fapiPrivatePostOrder", "fapiPublicGetTime"


def drip(data: bytes, each: int = 1) -> Pieces:
    return [(0.02, data[at : at + each]) for at in range(0, len(data), each)]


WHOLE = http(b'{"serverTime": "1700000000000"}' + b" " * 200)


@pytest.mark.parametrize("begins", [0, len(WHOLE) - 150], ids=["headers", "body"])
def test_an_answer_that_drips_is_given_up_when_its_time_is_over(begins: int) -> None:
    pieces = [(0.0, WHOLE[:begins]), *drip(WHOLE[begins:])]
    with raw(lambda _: pieces, timeout_s=0.4) as (server, client):
        began = time.monotonic()
        with pytest.raises(NoAnswer) as caught:
            client.call(TIME)
        assert caught.value.waited
        # All of it would take four seconds and more.
        assert time.monotonic() - began < 2.0
        assert len(server.requests) == 1


def test_an_answer_that_never_begins_is_given_up_and_not_asked_for_again() -> None:
    with raw(lambda _: [], timeout_s=0.3) as (server, client):
        with pytest.raises(NoAnswer) as caught:
            client.call(TIME)
        assert caught.value.waited
        assert len(server.requests) == 1


def test_nobody_there_is_no_answer_and_costs_no_budget() -> None:
    client = client_of("http://127.0.0.1:1")
    for _ in range(50):
        with pytest.raises(NoAnswer):
            client.call(ORDER, weight=100, orders=1)
    assert client.budget.used(client._monotonic()) == 0


DEEP = b"[" * 100_000
GARBAGE = {
    "html": http(b"<!DOCTYPE html><html><body>Access denied</body></html>"),
    "empty": http(b""),
    "cut json": http(b'{"serverTime": 17000'),
    "cut body": b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{"a": 1}',
    "null": http(b"null"),
    "a word": http(b'"ok"'),
    "a number": http(b"17"),
    "not a number": http(b'{"serverTime": NaN}'),
    "infinite": http(b'{"serverTime": -Infinity}'),
    "no utf-8": http(b'{"a": "\xff\xfe"}'),
    "half a character": http(b'{"a": "\\ud83d"}'),
    "half a name": http(b'{"\\udc00": 1}'),
    "deep": http(DEEP),
    "redirect": http(b"", "302 Found", "Location: http://127.0.0.1:1/elsewhere\r\n"),
    "redirect with json": http(b"{}", "307 Temporary Redirect", "Location: /fapi\r\n"),
    "no http": b"220 smtp ready\r\n\r\n",
    "bad status": b"HTTP/1.1 abc\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
    "bad chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "bad gzip": http(b"\x1f\x8b broken", head="Content-Encoding: gzip\r\n"),
    "bomb": http(gzip.compress(b" " * 40_000_000), head="Content-Encoding: gzip\r\n"),
    "long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n{}",
    "500 html": http(b"<html>", "500 Internal Server Error"),
    "502 cut": http(b'{"code":', "502 Bad Gateway"),
    "no body at all": b"",
}


@pytest.mark.parametrize("name", [ORDER, TIME])
@pytest.mark.parametrize("kind", list(GARBAGE))
def test_what_cannot_be_read_is_no_answer_and_is_not_asked_for_without_end(
    kind: str, name: str
) -> None:
    answer = GARBAGE[kind]
    with raw(lambda _: [(0.0, answer)], timeout_s=2.0 if answer else 0.2) as (server, client):
        with pytest.raises(NoAnswer) as caught:
            client.call(name)
        assert len(server.requests) <= (1 if name == ORDER else 3)
        said = str(caught.value)
        assert "canary" not in said
        assert "signature" not in said
        said.encode()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (http(b'{"code": -2019, "msg": "Margin is insufficient."}', "400 Bad Request"), -2019),
        (http(b'{"code": "-2019", "msg": null}', "400 Bad Request"), -2019),
        (http(b'{"code": -4120, "msg": {"a": [1]}}'), -4120),
        (http(b'{"code": "\xc2\xb2"}', "403 Forbidden"), -403),
        (http(b'{"code": ' + b"9" * 6000 + b"}", "400 Bad Request"), -400),
        (http(b"<html>blocked</html>", "403 Forbidden"), -403),
        (http(b"[]", "401 Unauthorized"), -401),
        (http(b"slow", "429 Too Many Requests", "Retry-After: " + "9" * 400 + "\r\n"), -429),
    ],
)
def test_a_refusal_is_told_by_its_code_however_it_is_written(answer: bytes, code: int) -> None:
    with raw(lambda _: [(0.0, answer)]) as (_, client):
        with pytest.raises(VenueError) as caught:
            client.call(ORDER)
        assert caught.value.code == code


def test_after_a_refusal_for_speed_nothing_is_sent_until_the_time_is_over() -> None:
    answer = http(b'{"code": -1003}', "429 Too Many Requests", "Retry-After: 30\r\n")
    now = [100.0]
    with raw(lambda _: [(0.0, answer)], monotonic=lambda: now[0]) as (server, client):
        for _ in range(3):
            with pytest.raises(VenueError):
                client.call(ORDER)
        assert len(server.requests) == 1
        now[0] += 30.1
        with pytest.raises(VenueError):
            client.call(ORDER)
        assert len(server.requests) == 2


def test_numbers_come_as_they_were_written() -> None:
    with raw(lambda _: [(0.0, http(b'{"a": 0.10, "b": 1e-7, "c": 12345678901234567890}'))]) as (
        _,
        client,
    ):
        assert client.call(TIME) == {"a": "0.10", "b": "1e-7", "c": "12345678901234567890"}


def test_many_calls_at_once_get_each_its_own_answer_and_count_once() -> None:
    def answer(request: str) -> Pieces:
        name = re.search(r"symbol=(S\d+)", request)
        assert name is not None
        body = json.dumps({"symbol": name[1]}).encode()
        return [(0.05, http(body, head="X-MBX-USED-WEIGHT-1M: 7\r\n"))]

    with raw(answer, timeout_s=5.0, monotonic=lambda: 1.0) as (server, client):

        def ask(number: int) -> bool:
            told = client.call("fapiPrivateGetSymbolConfig", {"symbol": f"S{number}"}, weight=5)
            return bool(told == {"symbol": f"S{number}"})

        with ThreadPoolExecutor(12) as pool:
            assert all(pool.map(ask, range(60)))
        assert len(server.requests) == 60
        assert client.budget.used(1.0) == 300


def test_calls_at_once_never_pass_the_limit() -> None:
    begun = threading.Barrier(8)

    def ask(client: Client) -> int:
        begun.wait(5)
        done = 0
        while True:
            try:
                client.call(ORDER, weight=10, orders=1)
            except VenueError:
                return done
            done += 1

    with raw(lambda _: [(0.0, http(b"{}"))], timeout_s=5.0, monotonic=lambda: 1.0) as (
        server,
        client,
    ):
        with ThreadPoolExecutor(8) as pool:
            counts = list(pool.map(lambda _: ask(client), range(8)))
        assert sum(counts) == len(server.requests) == 240


@pytest.mark.parametrize("told", [b"{}", b"[]", b'{"serverTime": "x"}', b'{"serverTime": -5}'])
def test_a_time_that_is_none_moves_no_clock(told: bytes) -> None:
    with raw(lambda _: [(0.0, http(told))]) as (_, client):
        with pytest.raises(NoAnswer):
            client.measure_clock()
        assert client.clock_offset_ms == 0
