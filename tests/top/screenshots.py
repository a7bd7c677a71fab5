"""Takes the picture of `quantum top` that the documents show.

`python -m tests.top.screenshots FOLDER` writes top.svg and others there. docs/screenshots/top.png
was drawn from it by a browser.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from functools import partial
from pathlib import Path

from shared.cli.top_app import Top
from shared.overview.read import read_overview
from shared.server import LocalServer
from tests.top.stage import a_desk, a_stage

#: For each picture the size of the terminal and the keys that lead to it.
PICTURES: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {
    "top": ((140, 30), ()),
    "top-small": ((80, 24), ()),
    "top-why": ((110, 44), ("down", "down", "w")),
    "top-mode": ((80, 24), ("m", "down", "enter")),
    "top-help": ((80, 24), ("question_mark",)),
}


async def picture(app: Top, size: tuple[int, int], keys: tuple[str, ...]) -> str:
    """The screen of a terminal of a size, once it shows what stands."""
    async with app.run_test(size=size) as pilot:
        while app.overview is None or not app.query("FooterKey"):
            await pilot.pause(0.05)
        await pilot.press(*keys)
        await pilot.pause(0.5)
        return app.export_screenshot(title="quantum top")


def main(folder: Path) -> None:
    """Write every picture."""
    with (
        tempfile.TemporaryDirectory() as place,
        LocalServer.start(Path(place), appendfsync="no") as server,
        a_stage(server.url) as ring,
    ):
        desk = a_desk(ring.url)
        for name, (size, keys) in PICTURES.items():
            app = Top(
                desk, partial(read_overview, desk.client), "unix:///run/quantum-redis/redis.sock"
            )
            svg = asyncio.run(picture(app, size, keys))
            (folder / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
