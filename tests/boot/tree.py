"""What a machine to boot is made of: a Debian tree and the packages, each fetched once and kept.

Needs root, mmdebstrap and the machine's own apt sources; everything that is kept lies in one
folder.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

#: What deploy/README.md asks of a machine, and what makes a tree a machine.
PACKAGES = (
    "ca-certificates", "dbus", "python3", "python3-venv", "redis-server", "systemd", "systemd-sysv",
)  # fmt: skip


def debian(cache: Path, release: str) -> Path:
    """The packed tree of a Debian release with what the installer asks for, and nothing of ours."""
    wanted = hashlib.sha256("\0".join((release, *PACKAGES)).encode()).hexdigest()[:12]
    packed = cache / f"{release}-{wanted}.tar"
    if not packed.exists():
        beside = packed.with_suffix(".new.tar")
        subprocess.run(
            [
                "mmdebstrap", "--mode=root", "--variant=minbase", "--quiet",
                f"--include={','.join(PACKAGES)}", release, str(beside),
            ],
            check=True,
        )  # fmt: skip
        beside.rename(packed)
    return packed


def unpack(packed: Path, folder: Path) -> None:
    """Make `folder` the tree."""
    folder.mkdir(parents=True)
    subprocess.run(
        ["tar", "--extract", "--numeric-owner", "--preserve-permissions",
         "--file", str(packed), "--directory", str(folder)],
        check=True,
    )  # fmt: skip


def wheels(cache: Path, checkout: Path, python: str) -> Path:
    """A folder with every locked package, for the Python of the tree."""
    requirements = checkout / "requirements-live.txt"
    digest = hashlib.sha256(requirements.read_bytes() + python.encode()).hexdigest()[:12]
    folder = cache / f"wheels-{digest}"
    if not folder.exists():
        beside = cache / f"wheels-{digest}.new"
        shutil.rmtree(beside, ignore_errors=True)
        subprocess.run(
            [
                sys.executable, "-m", "pip", "download", "-qq", "--no-deps",
                "--only-binary=:all:", "--python-version", python, "--require-hashes",
                "--requirement", str(requirements), "--dest", str(beside),
            ],
            check=True,
        )  # fmt: skip
        beside.rename(folder)
    return folder


def clone(repository: Path, folder: Path) -> str:
    """A clone of the repository at HEAD, as a user has it; returns its version."""
    subprocess.run(
        ["git", "clone", "--quiet", "--no-hardlinks", str(repository), str(folder)], check=True
    )
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])
