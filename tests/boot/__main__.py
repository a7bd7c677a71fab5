"""`python -m tests.boot`: install on a clean Debian, boot it, break it, upgrade it, and look.

    --release NAME     the Debian to install on (bookworm)
    --cache FOLDER     where the tree and the packages are kept between runs
    --keep             leave the machine's tree behind, and say where
    --working-tree     install what is not committed yet, too; otherwise a clone at HEAD

Needs root, mmdebstrap, systemd-nspawn and git; of the network it needs package registries, the
first time. Exits with 1 at the first thing that is not as it should be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from shared.cli.ring import sigterm_ends_in_order
from tests.boot.evening import play
from tests.boot.machine import Failed, Machine
from tests.boot.scene import CHECKOUT
from tests.boot.tree import checkout, debian, unpack, wheels

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run the evening; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.boot", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--release", default="bookworm")
    parser.add_argument("--cache", type=Path, default=Path("/var/tmp/quantum-boot"))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--working-tree", action="store_true")
    asked = parser.parse_args()
    missing = [name for name in ("mmdebstrap", "systemd-nspawn", "git") if not shutil.which(name)]
    if missing or os.geteuid():
        sys.stderr.write(f"needs root and {', '.join(missing) or 'nothing else'}\n")
        return 1
    asked.cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=asked.cache))
    try:
        return _evening(asked, folder)
    finally:
        if asked.keep:
            sys.stdout.write(f"kept: {folder}\n")
        else:
            shutil.rmtree(folder)


def _evening(asked: argparse.Namespace, folder: Path) -> int:
    tree = folder / "tree"
    unpack(debian(asked.cache, asked.release), tree)
    checkout(ROOT, tree / CHECKOUT.lstrip("/"), working_tree=asked.working_tree)
    shared = {wheels(asked.cache, ROOT, tree): "/wheels"}
    try:
        with sigterm_ends_in_order(), Machine(tree, folder / "console.log", shared) as machine:
            play(machine)
    except (Failed, AssertionError) as error:
        sys.stdout.write(f"FAILED: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
