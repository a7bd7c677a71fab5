"""`quantum repair`: mend streams whose ids were driven up.

Reads the last id of every stream, of their dead letters and of the producers' own streams, and the
server's clock. Where an id is ahead of it, its entries are given new ids, in their order, and every
group stays where it was; a dead letter tells of it (`id_ahead`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from redis import Redis

from shared.bus.client import call
from shared.bus.mending import mend
from shared.cli.desk import a_desk
from shared.cli.inspect import ConfigOption
from shared.records import text_of
from shared.streams import STREAMS, Stream, name_of, producer_key, producer_stream
from shared.why.words import safe

#: An id this far ahead of the server's clock was not given by it, in milliseconds.
_AHEAD_MS = 60_000


def repair(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
) -> None:
    """Give entries whose ids are ahead of the clock new ones, so that a stream goes on.

    A daemon does so by itself where nothing could be appended any more. Nothing is lost: what a
    daemon has not read it reads, and what it has read it does not read again.
    """
    with a_desk(config) as desk:
        seconds, _ = desk.client.time()
        highest_ms = seconds * 1000 + _AHEAD_MS
        ahead = [
            (stream, key, last)
            for stream in (*STREAMS, *_producers(desk.client))
            for key in (stream.key, stream.dead_key)
            if (last := _last_id(desk.client, key)) is not None
            and int(last.partition("-")[0]) > highest_ms
        ]
        if not ahead:
            typer.echo("No stream is ahead of the clock.")
            return
        for _, key, last in ahead:
            typer.echo(f"{safe(name_of(key))}: its last id is {last}, ahead of the server's clock")
        if not yes and not typer.confirm("Give these entries new ids?"):
            raise typer.Exit(1)
        for stream in dict.fromkeys(stream for stream, _, _ in ahead):
            for mended in mend(
                desk.client, stream.key, stream.dead_key, by="operator", highest_ms=highest_ms
            ):
                name = safe(name_of(mended.key))
                typer.echo(f"{name}: {mended.entries} entries have new ids, up to {mended.last}")


def _producers(client: Redis) -> Iterator[Stream]:
    """The streams of producers outside, whether or not the settings still name them."""
    prefix = producer_key("")
    for key in client.scan_iter(match=f"{prefix}*", count=1000):
        name = key if isinstance(key, str) else key.decode("utf-8", "backslashreplace")
        yield producer_stream(name.removeprefix(prefix))


def _last_id(client: Redis, key: str) -> str | None:
    """The last id that a stream gave; None where there is no stream."""
    if client.type(key) not in ("stream", b"stream"):
        return None
    flat = call(client, "XINFO", "STREAM", key)
    return text_of(dict(zip(flat[::2], flat[1::2], strict=True))[b"last-generated-id"])
