"""Answers and frames that make no sense, as venues and what stands before them have sent.

Pure: the same chance makes the same garbage.
"""

from __future__ import annotations

import json
import random
from typing import Any

HTML = (
    "<html><head><title>Scheduled maintenance</title></head>"
    "<body><h1>We will be back soon</h1></body></html>"
)
#: How an answer with status 200 may be garbage. `drip` is a true answer, byte by byte;
#: `broken_off` is one whose connection ends before what its header promised has come.
KINDS = ("html", "empty", "cut", "not_json", "wrong_type", "mutated", "drip", "broken_off")
_NOT_JSON = ("OK", "null,", "{'code': 200}", "\x00\x01", "[1, 2", '{"code": NaN}', "\ufeff{}")
_WRONG: tuple[Any, ...] = (
    *(None, True, 0, -1, "", "x", 1e308, 10**30, [], {}, [None], {"a": 1}, [[]], "NaN", "1e9"),
    *("9" * 40, "\ud800", "\u202e", {"code": 0, "msg": None}, {"code": "x"}, {"code": -1}),
)


def garbage(how: str, text: str, chance: random.Random) -> str:
    """What is sent in place of a true answer. ValueError for a kind that is none."""
    match how:
        case "html":
            return HTML
        case "empty":
            return ""
        case "cut":
            return text[: chance.randrange(len(text))] if text else ""
        case "not_json":
            return chance.choice(_NOT_JSON)
        case "wrong_type":
            return json.dumps(chance.choice(_WRONG))
        case "mutated":
            return json.dumps(mutated(json.loads(text), chance))
        case "drip" | "broken_off":
            return text
    raise ValueError(f"{how} is no garbage; there are {', '.join(KINDS)}")


def mutated(value: Any, chance: random.Random) -> Any:
    """A value of JSON in which one place is of another type, gone, doubled or nonsense."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        name = chance.choice(list(value))
        if chance.random() < 0.15:
            return {n: v for n, v in value.items() if n != name}
        return value | {name: mutated(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], mutated(value[at], chance), *value[at + chance.randint(0, 1) :]]
    return chance.choice(_WRONG)


def garbage_frame(event: Any, chance: random.Random) -> str | bytes:
    """A frame that a stream should never have; `event` is a true one to spoil."""
    text = json.dumps(event)
    return chance.choice(
        (
            HTML, "", "null", "[]", "0", '"text"', "{}", "[" * 100_000, '{"e": 5}', '{"e": null}',
            '{"stream": "x", "data": null}', chance.choice(_NOT_JSON), text[: len(text) // 2],
            json.dumps(mutated(event, chance)), json.dumps([event]), b"\xff\xfe\x00", text.encode(),
            "x" * 70_000, '{"e": "ORDER_TRADE_UPDATE", "o": []}', '{"e": "ACCOUNT_UPDATE"}',
            '{"e": "ALGO_UPDATE", "o": {"s": 1}}', '{"e": "SOMETHING_NEW", "E": 1}',
        )
    )  # fmt: skip
