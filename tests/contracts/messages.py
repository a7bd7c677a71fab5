"""The golden messages and what can be done to one of them on its way to a reader.

Each file of `shared/contracts/golden/` is one message as an earlier version of the suite wrote it,
as a list of [field, value]. Files are added; one that is there never changes, because streams keep
it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from shared.contracts import BadMessage, Message, decode
from shared.contracts.wire import CODES, RawFields
from shared.streams import BY_NAME, STREAMS, Stream

FOLDER = Path(__file__).parents[2] / "shared/contracts/golden"

Fields = dict[str, str]
#: Flat fields, or the same wrapped as JSON.
Form = Callable[[Fields], RawFields]


@dataclass(frozen=True)
class Golden:
    """One message as it stands on its stream."""

    name: str
    stream: Stream
    pairs: tuple[tuple[str, str], ...]

    @property
    def fields(self) -> Fields:
        return dict(self.pairs)

    @property
    def model(self) -> type[Message]:
        kind: type[Message] = type(decode(self.stream.contract, flat(self.fields)))
        return kind

    def fields_of(self, *types: type) -> list[str]:
        """The names of the given fields whose values have one of `types` once they are read."""
        read = decode(self.stream.contract, flat(self.fields))
        return [name for name, _ in self.pairs if type(getattr(read, name)) in types]

    @property
    def numbers(self) -> list[str]:
        return self.fields_of(Decimal, int)

    @property
    def moments(self) -> list[str]:
        return self.fields_of(datetime)


def _load(path: Path) -> Golden:
    stream = ".".join(path.name.split(".")[:2])
    pairs = json.loads(path.read_text(encoding="utf-8"))
    return Golden(path.stem, BY_NAME[stream], tuple((name, value) for name, value in pairs))


GOLDEN = {golden.name: golden for golden in map(_load, sorted(FOLDER.glob("*.json")))}
each_golden = pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
#: One message of each stream, for what does not depend on the kind.
ONE_OF_EACH = [next(g for g in GOLDEN.values() if g.stream is stream) for stream in STREAMS]
each_stream = pytest.mark.parametrize("golden", ONE_OF_EACH, ids=lambda golden: golden.stream.name)


def flat(fields: Fields) -> RawFields:
    return [(name.encode(), value.encode()) for name, value in fields.items()]


def wrapped(fields: Fields) -> RawFields:
    return payload(json.dumps(fields))


def payload(text: str | bytes) -> RawFields:
    return [(b"payload", text.encode() if isinstance(text, str) else text)]


def wrapped_with(golden: Golden, field: str, literal: str) -> RawFields:
    """The message as JSON, with `literal` written as it is where the field's value stands."""
    members = {name: json.dumps(value) for name, value in golden.pairs} | {field: literal}
    return payload("{" + ", ".join(f'"{name}": {text}' for name, text in members.items()) + "}")


each_form = pytest.mark.parametrize("form", [flat, wrapped])


def refusal(golden: Golden, raw: RawFields) -> tuple[str, str]:
    """The code with which a reader refuses the message, and the field that the detail names."""
    with pytest.raises(BadMessage) as refused:
        decode(golden.stream.contract, raw)
    bad = refused.value
    assert bad.code in CODES
    assert bad.detail.isascii()
    assert bad.detail.isprintable()
    field, separator, sentence = bad.detail.partition(": ")
    assert separator
    assert sentence
    return bad.code, field


def places(*types: type) -> list[tuple[Golden, str]]:
    """Every field of every model whose value has one of `types`, each in one golden message."""
    found: dict[tuple[type, str], Golden] = {}
    for golden in GOLDEN.values():
        found.update(((golden.model, name), golden) for name in golden.fields_of(*types))
    return [(golden, name) for (_, name), golden in found.items()]


def models_of(contract: Any) -> Iterator[type[BaseModel]]:
    """The models of a union, or the one model that the contract is."""
    if isinstance(contract, type):
        assert issubclass(contract, BaseModel)
        yield contract
        return
    for part in get_args(contract):
        if isinstance(part, type) or get_args(part):
            yield from models_of(part)
