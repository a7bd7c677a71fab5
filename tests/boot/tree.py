"""What a machine to boot is made of: a Debian tree and the packages, each fetched once and kept.

Needs root, mmdebstrap and the machine's own apt sources; everything that is kept lies in one
folder.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.markers import Marker

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


def wheels(cache: Path, checkout: Path, tree: Path) -> Path:
    """A folder with every locked package that the Python of the tree needs."""
    wanted = subprocess.run(
        ["chroot", str(tree), "python3", "-c", "import platform; print(platform.python_version())"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    locked = _for_python(wanted, (checkout / "requirements-live.txt").read_text(encoding="utf-8"))
    folder = cache / f"wheels-{hashlib.sha256(locked.encode()).hexdigest()[:12]}"
    if not folder.exists():
        beside = folder.with_suffix(".new")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        (beside / "requirements.txt").write_text(locked, encoding="utf-8")
        subprocess.run(
            [
                sys.executable, "-m", "pip", "download", "-qq", "--no-deps",
                "--only-binary=:all:", "--python-version", wanted, "--require-hashes",
                "--requirement", str(beside / "requirements.txt"), "--dest", str(beside),
            ],
            check=True,
        )  # fmt: skip
        beside.rename(folder)
    return folder


def _for_python(version: str, requirements: str) -> str:
    """The requirements of another Python than this one: pip takes its own to judge the markers."""
    environment = {"python_full_version": version, "python_version": version.rpartition(".")[0]}
    kept = [f"# for Python {version}"]
    for block in re.split(r"\n(?=[a-z0-9])", requirements, flags=re.IGNORECASE):
        found = re.match(r"(\S+==\S+) ; (.*) \\\n", block)
        if found is None:
            kept.append(block)
        elif Marker(found[2]).evaluate(environment):
            kept.append(block.replace(f" ; {found[2]}", ""))
    return "\n".join(kept)


def checkout(repository: Path, folder: Path, *, working_tree: bool) -> None:
    """The repository at HEAD as a user clones it, or with what is not committed yet."""
    subprocess.run(
        ["git", "clone", "--quiet", "--no-hardlinks", str(repository), str(folder)], check=True
    )
    if working_tree:
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        files = subprocess.run(listed, cwd=repository, check=True, capture_output=True).stdout
        for name in filter(None, files.decode().split("\0")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if (repository / name).exists():
                shutil.copy2(repository / name, folder / name)
