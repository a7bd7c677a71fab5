"""How a daemon's process begins and ends: settings, logs, metrics, signals, exit status."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from shared import log
from shared.bus import RedisBus, StateLost, Superseded
from shared.metrics import RunnerMetrics
from shared.runner import Runner, Service
from shared.session import Session
from shared.settings import Settings, SettingsError, load

#: Another instance has taken over; a supervisor must not start this one again.
EXIT_SUPERSEDED = 75
#: The settings cannot be used; starting again would not help.
EXIT_SETTINGS = 78

Body = Callable[[Settings, RunnerMetrics, threading.Event], None]


def run_service(name: str, build: Callable[[Settings, RunnerMetrics], Service[Any, Any]]) -> None:
    """Run a daemon that reads streams, until SIGTERM or SIGINT; exits the process."""

    def body(settings: Settings, metrics: RunnerMetrics, stop: threading.Event) -> None:
        service = build(settings, metrics)
        Runner(service, RedisBus(settings.redis.url, name), metrics=metrics, stop=stop).run()

    run_process(name, body)


def run_producer(name: str, body: Callable[[Settings, Session, threading.Event], None]) -> None:
    """Run a daemon that only writes, until it is done or told to stop; exits the process."""

    def wrapped(settings: Settings, metrics: RunnerMetrics, stop: threading.Event) -> None:
        bus = RedisBus(settings.redis.url, name)
        try:
            body(settings, Session(bus, name, metrics=metrics, stop=stop), stop)
        finally:
            bus.close()

    run_process(name, wrapped)


def run_process(name: str, body: Body) -> None:
    """Set the process up, run `body` and turn its end into an exit status."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load(None, os.environ)
        logs = settings.log
        as_json = None if logs.format == "auto" else logs.format == "json"
        log.configure(daemon=name, level=logs.level, as_json=as_json)
        metrics = RunnerMetrics()
        metrics.serve(settings.metrics.port_of(name))
        body(settings, metrics, stop)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - there are no logs without settings
        sys.exit(EXIT_SETTINGS)
    except Superseded as error:
        log.logger().error("superseded", reason=str(error))
        sys.exit(EXIT_SUPERSEDED)
    except StateLost as error:
        log.logger().error("state_lost", reason=str(error))
        sys.exit(1)
