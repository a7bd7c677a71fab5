"""Wiring of apply_layer."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from services.apply_layer.decider import decide
from services.apply_layer.settings import ApplyLayerSettings
from services.apply_layer.state import Policy, State
from shared.contracts import FillResult, PositionResult, RefusedResult, StopMovedResult
from shared.daemon import run_service
from shared.log import logger
from shared.metrics import RunnerMetrics
from shared.outside import Outside
from shared.service import Service
from shared.settings import Settings, SettingsError

_RESULTS = FillResult | RefusedResult | StopMovedResult | PositionResult


class ApplyMetrics:
    """How long a position stood without a stop, and what became of plans."""

    def __init__(self, metrics: RunnerMetrics) -> None:
        registry = metrics.registry
        self._unprotected = Gauge(
            "quantum_position_longest_unprotected_seconds",
            "The longest that the open position stood without a live stop",
            ["symbol"],
            registry=registry,
        )
        self._results = Counter(
            "quantum_results", "Outcomes of plans", ["symbol", "status"], registry=registry
        )

    def measure(self, output: object) -> None:
        """Take one committed output into account."""
        if isinstance(output, _RESULTS):
            self._results.labels(output.symbol, output.status).inc()
            if not output.position_qty:
                self._unprotected.remove(output.symbol)
            elif output.position_unprotected_s is not None:
                self._unprotected.labels(output.symbol).set(float(output.position_unprotected_s))


def policy(settings: Settings) -> Policy:
    """What it decides by; what the take-profit mode costs is told."""
    own = settings.section("apply_layer", ApplyLayerSettings)
    for leverage in (1, 10, 50):
        for warning in own.warnings(leverage):
            logger().warning("ladder_conflict", detail=warning)
    return own.policy()


def service(settings: Settings, metrics: RunnerMetrics) -> Service[State, Policy]:
    """The daemon, made from its settings."""
    own = settings.section("apply_layer", ApplyLayerSettings)
    return Service(
        "apply_layer",
        State,
        decide,
        policy(settings),
        outside=own.paper_venue() if own.venue == "paper" else _live(own),
        obeys_mode=True,
        measure=ApplyMetrics(metrics).measure,
    )


def _live(own: ApplyLayerSettings) -> Outside:
    """The real venue; what it needs is imported, and installed, only where it is used."""
    try:
        from services.apply_layer.binance.wiring import live_venue
    except ModuleNotFoundError as error:
        raise SettingsError(
            f'apply_layer.venue = "binance-usdm" needs {error.name}: '
            "install the extra, quantum-trader[live]"
        ) from None
    return live_venue(own)


def main() -> None:
    """Run until told to stop."""
    run_service("apply_layer", service, policy)


if __name__ == "__main__":
    main()
