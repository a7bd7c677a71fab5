"""A phone: a receiver on this machine that takes notices by HTTP, and can be off, slow or full."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: It stands in the address, in the places where addresses have their tokens, and nowhere else.
TOKEN = "canary-token-5c1f"


@dataclass
class Phone:
    """What was received, oldest first; `status` is what the phone answers with."""

    port: int = 0
    status: int = 200
    asked: int = 0
    received: list[dict[str, Any]] = field(default_factory=list)
    hangs: bool = False
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """As it stands in the file of receivers."""
        return f"json://user:{TOKEN}@127.0.0.1:{self.port}/{TOKEN}/?+X-Token={TOKEN}"

    @property
    def lines(self) -> list[str]:
        """Every line of every notice."""
        return [line for notice in self.received for line in notice["message"].splitlines()]

    @property
    def titles(self) -> list[str]:
        """The title of every notice."""
        return [notice["title"] for notice in self.received]


@contextmanager
def a_phone(port: int = 0) -> Iterator[Phone]:
    """A phone that is on; it is off after the block."""
    phone = Phone()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            phone.asked += 1
            if phone.hangs:
                phone.go_on.wait(30)
            elif phone.status == 200:
                phone.received.append(json.loads(body))
            self.send_response(phone.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        phone.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield phone
        finally:
            phone.go_on.set()
            server.shutdown()
            thread.join()
