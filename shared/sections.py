"""The sections of the settings by a program's name: for those who look at more than their own.

The programs are found by name when they are asked for, because shared imports none of them.
"""

from __future__ import annotations

import importlib
from typing import Any

from shared.settings import Settings
from shared.why.picture import Terms


def settings_of(daemon: str, settings: Settings) -> Any:
    """A program's checked section; the model is named after the program."""
    module = importlib.import_module(f"services.{daemon}.settings")
    name = "".join(part.capitalize() for part in daemon.split("_"))
    return settings.section(daemon, getattr(module, f"{name}Settings"))


def terms_of(settings: Settings, symbol: str) -> Terms:
    """What harvest_brain goes by for a symbol, as these settings have it.

    Raises:
        SettingsError: the section cannot be used.
    """
    policy: Any = settings_of("harvest_brain", settings).policy().of(symbol)
    return Terms(
        ladder=policy.ladder,
        leverage_scaled=policy.leverage_scaled,
        cost_bps=policy.cost_bps,
        kill_threshold=policy.kill_threshold,
    )
