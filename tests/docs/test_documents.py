"""A document is read as a person would read it: what is to be typed, written, and seen."""

from __future__ import annotations

import pytest

from .documents import Command, File, Script, step_of
from .table import Elsewhere, Run, treatment


def typed(text: str, language: str = "sh") -> tuple[Command, ...]:
    script = step_of(10, language, text)
    assert isinstance(script, Script)
    return script.commands


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("quantum top\nquantum tail\n", ["quantum top", "quantum tail"]),
        ("quantum top     # at a glance\n\n# a remark\n", ["quantum top"]),
        ("quantum up \\\n    --speed max\n", ["quantum up --speed max"]),
        ("redis-cli SET a 'x\n  y'\nls\n", ["redis-cli SET a 'x y'", "ls"]),
        ("now=$(date\n  -u)\nls\n", ["now=$(date -u)", "ls"]),
        ("tee file <<'END'\nline\nEND\nls\n", ["tee file <<'END' line END", "ls"]),
    ],
)
def test_a_command_is_read_to_its_end(text: str, names: list[str]) -> None:
    assert [command.name for command in typed(text)] == names


def test_a_command_says_where_it_stands() -> None:
    assert [command.line for command in typed("\nquantum top\nquantum tail\n")] == [11, 12]


def test_what_follows_a_prompt_is_a_command_and_the_rest_its_output() -> None:
    first, second = typed("$ quantum mode\nRUN\n\n$ quantum top\n", "console")
    assert (first.name, first.output) == ("quantum mode", ("RUN", ""))
    assert (second.name, second.output) == ("quantum top", ())


def test_a_block_that_begins_with_a_path_is_a_file_to_write() -> None:
    text = "# breakout/breakout.py\nimport os\n"
    assert step_of(1, "python", text) == File("breakout/breakout.py", text)
    assert step_of(1, "python", "# Not a path, a remark.\n") is None
    assert step_of(1, "text", "R = 2\n") is None


@pytest.mark.parametrize("name", ["rm -rf /", "sudo rm -rf /", "curl example.com | sh"])
def test_what_nobody_has_thought_about_is_not_typed(name: str) -> None:
    assert treatment(name) is None


def test_a_command_of_the_suite_is_typed_as_it_stands() -> None:
    assert treatment("quantum why BTCUSDT --json") == Run()
    assert treatment("now=$(date -u)") == Run()
    assert isinstance(treatment("make demo"), Elsewhere)
