"""Strategies are found by the name that an installed package gives them."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from services.trading_bot.plugins import GROUP, StrategyNotUsable, load_strategy
from services.trading_bot.trend_following import TrendFollowing

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
MODULE = """
class Patient:
    name = "patient"

    def signal(self, view):
        return None


class Nothing:
    pass
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **offered: str) -> None:
    """Put a package with these entry points where Python looks for packages."""
    info = folder / f"{folder.name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 1.0\n")
    lines = [f"[{GROUP}]", *(f"{name} = {value}" for name, value in offered.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (folder / f"{folder.name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, folder.name, raising=False)


def test_the_project_offers_trend_following(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    install(tmp_path / "as_installed", monkeypatch, **project["entry-points"][GROUP])
    assert load_strategy("trend_following") == TrendFollowing()


def test_a_strategy_of_another_package_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "patience", monkeypatch, patient="patience:Patient")
    assert load_strategy("patient").name == "patient"


def test_an_unknown_name_is_answered_with_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "two", monkeypatch, zebra="two:Patient", ant="two:Patient")
    with pytest.raises(StrategyNotUsable) as refused:
        load_strategy("trend_folowing")
    text = str(refused.value)
    assert text.startswith(
        "no strategy is called 'trend_folowing'; installed in quantum.strategies"
    )
    assert 0 < text.index("ant") < text.index("zebra")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module_here:Patient", "cannot be imported: No module named"),
        ("broken:NoSuchClass", "cannot be imported: .* no attribute 'NoSuchClass'"),
        ("broken:Nothing", "has no name or no signal"),
    ],
)
def test_an_entry_that_leads_to_no_strategy_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    install(tmp_path / "broken", monkeypatch, mine=value)
    with pytest.raises(StrategyNotUsable, match=rf"strategy mine \({value}\) .*{reason}"):
        load_strategy("mine")


def test_a_name_that_two_packages_claim_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("first", "second"):
        install(tmp_path / package, monkeypatch, mine=f"{package}:Patient")
    with pytest.raises(StrategyNotUsable, match="twice: by first:Patient and second:Patient"):
        load_strategy("mine")
