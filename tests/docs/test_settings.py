"""What the documents show as settings can be used as it stands."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.sections import settings_of
from shared.settings import load
from shared.streams import PROGRAMS

from .documents import DOCUMENTS, fences

SHARED = {"redis", "log", "metrics"}


def blocks() -> Iterator[tuple[str, int, str]]:
    """Document, line and text of every block that holds sections of the settings file."""
    for document in DOCUMENTS:
        for line, language, text in fences(document):
            if language == "toml" and tomllib.loads(text).keys() & {*PROGRAMS, *SHARED}:
                yield document, line, text


@pytest.mark.parametrize(("document", "line", "text"), list(blocks()))
def test_settings_in_a_document_can_be_used(
    document: str, line: int, text: str, tmp_path: Path
) -> None:
    file = tmp_path / f"{Path(document).stem}-{line}.toml"
    file.write_text(text, encoding="utf-8")
    settings = load(file, {})
    for name in tomllib.loads(text):
        if name in SHARED:
            getattr(settings, name)
        else:
            settings_of(name, settings)
