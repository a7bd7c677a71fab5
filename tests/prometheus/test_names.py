"""What is exported, and that rules and dashboards ask for nothing else.

The names come from a running ring and its watcher, not from a list.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.watcher.figures import HELP
from shared.streams import DAEMONS, PROGRAMS
from tests.ring.live import CLIMB_TICKS, SEED, a_ring, a_server, is_quiet, write_climb
from tests.ring.messages import golden, send
from tests.ring.test_metrics_and_logs import free_range

from .station import GRAFANA, PROMTOOL, promtool, rules

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
PROGRAMS_HERE = (*DAEMONS, "watcher")
#: What Prometheus makes itself.
OF_PROMETHEUS = {"ALERTS", "up"}
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each program says at /metrics, with a position open and a message put aside."""
    folder = tmp_path_factory.mktemp("names")
    base_port = free_range(len(PROGRAMS))

    def page(program: str) -> str:
        port = base_port + PROGRAMS.index(program)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
            return str(reply.read().decode())

    with (
        a_server(folder, appendfsync="no") as server,
        a_ring(
            server,
            folder,
            settings=SEED,
            candles=write_climb(folder),
            until_end=False,
            environment={"QUANTUM_METRICS__BASE_PORT": str(base_port)},
            daemons=PROGRAMS_HERE,
        ) as live,
    ):
        live.until_ticks(CLIMB_TICKS)
        send(live.client, golden("market.tick.bare", mark_price="NaN"))
        live.until(lambda: is_quiet(live.client), "a quiet ring")
        live.until(lambda: set(names(page("watcher"))) >= HELP.keys(), "all figures of watcher")
        return {program: page(program) for program in PROGRAMS_HERE}


def names(page: str) -> Iterator[str]:
    """Every series that a page has or will have."""
    for family in text_string_to_metric_families(page):
        for suffix in _SUFFIXES.get(family.type, ("",)):
            yield f"{family.name}{suffix}"


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in GRAFANA.glob("*.json")}


def queries(dashboard: dict[str, Any]) -> Iterator[str]:
    """Every expression of a dashboard, those of its variables among them."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert asked, variable["query"]
            yield f"group by ({asked[2]}) ({asked[1]})"


def chosen(expression: str) -> str:
    """An expression as Grafana asks it, with its variables replaced."""
    return expression.replace("$__rate_interval", "1m").replace("$symbol", "RIVERUSDT")


def asked_for(expression: str) -> set[str]:
    """The names of the series that an expression goes by."""
    without_labels = re.sub(r"\{[^}]*\}|\b(by|on) \([^)]*\)", "", expression)
    return set(re.findall(r"\b(?:quantum_\w+|ALERTS|up)\b", without_labels))


@needs_promtool
def test_every_page_is_as_prometheus_wants_it(pages: dict[str, str]) -> None:
    for program, page in pages.items():
        # The client library's own figures of the process are not ours to name.
        checked = promtool("check", "metrics", given=page)
        assert (checked.returncode, checked.stdout) == (0, ""), program


def test_each_name_is_told_of_by_one_kind_and_has_no_order_in_its_labels(
    pages: dict[str, str],
) -> None:
    kinds: dict[str, set[tuple[str, str]]] = {}
    for page in pages.values():
        for family in text_string_to_metric_families(page):
            kinds.setdefault(family.name, set()).add((family.type, family.documentation))
            for sample in family.samples:
                assert not any(label.endswith("_id") for label in sample.labels), sample
    assert {name: kind for name, kind in kinds.items() if len(kind) > 1} == {}
    ours = {name for name in kinds if not name.startswith(("python_", "process_"))}
    assert {name for name in ours if not name.startswith("quantum_")} == set()


def test_rules_and_dashboards_ask_for_what_is_exported_and_for_nothing_else(
    pages: dict[str, str],
) -> None:
    exported = {name for page in pages.values() for name in names(page)} | OF_PROMETHEUS
    asked = {
        f"{name}: {query}": asked_for(query)
        for name, dashboard in dashboards().items()
        for query in queries(dashboard)
    }
    asked |= {rule.name: asked_for(rule.text.partition("annotations")[0]) for rule in rules()}
    assert all(asked.values())
    assert {where: found - exported for where, found in asked.items() if found - exported} == {}
    told_of = set().union(*asked.values())
    assert HELP.keys() - told_of == set(), "a figure of watcher that nobody looks at"


@needs_promtool
def test_every_query_of_every_dashboard_can_be_parsed(tmp_path: Path) -> None:
    found = [chosen(query) for dashboard in dashboards().values() for query in queries(dashboard)]
    assert len(found) > 30
    assert not any("$" in query for query in found)
    rows = [f"  - record: quantum:q{n}\n    expr: {json.dumps(q)}\n" for n, q in enumerate(found)]
    file = tmp_path / "queries.yml"
    file.write_text("groups:\n- name: queries\n  rules:\n" + "".join(rows), encoding="utf-8")
    checked = promtool("check", "rules", file)
    assert checked.returncode == 0, checked.stdout
    assert f"{len(found)} rules found" in checked.stdout


def test_the_dashboards_are_those_that_the_script_writes(tmp_path: Path) -> None:
    shutil.copy(GRAFANA / "make_dashboards.py", tmp_path)
    subprocess.run(
        [sys.executable, "-I", str(tmp_path / "make_dashboards.py")], check=True, timeout=30
    )
    made = {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.json")}
    assert made == {path.name: path.read_text("utf-8") for path in GRAFANA.glob("*.json")}
    assert made.keys() == {"overview.json", "streams.json", "position.json"}


@pytest.mark.parametrize("name", ["overview", "streams", "position"])
def test_a_dashboard_has_panels_side_by_side_and_asks_the_prometheus_that_was_chosen(
    name: str,
) -> None:
    dashboard = dashboards()[name]
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["description"]
        assert all(one["datasource"]["uid"] == "${datasource}" for one in panel["targets"])
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
