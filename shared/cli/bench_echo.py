"""The far end of the bare round trip: read one stream, add the same words to another, no more.

`echo(url)` runs until its process is ended. A process of its own, because a
thread of the bench would wait for the same interpreter lock as the clock that times it.
"""

from __future__ import annotations

from typing import Any

from shared.bus.client import call
from shared.cli.story import reader

PING = "quantum:bench:ping"
PONG = "quantum:bench:pong"
#: Below the client's own timeout, so that an idle wait is not taken for a lost server.
BLOCK_MS = 2000


def echo(url: str) -> None:
    """Answer each entry of PING with the same words on PONG."""
    client = reader(url)
    after: Any = "0"
    while True:
        reply = call(client, "XREAD", "BLOCK", BLOCK_MS, "STREAMS", PING, after)
        for _, entries in reply or ():
            for id_, words in entries:
                after = id_
                call(client, "XADD", PONG, "*", *words)
