"""The reference vectors, their numbers as Decimal, and how near to them is near enough."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

TOLERANCE = Decimal("1e-9")

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("vectors.json").read_text(encoding="utf-8"),
    parse_float=Decimal,
    parse_int=Decimal,
)


def is_near(actual: Decimal | float, expected: Decimal) -> bool:
    """Whether both agree to 1e-9, relative for numbers above 1."""
    return abs(Decimal(actual) - expected) <= TOLERANCE * max(Decimal(1), abs(expected))
