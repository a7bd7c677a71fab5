"""Wiring of intent_bridge."""

from __future__ import annotations

from services.intent_bridge.decider import Policy, State, decide
from services.intent_bridge.settings import IntentBridgeSettings
from shared.daemon import run_service
from shared.metrics import RunnerMetrics
from shared.runner import Service
from shared.settings import Settings


def service(settings: Settings, _metrics: RunnerMetrics) -> Service[State, Policy]:
    """The daemon, made from its settings."""
    policy = settings.section("intent_bridge", IntentBridgeSettings).policy()
    return Service("intent_bridge", State, decide, policy, obeys_mode=True)


def main() -> None:
    """Run until told to stop."""
    run_service("intent_bridge", service)


if __name__ == "__main__":
    main()
