"""`quantum positions`: every open position, with its R, its stop and its rungs.

Reads what `shared.overview.read` reads; writes nothing.
"""

from __future__ import annotations

import json
from functools import partial

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.cli.desk import a_desk, tell_unreadable
from shared.cli.inspect import ConfigOption, JsonOption
from shared.overview.document import as_json
from shared.overview.read import read_overview
from shared.overview.values import Position
from shared.sections import terms_of
from shared.why.words import plain


def positions(*, config: ConfigOption = None, json_: JsonOption = False) -> None:
    """Show every open position: R, stop, what is harvested, and the rungs.

    Exits with 1 if a record of a position makes no sense.
    """
    with a_desk(config) as desk:
        overview = read_overview(desk.client, partial(terms_of, desk.settings), events=0)
    tell_unreadable(overview.unreadable)
    if json_:
        typer.echo(json.dumps(as_json(overview.positions)))
    elif overview.positions:
        Console().print(_table(overview.positions))
    elif not overview.unreadable:
        typer.echo("No position is open.")
    raise typer.Exit(1 if overview.unreadable else 0)


def _table(rows: tuple[Position, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("symbol", "side", "left", "of", "entry", "stop", "mark", "R", "kill", "rungs"):
        table.add_column(heading, justify="left" if heading in ("symbol", "rungs") else "right")
    for row in rows:
        rungs = (f"{r.name} at {plain(r.price)} {r.state}" for r in row.rungs)
        table.add_row(
            escape(row.symbol), row.side, plain(row.qty), plain(row.initial_qty),
            plain(row.entry_price), "[red]none[/red]" if row.stop_loss is None
            else plain(row.stop_loss), plain(row.mark_price), f"{row.r_net:.2f}",
            "" if row.kill_score is None else f"{row.kill_score:.2f}", "\n".join(rungs),
        )  # fmt: skip
    return table
