"""The systemd units: one for each program, accepted by systemd, each as closed as it should be."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from services.dashboard.settings import DashboardSettings
from shared.settings import MetricsSettings
from shared.streams import DAEMONS, PROGRAMS

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy/systemd"
SYSTEMD_ANALYZE = shutil.which("systemd-analyze")
INSTALLED_PROGRAM = "/opt/quantum/.venv/bin/quantum"
#: Targets that every machine has and every unit leans on.
SYSTEM_TARGETS = ("sysinit", "basic", "shutdown", "network-online", "sockets", "multi-user")

#: Those that talk to somebody outside; the others have no network at all.
NETWORKED = ("market_feed", "apply_layer", "notifier")
#: What `systemd-analyze security` may come to, of 10, in tenths.
EXPOSED_AT_MOST = {program: 12 if program in NETWORKED else 5 for program in PROGRAMS}
#: Settings of which each line adds to those before.
COME_TOGETHER = {"Wants", "After", "Environment", "EnvironmentFile"}

needs_systemd = pytest.mark.skipif(SYSTEMD_ANALYZE is None, reason="systemd-analyze is missing")


def stem(program: str) -> str:
    return f"quantum-{program.replace('_', '-')}"


def unit_name(program: str) -> str:
    return f"{stem(program)}.service"


def lines_of(unit: str) -> list[str]:
    """The lines of a unit and of what stands beside all units, which systemd reads last."""
    prefix, kind = unit.partition("-")[0], unit.rpartition(".")[2]
    beside = sorted((UNITS / f"{prefix}-.{kind}.d").glob("*.conf"))
    paths = [UNITS / unit, *beside]
    return [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def settings_of(unit: str) -> dict[str, list[str]]:
    """Every value of every setting of a unit; a setting may come more than once."""
    settings: dict[str, list[str]] = defaultdict(list)
    for line in lines_of(unit):
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            settings[key].append(value)
    return settings


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_a_unit_that_runs_it_and_keeps_it_running(program: str) -> None:
    settings = settings_of(unit_name(program))
    assert settings["ExecStart"] == [f"{INSTALLED_PROGRAM} run {program}"]
    assert settings["Type"] == ["notify"]
    assert settings["Restart"] == ["always"]
    assert settings["StartLimitIntervalSec"] == ["0"]
    assert settings["RestartPreventExitStatus"] == ["75"]
    assert settings["PartOf"] == ["quantum.target"]
    assert settings["After"][-1] == settings["Wants"][-1] == "redis-server@quantum.service"
    # systemd reads the unit's own first, and what it cannot find of the other it does without.
    assert settings["EnvironmentFile"] == [
        f"/etc/quantum/redis/{program}.env", "-/etc/quantum/quantum.env",
    ]  # fmt: skip
    assert len(settings["WatchdogSec"]) == 1


def test_no_unit_runs_what_does_not_exist() -> None:
    assert {path.name for path in UNITS.glob("*.service")} == set(map(unit_name, PROGRAMS))


def test_what_stands_beside_all_units_takes_back_nothing_that_one_says_for_itself() -> None:
    """systemd reads it last, so a setting in both would hold as it is said for all."""
    for path in UNITS.glob("quantum-*.*"):
        if path.is_file():
            own = {line.partition("=")[0] for line in path.read_text("utf-8").splitlines()}
            shared = UNITS / f"quantum-.{path.suffix[1:]}.d"
            for beside in shared.glob("*.conf"):
                said = {line.partition("=")[0] for line in beside.read_text("utf-8").splitlines()}
                both = {name for name in own & said if name and name[0] not in "#["}
                assert both <= COME_TOGETHER, (path.name, beside.name)


def test_the_target_brings_up_the_ring_and_its_watcher_and_the_others_when_they_are_wanted() -> (
    None
):
    also = set(settings_of("quantum.target")["Also"])
    assert also == {unit_name(program) for program in (*DAEMONS, "watcher")}
    for program in PROGRAMS:
        assert settings_of(unit_name(program))["WantedBy"] == ["quantum.target"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_systemd_listens_for_each_program_where_the_settings_say(program: str) -> None:
    socket = settings_of(f"{stem(program)}-metrics.socket")
    assert socket["ListenStream"] == [f"127.0.0.1:{MetricsSettings().port_of(program)}"]
    assert socket["FileDescriptorName"] == ["metrics"]
    assert socket["Service"] == socket["BindsTo"] == [unit_name(program)]
    assert f"{stem(program)}-metrics.socket" in settings_of(unit_name(program))["Sockets"][0]


def test_systemd_listens_for_the_page_where_the_settings_say() -> None:
    socket = settings_of("quantum-dashboard-http.socket")
    assert socket["ListenStream"] == [f"127.0.0.1:{DashboardSettings().port}"]
    assert socket["FileDescriptorName"] == ["http"]
    assert "quantum-dashboard-http.socket" in settings_of("quantum-dashboard.service")["Sockets"][0]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_that_talks_to_nobody_outside_has_no_network(program: str) -> None:
    settings = settings_of(unit_name(program))
    if program in NETWORKED:
        assert settings["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6"]
        assert not settings["PrivateNetwork"]
    else:
        assert settings["RestrictAddressFamilies"] == ["AF_UNIX"]
        assert settings["PrivateNetwork"] == ["yes"]
        assert settings["IPAddressDeny"] == ["any"]


def test_secrets_are_handed_to_the_one_unit_that_needs_them() -> None:
    holders = {
        credential.partition(":")[0]: program
        for program in PROGRAMS
        for credential in settings_of(unit_name(program))["LoadCredential"]
    }
    assert holders == {
        "binance-key": "apply_layer",
        "binance-secret": "apply_layer",
        "notices": "notifier",
    }


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a folder, as systemd finds them on a server that has nothing else."""
    shutil.copytree(UNITS, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("*.service"):
        # systemd checks that the program exists, which it does only where it is installed.
        text = path.read_text(encoding="utf-8").replace(INSTALLED_PROGRAM, sys.executable)
        path.write_text(text, encoding="utf-8")
    for name in SYSTEM_TARGETS:
        (tmp_path / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n", encoding="utf-8")
    return tmp_path


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    assert SYSTEMD_ANALYZE is not None
    return subprocess.run(
        [SYSTEMD_ANALYZE, *words],
        # No other folder, so that what else this machine has installed is not judged.
        env={"SYSTEMD_UNIT_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@needs_systemd
def test_systemd_finds_nothing_to_say_about_the_units(installed: Path) -> None:
    units = [str(path) for path in sorted(installed.glob("quantum*")) if path.is_file()]
    verified = analyze(
        installed,
        "verify",
        "--man=no",
        *(unit for unit in units if not unit.endswith((".toml", ".env"))),
    )
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")


@needs_systemd
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_unit_is_as_closed_as_its_work_allows(installed: Path, program: str) -> None:
    judged = analyze(
        installed, "security", "--offline=true", "--no-pager", str(installed / unit_name(program))
    )
    found = re.search(r"exposure level for \S+: (\d+)\.(\d) ", judged.stdout)
    assert judged.returncode == 0, judged.stderr
    assert found is not None, judged.stdout
    assert int(found[1]) * 10 + int(found[2]) <= EXPOSED_AT_MOST[program], judged.stdout
