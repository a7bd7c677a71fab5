"""One view of both buses for tests: what stands around the daemons, in memory or on a server."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from redis import Redis

from shared.bus import Bus, MemoryBus, MemoryServer, RedisBus, load_library
from shared.streams import MODE_KEY

Fields = Mapping[str, str] | Sequence[tuple[bytes, bytes]]


def pairs(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Fields as they stand in a stream, from text or as they are."""
    if isinstance(fields, Mapping):
        return [(name.encode(), value.encode()) for name, value in fields.items()]
    return list(fields)


class World(ABC):
    """A server with its streams, and the hands of somebody outside the suite."""

    @abstractmethod
    def bus(self, daemon: str) -> Bus:
        """A bus for one instance of a daemon."""

    @abstractmethod
    def bus_that_loses_a_reply(self, daemon: str) -> Bus:
        """A bus that does its next commit and does not hear of it."""

    @abstractmethod
    def add(self, key: str, fields: Fields) -> str:
        """Append an entry to a stream."""

    @abstractmethod
    def raw(self, key: str) -> list[list[tuple[bytes, bytes]]]:
        """The entries of a stream, field by field."""

    @abstractmethod
    def hash(self, key: str) -> dict[str, str]:
        """A hash, empty if there is none; the bus's own fields are left out."""

    @abstractmethod
    def set_string(self, key: str, value: str) -> None:
        """Set a key to text."""

    @abstractmethod
    def flush(self) -> None:
        """Forget everything."""

    @abstractmethod
    def lose_group(self, key: str, daemon: str) -> None:
        """Remove the group of a daemon, as somebody's XGROUP DESTROY does."""

    def set_mode(self, mode: str) -> None:
        """Turn the operator's switch."""
        self.set_string(MODE_KEY, mode)

    def entries(self, key: str) -> list[dict[str, str]]:
        """The entries of a stream, as text."""
        return [{n.decode(): v.decode() for n, v in entry} for entry in self.raw(key)]

    def pending(self, daemon: str) -> int:
        """How many entries a daemon has not finished."""
        bus = self.bus(daemon)
        try:
            return sum(row.pending for row in bus.backlog() if row.group == daemon)
        finally:
            bus.close()


class MemoryWorld(World):
    """The world in memory."""

    def __init__(self) -> None:
        self.server = MemoryServer()

    def bus(self, daemon: str) -> Bus:
        return MemoryBus(self.server, daemon)

    def bus_that_loses_a_reply(self, daemon: str) -> Bus:
        server = self.server

        class Losing(MemoryBus):
            def commit(self, commit: object) -> None:
                if not hasattr(self, "lost"):
                    self.lost = server.lost_replies = 1
                super().commit(commit)  # type: ignore[arg-type]

        return Losing(server, daemon)

    def add(self, key: str, fields: Fields) -> str:
        return self.server.add(key, pairs(fields))

    def raw(self, key: str) -> list[list[tuple[bytes, bytes]]]:
        return [list(entry) for entry in self.server.log(key).entries]

    def hash(self, key: str) -> dict[str, str]:
        found = self.server.hashes.get(key, {})
        return {name: value.decode() for name, value in found.items() if name[0] != "_"}

    def set_string(self, key: str, value: str) -> None:
        self.server.strings[key] = value

    def flush(self) -> None:
        self.server.flush()

    def lose_group(self, key: str, daemon: str) -> None:
        self.server.log(key).groups.pop(daemon)


class RedisWorld(World):
    """The world on a real server."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._undo = contextlib.ExitStack()
        # Every reply as it is, because an entry may have a field twice.
        self.client = self._undo.enter_context(Redis.from_url(url, protocol=2))
        for command in ("XRANGE", "XPENDING"):
            self.client.set_response_callback(command, lambda reply, **_: reply)
        load_library(self.client)

    def close(self) -> None:
        self._undo.close()

    def bus(self, daemon: str) -> Bus:
        bus = RedisBus(self.url, daemon)
        self._undo.callback(bus.close)
        return bus

    def bus_that_loses_a_reply(self, daemon: str) -> Bus:
        proxy = self._undo.enter_context(proxy_to(self.url, loses_reply_to=b"quantum_commit"))
        bus = RedisBus(proxy, daemon)
        self._undo.callback(bus.close)
        return bus

    def add(self, key: str, fields: Fields) -> str:
        words = [word for pair in pairs(fields) for word in pair]
        return str(self.client.execute_command("XADD", key, "*", *words), "utf-8")

    def raw(self, key: str) -> list[list[tuple[bytes, bytes]]]:
        rows = self.client.execute_command("XRANGE", key, "-", "+")
        return [list(zip(flat[::2], flat[1::2], strict=True)) for _, flat in rows]

    def hash(self, key: str) -> dict[str, str]:
        found = self.client.hgetall(key)
        return {k.decode(): v.decode() for k, v in found.items() if not k.startswith(b"_")}

    def set_string(self, key: str, value: str) -> None:
        self.client.set(key, value)

    def flush(self) -> None:
        self.client.flushall()

    def lose_group(self, key: str, daemon: str) -> None:
        self.client.xgroup_destroy(key, daemon)


@contextlib.contextmanager
def proxy_to(url: str, *, loses_reply_to: bytes) -> Iterator[str]:
    """The address of a proxy that breaks the connection once, when a reply is due.

    The command that holds `loses_reply_to` reaches the server, and the server does it.
    """
    with tempfile.TemporaryDirectory(prefix="q-") as folder, socket.socket(socket.AF_UNIX) as door:
        path = str(Path(folder) / "proxy")
        door.bind(path)
        door.listen()
        state = {"armed": True}
        threading.Thread(
            target=_serve, args=(door, url.removeprefix("unix://"), loses_reply_to, state)
        ).start()
        try:
            yield f"unix://{path}"
        finally:
            door.shutdown(socket.SHUT_RDWR)


def _serve(door: socket.socket, server: str, marker: bytes, state: dict[str, bool]) -> None:
    while True:
        try:
            client, _ = door.accept()
        except OSError:
            return
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(server)
        threading.Thread(target=_relay, args=(client, upstream, marker, state)).start()


def _relay(
    client: socket.socket, upstream: socket.socket, marker: bytes, state: dict[str, bool]
) -> None:
    """Hand commands and replies on, in turn: a client of ours waits for each reply."""
    back = threading.Thread(target=_hand_back, args=(upstream, client, state))
    back.start()
    with client, upstream:
        while data := _receive(client):
            if state["armed"] and marker in data:
                state["losing"] = True
            upstream.sendall(data)
        with contextlib.suppress(OSError):
            upstream.shutdown(socket.SHUT_RDWR)
        back.join()


def _hand_back(upstream: socket.socket, client: socket.socket, state: dict[str, bool]) -> None:
    while data := _receive(upstream):
        if state.pop("losing", False):
            state["armed"] = False
            break
        client.sendall(data)
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 20)
    except OSError:
        return b""
