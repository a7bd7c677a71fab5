"""How a daemon's process begins and ends: settings, logs, metrics, signals, exit status."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from shared import log
from shared.bus import RedisBus, StateLost, Superseded
from shared.metrics import RunnerMetrics
from shared.reload import Reload
from shared.runner import Runner
from shared.service import Service
from shared.session import Session
from shared.settings import Settings, SettingsError, load
from shared.streams import COMPANIONS
from shared.systemd import Supervisor, handed_socket

#: Another instance has taken over; a supervisor must not start this one again.
EXIT_SUPERSEDED = 75
#: The settings cannot be used; starting again would not help.
EXIT_SETTINGS = 78

S = TypeVar("S")
P = TypeVar("P")
Body = Callable[[Settings, RunnerMetrics, threading.Event], None]


def run_service(
    name: str,
    build: Callable[[Settings, RunnerMetrics], Service[S, P]],
    policy: Callable[[Settings], P],
) -> None:
    """Run a daemon that reads streams, until SIGTERM or SIGINT; exits the process.

    On SIGHUP it reads its settings again, and decides by a new `policy` from the next batch on.
    """

    def body(settings: Settings, metrics: RunnerMetrics, stop: threading.Event) -> None:
        supervisor = Supervisor(os.environ)
        reload = Reload(settings, supervisor, policy)
        _on_hangup(reload)
        service = build(settings, metrics)
        Runner(
            service,
            RedisBus(settings.redis.url, name, producers=service.producers),
            metrics=metrics,
            stop=stop,
            supervisor=supervisor,
            reload=reload.take,
            max_tick_ahead=settings.clock.max_tick_ahead,
        ).run()

    run_process(name, body)


def run_producer(name: str, body: Callable[[Settings, Session, threading.Event], None]) -> None:
    """Run a daemon with a loop of its own, until it is done or told to stop; exits the process.

    On SIGHUP a companion, which looks at the sections of the others as well, ends if anything has
    changed, to be started on the new settings. market_feed says which of its own have changed and
    goes on: prices stop when a person restarts it and not before.
    """

    def wrapped(settings: Settings, metrics: RunnerMetrics, stop: threading.Event) -> None:
        bus = RedisBus(settings.redis.url, name)
        supervisor = Supervisor(os.environ)
        renews = name in COMPANIONS and supervisor.listens
        reload = Reload[None](settings, supervisor, renew=stop.set if renews else None)
        _on_hangup(reload)
        session = Session(
            bus, name, metrics=metrics, stop=stop, supervisor=supervisor, reload=reload.take
        )
        try:
            body(settings, session, stop)
        finally:
            bus.close()

    run_process(name, wrapped)


def _on_hangup(reload: Reload[P]) -> None:
    # In a terminal the signal says that the terminal has gone.
    if not sys.stderr.isatty():
        signal.signal(signal.SIGHUP, reload.ask)


def run_process(name: str, body: Body) -> None:
    """Set the process up, run `body` and turn its end into an exit status."""
    # Where it stands when the watchdog ends it goes to the log.
    faulthandler.enable()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = load(None, os.environ)
        logs = settings.log
        as_json = None if logs.format == "auto" else logs.format == "json"
        log.configure(daemon=name, level=logs.level, as_json=as_json)
        metrics = RunnerMetrics()
        metrics.serve(settings.metrics.port_of(name), handed=handed_socket("metrics", os.environ))
        body(settings, metrics, stop)
        Supervisor(os.environ).stopping()
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - there are no logs without settings
        sys.exit(EXIT_SETTINGS)
    except Superseded as error:
        log.logger().error("superseded", reason=str(error))
        sys.exit(EXIT_SUPERSEDED)
    except StateLost as error:
        log.logger().error("state_lost", reason=str(error))
        sys.exit(1)
