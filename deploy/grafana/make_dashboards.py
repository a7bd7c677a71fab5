#!/usr/bin/env python3
"""Write the three dashboards for Grafana beside this file: overview, streams, one position.

Each is imported as it is and asks for its Prometheus (the variable `datasource`). Panels are made
here, so that they look alike and a figure is named once. Needs Python's standard library alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, AMBER, RED = "green", "orange", "red"
#: Where something may not be above zero, or not below one.
NONE_ALLOWED = [(None, GREEN), (1, RED)]
MUST_BE_ONE = [(None, RED), (1, GREEN)]

Panel = dict[str, Any]
Steps = list[tuple[float | None, str]]


def target(expression: str, legend: str = "", *, instant: bool = False) -> dict[str, Any]:
    """One query of a panel."""
    return {
        "datasource": SOURCE,
        "expr": expression,
        "legendFormat": legend or "__auto",
        "instant": instant,
        "range": not instant,
        "format": "table" if instant and not legend else "time_series",
    }


def panel(
    kind: str,
    title: str,
    targets: Iterable[dict[str, Any]],
    *,
    what: str,
    width: int = 12,
    height: int = 8,
    unit: str = "short",
    steps: Steps | None = None,
    decimals: int | None = None,
    options: dict[str, Any] | None = None,
    custom: dict[str, Any] | None = None,
    mappings: list[dict[str, Any]] | None = None,
) -> Panel:
    """One panel; `what` is said where its title is pointed at."""
    defaults: dict[str, Any] = {
        "unit": unit,
        "color": {"mode": "thresholds" if kind == "stat" else "palette-classic"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": at, "color": color} for at, color in steps or [(None, GREEN)]],
        },
        "custom": custom or {},
        "mappings": mappings or [],
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    return {
        "type": kind,
        "title": title,
        "description": what,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height, "x": 0, "y": 0},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options or {},
        "targets": [{"refId": chr(ord("A") + n), **one} for n, one in enumerate(targets)],
    }


def stat(title: str, expression: str, *, what: str, legend: str = " ", **more: Any) -> Panel:
    """One large figure that turns red by its thresholds."""
    shown = {
        "colorMode": "background",
        "graphMode": "none",
        "textMode": "name" if legend != " " else "value",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    one = [target(expression, legend, instant=True)]
    return panel("stat", title, one, what=what, width=3, height=4, options=shown, **more)


def lines(title: str, figures: dict[str, str], *, what: str, **more: Any) -> Panel:
    """Figures through time, each with its legend; the limit is a line where `steps` names one."""
    limit = {"thresholdsStyle": {"mode": "line"}} if more.get("steps") else {}
    custom = {"lineWidth": 2, "fillOpacity": 5, "showPoints": "never", **limit}
    shown = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    targets = [target(expression, legend) for expression, legend in figures.items()]
    return panel("timeseries", title, targets, what=what, custom=custom, options=shown, **more)


def grown(by: str, counter: str, window: str) -> str:
    """How much a counter grew in a window, summed by some labels."""
    return f"sum by ({by}) (increase({counter}[{window}]))"


def rate(by: str, counter: str) -> str:
    """How fast a counter grows, a second, summed by some labels."""
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


def quantile(share: str, histogram: str) -> str:
    """The time that this share of all batches of a program stays below."""
    buckets = rate("le, program", f"{histogram}_bucket")
    return f"histogram_quantile({share}, {buckets})"


def table(title: str, expression: str, *, what: str, **more: Any) -> Panel:
    """What there is now, one row each."""
    return panel("table", title, [target(expression, instant=True)], what=what, **more)


def dashboard(
    uid: str, title: str, panels: list[Panel], variables: Iterable[dict[str, Any]] = ()
) -> dict[str, Any]:
    """A dashboard of panels that flow from left to right, 24 columns wide."""
    x = y = row_height = 0
    for number, one in enumerate(panels, 1):
        place = one["gridPos"]
        if x + place["w"] > 24:
            x, y, row_height = 0, y + row_height, 0
        place["x"], place["y"] = x, y
        x, row_height = x + place["w"], max(row_height, place["h"])
        one["id"] = number
    links = {"type": "dashboards", "tags": ["quantum"], "title": "quantum", "keepTime": True}
    chosen = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }
    return {
        "uid": uid,
        "title": title,
        "tags": ["quantum"],
        "timezone": "utc",
        "editable": True,
        "schemaVersion": 38,
        "refresh": "5s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{**links, "asDropdown": False, "includeVars": True}],
        "templating": {"list": [chosen, *variables]},
        "panels": panels,
    }


def overview() -> dict[str, Any]:
    """What an operator looks at first: dangers, then positions, then who is there."""
    return dashboard(
        "quantum-overview",
        "quantum: overview",
        [
            stat(
                "Alarms",
                "sum(quantum_watch_alarms) or vector(-1)",
                steps=[(None, RED), (0, GREEN), (1, RED)],
                mappings=[{"type": "value", "options": {"-1": {"text": "nobody looks"}}}],
                what="Alarms in quantum:watch. Nobody looks: watcher does not run.",
            ),
            stat("Mode", "quantum_mode == 1", legend="{{mode}}", what="The operator's switch."),
            stat(
                "Open positions",
                "count(quantum_position_unprotected_seconds) or vector(0)",
                what="Positions that are held.",
            ),
            stat(
                "Without a stop",
                "count(quantum_position_unprotected_seconds > 0) or vector(0)",
                steps=NONE_ALLOWED,
                what="Positions that have no stop now.",
            ),
            stat(
                "Rung overdue",
                "max(quantum_rung_overdue_seconds) or vector(0)",
                unit="s",
                steps=[(None, GREEN), (10, AMBER), (60, RED)],
                what="How long a rung was reached and not taken.",
            ),
            stat(
                "Unknown orders",
                "quantum_unknown_orders",
                steps=NONE_ALLOWED,
                what="Orders that may have been executed, without proof either way.",
            ),
            stat(
                "Entries barred",
                "quantum_entry_barriers",
                steps=[(None, GREEN), (1, AMBER)],
                what="Reasons why the venue takes no entries now.",
            ),
            stat(
                "Redis durable",
                "quantum_redis_durable or vector(0)",
                steps=MUST_BE_ONE,
                mappings=[
                    {"type": "value", "options": {"0": {"text": "no"}, "1": {"text": "yes"}}}
                ],
                what="Whether a crash of the server loses nothing that it confirmed.",
            ),
            lines(
                "R of each position",
                {"quantum_position_r_multiple": "{{symbol}}"},
                decimals=2,
                steps=[(None, GREEN), (2, AMBER), (4, AMBER), (6, AMBER)],
                what="By watcher, net of costs. The lines are the rungs that harvest_brain has by "
                "default.",
            ),
            lines(
                "Alarms by kind",
                {"quantum_watch_alarms > 0": "{{alarm}}"},
                decimals=0,
                what="What stands in quantum:watch.",
            ),
            table(
                "Alerts that fire",
                'ALERTS{alertstate="firing"}',
                what="By the rules of Prometheus.",
            ),
            lines(
                "Sold",
                {
                    grown(
                        "symbol, status", 'quantum_results_total{status!="POSITION"}', "1h"
                    ): "{{symbol}} {{status}}"
                },
                decimals=0,
                what="Outcomes of plans in the hour before.",
            ),
            lines(
                "Heartbeats",
                {"quantum_heartbeat_age_seconds": "{{daemon}}"},
                unit="s",
                steps=[(None, GREEN), (15, RED)],
                what="How long ago each loop was seen to turn.",
            ),
            lines(
                "Age of prices",
                {"quantum_price_age_seconds": "{{symbol}}"},
                unit="s",
                steps=[(None, GREEN), (30, RED)],
                what="Of every symbol that must have prices.",
            ),
            table(
                "Versions",
                "count by (program, version) (quantum_build_info)",
                what="Which version each program is.",
            ),
        ],
    )


def streams() -> dict[str, Any]:
    """How messages get on, from hop to hop."""
    commit, decide = "quantum_commit_seconds", "quantum_decide_seconds"
    return dashboard(
        "quantum-streams",
        "quantum: streams",
        [
            lines(
                "Oldest message that waits",
                {"quantum_group_oldest_seconds": "{{group}} on {{stream}}"},
                unit="s",
                steps=[(None, GREEN), (10, RED)],
                what="For each reader of each stream.",
            ),
            lines(
                "Oldest intent without an outcome",
                {"quantum_intent_oldest_open_seconds": "oldest"},
                unit="s",
                steps=[(None, GREEN), (30, RED)],
                what="A fill, a refusal or a dead letter ends it.",
            ),
            lines(
                "Not delivered",
                {"quantum_group_lag": "{{group}} on {{stream}}"},
                decimals=0,
                what="Entries that a reader was not given yet.",
            ),
            lines(
                "Not finished",
                {"quantum_group_pending": "{{group}} on {{stream}}"},
                decimals=0,
                what="Entries that a reader was given and has not finished.",
            ),
            lines(
                "Read",
                {
                    rate(
                        "program, stream, outcome", "quantum_messages_total"
                    ): "{{program}} {{stream}} {{outcome}}"
                },
                unit="ops",
                what="Messages a second, by what became of them.",
            ),
            lines(
                "Written",
                {rate("program, stream", "quantum_published_total"): "{{program}} {{stream}}"},
                unit="ops",
                what="Messages a second.",
            ),
            lines(
                "Time to commit",
                {
                    quantile("0.5", commit): "{{program}} median",
                    quantile("0.99", commit): "{{program}} 99 %",
                },
                unit="s",
                what="Of one batch, with the fsync of the server.",
            ),
            lines(
                "Time to decide",
                {
                    quantile("0.5", decide): "{{program}} median",
                    quantile("0.99", decide): "{{program}} 99 %",
                },
                unit="s",
                what="Validating and deciding one batch.",
            ),
            lines(
                "Dead letters",
                {"quantum_dead_letters_unhandled": "{{stream}}"},
                decimals=0,
                what="Messages that were put aside and that nobody has put back or dropped.",
            ),
            lines(
                "Put aside",
                {grown("stream, code", "quantum_dead_letters_total", "1h"): "{{stream}} {{code}}"},
                decimals=0,
                what="In the hour before, by code.",
            ),
            lines(
                "Calls that failed",
                {grown("program", "quantum_bus_failures_total", "5m"): "{{program}}"},
                decimals=0,
                what="For want of the server, in the five minutes before.",
            ),
            lines(
                "Intents that are open",
                {"quantum_intents_open": "open"},
                decimals=0,
                what="Without an outcome so far.",
            ),
        ],
    )


def position() -> dict[str, Any]:
    """One symbol: where its position stands, and whether it is looked after."""
    symbol = {
        "name": "symbol",
        "label": "Symbol",
        "type": "query",
        "datasource": SOURCE,
        "query": "label_values(quantum_position_unprotected_seconds, symbol)",
        "refresh": 2,
        "sort": 1,
    }
    own = '{symbol="$symbol"}'
    return dashboard(
        "quantum-position",
        "quantum: position",
        [
            stat(
                "R",
                f"quantum_position_r_multiple{own}",
                decimals=2,
                steps=[(None, RED), (0, GREEN)],
                what="At the last price, net of costs.",
            ),
            stat(
                "Kill score",
                f"quantum_harvest_kill_score{own}",
                decimals=2,
                steps=[(None, GREEN), (0.6, RED)],
                what="From 0.6 on, by default, all is sold.",
            ),
            stat(
                "Without a stop",
                f"quantum_position_unprotected_seconds{own}",
                unit="s",
                steps=[(None, GREEN), (1, AMBER), (2, RED)],
                what="How long it has had none; 0 under one.",
            ),
            stat(
                "Longest without a stop",
                f"quantum_position_longest_unprotected_seconds{own}",
                unit="s",
                steps=[(None, GREEN), (2, RED)],
                what="Since the position was opened, by apply_layer.",
            ),
            stat(
                "Rung overdue",
                f"quantum_rung_overdue_seconds{own}",
                unit="s",
                steps=[(None, GREEN), (10, AMBER), (60, RED)],
                what="How long a rung was reached and not taken.",
            ),
            stat(
                "Age of price",
                f"quantum_price_age_seconds{own}",
                unit="s",
                steps=[(None, GREEN), (30, RED)],
                what="The last one that watcher heard.",
            ),
            lines(
                "R",
                {
                    f"quantum_position_r_multiple{own}": "watcher",
                    f"quantum_harvest_r_multiple{own}": "harvest_brain",
                },
                decimals=2,
                width=24,
                height=10,
                steps=[(None, GREEN), (2, AMBER), (4, AMBER), (6, AMBER)],
                what="Worked out twice; where the two part, one of them has stopped or errs.",
            ),
            lines(
                "Kill score",
                {f"quantum_harvest_kill_score{own}": "kill score"},
                decimals=2,
                steps=[(None, GREEN), (0.6, RED)],
                what="By harvest_brain.",
            ),
            lines(
                "Protection",
                {
                    f"quantum_position_unprotected_seconds{own}": "without a stop",
                    f"quantum_rung_overdue_seconds{own}": "rung overdue",
                },
                unit="s",
                what="Seconds for which anything was missing.",
            ),
            lines(
                "Asked for",
                {grown("action", f"quantum_harvest_actions_total{own}", "5m"): "{{action}}"},
                decimals=0,
                what="Exits and stops, by harvest_brain.",
            ),
            lines(
                "Came of it",
                {grown("status", f"quantum_results_total{own}", "5m"): "{{status}}"},
                decimals=0,
                what="Outcomes, by apply_layer.",
            ),
        ],
        [symbol],
    )


DASHBOARDS = {"overview": overview, "streams": streams, "position": position}


def written(name: str) -> str:
    """A dashboard as its file has it."""
    return json.dumps(DASHBOARDS[name](), indent=1) + "\n"


def main() -> int:
    """Write all files."""
    for name in DASHBOARDS:
        (HERE / f"{name}.json").write_text(written(name), encoding="utf-8")
        sys.stdout.write(f"{name}.json\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
