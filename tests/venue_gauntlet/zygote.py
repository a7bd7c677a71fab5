"""A process without threads that has imported everything and makes lives by fork, in milliseconds.

Forking a process that has threads is not safe, and a worker has them (the double's server); so the
zygote is forked from the worker before it starts any. It is told by lines of JSON on a socket what
to start, and tells on it which child stopped or ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NoReturn

from tests.venue_gauntlet.lives import Order, live

_CRASHED = 70


class Zygote:
    """The worker's end. One caller at a time."""

    def __init__(self, line: socket.socket, pid: int) -> None:
        self._line = line
        self._pid = pid
        self._rest = b""

    @classmethod
    def fork(cls) -> Zygote:
        """Split off from this process, which must not have started a thread."""
        here, there = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            here.close()
            try:
                _serve(there)
            finally:
                # Whatever happens, this copy of the worker must not go on as one.
                os._exit(_CRASHED)
        there.close()
        return cls(here, pid)

    def start(self, order: Order) -> None:
        """Begin a life; its pid comes as an event."""
        self._line.sendall(json.dumps(asdict(order)).encode() + b"\n")

    def events(self, within_s: float) -> list[dict[str, Any]]:
        """What happened to the lives: `started`, `stopped` or `ended`, with `life` and `pid`."""
        self._line.settimeout(max(within_s, 0.0005))
        try:
            got = self._line.recv(1 << 16)
        except TimeoutError:
            return []
        if not got:
            raise ChildProcessError("the zygote is gone")
        *lines, self._rest = (self._rest + got).split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """End it, and with it every life that still is."""
        self._line.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _serve(line: socket.socket) -> NoReturn:
    """The zygote's own life: it forks, waits and tells, until the worker hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ear, mouth = socket.socketpair()
    ear.setblocking(False)
    mouth.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(mouth.fileno())
    lives: dict[int, int] = {}
    rest = b""
    with selectors.DefaultSelector() as wait:
        wait.register(line, selectors.EVENT_READ)
        wait.register(ear, selectors.EVENT_READ)
        while True:
            for key, _ in wait.select():
                if key.fileobj is ear:
                    with contextlib.suppress(BlockingIOError):
                        ear.recv(4096)
                    for event in _changes(lives):
                        _tell(line, event)
                    continue
                got = _heard(line)
                if not got:
                    _leave(lives)
                *orders, rest = (rest + got).split(b"\n")
                for text in orders:
                    order = Order(**json.loads(text))
                    pid = _fork_life(order, (line, ear, mouth))
                    lives[pid] = order.life
                    _tell(line, {"event": "started", "life": order.life, "pid": pid})


def _heard(line: socket.socket) -> bytes:
    """What the worker says; nothing once it has hung up or is gone."""
    try:
        return line.recv(1 << 16)
    except ConnectionResetError:
        return b""


def _fork_life(order: Order, inherited: tuple[socket.socket, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for each in inherited:
        each.close()
    status = _CRASHED
    try:
        status = live(order)
    finally:
        # Whatever ended it, this copy of the zygote must not go on as one.
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)


def _changes(lives: dict[int, int]) -> Iterator[dict[str, Any]]:
    while lives:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return
        if pid == 0:
            return
        life = lives.get(pid)
        if os.WIFSTOPPED(status):
            yield {"event": "stopped", "life": life, "pid": pid}
        else:
            lives.pop(pid, None)
            ended = os.waitstatus_to_exitcode(status)
            yield {"event": "ended", "life": life, "pid": pid, "status": ended}


def _tell(line: socket.socket, event: dict[str, Any]) -> None:
    # A worker that is gone is found by the next read.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        line.sendall(json.dumps(event).encode() + b"\n")


def _leave(lives: dict[int, int]) -> NoReturn:
    for pid in lives:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)
