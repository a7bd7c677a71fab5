"""The rules and the configuration that are deployed, as Prometheus reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.watcher.settings import WatcherSettings
from shared.settings import MetricsSettings
from shared.streams import PROGRAMS

from .station import CONFIGURATION, DEPLOYED, PROMTOOL, RULES, Rule, promtool, rules

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
UNIT_TESTS = DEPLOYED / "tests/quantum.test.yml"
#: The limits of the alerts that watcher raises as well, by their settings.
LIMITS = {
    "RungNotTaken": "rung_within_s",
    "PositionWithoutStop": "stop_within_s",
    "IntentWithoutOutcome": "outcome_within_s",
    "GroupLags": "lag_within_s",
    "FeedStale": "price_within_s",
    "DaemonSilent": "heartbeat_within_s",
}


by_name = pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)


@needs_promtool
def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    checked = promtool("check", "config", CONFIGURATION)
    assert checked.returncode == 0, checked.stdout
    assert f"{len(rules())} rules found" in checked.stdout
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert checked.returncode == 0, checked.stdout


@needs_promtool
def test_each_alert_fires_at_its_limit_and_not_before() -> None:
    tested = promtool("test", "rules", UNIT_TESTS)
    assert tested.returncode == 0, tested.stdout


@by_name
def test_each_alert_says_what_to_do_where_its_runbook_is(rule: Rule) -> None:
    operations = (DEPLOYED.parents[1] / "docs/operations.md").read_text(encoding="utf-8")
    assert f"docs/operations.md#{rule.name.lower()}" in rule.text
    assert f"\n### {rule.name}\n" in operations


@needs_promtool
def test_an_alert_that_never_fires_would_show(tmp_path: Path) -> None:
    text = RULES.read_text(encoding="utf-8")
    never, count = re.subn(
        r"expr: .*?\n( *)(for|labels):", r"expr: vector(0) == 1\n\1\2:", text, flags=re.DOTALL
    )
    assert count == len(rules())
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules/quantum.rules.yml").write_text(never, encoding="utf-8")
    copy = tmp_path / "tests/quantum.test.yml"
    copy.write_text(UNIT_TESTS.read_text(encoding="utf-8"), encoding="utf-8")
    failed = promtool("test", "rules", copy).stdout
    assert [
        rule.name
        for rule in rules()
        if f'"{rule.name}"' not in failed and f"alertname: {rule.name}" not in failed
    ] == []


@by_name
def test_an_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(rule: Rule) -> None:
    assert re.search(r"\{severity: (critical|warning|info)\}", rule.text)
    assert rule.value("summary")
    assert "description: >-\n" in rule.text
    assert rule.value("runbook") == f"docs/operations.md#{rule.name.lower()}"


@pytest.mark.parametrize(("alert", "setting"), LIMITS.items())
def test_the_limits_of_the_alerts_are_those_of_the_settings(alert: str, setting: str) -> None:
    [rule] = [rule for rule in rules() if rule.name == alert]
    limit = rule.value("expr").rpartition("> ")[2]
    assert float(limit) == getattr(WatcherSettings(), setting)


def test_every_program_is_asked_at_its_port() -> None:
    text = CONFIGURATION.read_text(encoding="utf-8")
    asked = re.findall(r'"127\.0\.0\.1:(\d+)"\]\n +labels: \{program: (\w+)\}', text)
    metrics = MetricsSettings()
    assert [(int(port), name) for port, name in asked] == [
        (metrics.port_of(name), name) for name in PROGRAMS
    ]
