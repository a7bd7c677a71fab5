"""A WebSocket that keeps itself connected, in a thread of its own.

Reads messages from a server and hands each to a callback as text; sends nothing but pings. Bytes
that are no text come with the sign for that in their place. Needs the optional extra `live`. A
connection is given up and made anew when it breaks, when nothing came for too long, when a ping is
not answered, and before the venue would cut it for its age.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from shared.log import logger

#: How long a connection may take to open; less than the silence that counts as a loss.
_OPEN_S = 5.0
#: How long to wait for the other side's goodbye; a half-open connection never gives one.
_CLOSE_S = 1.0
#: A source of chance of its own: a thread that draws from the common one disturbs whoever seeds it.
_CHANCE = random.Random()


@dataclass(frozen=True, slots=True)
class _End:
    """Why a connection ended. `good`: it brought a message, or stood for as long as a backoff."""

    reason: str
    good: bool = False
    planned: bool = False


class _Kept:
    """Takes what ends a thread and keeps it for the owner, who is to raise it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> bool:
        self.error = error
        return True


class Socket:
    """One connection that is made again whenever it is lost. All times are in seconds.

    `url` is asked before each connection and raises OSError for "not now". The callbacks run in
    the socket's thread: `on_message` for each message, `on_up` when a connection stands, `on_down`
    with the reason when one that stood is over. They must be quick, as nothing is read meanwhile.
    A callback that raises ends the thread, and `failed` holds the error: the owner has to look.

    `silent_after_s` without a message means a new connection; None leaves it to the pings, which
    find a dead one within the sum of `ping_s` (how often, and how long an answer may take).
    Attempts are spaced by `backoff_s`, from the first to the longest, with chance so that not
    everybody comes back at once. At `max_age_s` a connection is replaced without a wait.
    """

    def __init__(
        self,
        name: str,
        url: Callable[[], str],
        on_message: Callable[[str], None],
        *,
        silent_after_s: float | None = 10.0,
        max_age_s: float = 23.5 * 3600,
        backoff_s: tuple[float, float] = (0.5, 30.0),
        ping_s: tuple[float, float] = (5.0, 5.0),
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self._name = name
        self._url = url
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._silent_after_s = silent_after_s
        self._max_age_s = max_age_s
        self._backoff_s = backoff_s
        self._ping_s = ping_s
        self._kept = _Kept()
        self._stop = threading.Event()
        self._again = threading.Event()
        self._connection: ClientConnection | None = None
        self._connections = 0
        self._thread = threading.Thread(target=self._run, name=f"socket-{name}", daemon=True)
        self.up = False

    @property
    def reconnects(self) -> int:
        """How many connections stood after the first one."""
        return max(0, self._connections - 1)

    @property
    def failed(self) -> BaseException | None:
        """What ended the thread, if it was not `stop`."""
        return self._kept.error

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Close for good; after it returns no callback begins."""
        self._stop.set()
        self._hang_up()
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join()

    def reconnect(self) -> None:
        """Replace the connection, as when its URL is no longer valid; from any thread."""
        self._again.set()
        self._hang_up()

    def _hang_up(self) -> None:
        connection = self._connection
        # In its own thread a callback is under way, and the reader looks right after it.
        if connection is not None and threading.current_thread() is not self._thread:
            connection.close()

    def _run(self) -> None:
        with self._kept:
            first_s, longest_s = self._backoff_s
            delay_s = first_s
            while not self._stop.is_set():
                end = self._one_connection()
                if end.good:
                    delay_s = first_s
                if self._stop.is_set() or (end.good and end.planned):
                    continue
                wait_s = delay_s * _CHANCE.uniform(0.5, 1.0)
                logger().warning(
                    "socket_down", socket=self._name, reason=end.reason, retry_in_s=round(wait_s, 2)
                )
                self._stop.wait(wait_s)
                delay_s = min(2 * delay_s, longest_s)

    def _one_connection(self) -> _End:
        """Connect and read until it is over. Only what the network does is caught here."""
        self._again.clear()
        interval_s, patience_s = self._ping_s
        with ExitStack() as opened:
            try:
                connection = opened.enter_context(
                    connect(
                        self._url(),
                        compression=None,
                        open_timeout=_OPEN_S,
                        close_timeout=_CLOSE_S,
                        ping_interval=interval_s,
                        ping_timeout=patience_s,
                    )
                )
            except (OSError, WebSocketException, UnicodeError) as error:
                return _End(f"no connection: {error or type(error).__name__}")
            self._connection = connection
            self._connections += 1
            self.up = True
            try:
                self._on_up()
                end = self._read(connection)
            finally:
                self.up = False
                self._connection = None
            # Before the goodbye, for which a connection that is dead keeps everybody waiting.
            self._on_down(end.reason)
        return end

    def _read(self, connection: ClientConnection) -> _End:
        opened_at = time.monotonic()
        ends_at = opened_at + self._max_age_s
        got_any = False

        def end(reason: str, *, planned: bool = False) -> _End:
            stood_s = time.monotonic() - opened_at
            return _End(reason, got_any or stood_s >= self._backoff_s[1], planned)

        while True:
            if self._stop.is_set():
                return end("stopped", planned=True)
            if self._again.is_set():
                return end("asked to connect anew", planned=True)
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                return end("old", planned=True)
            patience_s = left_s if self._silent_after_s is None else self._silent_after_s
            try:
                message = connection.recv(timeout=min(patience_s, left_s), decode=False)
            except TimeoutError:
                if patience_s < left_s:
                    return end(f"silent for {patience_s:g} s")
                continue
            except ConnectionClosed as closed:
                # The one who hung up said why; an end of our own making is none of the network's.
                if self._stop.is_set() or self._again.is_set():
                    continue
                return end(f"closed: {closed}")
            got_any = True
            self._on_message(message.decode(errors="replace"))
