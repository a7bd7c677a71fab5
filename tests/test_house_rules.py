"""The house rules that a linter cannot hold, read from the source by its syntax tree."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for top in ("services", "shared") for path in (ROOT / top).rglob("*.py"))
#: The edges of the daemons, where the outside world comes in.
EDGES = {"__main__.py", "candle_lines.py", "klines.py", "reading.py"}
EDGE_FOLDERS = {"binance", "double", "outside", "web"}
PURE_OF_SHARED = ("contracts", "decisions.py", "formulas", "sides.py", "streams.py", "symbols.py")
PURE = [
    path
    for path in SOURCES
    if (
        path.is_relative_to(ROOT / "services")
        and path.name not in EDGES
        and path.parent.name not in EDGE_FOLDERS
    )
    or any(path.is_relative_to(ROOT / "shared" / name) for name in PURE_OF_SHARED)
]
LOCKS = ("requirements.txt", "requirements-live.txt", "requirements-dev.txt")

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

#: The one place that may catch everything: it writes the bug down and lets the daemon end.
BROAD_HANDLERS_MAX = {"shared/runner.py": 1}
BROAD = {"Exception", "BaseException"}

IMPURE_CALLS = {"open", "input", "print", "breakpoint"}
IMPURE_NAMES = {"environ", "getenv"}
CLOCK_METHODS = {"now", "utcnow", "today"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def impurities(tree: ast.Module) -> Iterator[str]:
    """What a pure module may not do, each with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in CLOCK_METHODS:
                yield f"line {node.lineno}: reads the clock by {attr}()"
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield f"line {node.lineno}: calls {name}()"
            case ast.Attribute(attr=attr) if attr in IMPURE_NAMES:
                yield f"line {node.lineno}: reads the environment by {attr}"
            case ast.Import(names=names) if any(alias.name in {"time", "os"} for alias in names):
                yield f"line {node.lineno}: imports {ast.unparse(node)}"
            case ast.ImportFrom(module="time" | "os", level=0):
                yield f"line {node.lineno}: imports {ast.unparse(node)}"


def broad_handlers(tree: ast.Module) -> Iterator[str]:
    """Every place that catches or suppresses every error."""
    for node in ast.walk(tree):
        match node:
            case ast.ExceptHandler(type=None):
                yield f"line {node.lineno}: except without a type"
            case ast.ExceptHandler(type=ast.expr() as caught) if names_in(caught) & BROAD:
                yield f"line {node.lineno}: except {ast.unparse(caught)}"
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress")) if any(
                names_in(argument) & BROAD for argument in node.args
            ):
                yield f"line {node.lineno}: {ast.unparse(node)}"


def names_in(expression: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


def long_functions(tree: ast.Module) -> Iterator[str]:
    """Every function that is over the limit, with its length."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"line {node.lineno}: {node.name} has {lines} lines"


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_a_pure_module_reads_no_clock_file_or_environment(path: Path) -> None:
    assert list(impurities(tree_of(path))) == []


def test_every_decider_is_among_the_pure_modules() -> None:
    deciders = set((ROOT / "services").glob("*/decider.py"))
    assert deciders
    assert deciders <= set(PURE)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_named_exceptions_are_caught(path: Path) -> None:
    found = list(broad_handlers(tree_of(path)))
    assert len(found) <= BROAD_HANDLERS_MAX.get(name_of(path), 0), found


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_is_short_enough_to_be_read_in_one_go(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    assert list(long_functions(tree_of(path))) == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree) or not tree.body


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("datetime.now(UTC)", "line 1: reads the clock by now()"),
        ("datetime.datetime.utcnow()", "line 1: reads the clock by utcnow()"),
        ("date.today()", "line 1: reads the clock by today()"),
        ("import time", "line 1: imports import time"),
        ("from time import monotonic", "line 1: imports from time import monotonic"),
        ("os.environ['HOME']", "line 1: reads the environment by environ"),
        ("open('prices.csv')", "line 1: calls open()"),
        ("def f():\n    print('a price')", "line 2: calls print()"),
    ],
)
def test_the_rule_of_purity_finds_what_it_forbids(source: str, finding: str) -> None:
    assert list(impurities(ast.parse(source))) == [finding]


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("try: f()\nexcept: pass", "line 2: except without a type"),
        ("try: f()\nexcept Exception as e: pass", "line 2: except Exception"),
        ("try: f()\nexcept (OSError, Exception): pass", "line 2: except (OSError, Exception)"),
        ("with suppress(Exception): f()", "line 1: suppress(Exception)"),
    ],
)
def test_the_rule_of_named_exceptions_finds_what_it_forbids(source: str, finding: str) -> None:
    assert list(broad_handlers(ast.parse(source))) == [finding]


def test_a_function_of_71_lines_is_found_and_one_of_70_is_not() -> None:
    longest_allowed = "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    assert list(long_functions(ast.parse(longest_allowed))) == []
    assert list(long_functions(ast.parse(longest_allowed + "    x = 1\n"))) == [
        "line 1: f has 71 lines"
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_every_package_by_hash_and_names_no_address(name: str) -> None:
    entry = re.compile(r"\A[a-z0-9-]+==\S+( ; [^\\]+)?(\s+--hash=sha256:[0-9a-f]{64})+\Z")
    text = re.sub(r"^ *#.*\n", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    entries = re.split(r"\n(?=\S)", text.replace(" \\\n", "\n").strip())
    assert len(entries) > 10
    assert [line for line in entries if not entry.match(line)] == []
    assert "://" not in text


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_every_package_that_the_project_asks_for(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups, extras = project["dependency-groups"], project["project"]["optional-dependencies"]
    asked = [
        *project["project"]["dependencies"],
        *extras["server"],
        *groups["build"],
        *(extras["live"] + extras["notices"] if name != "requirements.txt" else ()),
        *(groups["dev"] if name == "requirements-dev.txt" else []),
    ]
    wanted = {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in asked}
    assert wanted <= pins(name).keys()


def test_the_locks_agree_on_every_version() -> None:
    runtime, live, dev = (pins(name) for name in LOCKS)
    assert runtime.items() <= live.items() <= dev.items()


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))
