"""Whatever goes wrong, no error text holds a secret: canaries in every place that holds one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from typer.testing import CliRunner

from services.apply_layer.binance.client import VenueError
from services.apply_layer.binance.credentials import read_keys
from services.notifier.outside.addresses import read_addresses
from shared import log
from shared.bus.client import plainly
from shared.bus.port import BusDown, NotReady
from shared.cli import app
from shared.redaction import keep_address, keep_secret, redact, shown_address
from shared.settings import SettingsError, load
from shared.streams import PROGRAMS

CANARY = "c4naryZx9"
ODD = "c4na/ryZ#x9?qq"
#: Every way of writing an address with a password in it, sound or not. Nobody listens at port 1.
ADDRESSES = (
    f"redis://:{CANARY}@127.0.0.1:1/0",
    f"redis://user:{CANARY}@127.0.0.1:1/0",
    f"redis://{CANARY}@127.0.0.1:1/0",
    f"redis://127.0.0.1:1/0?password={CANARY}",
    f"redis://127.0.0.1:1/0?db=zero&password={CANARY}",
    f"unix://user:{CANARY}@/nowhere/redis.sock",
    f"unix:///nowhere/redis.sock?password={CANARY}",
    f"rediss://user:{CANARY}@127.0.0.1:1/0",
    f"redis://user:{CANARY}@127.0.0.1:port/0",
    f"redis://user:{CANARY}@[::1/0",
    f"http://user:{CANARY}@127.0.0.1:1/0",
    f"redis:/user:{CANARY}@127.0.0.1:1/0",
    f"redis://user:{ODD}@127.0.0.1:1/0",
    f"redis://user:1234/{CANARY}@127.0.0.1:1/0",
    f"redis://user:%63{CANARY[1:]}@127.0.0.1:1/0",
    f"redis://user:{CANARY}%20'\"@127.0.0.1:1/0",
)
#: Each command that asks the server, with words that suffice.
COMMANDS: dict[str, tuple[str, ...]] = {
    "top": ("--once",), "positions": (), "why": ("BTCUSDT",), "tail": ("--no-follow",),
    "history": ("BTCUSDT",), "dead list": (), "dead show": ("trade.intent", "1-1"),
    "dead requeue": ("trade.intent", "1-1", "--yes"), "dead drop": ("trade.intent", "1-1", "--yes"),
    "mode": (), "close": ("BTCUSDT", "--yes"), "check": (), "init": (), "notify": (),
    "reset": ("--paper", "--yes"), "repair": ("--yes",), "up": (),
}  # fmt: skip
#: Those that ask no server of the settings, or are a daemon.
NO_SERVER = {"calc", "schemas", "bench", "demo", "venue", "run"}


def leaves(command: Any, name: str = "") -> Iterator[str]:
    if not hasattr(command, "commands"):
        yield name
        return
    for word, below in command.commands.items():
        yield from leaves(below, f"{name} {word}".strip())


def pieces(canary: str) -> list[str]:
    """The parts of a secret that a parser may have told."""
    for odd in "/#?":
        canary = canary.replace(odd, " ")
    return [piece for piece in canary.split() if len(piece) >= 4] or [canary]


def holds_none(text: str) -> None:
    for piece in (*pieces(CANARY), "4naryZx9", "ryZ#", "c4na"):
        assert piece not in text, text


def test_every_command_is_looked_at() -> None:
    every = set(leaves(typer.main.get_command(app)))
    known = set(COMMANDS) | {name for name in every if name.split()[0] in NO_SERVER}
    assert every - known == set(), "say with which words it asks the server, or that it does not"


#: Each command with the commonest forms of an address, and one command with each form.
TRIED = [
    *(
        (name, address)
        for name in COMMANDS
        for address in (ADDRESSES[1], ADDRESSES[3], ADDRESSES[12])
    ),
    *(("positions", address) for address in ADDRESSES),
]


@pytest.mark.parametrize(("name", "address"), TRIED)
def test_a_command_that_cannot_ask_the_server_tells_no_password(
    name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", address)
    ended = CliRunner().invoke(app, [*name.split(), *COMMANDS[name]])
    holds_none(ended.output + ended.stderr)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    assert ended.exit_code in (1, 78)


@pytest.mark.parametrize("name", ["positions", "check", "mode", "tail"])
def test_a_password_that_the_server_refuses_is_not_told(
    name: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url.replace("unix://", f"unix://nobody:{CANARY}@"))
    ended = CliRunner().invoke(app, [*name.split(), *COMMANDS[name]])
    assert ended.exit_code != 0
    holds_none(ended.output + ended.stderr)


def said(program: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("QUANTUM_", "REDIS"))}
    return subprocess.Popen(
        [sys.executable, "-c", "from shared.cli import app; app()", "run", program],
        env=own | {"QUANTUM_METRICS__BASE_PORT": "0"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    "address", [ADDRESSES[1], f"redis://127.0.0.1:1/0?password={CANARY}", ADDRESSES[12]]
)
def test_a_daemon_that_cannot_ask_the_server_tells_no_password(address: str) -> None:
    running = {name: said(name, {"REDIS_URL": address}) for name in PROGRAMS}
    for name, process in running.items():
        assert process.stdout is not None
        first = process.stdout.readline()
        # It waits for the server, or has ended because of the address.
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
        assert first, name
        holds_none(first + rest)


# -- what is read from files ----------------------------------------------------------------------


def kept(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_the_venues_words_are_told_without_the_keys(tmp_path: Path) -> None:
    read_keys(kept(tmp_path, "keys", f'key = "{CANARY}-k"\nsecret = "{CANARY}-s"\n'), None)
    error = VenueError(400, -1022, f"https://v/fapi?apiKey={CANARY}-k&signature=0ab{CANARY}-s12")
    holds_none(redact(str(error)))


@pytest.mark.parametrize(
    "line", [f"tgram://{CANARY}/chat", f"json://user:{CANARY}@h/p", f"ntfy://h/t?token={CANARY}"]
)
def test_an_address_of_a_receiver_is_told_nowhere(tmp_path: Path, line: str) -> None:
    [address] = read_addresses(str(kept(tmp_path, "notices", line + "\n")), None)
    holds_none(redact(f"ConnectionError: {line} and {CANARY}: no answer") + repr(address))


@pytest.mark.parametrize("table", [f'[redis]\nurl = "http://u:{CANARY}@h"\n'])
def test_a_settings_file_that_cannot_be_used_is_told_without_its_password(
    tmp_path: Path, table: str
) -> None:
    with pytest.raises(SettingsError) as told:
        _ = load(kept(tmp_path, "quantum.toml", table), {}).redis
    holds_none(str(told.value))
    assert "redis.url" in str(told.value)


# -- the mouths -----------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [True, False])
def test_a_log_line_and_its_traceback_hold_no_secret(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    keep_secret(CANARY)
    before = structlog.get_config()
    try:
        log.configure(daemon="test", as_json=as_json)
        try:
            raise ValueError(f"redis://u:{CANARY}@h")
        except ValueError:
            log.logger().error("crashed", url=f"x{CANARY}", exc_info=True)
    finally:
        structlog.configure(**before)
        structlog.contextvars.clear_contextvars()
    told = capsys.readouterr().err
    assert "crashed" in told
    holds_none(told)


@pytest.mark.parametrize("where", ["main", "thread"])
def test_an_exception_that_nobody_takes_is_told_without_secrets(where: str) -> None:
    lines = (
        "import os, threading",
        "from shared.redaction import keep_secret, redact_tracebacks",
        "redact_tracebacks()",
        "keep_secret(os.environ['SECRET'])",
        "def fail(): raise RuntimeError('no ' + os.environ['SECRET'])",
        "fail()" if where == "main" else "t = threading.Thread(target=fail); t.start(); t.join()",
    )
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=os.environ | {"SECRET": CANARY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "RuntimeError: no ***" in ended.stderr
    holds_none(ended.stderr)


def test_a_daemons_reason_for_waiting_holds_no_password() -> None:
    keep_address(f"redis://u:{CANARY}@127.0.0.1:1")
    client = Redis.from_url(f"redis://u:{CANARY}@127.0.0.1:1")
    with pytest.raises((BusDown, NotReady)) as told, plainly():
        client.ping()
    holds_none(str(told.value))


@given(
    user=st.text("abcXYZ019._-", max_size=8),
    signs=st.text(
        st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=3, max_size=12
    ),
    scheme=st.sampled_from(["redis", "rediss", "unix", "http"]),
    tail=st.sampled_from(["@h:6379/0", "@/run/redis.sock", "@h", "@h:port?db=1"]),
)
def test_no_password_of_whatever_signs_shows(user: str, signs: str, scheme: str, tail: str) -> None:
    password = f"Pw~{signs}"
    address = f"{scheme}://{user}:{password}{tail}"
    keep_address(address)
    assert password not in shown_address(address)
    assert password not in redact(f"error: {address}: refused {password!r}")
    assert password not in redact(json.dumps({"url": address}))
    with contextlib.suppress(SettingsError):
        _ = load(None, {"REDIS_URL": address}).redis
        return
    with pytest.raises(SettingsError) as told:
        _ = load(None, {"REDIS_URL": address}).redis
    assert password not in str(told.value)
