"""Makes the pictures of the page: `python -m tests.dashboard.screenshots [FOLDER]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.dashboard.browser import Page, a_browser
from tests.dashboard.scene import an_afternoon, keep_alive
from tests.dashboard.site import a_dashboard
from tests.ring.live import a_server

PICTURES = Path(__file__).parents[2] / "docs/screenshots"
Shot = tuple[str, str, int, int, str, bool]

#: File, path, width, height, colours, and whether it is a phone.
_SHOTS: tuple[Shot, ...] = (
    ("dashboard.png", "/", 1440, 1060, "dark", False),
    ("dashboard-symbol.png", "/symbol/SOLUSDT", 1440, 1240, "dark", False),
    ("dashboard-phone.png", "/", 390, 844, "dark", True),
)
_MORE: tuple[Shot, ...] = (
    ("light.png", "/", 1440, 1060, "light", False),
    ("symbol-light.png", "/symbol/BTCUSDT", 1440, 1240, "light", False),
    ("symbol-phone.png", "/symbol/SOLUSDT", 390, 1800, "dark", True),
    ("naked.png", "/symbol/ETHUSDT", 1440, 1100, "dark", False),
)


def main() -> None:
    """Play the afternoon once and photograph it; more views go to a folder that is named."""
    more = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            a_server(folder, appendfsync="no") as server,
            an_afternoon(server.url) as ring,
            a_dashboard(server.url, folder) as site,
            a_browser() as new_page,
        ):
            PICTURES.mkdir(parents=True, exist_ok=True)
            shots = [(PICTURES, shot) for shot in _SHOTS]
            if more is not None:
                shots += [(more, shot) for shot in _MORE]
            page = new_page()
            for where, (file_name, path, width, height, scheme, phone) in shots:
                file = where / file_name
                keep_alive(ring)
                page.look(width, height, scheme=scheme, phone=phone)
                page.open(f"{site}{path}")
                page.until_reads("live", "#pulse")
                page.until_reads("SOLUSDT" if path == "/" else "rungs")
                _settled(page)
                page.picture(file)
                sys.stdout.write(f"{file} {file.stat().st_size // 1024} kB\n")
            sys.stdout.writelines(f"{line}\n" for line in page.complaints)


def _settled(page: Page) -> None:
    """Let movements end and the chart be drawn."""
    page.call(
        "Runtime.evaluate",
        expression="new Promise((done) => setTimeout(done, 700))",
        awaitPromise=True,
    )


if __name__ == "__main__":
    main()
