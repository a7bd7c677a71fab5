"""`calc` at the prompt: vectors as JSON lines, refusals in place, tables for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shared.cli.calc import calc

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent.parent / "formulas" / "vectors.json").read_text(encoding="utf-8")
)

LEVELS = '{"side": "BUY", "entry_price": 12.32, "leverage": 10}'
HARVEST = (
    '{"side": "LONG", "qty0": 1.83, "harvested": 0, "entry": 12.32, "stop": 12.0736, '
    '"mark": 21.68, "lot_step": "0.01"}'
)
KILL = '{"flip": 1, "sigma_ratio": 1, "ts_aligned": 0.5, "age_s": 0}'


def run(command: str, *lines: str | bytes) -> tuple[int, list[Any]]:
    """The exit code and the parsed output lines of `calc <command>` fed with `lines`."""
    source = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    result = CliRunner().invoke(calc, [command], input=source)
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def numeric(answer: object) -> object:
    """The answer with its quantity as a number, whose spelling is free, and within 1e-9."""
    if isinstance(answer, list):
        return pytest.approx(answer, rel=1e-9, abs=1e-9)
    if isinstance(answer, float):
        return pytest.approx(answer, rel=1e-9, abs=1e-9)
    return answer


@pytest.mark.parametrize("command", ["levels", "harvest", "kill"])
def test_every_vector_is_answered(command: str) -> None:
    vectors = VECTORS[command]
    code, answers = run(command, *(json.dumps(vector["in"]) for vector in vectors))

    assert code == 0
    assert len(answers) == len(vectors)
    for vector, answer in zip(vectors, answers, strict=True):
        expected = vector["out"]
        if not isinstance(expected, dict):
            assert answer == numeric(expected)
            continue
        assert list(answer) == list(expected)
        if "close_qty" in expected:
            assert isinstance(answer["close_qty"], str)
            assert float(answer.pop("close_qty")) == float(expected["close_qty"])
        for name, value in answer.items():
            assert value == numeric(expected[name])


def test_no_safe_stop_is_an_answer() -> None:
    code, answers = run("levels", '{"side": "BUY", "entry_price": 100, "leverage": 240}')
    assert code == 0
    assert answers == [{"lsf": pytest.approx(0.1542068333451603), "error": "no_safe_stop"}]


@pytest.mark.parametrize(
    ("literal", "code"),
    [
        ("NaN", "bad_number"),
        ("Infinity", "bad_number"),
        ("-Infinity", "bad_number"),
        ("1e999", "bad_number"),
        ("1e99999999999999999999", "bad_number"),
        ("1e-999", "bad_number"),
        ("1" * 5000, "bad_number"),
        ("0", "bad_number"),
        ("-1", "bad_number"),
        ("true", "bad_number"),
        ("null", "bad_number"),
        ("[1]", "bad_number"),
        ('"1_000"', "bad_number"),
        ('"١٢"', "bad_number"),
        ('" 12"', "bad_number"),
        ('"12 "', "bad_number"),
        ('"12\\n"', "bad_number"),
        ('"+12"', "bad_number"),
        ('"NaN"', "bad_number"),
        ('"Infinity"', "bad_number"),
        ('"0x10"', "bad_number"),
        ('".5"', "bad_number"),
        ('""', "bad_number"),
        ("012", "not_json"),
        ("1_000", "not_json"),
        ("١٢", "not_json"),
        ("+1", "not_json"),
    ],
)
def test_what_is_not_a_plain_positive_number_is_refused(literal: str, code: str) -> None:
    exit_code, answers = run("levels", LEVELS.replace("12.32", literal))
    assert exit_code == 2
    assert [answer["error"] for answer in answers] == [code]
    assert answers[0]["detail"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (LEVELS.replace("}", ', "side": "BUY"}'), "duplicate_key"),
        (LEVELS.replace("}", ', "stop": 1}'), "unknown_field"),
        (LEVELS.replace(', "leverage": 10', ""), "missing_field"),
        (LEVELS.replace("BUY", "LONG"), "bad_value"),
        (LEVELS.replace('"BUY"', "1"), "bad_value"),
        (LEVELS.replace("}", ', "regime": "bull"}'), "bad_value"),
        (LEVELS.replace("}", ', "atr_value": -1}'), "bad_number"),
        (LEVELS.replace("10}", "-10}"), "bad_number"),
        (LEVELS[:-1], "not_json"),
        ("[" * 60_000, "not_json"),
        (b'{"side": "\xff"}', "not_json"),
        ("[]", "not_an_object"),
        ("5", "not_an_object"),
        (LEVELS + " " * 70_000, "too_long"),
    ],
)
def test_a_malformed_line_is_named_and_the_others_go_on(line: str | bytes, code: str) -> None:
    exit_code, answers = run("levels", LEVELS, line, LEVELS)
    assert exit_code == 2
    assert [answer.get("error") for answer in answers] == [None, code, None]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("qty0", "0"),
        ("qty0", "-1"),
        ("entry", "0"),
        ("mark", "-5"),
        ("stop", "12.32"),
        ("stop", "0"),
        ("harvested", "1.84"),
        ("harvested", "-0.1"),
        ("lot_step", '"0"'),
        ("lot_step", '"0.0l"'),
    ],
)
def test_a_harvest_that_cannot_be_is_refused(name: str, value: str) -> None:
    case = json.loads(HARVEST)
    case[name] = json.loads(value)
    exit_code, answers = run("harvest", json.dumps(case))
    assert exit_code == 2
    assert answers[0]["error"] == "bad_number"
    assert name in answers[0]["detail"]


@pytest.mark.parametrize("flip", ["2", "-1", "0.5", '"yes"', "null"])
def test_a_flip_is_zero_or_one(flip: str) -> None:
    exit_code, answers = run("kill", KILL.replace('"flip": 1', f'"flip": {flip}'))
    assert exit_code == 2
    assert answers[0]["error"] == "bad_number"


def test_a_flip_may_be_a_boolean() -> None:
    assert run("kill", KILL) == run("kill", KILL.replace('"flip": 1', '"flip": true'))


def test_a_position_without_a_stop_is_measured_in_two_percent() -> None:
    exit_code, answers = run("harvest", HARVEST.replace("12.0736", "null"))
    assert exit_code == 0
    assert answers == run("harvest", HARVEST)[1]


def test_numbers_are_read_without_passing_through_float() -> None:
    # As a float qty0 is 2: a quarter of it is then just below half a lot, and rounds to nothing.
    line = (
        '{"side": "LONG", "qty0": 2.00000000000000000002, "harvested": 0, "entry": 100, '
        '"stop": 99, "mark": 102.2, "lot_step": "1.00000000000000000001"}'
    )
    exit_code, answers = run("harvest", line)
    assert exit_code == 0
    assert answers[0]["close_qty"] == "1.00000000000000000001"


def test_blank_lines_and_no_lines_answer_nothing() -> None:
    assert run("kill") == (0, [])
    exit_code, answers = run("kill", "", KILL, "  ", "\r")
    assert exit_code == 0
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("levels --side BUY --entry-price 12.32 --leverage 10", ["11.934492", "12.981066"]),
        ("levels --side BUY --entry-price 12.32 --leverage 240", ["no_safe_stop"]),
        (
            "harvest --side LONG --qty0 1.83 --entry 12.32 --mark 21.68 --lot-step 0.01",
            ["37.94", "PARTIAL_75", "1.37"],
        ),
        ("kill --flip 1 --sigma-ratio 1 --ts-aligned 0.5 --age-s 0", ["close", "0.6225"]),
        ("kill --flip 0 --sigma-ratio 1 --ts-aligned 0.5 --age-s 0", ["hold", "0.1192"]),
    ],
)
def test_one_case_by_flags_is_a_table(arguments: str, shown: list[str]) -> None:
    result = CliRunner().invoke(calc, arguments.split())
    assert result.exit_code == 0
    assert all(text in result.stdout for text in shown)


@pytest.mark.parametrize(
    "arguments",
    [
        "levels --side BUY --entry-price 12.32",
        "levels --side BUY --entry-price 1_000 --leverage 10",
        "kill --flip 2 --sigma-ratio 1 --ts-aligned 0.5 --age-s 0",
        "kill --flip 1 --json-lines",
    ],
)
def test_flags_that_make_no_case_are_a_usage_error(arguments: str) -> None:
    result = CliRunner().invoke(calc, arguments.split())
    assert result.exit_code == 2
    assert result.stdout == ""
