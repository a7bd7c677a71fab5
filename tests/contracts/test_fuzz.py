"""Whatever bytes arrive, a reader answers with a message or with `BadMessage`, and nothing else.

Whatever it reads is written and read again as the same message, and the published schema takes it.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts import BadMessage, decode, encode
from shared.contracts.wire import CODES, RawFields

from .messages import GOLDEN, Fields, Golden, flat, payload, wrapped

goldens = st.sampled_from(list(GOLDEN.values()))
names = st.sampled_from(sorted({name for golden in GOLDEN.values() for name in golden.fields}))
numbers = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", fullmatch=True),
    st.from_regex(r"[-+]?[0-9_]{0,3}[.eE]?[0-9]{0,3}", fullmatch=True),
)
moments = st.one_of(
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6]0:[0-6]0(\.[0-9]{0,8})?Z\n?"),
)
said = st.sampled_from(sorted({value for golden in GOLDEN.values() for _, value in golden.pairs}))
values = st.one_of(numbers, moments, said, st.text(max_size=80))
#: JSON can spell halves of surrogate pairs, which no other text has.
torn = st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE00F), min_size=1, max_size=4)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), values, torn)
jsons = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text() | torn, inner),
    max_leaves=12,
)


@st.composite
def altered(draw: st.DrawFn) -> tuple[Golden, Fields]:
    """A golden message in which a few fields have other values, are gone or are new."""
    golden = draw(goldens)
    fields = golden.fields | draw(st.dictionaries(names, values, max_size=3))
    for gone in draw(st.sets(names, max_size=2)):
        fields.pop(gone, None)
    return golden, fields


def check_refusal(bad: BadMessage) -> None:
    """What people and alerts get to see is of known form, whatever was sent."""
    assert bad.code in CODES
    assert bad.detail.isascii()
    assert bad.detail.isprintable()
    assert len(bad.detail) < 300
    assert ": " in bad.detail


def read(contract: Any, raw: RawFields) -> Any:
    """The message, or None where it is refused as it should be."""
    try:
        message = decode(contract, raw)
    except BadMessage as bad:
        check_refusal(bad)
        return None
    again = encode(message)
    assert decode(contract, [(name.encode(), value.encode()) for name, value in again]) == message
    assert encode(decode(contract, wrapped(dict(again)))) == again
    return message


@given(goldens, st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=40)), max_size=70))
@settings(max_examples=200, deadline=None)
def test_arbitrary_fields_are_refused_or_read(golden: Golden, raw: RawFields) -> None:
    read(golden.stream.contract, raw)
    read(golden.stream.contract, [*flat(golden.fields), *raw])


@given(goldens, st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_in_a_payload_are_refused_or_read(golden: Golden, data: bytes) -> None:
    read(golden.stream.contract, payload(data))


@given(goldens, st.dictionaries(names | st.text(max_size=9) | torn, jsons, max_size=4) | jsons)
@settings(max_examples=200, deadline=None)
def test_arbitrary_json_in_a_payload_is_refused_or_read(golden: Golden, value: Any) -> None:
    read(golden.stream.contract, payload(json.dumps(value)))
    if isinstance(value, dict):
        read(golden.stream.contract, payload(json.dumps(golden.fields | value)))


@given(goldens, st.integers(0, 2000), st.binary(min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_payload_with_a_few_bytes_replaced_is_refused_or_read(
    golden: Golden, at: int, bytes_: bytes
) -> None:
    text = json.dumps(golden.fields, ensure_ascii=False).encode()
    at %= len(text)
    read(golden.stream.contract, payload(text[:at] + bytes_ + text[at + len(bytes_) :]))


@given(altered())
@settings(max_examples=250, deadline=None)
def test_both_forms_of_altered_fields_are_refused_alike_or_read_alike(
    case: tuple[Golden, Fields],
) -> None:
    golden, fields = case
    as_fields = read(golden.stream.contract, flat(fields))
    assert read(golden.stream.contract, wrapped(fields)) == as_fields
