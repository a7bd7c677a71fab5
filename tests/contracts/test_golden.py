"""Readers understand what earlier versions wrote, and writers write it again to the letter."""

from __future__ import annotations

import json
from typing import Literal, get_args, get_origin

import pytest
from pydantic import TypeAdapter

from shared.contracts import decode, encode
from shared.streams import STREAMS, Stream

from .messages import GOLDEN, Golden, each_golden, flat, models_of, payload, wrapped

KIND_FIELDS = ("intent_type", "decision", "action", "status")


@each_golden
def test_a_golden_message_is_read_and_written_again_to_the_letter(golden: Golden) -> None:
    message = decode(golden.stream.contract, flat(golden.fields))
    assert encode(message) == list(golden.pairs)


@each_golden
def test_the_same_message_as_json_text_is_the_same_message(golden: Golden) -> None:
    as_fields = decode(golden.stream.contract, flat(golden.fields))
    assert decode(golden.stream.contract, wrapped(golden.fields)) == as_fields


@each_golden
def test_the_same_message_as_json_with_bare_numbers_and_booleans_is_the_same_message(
    golden: Golden,
) -> None:
    bare = {*golden.numbers, *golden.fields_of(bool), "version"}
    members = [
        f'"{name}": {value if name in bare else json.dumps(value)}' for name, value in golden.pairs
    ]
    as_json = payload("{" + ", ".join(members) + "}")
    as_fields = decode(golden.stream.contract, flat(golden.fields))
    assert decode(golden.stream.contract, as_json) == as_fields
    assert encode(decode(golden.stream.contract, as_json)) == list(golden.pairs)


@each_golden
def test_the_order_of_fields_does_not_matter_and_a_json_null_is_an_absent_field(
    golden: Golden,
) -> None:
    backwards = dict(reversed(golden.pairs))
    with_nulls = dict.fromkeys(golden.model.model_fields) | backwards
    for raw in (flat(backwards), payload(json.dumps(with_nulls))):
        assert encode(decode(golden.stream.contract, raw)) == list(golden.pairs)


@each_golden
def test_what_is_optional_may_be_absent(golden: Golden) -> None:
    needed = {name for name, field in golden.model.model_fields.items() if field.is_required()}
    needed |= {"version", "qty", "position_size_usd"}  # An entry has one size, whichever it is.
    if golden.fields.get("position_qty", "0").strip("0."):
        needed |= {"position_id", "position_side", "position_entry_price", "position_opened_at"}
    fields = {name: value for name, value in golden.pairs if name in needed}
    least = decode(golden.stream.contract, flat(fields))
    assert type(least) is golden.model
    assert decode(golden.stream.contract, [(n.encode(), v.encode()) for n, v in encode(least)]) == (
        least
    )


@each_golden
def test_a_message_in_a_document_of_a_daemon_is_read_again_as_it_was(golden: Golden) -> None:
    message = decode(golden.stream.contract, flat(golden.fields))
    document = TypeAdapter(type(message)).dump_json(message)
    assert TypeAdapter(type(message)).validate_json(document) == message
    shown = {name: value for name, value in json.loads(document).items() if value is not None}
    assert shown == golden.fields


def kinds_of(stream: Stream) -> set[tuple[str, ...]]:
    """Every combination of kind words that some model of the stream can hold."""
    kinds: set[tuple[str, ...]] = set()
    for model in models_of(stream.contract):
        combinations: list[tuple[str, ...]] = [()]
        for name in KIND_FIELDS:
            if name in model.model_fields:
                words = words_of(model.model_fields[name].annotation)
                combinations = [(*told, word) for told in combinations for word in words]
        kinds.update(combinations)
    return kinds


def words_of(annotation: object) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for part in get_args(annotation) for word in words_of(part)]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_kind_of_message_has_a_golden_one(stream: Stream) -> None:
    there = {
        tuple(golden.fields[name] for name in KIND_FIELDS if name in golden.fields)
        for golden in GOLDEN.values()
        if golden.stream is stream
    }
    assert there == kinds_of(stream)


def test_every_model_and_every_field_of_it_stands_in_a_golden_message() -> None:
    shown = {(golden.model, name) for golden in GOLDEN.values() for name in golden.fields}
    models = [model for stream in STREAMS for model in models_of(stream.contract)]
    assert len(models) == 14
    assert {(model, name) for model in models for name in model.model_fields} == shown
