"""The documents as their reader takes them: commands to type, files to write, links to follow.

A fenced block is read by what stands behind its fence:

- ``console``: lines after ``$ `` are commands, what follows each is its output, and is compared;
  a line ``...`` stands for any lines.
- ``sh``, ``bash`` or nothing: every line is a command. A picture or an output in such a block is
  named by its first line in `NOT_COMMANDS`; better is to call the block ``text``.
- any other: no commands. If its first line is a comment with nothing but a relative path, the
  reader is told to write that file.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md"))
)

#: First words of blocks without a name that are pictures, outputs or lines of some file.
NOT_COMMANDS = {
    "README.md": ("prices", "rescue", "scenario"),
    "ARCHITECTURE.md": ("market_feed",),
    "deploy/redis/README.md": ("REDIS_URL=unix:", "[Service]", "user my_signals"),
}

_SHELL = ("", "sh", "bash")
_FILE = re.compile(r"(?:#|//) ([\w.-]+(?:/[\w.-]+)*\.\w+)")
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")
_REMARK = re.compile(r"\s+#\s.*$")


@dataclass(frozen=True, slots=True)
class Command:
    """One command with its line in the document; `output` is None where none is shown."""

    line: int
    text: str
    output: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """The command as the table knows it: on one line, with single blanks, without remark."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return " ".join(_REMARK.sub("", " ".join(lines)).split())


@dataclass(frozen=True, slots=True)
class Script:
    """The commands of one block."""

    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class File:
    """A file that the reader is told to write."""

    path: str
    text: str


@cache
def tokens(document: str) -> tuple[Token, ...]:
    """The parsed document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return tuple(MarkdownIt("commonmark").enable("table").parse(text))


def fences(document: str) -> Iterator[tuple[int, str, str]]:
    """Line of the first row, language and text of every fenced block."""
    for token in tokens(document):
        if token.type == "fence" and token.map is not None:
            yield token.map[0] + 2, token.info.strip().partition(" ")[0], token.content


@cache
def steps(document: str) -> tuple[Script | File, ...]:
    """What the reader does, in the document's order."""
    return tuple(_steps(document))


def _steps(document: str) -> Iterator[Script | File]:
    for line, language, text in fences(document):
        if language == "" and text.lstrip().startswith(NOT_COMMANDS.get(document, ())):
            continue
        if step := step_of(line, language, text):
            yield step


def step_of(line: int, language: str, text: str) -> Script | File | None:
    """What the reader does with a block; None: reads it."""
    if language == "console":
        return Script(tuple(_shown(line, text)))
    if language in _SHELL:
        return Script(tuple(_typed(line, text)))
    named = _FILE.fullmatch(text.partition("\n")[0])
    return File(named[1], text) if named else None


@cache
def commands(document: str) -> list[Command]:
    """Every command of a document."""
    scripts = (step for step in steps(document) if isinstance(step, Script))
    return [command for script in scripts for command in script.commands]


def _typed(first: int, text: str) -> Iterator[Command]:
    """The commands of a block that holds nothing else."""
    rows = iter(enumerate(text.splitlines(), start=first))
    for line, row in rows:
        if row.strip() and not row.lstrip().startswith("#"):
            yield Command(line, _whole(row, rows))


def _shown(first: int, text: str) -> Iterator[Command]:
    """The commands of a block that shows their output, too."""
    rows = iter(enumerate(text.splitlines(), start=first))
    command: tuple[int, str] | None = None
    output: list[str] = []
    for line, row in rows:
        if not row.startswith("$ "):
            output.append(row)
            continue
        if command is not None:
            yield Command(*command, tuple(output))
        command, output = (line, _whole(row.removeprefix("$ "), rows)), []
    if command is not None:
        yield Command(*command, tuple(output))


def _whole(row: str, rows: Iterator[tuple[int, str]]) -> str:
    """A command to its end: through continued lines, open quotes and here-documents."""
    text = row
    while text.endswith("\\") or _is_open(text):
        more = next(rows, None)
        if more is None:
            break
        text = f"{text}\n{more[1]}"
    return text


def _is_open(text: str) -> bool:
    """Whether a quote, a bracket or a here-document has not ended yet."""
    if here := _HEREDOC.search(text):
        return not text.endswith(f"\n{here[2]}")
    return (
        subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).returncode != 0
    )


def anchors(document: str) -> set[str]:
    """The anchors that the page has on GitHub, one for each heading."""
    found: dict[str, int] = {}
    for opening, inline in pairwise(tokens(document)):
        if opening.type == "heading_open":
            words = "".join(
                child.content for child in inline.children or () if child.type != "softbreak"
            )
            anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            found[anchor] = found.get(anchor, -1) + 1
    repeated = {f"{name}-{n}" for name, count in found.items() for n in range(1, count + 1)}
    return found.keys() | repeated


def links(document: str) -> Iterator[tuple[int, str]]:
    """Line and target of every link and picture."""
    for token in tokens(document):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if isinstance(target, str) and token.map is not None:
                yield token.map[0] + 1, target


def code(document: str) -> Iterator[str]:
    """Every line of code: what stands in backticks, and the lines of the fenced blocks."""
    for token in tokens(document):
        if token.type == "fence":
            yield from token.content.replace("\\\n", " ").splitlines()
        for child in token.children or ():
            if child.type == "code_inline":
                yield child.content
