"""What every daemon exports for Prometheus; the daemon's own gauges stand beside its wiring."""

from __future__ import annotations

import socket
import threading
from http.server import ThreadingHTTPServer
from importlib import metadata

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
)
from prometheus_client.exposition import MetricsHandler

from shared.settings import SettingsError

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)


class _Handed(ThreadingHTTPServer):
    """For a process that may make no socket of the internet's: this one's own is replaced."""

    address_family = socket.AF_UNIX


class RunnerMetrics:
    """The runner's figures, in a registry of its own so that one process can hold several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        build = Info("quantum_build", "Which version this is", registry=self.registry)
        build.info({"version": metadata.version("quantum-trader")})
        self.messages = Counter(
            "quantum_messages",
            "Messages read, by what became of them",
            ["stream", "outcome"],
            registry=self.registry,
        )
        self.published = Counter(
            "quantum_published", "Messages written", ["stream"], registry=self.registry
        )
        self.dead_letters = Counter(
            "quantum_dead_letters",
            "Messages put aside as dead letters",
            ["stream", "code"],
            registry=self.registry,
        )
        self.decide_seconds = Histogram(
            "quantum_decide_seconds",
            "Time to validate and decide one batch",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.commit_seconds = Histogram(
            "quantum_commit_seconds",
            "Time to commit one batch",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.lag = Gauge(
            "quantum_stream_lag",
            "Entries of a stream not yet delivered to this daemon",
            ["stream"],
            registry=self.registry,
        )
        self.pending = Gauge(
            "quantum_stream_pending",
            "Entries delivered to this daemon and not finished",
            ["stream"],
            registry=self.registry,
        )
        self.bus_down = Counter(
            "quantum_bus_failures",
            "Calls that failed for want of the server",
            registry=self.registry,
        )

        self.clock_behind = Gauge(
            "quantum_clock_behind_seconds",
            "How far the clock of this daemon was found to be behind the prices that it reads",
            registry=self.registry,
        )

    def serve(self, port: int, *, handed: socket.socket | None = None) -> None:
        """Serve /metrics to this machine, in a thread of its own; port 0 serves nothing.

        A socket that was `handed` over listens already; it goes before the port.

        Raises:
            SettingsError: the port is taken.
        """
        if handed is None and not port:
            return
        handler = MetricsHandler.factory(self.registry)
        address = ("127.0.0.1", port)
        try:
            server = (ThreadingHTTPServer if handed is None else _Handed)(
                address, handler, bind_and_activate=handed is None
            )
        except OSError as error:
            raise SettingsError(f"metrics.base_port: 127.0.0.1:{port}: {error.strerror}") from None
        if handed is not None:
            server.socket.close()
            server.socket = handed
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
