"""The documents name commands and options of `quantum` that there are, and none is left out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from shared.cli import app

from .documents import DOCUMENTS, code

_QUANTUM: Any = typer.main.get_command(app)
_CALLED = re.compile(r"(?:^|bin/|[\s`(|;])quantum ((?:--?[\w-]+|[a-z][\w-]*).*)$")
_OPTION = re.compile(r"--?[a-z][\w-]*")
_END = ("|", "||", "&&", ";", ">", ">>", "<", "<<<", "&", "#")


def mentioned(document: str) -> Iterator[list[str]]:
    """The words after each `quantum`, up to the end of that command."""
    for line in code(document):
        called = _CALLED.search(line)
        if called is None:
            continue
        lexer = shlex.shlex(called[1].replace("'", ""), posix=True, punctuation_chars="|;&<>")
        lexer.whitespace_split = True
        words = list(lexer)
        end = next((i for i, word in enumerate(words) if word in _END), len(words))
        yield words[:end]


def resolved(words: list[str]) -> tuple[str, Any, list[str]]:
    """The command that the words name, and what is left of them."""
    name, command = "quantum", _QUANTUM
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"`{name}` has no command {words[0]!r}"
        name, command = f"{name} {words[0]}", command.commands[words[0]]
        words = words[1:]
    return name, command, words


def leaves(command: Any, name: str = "quantum") -> Iterator[str]:
    """Every command that does something, by its full name."""
    if not hasattr(command, "commands"):
        yield name
        return
    for word, below in command.commands.items():
        yield from leaves(below, f"{name} {word}")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_and_options_that_a_document_names_exist(document: str) -> None:
    for words in mentioned(document):
        name, command, rest = resolved(words)
        known = {option for each in command.params for option in each.opts} | {"--help"}
        options = [word.partition("=")[0] for word in rest if _OPTION.match(word)]
        assert set(options) <= known, f"{document}: {name} has no {set(options) - known}"


def test_every_command_stands_in_some_document() -> None:
    every = (resolved(words)[0] for document in DOCUMENTS for words in mentioned(document))
    assert set(leaves(_QUANTUM)) - set(every) == set()
