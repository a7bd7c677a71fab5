"""The dashboard as a process on a free port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.ring.live import WITHIN_S


def environment(redis_url: str, more: Mapping[str, str]) -> dict[str, str]:
    """A dashboard's environment, without anything of this process's own settings."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("QUANTUM_", "REDIS_"))}
    own = {
        "REDIS_URL": redis_url,
        "QUANTUM_METRICS__BASE_PORT": "0",
        "QUANTUM_DASHBOARD__PORT": "0",
        "QUANTUM_DASHBOARD__REFRESH_S": "0.2",
        "QUANTUM_DASHBOARD__WHY_EVERY_S": "0.2",
        "PYTHONUNBUFFERED": "1",
    }
    return plain | own | dict(more)


@contextmanager
def a_dashboard(
    redis_url: str, folder: Path, more: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Serves until the end of the block; gives its address, without a slash at the end."""
    log = folder / "dashboard.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.dashboard"],
            env=environment(redis_url, more or {}),
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        status = process.wait(10)
    assert status == 0, log.read_text(encoding="utf-8")


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + WITHIN_S
    while True:
        text = log.read_text(encoding="utf-8")
        for line in text.splitlines():
            if line.endswith("}") and json.loads(line)["event"] == "serving":
                return str(json.loads(line)["address"]).rstrip("/")
        assert process.poll() is None, text
        assert time.monotonic() < deadline, f"it does not serve: {text}"
        time.sleep(0.02)
