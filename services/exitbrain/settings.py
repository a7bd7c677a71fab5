"""`[exitbrain]`: the tunables of stops and targets, for all and by symbol."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, PlainValidator, TypeAdapter

from services.exitbrain.decider import Policy
from shared.contracts.fields import Symbol
from shared.formulas import ExitPolicy
from shared.settings import Section

_TUNABLES: dict[str, TypeAdapter[Any]] = {
    field.name: TypeAdapter(
        tuple[Decimal, Decimal, Decimal] if "Three" in str(field.type) else Decimal
    )
    for field in fields(ExitPolicy)
}


def _tunables(table: object) -> dict[str, Any]:
    """Check a table of exit tunables by name and kind; the names are those of `ExitPolicy`."""
    if not isinstance(table, dict):
        raise ValueError("a table of tunables is expected")
    for name in table:
        if name not in _TUNABLES:
            raise ValueError(f"{name} is no tunable; there are {', '.join(_TUNABLES)}")
    checked = {name: _TUNABLES[name].validate_python(value) for name, value in table.items()}
    replace(ExitPolicy(), **checked)
    return checked


Tunables = Annotated[dict[str, Any], PlainValidator(_tunables)]


class ExitbrainSettings(Section):
    """`[exitbrain.exits]` holds for every symbol, `[exitbrain.symbol.<SYMBOL>]` for one."""

    max_intent_age_s: Decimal = Field(default=Decimal(30), gt=0)
    exits: Tunables = {}
    symbol: dict[Symbol, Tunables] = {}

    def policy(self) -> Policy:
        """What the decider goes by; a symbol's own tunables stand on those of all."""
        common = replace(ExitPolicy(), **self.exits)
        return Policy(
            max_intent_age_s=self.max_intent_age_s,
            exits=common,
            overrides={name: replace(common, **own) for name, own in self.symbol.items()},
        )
