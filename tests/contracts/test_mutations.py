"""Golden messages with words, bytes and JSON changed at random: read, or refused with a known code.

The changes come from a fixed seed, so that a run finds what the run before it found.
"""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.contracts import BadMessage, decode, wire
from shared.contracts.wire import RawFields
from shared.dead_letters import CODES

from .messages import GOLDEN, Golden, flat, payload, wrapped
from .test_fuzz import check_refusal

ROOT = Path(__file__).parents[2]
RUNS = 6_000

#: What has broken readers before: edges of numbers, of time, of text and of JSON.
WORDS = (
    *("", "0", "-0", "1e999", "NaN", "9" * 40, "0." + "0" * 17 + "1", "true", "null", " 1", "1\n"),
    *("9999-12-31T23:59:59.999Z", "0000-01-01T00:00:00Z", "2025-02-30T00:00:00Z", "\0", "\x85"),
    *("币安人生USDT", "btcusdt", "\u202e", "E\u0301", "\ufeff", "\U0001f680", "x" * 600, "payload"),
)
LITERALS = (
    *("null", "true", "1", "-0", "1e5", "NaN", "-Infinity", "[]", "{}", '[{"a":[1]}]', '"\\ud800"'),
    *('"\\udc00\\ud800"', '"\\ud83d\\ude80"', '"\\u0000"', "9" * 400, '{"a":1,"a":2}', "[" * 70),
)
NAMES = (
    '"\\ud800"',
    '"\\udfff x"',
    '""',
    '"version"',
    '"payload"',
    '"\\u0000"',
    '"a" ',
    '"symbol"',
)

Change = Callable[[random.Random, Golden], RawFields]


def with_a_word_changed(chance: random.Random, golden: Golden) -> RawFields:
    fields = dict(golden.fields)
    for _ in range(chance.randint(1, 3)):
        name = chance.choice([*fields, *WORDS])
        if chance.random() < 0.3:
            fields.pop(name, None)
        else:
            fields[name] = chance.choice([*WORDS, *fields.values()])
    return chance.choice((flat, wrapped))(fields)


def with_bytes_changed(chance: random.Random, golden: Golden) -> RawFields:
    text = bytearray(json.dumps(golden.fields, ensure_ascii=chance.random() < 0.5).encode())
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(text))
        match chance.randrange(3):
            case 0:
                text[at] = chance.randrange(256)
            case 1:
                del text[at : at + chance.randint(1, 9)]
            case 2:
                text[at:at] = chance.choice(WORDS).encode()
        if not text:
            break
    return payload(bytes(text))


def with_json_changed(chance: random.Random, golden: Golden) -> RawFields:
    members = [(json.dumps(name), json.dumps(value)) for name, value in golden.pairs]
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(members))
        name, value = members[at]
        members[at : at + chance.randint(0, 1)] = [
            (chance.choice((name, *NAMES)), chance.choice((value, *LITERALS)))
        ]
    return payload("{" + ",".join(f"{name}:{value}" for name, value in members) + "}")


def with_fields_torn(chance: random.Random, golden: Golden) -> RawFields:
    words = [bytearray(word) for pair in flat(golden.fields) for word in pair]
    for _ in range(chance.randint(1, 4)):
        word = chance.choice(words)
        word[chance.randint(0, len(word)) : chance.randint(0, len(word))] = chance.randbytes(
            chance.randint(0, 4)
        )
    pairs = list(zip(map(bytes, words[::2]), map(bytes, words[1::2]), strict=True))
    if chance.random() < 0.2:
        pairs += chance.choices(pairs, k=2)
    return pairs


CHANGES = (with_a_word_changed, with_bytes_changed, with_json_changed, with_fields_torn)


def codes_seen(change: Change) -> set[str]:
    chance, goldens, seen = random.Random(change.__name__), list(GOLDEN.values()), set()
    for _ in range(RUNS):
        golden = chance.choice(goldens)
        raw = change(chance, golden)
        try:
            decode(golden.stream.contract, raw)
        except BadMessage as bad:
            check_refusal(bad)
            seen.add(bad.code)
    return seen


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_message_is_read_or_refused_with_a_known_code(change: Change) -> None:
    assert len(codes_seen(change)) > 3


@pytest.mark.parametrize("name", [n for n in NAMES if "ud" in n])
@pytest.mark.parametrize("value", LITERALS)
def test_half_a_surrogate_pair_as_a_name_never_ends_a_reader(name: str, value: str) -> None:
    for golden in GOLDEN.values():
        text = json.dumps(golden.fields)[:-1] + f", {name}: {value}}}"
        if value == "null":  # A null is a field that is not there, whatever its name.
            decode(golden.stream.contract, payload(text))
            continue
        with pytest.raises(BadMessage) as refused:
            decode(golden.stream.contract, payload(text))
        check_refusal(refused.value)


#: Where a code is named: the name that is called, and the place of the code among its arguments.
CODED_CALLS = {"BadMessage": 0, "PydanticCustomError": 0, "DeadLetter": 0}


def coded_in(path: Path) -> Iterator[tuple[str, str]]:
    """Each code in a file that is given as it stands, with the line it stands in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called: Any = node.func
        name = getattr(called, "id", getattr(called, "attr", ""))
        if name not in CODED_CALLS or not node.args:
            continue
        code = node.args[CODED_CALLS[name]]
        if isinstance(code, ast.Constant) and isinstance(code.value, str):
            yield code.value, f"{path.relative_to(ROOT)}:{node.lineno}"


def sources(*tops: str) -> Iterator[Path]:
    for top in tops:
        yield from sorted((ROOT / top).rglob("*.py"))


def test_every_code_that_our_own_code_raises_is_listed() -> None:
    unlisted = {
        (code, where)
        for path in sources("shared", "services")
        for code, where in coded_in(path)
        if code not in CODES
    }
    assert not unlisted


def test_every_listed_code_of_a_contract_is_raised_somewhere() -> None:
    raised = {code for path in sources("shared/contracts") for code, _ in coded_in(path)}
    assert raised | set(wire.PYDANTIC_CODES.values()) == wire.CODES
