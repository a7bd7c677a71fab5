"""An overview for machines; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.contracts.values import format_timestamp
from shared.why.words import plain


def as_json(value: Any) -> Any:
    """An overview or a part of it, ready for JSON: figures as text, as in the streams."""
    if is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: as_json(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [as_json(part) for part in value]
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return format_timestamp(value)
    return round(value, 3) if isinstance(value, float) else value
