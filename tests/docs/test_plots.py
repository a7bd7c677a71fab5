"""The plots of formulas.md show what the formulas say now."""

from __future__ import annotations

from pathlib import Path

import pytest

from .curves import PLOTS, fingerprint
from .documents import ROOT

FOLDER = ROOT / "docs/plots"


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_shows_what_the_formulas_say(name: str) -> None:
    drawn = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert f"<dc:description>{fingerprint(name)}</dc:description>" in drawn, (
        f"{name}.svg is out of date: python -m tests.docs.draw"
    )


def test_every_plot_is_in_the_document_and_every_file_is_a_plot() -> None:
    text = (ROOT / "docs/formulas.md").read_text(encoding="utf-8")
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(PLOTS)
    assert [name for name in PLOTS if f"(plots/{name}.svg)" not in text] == []


def test_a_plot_that_is_drawn_again_is_the_same(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install matplotlib draws the plots")
    from .draw import draw

    draw(tmp_path)
    for name in PLOTS:
        assert (tmp_path / f"{name}.svg").read_bytes() == (FOLDER / f"{name}.svg").read_bytes()
