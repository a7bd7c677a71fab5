"""A real Prometheus with the rules that are deployed, beside a real ring and its watcher.

What is shortened for the tests, and nothing else: how often Prometheus asks and judges, the limits
of the rules in seconds, and how long an alert waits (`for`). The limits as they are deployed are
held by `promtool test rules`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

from shared.streams import PROGRAMS
from tests.ring.live import eventually

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "deploy/prometheus"
RULES = DEPLOYED / "rules/quantum.rules.yml"
CONFIGURATION = DEPLOYED / "prometheus.yml"
GRAFANA = ROOT / "deploy/grafana"
PROMTOOL = shutil.which("promtool")
PROMETHEUS = shutil.which("prometheus")

_EVERY = "250ms"
#: A heartbeat comes every two seconds, so that no limit can be much shorter.
_LIMITS = {"> 60": "> 2", "> 30": "> 2", "> 15": "> 5", "> 10": "> 2"}


class Rule(NamedTuple):
    """One alert as its lines have it."""

    name: str
    text: str

    def value(self, field: str) -> str:
        """A field that stands on one line."""
        found = re.search(rf"^ *{field}: *(.+)$", self.text, re.MULTILINE)
        assert found, f"{self.name} has no {field}"
        return found[1].strip('"')


def rules() -> list[Rule]:
    _, *blocks = RULES.read_text(encoding="utf-8").split("- alert: ")
    return [Rule(block.splitlines()[0], block) for block in blocks]


def shortened_rules() -> str:
    """The deployed rules with shorter limits."""
    text = RULES.read_text(encoding="utf-8")
    text, waits = re.subn(r"\bfor: \w+", "for: 500ms", text)
    assert waits
    for limit, shorter in _LIMITS.items():
        assert limit in text
        text = text.replace(limit, shorter)
    return text


def configuration(rules: Path, base_port: int) -> str:
    """The deployed configuration with other ports and shorter intervals."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    for index in range(len(PROGRAMS)):
        assert f'"127.0.0.1:{9460 + index}"' in text
        text = text.replace(f'"127.0.0.1:{9460 + index}"', f'"127.0.0.1:{base_port + index}"')
    text = text.replace("rules/quantum.rules.yml", str(rules))
    text, intervals = re.subn(r"(interval|timeout): [45]s", rf"\1: {_EVERY}", text)
    assert intervals == 3
    return text


@dataclass(frozen=True)
class Station:
    """A running Prometheus."""

    address: str

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.address}{path}", timeout=5) as page:
            return json.load(page)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query: metric and value of each series."""
        words = urllib.parse.urlencode({"query": expression})
        found: list[dict[str, Any]] = self._get(f"/api/v1/query?{words}")["result"]
        return found

    def alerts(self) -> dict[str, list[dict[str, Any]]]:
        """The alerts that fire now, by name."""
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in self._get("/api/v1/alerts")["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found

    def answers(self) -> bool:
        """Whether it is ready."""
        try:
            with urllib.request.urlopen(f"{self.address}/-/ready", timeout=5) as page:
                return bool(page.status == 200)
        except (URLError, OSError):
            return False


@contextmanager
def a_prometheus(folder: Path, *, port: int, base_port: int) -> Iterator[Station]:
    """A Prometheus of the test's own, on loopback alone."""
    assert PROMETHEUS is not None
    folder.mkdir()
    rules, config = folder / "quantum.rules.yml", folder / "prometheus.yml"
    rules.write_text(shortened_rules(), encoding="utf-8")
    config.write_text(configuration(rules, base_port), encoding="utf-8")
    station = Station(f"http://127.0.0.1:{port}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            eventually(station.answers, f"Prometheus: {(folder / 'log').read_text()}")
            yield station
        finally:
            process.terminate()
            process.wait(20)


def promtool(*words: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool; both of what it says are in one."""
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *map(str, words)],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
