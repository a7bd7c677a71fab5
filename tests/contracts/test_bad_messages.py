"""Bad messages as a whole: their bytes, their JSON, their fields, and fields that disagree."""

from __future__ import annotations

import json

import pytest

from shared.contracts import BadMessage, decode
from shared.contracts.wire import MAX_BYTES, MAX_FIELDS

from .messages import (
    GOLDEN,
    ONE_OF_EACH,
    Fields,
    Form,
    Golden,
    each_form,
    each_golden,
    each_stream,
    flat,
    payload,
    refusal,
    wrapped,
)

ENTRY = GOLDEN["trade.intent.entry"]
WITH_EXITS = GOLDEN["trade.intent.entry_by_qty_with_exits"]
AWAITING = GOLDEN["apply.plan.awaiting_exits_with_exits"]
EXECUTE = GOLDEN["apply.plan.execute_entry"]


def without(golden: Golden, *names: str) -> Fields:
    return {name: value for name, value in golden.pairs if name not in names}


@each_form
@each_golden
def test_a_message_without_a_field_that_it_needs_is_refused(golden: Golden, form: Form) -> None:
    for name, field in golden.model.model_fields.items():
        if field.is_required() or name == "version":
            assert refusal(golden, form(without(golden, name))) == ("missing_field", name)


@each_form
@each_golden
def test_a_field_that_the_kind_does_not_have_is_refused(golden: Golden, form: Form) -> None:
    for name in ("leverage_", "Symbol", "symbol ", "stream_name", "model_config", "ENTRY", "p"):
        assert refusal(golden, form(golden.fields | {name: "1"})) == ("unknown_field", name)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("", "(no name)"),
        ("ключ", r"\u043a\u043b\u044e\u0447"),
        ("a\nb\x1b[2J", r"a\nb\x1b[2J"),
        ("x" * 500, "x" * 64),
        ("\U0001d492" * 500, (r"\U0001d492" * 7)[:64]),
        ("a: b", "a"),
    ],
)
@each_form
def test_a_strange_field_name_is_told_in_short_and_in_ascii(
    form: Form, name: str, named: str
) -> None:
    assert refusal(ENTRY, form(ENTRY.fields | {name: "1"})) == ("unknown_field", named)


def test_half_a_surrogate_pair_in_a_field_name_is_refused_and_told_in_ascii() -> None:
    raw = payload(json.dumps(ENTRY.fields | {"\ud800": "1"}))
    assert refusal(ENTRY, raw) == ("not_text", r"\ud800")


@pytest.mark.parametrize("version", ["2", "0", "1.0", "01", "1 ", "", "١", "v1"])
@each_form
def test_another_version_is_refused(form: Form, version: str) -> None:
    for golden in ONE_OF_EACH:
        raw = form(golden.fields | {"version": version})
        assert refusal(golden, raw) == ("unknown_version", "version")


@each_form
@each_golden
def test_a_missing_version_is_refused_before_anything_else(golden: Golden, form: Form) -> None:
    broken = without(golden, "version") | {"symbol": "", "unknown": ""}
    assert refusal(golden, form(broken)) == ("missing_field", "version")
    assert refusal(golden, form({})) == ("missing_field", "version")


@each_stream
def test_a_flat_field_given_twice_is_refused(golden: Golden) -> None:
    for name, value in golden.pairs:
        for second in (value, "other"):
            raw = [*flat(golden.fields), (name.encode(), second.encode())]
            assert refusal(golden, raw) == ("duplicate_field", name)


@each_stream
def test_a_json_key_given_twice_is_refused(golden: Golden) -> None:
    text = json.dumps(golden.fields)
    for name, value in golden.pairs:
        for second in (value, "other"):
            raw = payload(f'{text[:-1]}, "{name}": "{second}"}}')
            assert refusal(golden, raw) == ("duplicate_key", name)
    escaped = payload(text[:-1] + r', "\u0073ymbol": "ETHUSDT"}')
    assert refusal(golden, escaped) == ("duplicate_key", "symbol")


@each_stream
def test_a_payload_beside_other_fields_is_an_unknown_field(golden: Golden) -> None:
    raw = [*flat(golden.fields), *wrapped(golden.fields)]
    assert refusal(golden, raw) == ("unknown_field", "payload")


@each_stream
def test_a_payload_in_a_payload_is_not_opened(golden: Golden) -> None:
    assert refusal(golden, wrapped({"payload": json.dumps(golden.fields)})) == (
        "missing_field",
        "version",
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "{", "}", "{}{}", "{'version': '1'}", '{"version": "1",}', '{"version"}'),
        *('{version: "1"}', "[]", '["version", "1"]', "null", "true", "1", '"version"', "NaN"),
        *('{"version": 01}', '{"version": .1}', '{"version": 1.}', '{"version": +1}', "undefined"),
        *('{"version": "1"} x', '{"a": "\n"}', '{"a": "\\x"}', "\ufeff{}", '{"a": "', "{" * 64),
        '["' + '\\"' * 5_000 + "[" * 100,
    ],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    for golden in ONE_OF_EACH:
        assert refusal(golden, payload(text)) == ("not_json", "payload")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 16_000,
        "[" * 8_000 + "]" * 8_000,
        "{" * 16_000,
        '{"a":' * 3_000 + "1" + "}" * 1_000,
        '{"version": "1", "a": ' + "[" * 16_000,
        '{"version": "1", "a": ' + "[" * 8_000 + "]" * 8_000 + "}",
    ],
    ids=lambda text: text[:24],
)
@each_stream
def test_deep_nesting_is_refused_before_a_parser_follows_it(golden: Golden, text: str) -> None:
    assert len(text) < MAX_BYTES - len("payload")
    assert refusal(golden, payload(text)) == ("nested", "payload")


def test_brackets_in_a_text_are_not_nesting() -> None:
    reason = '[{"\\' * 100
    intent = decode(ENTRY.stream.contract, wrapped(ENTRY.fields | {"reason": reason}))
    assert intent.reason == reason


@each_stream
def test_bytes_that_are_not_utf_8_are_refused(golden: Golden) -> None:
    whole = json.dumps(golden.fields).encode()
    for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80"):
        assert refusal(golden, payload(whole + bad)) == ("not_text", "payload")
        assert refusal(golden, [*flat(golden.fields), (b"reason_", bad)]) == ("not_text", "reason_")
        code, named = refusal(golden, [*flat(golden.fields), (b"r" + bad, b"1")])
        assert (code, named[:5]) == ("not_text", r"r\udc")


@each_stream
def test_a_message_over_the_limit_is_refused_and_one_of_the_limit_is_read(golden: Golden) -> None:
    size = sum(len(name) + len(value) for name, value in flat(golden.fields))
    for spare, code in ((0, "unknown_field"), (1, "too_large")):
        filler = "x" * (MAX_BYTES - size - len("filler") + spare)
        assert refusal(golden, flat(golden.fields | {"filler": filler}))[0] == code
    text = json.dumps(golden.fields)
    padding = " " * (MAX_BYTES - len(text.encode()) - len("payload"))
    decode(golden.stream.contract, payload(text + padding))
    assert refusal(golden, payload(text + padding + " ")) == ("too_large", "message")


@each_stream
def test_a_message_of_very_many_fields_is_refused_at_once(golden: Golden) -> None:
    assert refusal(golden, [(b"", b"")] * 1_000_000) == ("too_large", "message")
    many = [(str(number).encode(), b"") for number in range(MAX_FIELDS + 1)]
    assert refusal(golden, many) == ("too_large", "message")


@each_golden
def test_reduce_only_is_what_the_kind_says(golden: Golden) -> None:
    if golden.name.startswith(("trade.intent", "apply.plan.a", "apply.plan.e")):
        other = {"true": "false", "false": "true"}[golden.fields["reduceOnly"]]
        for form in (flat, wrapped):
            raw = form(golden.fields | {"reduceOnly": other})
            assert refusal(golden, raw) == ("unknown_value", "reduceOnly")


@each_form
@pytest.mark.parametrize("golden", [WITH_EXITS, AWAITING], ids=lambda golden: golden.name)
def test_half_an_exit_is_refused(golden: Golden, form: Form) -> None:
    for name in ("stop_loss", "take_profit"):
        assert refusal(golden, form(without(golden, name))) == ("half_an_exit", name)


@each_form
@pytest.mark.parametrize("golden", [WITH_EXITS, AWAITING, EXECUTE], ids=lambda golden: golden.name)
def test_a_stop_or_a_target_that_is_not_on_its_side_of_the_entry_is_refused(
    golden: Golden, form: Form
) -> None:
    entry_price = golden.fields["entry_price"]
    for name in (name for name in golden.fields if name.startswith("take_profit")):
        for wrong in (entry_price, golden.fields["stop_loss"]):
            found = refusal(golden, form(golden.fields | {name: wrong}))
            assert found == ("wrong_side_target", name)
    for wrong in (entry_price, golden.fields["take_profit"]):
        found = refusal(golden, form(golden.fields | {"stop_loss": wrong}))
        assert found == ("wrong_side_stop", "stop_loss")
    other_side = {"BUY": "SELL", "SELL": "BUY"}[golden.fields["side"]]
    found = refusal(golden, form(golden.fields | {"side": other_side}))
    assert found == ("wrong_side_stop", "stop_loss")


@each_form
def test_an_entry_has_one_size(form: Form) -> None:
    neither = without(ENTRY, "position_size_usd")
    assert refusal(ENTRY, form(neither)) == ("bad_size", "position_size_usd")
    assert refusal(ENTRY, form(ENTRY.fields | {"qty": "1"})) == ("bad_size", "qty")


@each_stream
def test_a_message_of_another_stream_is_refused(golden: Golden) -> None:
    for other in ONE_OF_EACH:
        if other is not golden:
            with pytest.raises(BadMessage):
                decode(golden.stream.contract, flat(other.fields))


def test_a_refusal_counts_what_else_is_wrong() -> None:
    with pytest.raises(BadMessage) as refused:
        decode(ENTRY.stream.contract, flat(ENTRY.fields | {"qty": "1", "symbol": "", "side": ""}))
    assert refused.value.detail.endswith("(and 1 more)")
