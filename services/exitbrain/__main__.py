"""Wiring of exitbrain."""

from __future__ import annotations

from services.exitbrain.decider import Policy, State, decide
from services.exitbrain.settings import ExitbrainSettings
from shared.daemon import run_service
from shared.metrics import RunnerMetrics
from shared.service import Service
from shared.settings import Settings


def policy(settings: Settings) -> Policy:
    """What it decides by."""
    return settings.section("exitbrain", ExitbrainSettings).policy()


def service(settings: Settings, _metrics: RunnerMetrics) -> Service[State, Policy]:
    """The daemon, made from its settings."""
    return Service("exitbrain", State, decide, policy(settings))


def main() -> None:
    """Run until told to stop."""
    run_service("exitbrain", service, policy)


if __name__ == "__main__":
    main()
