"""Wiring of dashboard: a page that shows the ring to a browser on this machine.

Reads everything under quantum:*; writes nothing but its own heartbeat. Serves on 127.0.0.1 alone.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import threading
from functools import cache, partial

from services.dashboard.settings import DashboardSettings
from shared.cli.why import terms_of
from shared.daemon import run_process
from shared.metrics import RunnerMetrics
from shared.settings import Settings, SettingsError


def body(settings: Settings, metrics: RunnerMetrics, stop: threading.Event) -> None:
    """Serve the page until told to stop.

    Raises:
        SettingsError: the port is taken, or the extra is not installed.
    """
    own = settings.section("dashboard", DashboardSettings)
    try:
        server = importlib.import_module("services.dashboard.web.server")
        readers = importlib.import_module("services.dashboard.web.readers")
    except ModuleNotFoundError as error:
        text = f"{error.name} is missing: install the extra, quantum-trader[dashboard]"
        raise SettingsError(text) from None
    source = readers.Source(
        url=settings.redis.url,
        terms_of=cache(partial(terms_of, settings)),
        failed=metrics.bus_down.inc,
    )
    with door(own.port) as listening:
        asyncio.run(server.serve(listening, own, source, stop))


def door(port: int) -> socket.socket:
    """A socket that listens on this machine alone.

    Raises:
        SettingsError: the port is taken.
    """
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise SettingsError(f"dashboard.port: 127.0.0.1:{port}: {error.strerror}") from None


def main() -> None:
    """Run until told to stop."""
    run_process("dashboard", body)


if __name__ == "__main__":
    main()
