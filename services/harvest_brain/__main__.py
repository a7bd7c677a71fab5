"""Wiring of harvest_brain."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from services.harvest_brain.decider import State, decide
from services.harvest_brain.positions import Policy
from services.harvest_brain.settings import HarvestBrainSettings
from shared.contracts import FullCloseIntent, HarvestIntent, MoveStopIntent
from shared.daemon import run_service
from shared.decisions import Record
from shared.metrics import RunnerMetrics
from shared.service import Service
from shared.settings import Settings


class HarvestMetrics:
    """R and kill score as last shown, and what was asked for."""

    def __init__(self, metrics: RunnerMetrics) -> None:
        registry = metrics.registry
        self._r = Gauge(
            "quantum_harvest_r_multiple", "R, net of costs", ["symbol"], registry=registry
        )
        self._kill = Gauge(
            "quantum_harvest_kill_score", "Kill score", ["symbol"], registry=registry
        )
        self._actions = Counter(
            "quantum_harvest_actions", "Exits asked for", ["symbol", "action"], registry=registry
        )

    def measure(self, output: object) -> None:
        """Take one committed output into account."""
        if isinstance(output, Record):
            symbol = output.key.rpartition(":")[2]
            if output.fields is None:
                self._r.remove(symbol)
                self._kill.remove(symbol)
            else:
                self._r.labels(symbol).set(float(output.fields["r_net"]))
                self._kill.labels(symbol).set(float(output.fields["kill_score"]))
        elif isinstance(output, HarvestIntent | FullCloseIntent | MoveStopIntent):
            self._actions.labels(output.symbol, output.intent_type).inc()


def policy(settings: Settings) -> Policy:
    """What it decides by."""
    return settings.section("harvest_brain", HarvestBrainSettings).policy()


def service(settings: Settings, metrics: RunnerMetrics) -> Service[State, Policy]:
    """The daemon, made from its settings."""
    return Service(
        "harvest_brain", State, decide, policy(settings), measure=HarvestMetrics(metrics).measure
    )


def main() -> None:
    """Run until told to stop."""
    run_service("harvest_brain", service, policy)


if __name__ == "__main__":
    main()
