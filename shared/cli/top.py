"""`quantum top`: what stands now, in one view that follows it second by second.

Reads what `shared.overview.read` reads, and what `quantum why` reads when it is asked for; writes
nothing but the operator's switch, after a question.
"""

from __future__ import annotations

import json
import sys
from functools import cache, partial
from typing import Annotated

import typer
from rich.console import Console

from shared.bus.client import without_password
from shared.cli.desk import a_desk
from shared.cli.inspect import ConfigOption, JsonOption
from shared.cli.top_show import frame
from shared.overview.document import as_json
from shared.overview.read import read_overview
from shared.sections import terms_of
from shared.symbols import as_typed


def top(
    *,
    symbol: Annotated[str, typer.Option(help="Only symbols that have this in their name.")] = "",
    once: Annotated[bool, typer.Option("--once", help="Print it once, as text.")] = False,
    config: ConfigOption = None,
    json_: JsonOption = False,
) -> None:
    """Watch alarms, positions, streams and daemons, second by second. `?` in it tells the keys.

    Where there is no terminal it is printed once, as with --once. --json prints all of it once for
    machines, whatever --symbol says.
    """
    with a_desk(config) as desk:
        server = without_password(desk.settings.redis.url)
        # The settings are those of the start, and are looked at before anything is drawn.
        terms = cache(partial(terms_of, desk.settings))
        terms("")
        read = partial(read_overview, desk.client, terms)
        if json_:
            typer.echo(json.dumps(as_json(read())))
        elif once or not sys.stdout.isatty():
            console = Console(highlight=False)
            for line in frame(read(), server, console.width, as_typed(symbol)):
                # Whoever reads a file or a pipe wants all of it.
                console.print(line, overflow="ellipsis", soft_wrap=not console.is_terminal)
        else:
            # What draws on a terminal takes a while to load, and only this needs it.
            from shared.cli.top_app import Top

            app = Top(desk, read, server, as_typed(symbol))
            app.run()
            raise typer.Exit(app.return_code or 0)
