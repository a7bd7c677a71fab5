"""A real WebSocket server whose conduct a test decides, and a listener that writes all down."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

WITHIN_S = 10.0

#: What the server does with its n-th connection, counted from 0; it is closed afterwards.
Conduct = Callable[[int, ServerConnection], None]


@dataclass
class Station:
    """The server: its port, and which paths were asked for, in their order."""

    port: int
    server: Server
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"


@contextlib.contextmanager
def station(conduct: Conduct, port: int = 0, **options: Any) -> Iterator[Station]:
    """Serve until the block ends."""
    lock = threading.Lock()

    def handle(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        with lock:
            number = len(on_air.paths)
            on_air.paths.append(request.path)
        with contextlib.suppress(ConnectionClosed):
            conduct(number, connection)

    server = serve(
        handle,
        "127.0.0.1",
        port,
        compression=None,
        ping_interval=None,
        close_timeout=1,
        **options,
    )
    on_air = Station(server.socket.getsockname()[1], server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield on_air
    finally:
        server.shutdown()
        thread.join()


def until_gone(connection: ServerConnection) -> None:
    """Say nothing until the client hangs up."""
    for _ in connection:
        pass


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Heard:
    """What the socket told: messages, ups and downs in one list; a test waits for its growth."""

    told: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def message(self, text: str) -> None:
        self._tell(text)

    def up(self) -> None:
        self._tell("up")

    def down(self, reason: str) -> None:
        self._tell(f"down: {reason}")

    def wait_for(self, *told: str) -> None:
        """Wait until exactly these were told from the start, and maybe more."""
        wanted = list(told)
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.told) >= len(wanted), WITHIN_S)
        assert came, f"only {self.told} within {WITHIN_S} s"
        assert self.told[: len(wanted)] == wanted

    def _tell(self, text: str) -> None:
        with self._changed:
            self.told.append(text)
            self._changed.notify_all()


@contextlib.contextmanager
def cut_cable(to: int) -> Iterator[tuple[int, threading.Event]]:
    """A port that leads to the port `to`, and an event that makes it half-open.

    Once the event is set, bytes go nowhere in either direction and nothing is closed.
    """
    cut = threading.Event()
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []
    door = socket.create_server(("127.0.0.1", 0))

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not cut.is_set():
                    target.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = door.accept()
                if cut.is_set():
                    # The cable is whole again for who calls anew.
                    cut.clear()
                far = socket.create_connection(("127.0.0.1", to))
                sockets.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threads.append(threading.Thread(target=carry, args=pair))
                    threads[-1].start()

    keeper = threading.Thread(target=accept)
    keeper.start()
    try:
        yield door.getsockname()[1], cut
    finally:
        with contextlib.suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)
        door.close()
        keeper.join()
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for each in sockets:
            each.close()
