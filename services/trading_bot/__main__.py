"""Wiring of trading_bot."""

from __future__ import annotations

from services.trading_bot.decider import Policy, State, decide
from services.trading_bot.settings import TradingBotSettings
from shared.daemon import run_service
from shared.metrics import RunnerMetrics
from shared.service import Service
from shared.settings import Settings


def policy(settings: Settings) -> Policy:
    """What it decides by."""
    return settings.section("trading_bot", TradingBotSettings).policy()


def service(settings: Settings, _metrics: RunnerMetrics) -> Service[State, Policy]:
    """The daemon, made from its settings."""
    return Service("trading_bot", State, decide, policy(settings), comes_last=True)


def main() -> None:
    """Run until told to stop."""
    run_service("trading_bot", service, policy)


if __name__ == "__main__":
    main()
