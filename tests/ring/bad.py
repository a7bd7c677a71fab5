"""Every kind of bad input, for every stream, flat and wrapped, with the code of its dead letter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.streams import Stream

from .messages import Raw, Sample, golden, payload

#: A message of each stream and of each kind that has exits; none of them is ever sent unspoilt.
TICK = golden("market.tick.funded")
INTENT = golden("trade.intent.entry")
WITH_EXITS = golden("trade.intent.entry_by_qty_with_exits")
PLAN = golden("apply.plan.execute_entry")
AWAITING = golden("apply.plan.awaiting_exits_with_exits")
RESULT = golden("apply.result.filled")
#: For each stream a message, its first number and its id.
EACH = (
    (TICK, "mark_price", "tick_id"),
    (INTENT, "entry_price", "intent_id"),
    (PLAN, "qty", "plan_id"),
    (RESULT, "filled_qty", "result_id"),
)
NOT_NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "1_000", " 1", "1\n", "0x10", ""),
    *("１２", "١٢", "1" * 19),
)
NOT_SYMBOLS = ("riverusdt", "RIVERUSDT ", "RIVERUSDT\n", "RIVER/USDT", "RІVERUSDT", "")


@dataclass(frozen=True)
class Bad:
    """What is sent, and the code with which it is put aside."""

    name: str
    stream: Stream
    raw: Raw
    code: str


def spoilt(sample: Sample, code: str, **changes: str) -> Iterator[Bad]:
    """A message with other values, in both forms."""
    name = " ".join(f"{k}={v[:12]!r}" for k, v in changes.items())
    bad = sample.but(**changes)
    yield Bad(f"{name}, flat", sample.stream, bad.flat, code)
    yield Bad(f"{name}, wrapped", sample.stream, bad.wrapped, code)


def on_every_stream(sample: Sample, number: str, id_: str) -> Iterator[Bad]:
    for text in NOT_NUMBERS:
        yield from spoilt(sample, "bad_number", **{number: text})
    for literal in ("NaN", "-Infinity", "1e999"):
        raw = sample.wrapped_with(number, literal)
        yield Bad(f"{number} bare {literal}", sample.stream, raw, "bad_number")
    for text in ("0", "-1", "-0"):
        yield from spoilt(sample, "out_of_range", **{number: text})
    for text in NOT_SYMBOLS:
        yield from spoilt(sample, "bad_text", symbol=text)
    yield from spoilt(sample, "bad_text", **{id_: "a b"})
    yield from spoilt(sample, "bad_timestamp", timestamp="2025-06-01 00:00:00")
    yield from spoilt(sample, "unknown_field", surprise="1")
    yield from spoilt(sample, "unknown_version", version="2")
    yield from spoilt(sample, "too_large", reason="x" * 17_000)
    for name in ("version", number, id_):
        bad = sample.without(name)
        yield Bad(f"no {name}, flat", sample.stream, bad.flat, "missing_field")
        yield Bad(f"no {name}, wrapped", sample.stream, bad.wrapped, "missing_field")
    yield from not_a_message(sample, number)


def not_a_message(sample: Sample, number: str) -> Iterator[Bad]:
    whole = sample.wrapped[0][1]
    twice = whole[:-1] + b', "symbol": "RIVERUSDT"}'
    nested = sample.wrapped_with("source", '{"a": 1}')
    for name, raw, code in (
        ("a key twice", payload(twice), "duplicate_key"),
        ("a field twice", [*sample.flat, (b"symbol", b"RIVERUSDT")], "duplicate_field"),
        ("nested", nested, "nested"),
        ("nested deeply", payload("[" * 5000 + "]" * 5000), "nested"),
        ("half a payload", payload(whole[:-1]), "not_json"),
        ("an empty payload", payload(b""), "not_json"),
        ("a list", payload(b"[]"), "not_json"),
        ("a bare NaN", payload(b"NaN"), "not_json"),
        ("not UTF-8, flat", [*sample.flat, (b"\xff", b"\xfe\r\n\x00")], "not_text"),
        ("not UTF-8, wrapped", payload(whole + b"\xff"), "not_text"),
        ("one empty field", [(b"", b"")], "missing_field"),
        ("very many fields", [(b"f%d" % n, b"") for n in range(3000)], "too_large"),
        ("payload and more", [*sample.wrapped, (b"version", b"1")], "missing_field"),
        ("a flag for a number", sample.wrapped_with(number, "true"), "bad_number"),
    ):
        yield Bad(name, sample.stream, raw, code)


def with_leverage_or_exits() -> Iterator[Bad]:
    for sample, name in ((INTENT, "leverage"), (PLAN, "leverage"), (RESULT, "position_leverage")):
        for text in ("0", "1001"):
            yield from spoilt(sample, "out_of_range", **{name: text})
        yield from spoilt(sample, "bad_number", **{name: "10.5"})
    for sample in (WITH_EXITS, PLAN, AWAITING):
        entry, stop, target = (
            sample.fields[n] for n in ("entry_price", "stop_loss", "take_profit")
        )
        yield from spoilt(sample, "wrong_side_stop", stop_loss=target)
        yield from spoilt(sample, "wrong_side_stop", stop_loss=entry)
        yield from spoilt(sample, "wrong_side_target", take_profit=stop)
    yield from spoilt(INTENT, "half_an_exit", stop_loss="1")
    yield from spoilt(INTENT, "bad_size", qty="1")
    yield from spoilt(INTENT, "unknown_value", side="buy")
    yield from spoilt(INTENT, "unknown_value", reduceOnly="true")
    yield from spoilt(INTENT, "bad_flag", reduceOnly="True")


BAD = (
    *(bad for sample, number, id_ in EACH for bad in on_every_stream(sample, number, id_)),
    *with_leverage_or_exits(),
)
