"""deploy/install.sh as far as it shows without a machine to install on; tests/boot has the rest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.streams import PROGRAMS

ROOT = Path(__file__).parents[2]
INSTALLER = ROOT / "deploy/install.sh"
SYSTEMD = ROOT / "deploy/systemd"
SCRIPTS = sorted((ROOT / "deploy").rglob("*.sh"))
#: What changes a machine. A dry run may ask systemctl, and nothing of these.
CHANGING = (
    "install", "mv", "ln", "touch", "chown", "chmod", "journalctl", "pip", "redis-cli",
    "systemd-sysusers", "systemd-tmpfiles", "useradd",
)  # fmt: skip
ASKING = ("is-active", "is-enabled", "show", "list-units", "list-unit-files")


def run(*options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installer, with the programs in a folder before all others."""
    before = [] if path is None else [str(path)]
    environment = os.environ | {"PATH": os.pathsep.join([*before, os.environ["PATH"]])}
    return subprocess.run(
        [INSTALLER, *options], capture_output=True, text=True, check=False, timeout=60,
        env=environment,
    )  # fmt: skip


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """A folder of programs that do nothing but note how they were called."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in (*CHANGING, "systemctl"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/calls"\nexit 1\n')
        program.chmod(0o755)
    return folder


def calls(watched: Path) -> list[list[str]]:
    """How the programs were called."""
    noted = watched.with_name("calls")
    return [line.split() for line in noted.read_text().splitlines()] if noted.exists() else []


@pytest.mark.parametrize("options", [(), ("--uninstall",), ("--uninstall", "--purge")])
def test_a_dry_run_calls_nothing_that_changes_a_machine(
    watched: Path, options: tuple[str, ...]
) -> None:
    told = run("--dry-run", *options, path=watched)
    assert told.returncode == 0, told.stderr
    made = calls(watched)
    assert made
    assert {call[0] for call in made} == {"systemctl"}
    assert {call[1] for call in made} <= set(ASKING)


def test_a_dry_run_tells_every_file_and_every_step(watched: Path) -> None:
    told = run("--dry-run", path=watched)
    for file in unit_files():
        assert f"/etc/systemd/system/{file}\n" in told.stdout
    for what in (
        "/opt/quantum/versions/", "group quantum", "/etc/quantum/quantum.toml",
        "/etc/quantum/redis/redis.conf", "passwords and rights", "redis-server@quantum.service",
        "functions of Redis", "/opt/quantum/.venv is ", "/usr/local/bin/quantum", "quantum.target",
    ):  # fmt: skip
        assert what in told.stdout, what


def test_one_version_has_one_name_and_another_has_another(watched: Path, tmp_path: Path) -> None:
    def name() -> str:
        # What a machine lacks may be told before.
        told = run("--dry-run", path=watched).stdout.splitlines()
        return next(line for line in told if line.startswith("quantum-trader "))

    first = name()
    assert re.fullmatch(r"quantum-trader \d+\.\d+\.\d+-[0-9a-f]{12}, from .*", first)
    assert name() == first
    copy = tmp_path / "copy"
    for part in ("deploy", "services", "shared", "pyproject.toml", "requirements-live.txt"):
        source, to = ROOT / part, copy / part
        to.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, to)

    def name_of_copy() -> str:
        told = subprocess.run(
            [copy / "deploy/install.sh", "--dry-run"], capture_output=True, text=True, check=False,
            timeout=60, env=os.environ | {"PATH": f"{watched}:{os.environ['PATH']}"},
        )  # fmt: skip
        [line] = (row for row in told.stdout.splitlines() if row.startswith("quantum-trader "))
        return line.split(",", 1)[0]

    assert name_of_copy() == first.split(",", 1)[0]
    with (copy / "shared/streams.py").open("a") as file:
        file.write("# changed\n")
    assert name_of_copy() != first.split(",", 1)[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--wheel",), "there is no option --wheel"),
        (("--purge",), "--purge goes with --uninstall"),
        (("--wheels", "/nowhere"), "--wheels /nowhere: name a folder"),
        (("--wheels",), "name a folder"),
    ],
)
def test_a_wrong_command_line_is_refused_with_what_is_wrong(
    options: tuple[str, ...], said: str
) -> None:
    told = run("--dry-run", *options)
    assert told.returncode == 2
    assert said in told.stderr
    assert told.stdout == ""


def test_help_tells_every_option() -> None:
    told = run("--help")
    taken = re.findall(r"^ +(--[a-z-]+)\)", INSTALLER.read_text(encoding="utf-8"), re.MULTILINE)
    assert told.returncode == 0
    assert len(taken) >= 4
    for option in taken:
        assert option in told.stdout


def test_every_file_that_the_installer_names_is_there() -> None:
    text = INSTALLER.read_text(encoding="utf-8")
    named = re.findall(r'"\$checkout/([\w./@-]+)"', text)
    assert len(named) >= 6
    for name in named:
        assert (ROOT / name).exists(), name


def test_every_file_of_the_units_folder_is_installed() -> None:
    text = INSTALLER.read_text(encoding="utf-8")
    others = {
        path.relative_to(SYSTEMD).as_posix() for path in SYSTEMD.rglob("*") if path.is_file()
    } - set(unit_files())
    text = text.replace("/quantum.{toml,env}", "/quantum.toml $checkout/deploy/systemd/quantum.env")
    text = text.replace('"$checkout"', "$checkout")
    for name in others:
        assert f"$checkout/deploy/systemd/{name}" in text, name


def test_the_installer_starts_every_program_that_there_is() -> None:
    text = INSTALLER.read_text(encoding="utf-8")
    [order] = re.findall(r"^readonly in_order=\(\n(.*?)\n\)", text, re.MULTILINE | re.DOTALL)
    assert sorted(order.split()) == sorted(name.replace("_", "-") for name in PROGRAMS)


def unit_files() -> list[str]:
    """What systemd reads, with what stands beside units."""
    found = [path.relative_to(SYSTEMD) for path in SYSTEMD.rglob("*") if path.is_file()]
    return [
        path.as_posix()
        for path in found
        if path.suffix in (".service", ".socket", ".target") or path.parent.suffix == ".d"
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_bash_reads_every_script(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True, timeout=60)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_finds_nothing_to_say(script: Path) -> None:
    told = subprocess.run(
        ["shellcheck", "--external-sources", script], capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout
