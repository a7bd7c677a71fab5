"""Every command of the documents is typed as it stands, or is in the table with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from .desk import Desk, Said, a_desk
from .documents import DOCUMENTS, ROOT, Command, File, commands, steps
from .table import STAGES, TABLE, Elsewhere, Run, fits, treatment


def typed(block: Iterable[Command]) -> list[tuple[Command, Run]]:
    """Those commands that are typed here, each with how. What nobody knows is never typed."""
    rows = ((command, treatment(command.name)) for command in block)
    return [(command, row) for command, row in rows if isinstance(row, Run)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_is_typed_or_has_its_reason(document: str) -> None:
    assert [c.name for c in commands(document) if treatment(c.name) is None] == []


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if typed(commands(name))])
def test_the_commands_do_what_the_document_says(document: str, tmp_path: Path) -> None:
    here = [command for command, _ in typed(commands(document))]
    wrong: list[str] = []
    with a_desk(tmp_path, STAGES.get(document, "ring"), here) as desk:
        for step in steps(document):
            if isinstance(step, File):
                desk.write(step.path, step.text)
            else:
                wrong += _wrong_in(desk, document, step.commands)
    assert not wrong, "\n".join(wrong)


def _wrong_in(desk: Desk, document: str, block: tuple[Command, ...]) -> Iterator[str]:
    """Type one block; what did not come out as it should, in words."""
    for command, row in typed(block):
        said = desk.type(row.instead.replace("{command}", command.text))
        if why := _wrong(command, row, said):
            yield f"{document}:{command.line}: {command.name}\n  {why}\n{said.output}"


def _wrong(command: Command, row: Run, said: Said) -> str:
    if said.status != row.status:
        return f"ended with {said.status}, not {row.status}; it said:"
    missing = [words for words in row.says if words not in said.output]
    if missing:
        return f"did not say {missing[0]!r}, but:"
    if command.output is not None and not as_shown(command.output, said.output):
        return "the document shows something else; it said:"
    return ""


def as_shown(shown: tuple[str, ...], said: str) -> bool:
    """Whether an output is the one that a document shows; `...` stands for any lines."""
    parts = re.split(r"^\.\.\.\n", _lines(shown), flags=re.MULTILINE)
    pattern = "(?:.*\n)*?".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, _lines(said.splitlines())) is not None


def _lines(rows: Iterable[str]) -> str:
    """Rows without blanks at their ends, and without empty ones before and after."""
    return "\n".join(row.rstrip() for row in rows).strip("\n") + "\n"


def test_every_row_of_the_table_fits_a_command() -> None:
    names = [command.name for document in DOCUMENTS for command in commands(document)]
    assert [key for key in TABLE if not any(fits(key, name) for name in names)] == []


@pytest.mark.parametrize("key", [k for k, row in TABLE.items() if isinstance(row, Elsewhere)])
def test_what_holds_a_command_that_is_not_typed_is_there(key: str) -> None:
    row = TABLE[key]
    assert isinstance(row, Elsewhere)
    path, _, name = row.by.partition("::")
    assert (ROOT / path).is_file(), row.by
    assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8") or not name, row.by


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        (("R 2.00", ""), "R 2.00  \n", True),
        (("R 2.00",), "R 3.00\n", False),
        (("first", "...", "last"), "first\nsecond\nthird\nlast\n", True),
        (("first", "...", "last"), "first\nlast\n", True),
        (("first", "..."), "second\n", False),
        (("...", "second", "..."), "first\nsecond\nthird\n", True),
        (("R (net)",), "R (net)\nmore\n", False),
    ],
)
def test_an_output_is_compared_line_by_line(shown: tuple[str, ...], said: str, same: bool) -> None:
    assert as_shown(shown, said) is same
