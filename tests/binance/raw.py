"""A server that answers each request with the bytes it is told to, as slowly as it is told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from services.apply_layer.binance.client import Client
from services.apply_layer.binance.credentials import Keys

#: Pieces of an answer, each with the seconds to wait before it.
Pieces = list[tuple[float, bytes]]
_PARTS = ("fapiPublic", "fapiPrivate", "fapiPrivateV2", "fapiPrivateV3", "sapi")


def http(body: bytes, status: str = "200 OK", head: str = "") -> bytes:
    """A whole answer."""
    length = f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status}\r\n{length}{head}\r\n".encode() + body


class Raw:
    """Counts the requests; `answer` is asked with each, its first line and what follows."""

    def __init__(self, answer: Callable[[str], Pieces]) -> None:
        self.requests: list[str] = []
        self._answer = answer
        self._stop = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            got = b""
            try:
                while not self._stop.is_set():
                    while b"\r\n\r\n" not in got:
                        more = connection.recv(65536)
                        if not more:
                            return
                        got += more
                    head, _, got = got.partition(b"\r\n\r\n")
                    length = _length(head)
                    while len(got) < length:
                        got += connection.recv(65536)
                    text = head.decode() + "\r\n\r\n" + got[:length].decode()
                    got = got[length:]
                    self.requests.append(text)
                    for wait_s, piece in self._answer(text):
                        if self._stop.wait(wait_s):
                            return
                        connection.sendall(piece)
            except OSError:
                return

    def close(self) -> None:
        self._stop.set()
        self._listening.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


@contextmanager
def raw(answer: Callable[[str], Pieces], **more: Any) -> Iterator[tuple[Raw, Client]]:
    """A server and a client of it."""
    server = Raw(answer)
    try:
        yield server, client_of(server.url, **more)
    finally:
        server.close()


def client_of(url: str, timeout_s: float = 0.5, **more: Any) -> Client:
    """The real client, for any server."""
    urls = {part: f"{url}/{part}" for part in _PARTS}
    return Client(
        Keys("canary-key-8d1f", "canary-secret-77ac"),
        urls=urls, demo=False, recv_window_ms=5000, timeout_s=timeout_s, **more,
    )  # fmt: skip
