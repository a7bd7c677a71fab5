"""Wiring of intent_bridge."""

from __future__ import annotations

from services.intent_bridge.decider import decide
from services.intent_bridge.settings import IntentBridgeSettings
from services.intent_bridge.state import Policy, State
from shared.daemon import run_service
from shared.metrics import RunnerMetrics
from shared.service import Service
from shared.settings import Settings
from shared.streams import producer_stream


def policy(settings: Settings) -> Policy:
    """What it decides by."""
    return settings.section("intent_bridge", IntentBridgeSettings).policy()


def service(settings: Settings, _metrics: RunnerMetrics) -> Service[State, Policy]:
    """The daemon, made from its settings."""
    own = settings.section("intent_bridge", IntentBridgeSettings)
    return Service(
        "intent_bridge",
        State,
        decide,
        own.policy(),
        obeys_mode=True,
        producers=tuple(producer_stream(name) for name in own.producer),
    )


def main() -> None:
    """Run until told to stop."""
    run_service("intent_bridge", service, policy)


if __name__ == "__main__":
    main()
