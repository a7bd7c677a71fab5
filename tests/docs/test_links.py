"""A link in a document leads to a file that is there, and to a heading that is in it."""

from __future__ import annotations

import pytest

from .documents import DOCUMENTS, ROOT, anchors, links

_ELSEWHERE = ("http://", "https://", "mailto:")


def missing(document: str) -> list[str]:
    """The links of a document that lead nowhere, each with its line."""
    found = []
    for line, target in links(document):
        if target.startswith(_ELSEWHERE):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        if not file.exists():
            found.append(f"{document}:{line}: {target}: there is no {path}")
        elif anchor and anchor not in anchors(file.resolve().relative_to(ROOT).as_posix()):
            found.append(f"{document}:{line}: {target}: there is no such heading")
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    assert missing(document) == []
