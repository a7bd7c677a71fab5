"""How a decider's state lives in a hash: one JSON document for each entry of each of its mappings.

A state is a frozen dataclass whose fields are all `Mapping[str, T]`. A decider never changes an
entry in place, so what changed is found by identity and only that is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter

S = TypeVar("S")


class StateCodec(Generic[S]):
    """Reads and writes the documents of a state class."""

    def __init__(self, state: type[S]) -> None:
        hints = get_type_hints(state)
        self._state = state
        self._adapters: dict[str, TypeAdapter[Any]] = {
            field.name: TypeAdapter(get_args(hints[field.name])[1])
            for field in fields(state)  # type: ignore[arg-type]
        }

    def load(self, documents: Mapping[str, bytes]) -> S:
        """Build the state; documents of other owners in the same hash are left alone.

        Raises:
            pydantic.ValidationError: a document is not what this version writes.
        """
        tables: dict[str, dict[str, Any]] = {name: {} for name in self._adapters}
        for name, document in documents.items():
            table, _, key = name.partition("/")
            if table in tables:
                tables[table][key] = self._adapters[table].validate_json(document)
        return self._state(**tables)

    def changes(self, before: S, after: S) -> dict[str, bytes | None]:
        """The documents in which `after` differs from `before`; None for one that is gone."""
        changed: dict[str, bytes | None] = {}
        if before is after:
            return changed
        for table, adapter in self._adapters.items():
            old: Mapping[str, Any] = getattr(before, table)
            new: Mapping[str, Any] = getattr(after, table)
            if old is new:
                continue
            for key, entry in new.items():
                if old.get(key) is not entry:
                    changed[f"{table}/{key}"] = adapter.dump_json(entry)
            for key in old.keys() - new.keys():
                changed[f"{table}/{key}"] = None
        return changed
