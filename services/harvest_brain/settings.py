"""`[harvest_brain]`: the ladder, the lock and the kill score, for all and by symbol."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import Field, field_validator

from services.harvest_brain.positions import Policy
from shared.contracts.fields import Symbol
from shared.formulas import DEFAULT_LADDER, Rung
from shared.settings import Section


class HarvestTunables(Section):
    """What may differ by symbol. `rungs_r` are the R levels at which 25, 50, 75 % are taken."""

    rungs_r: tuple[Decimal, Decimal, Decimal] | None = None
    leverage_scaled: bool | None = None
    ratchet: bool | None = None
    cost_bps: Decimal | None = Field(default=None, ge=0, lt=10_000)
    lock_at_r: Decimal | None = Field(default=None, gt=0)
    lock_offset: Decimal | None = Field(default=None, ge=0, lt=1)
    kill_threshold: float | None = Field(default=None, gt=0.4, lt=1)

    @field_validator("rungs_r")
    @classmethod
    def _rising(cls, levels: tuple[Decimal, ...] | None) -> tuple[Decimal, ...] | None:
        if levels is not None and not 0 < levels[0] < levels[1] < levels[2]:
            raise ValueError("the three levels must rise from above 0")
        return levels

    def changes(self) -> dict[str, Any]:
        """What is set here, in the decider's terms."""
        own = self.model_dump(include=set(HarvestTunables.model_fields), exclude_none=True)
        levels = own.pop("rungs_r", None)
        if levels is not None:
            own["ladder"] = tuple(
                Rung(rung.name, level, rung.share)
                for rung, level in zip(DEFAULT_LADDER, levels, strict=True)
            )
        return own


class HarvestBrainSettings(HarvestTunables):
    """Times in seconds of market time, but for `answer_within_s`, which is wall clock.

    A kill threshold at or below 0.4 could kill without a regime flip, and is refused.
    """

    retry_first_s: Decimal = Field(default=Decimal(1), gt=0)
    retry_longest_s: Decimal = Field(default=Decimal(60), gt=0)
    answer_within_s: Decimal = Field(default=Decimal(15), gt=0)
    show_every_s: Decimal = Field(default=Decimal(1), ge=0)
    symbol: dict[Symbol, HarvestTunables] = {}

    def policy(self) -> Policy:
        """What the decider goes by; a symbol's own tunables stand on those of all."""
        common = {
            "retry_first_s": self.retry_first_s,
            "retry_longest_s": self.retry_longest_s,
            "answer_within_s": self.answer_within_s,
            "show_every_s": self.show_every_s,
            **self.changes(),
        }
        overrides = {name: Policy(**(common | own.changes())) for name, own in self.symbol.items()}
        return Policy(**common, overrides=overrides)
