"""The systemd units: one for each daemon, all wanted by one target, each accepted by systemd."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy/systemd"
SYSTEMD_ANALYZE = shutil.which("systemd-analyze")
INSTALLED_PROGRAM = "/opt/quantum/.venv/bin/quantum"
#: Targets that every machine has and every unit leans on.
SYSTEM_TARGETS = ("sysinit.target", "basic.target", "shutdown.target", "network-online.target")

DAEMONS = sorted(package.parent.name for package in (ROOT / "services").glob("*/__init__.py"))


def unit_name(daemon: str) -> str:
    return f"quantum-{daemon.replace('_', '-')}.service"


def settings_of(unit: str) -> dict[str, list[str]]:
    """Every value of every setting of a unit; a setting may come more than once."""
    settings: dict[str, list[str]] = defaultdict(list)
    for line in (UNITS / unit).read_text(encoding="utf-8").splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            settings[key].append(value)
    return settings


@pytest.mark.parametrize("daemon", DAEMONS)
def test_every_daemon_has_a_unit_that_runs_it_and_keeps_it_running(daemon: str) -> None:
    settings = settings_of(unit_name(daemon))
    assert settings["ExecStart"] == [f"{INSTALLED_PROGRAM} run {daemon}"]
    assert settings["Restart"] == ["always"]
    assert settings["StartLimitIntervalSec"] == ["0"]
    assert settings["RestartPreventExitStatus"] == ["75"]
    assert settings["PartOf"] == ["quantum.target"]
    assert "redis-server.service" in settings["After"][0]


def test_the_target_wants_every_unit_that_there_is() -> None:
    units = {path.name for path in UNITS.glob("*.service")}
    assert set(settings_of("quantum.target")["Wants"]) == units


def test_no_unit_runs_a_daemon_that_does_not_exist() -> None:
    for path in UNITS.glob("*.service"):
        daemon = settings_of(path.name)["ExecStart"][0].split()[-1]
        assert path.name == unit_name(daemon)
        assert (ROOT / "services" / daemon).is_dir()


@pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    assert SYSTEMD_ANALYZE is not None
    for path in UNITS.iterdir():
        # systemd checks that the program exists, which it does only where it is installed.
        text = path.read_text(encoding="utf-8").replace(INSTALLED_PROGRAM, sys.executable)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    for name in SYSTEM_TARGETS:
        (tmp_path / name).write_text(f"[Unit]\nDescription={name}\n", encoding="utf-8")
    verified = subprocess.run(
        [SYSTEMD_ANALYZE, "verify", "--man=no", *sorted(map(str, tmp_path.glob("quantum*")))],
        # No other folder, so that what else this machine has installed is not judged.
        env={"SYSTEMD_UNIT_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
