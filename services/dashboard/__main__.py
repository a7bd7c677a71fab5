"""Wiring of dashboard: a page that shows the ring to a browser on this machine.

Reads everything under quantum:*; writes nothing but its own heartbeat. Serves on 127.0.0.1 alone.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import threading
from functools import cache, partial

from services.dashboard.settings import DashboardSettings
from shared.daemon import run_producer
from shared.sections import terms_of
from shared.session import Session
from shared.settings import Settings, SettingsError
from shared.systemd import handed_socket


def body(settings: Settings, session: Session, _stop: threading.Event) -> None:
    """Serve the page until told to stop.

    Raises:
        SettingsError: the port is taken, or the extra is not installed.
    """
    own = settings.section("dashboard", DashboardSettings)
    try:
        web = importlib.import_module("services.dashboard.web.server")
    except ModuleNotFoundError as error:
        text = f"{error.name} is missing: install the extra, quantum-trader[dashboard]"
        raise SettingsError(text) from None
    with door(own.port) as listening:
        asyncio.run(
            web.serve(
                listening,
                own,
                session=session,
                url=settings.redis.url,
                terms_of=cache(partial(terms_of, settings)),
                max_tick_ahead=settings.clock.max_tick_ahead,
            )
        )


def door(port: int) -> socket.socket:
    """The socket that was handed over by systemd, or one that listens on this machine alone.

    Raises:
        SettingsError: the port is taken.
    """
    try:
        return handed_socket("http", os.environ) or socket.create_server(("127.0.0.1", port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SettingsError(f"dashboard.port: 127.0.0.1:{port}: {reason}") from None


def main() -> None:
    """Run until told to stop."""
    run_producer("dashboard", body)


if __name__ == "__main__":
    main()
