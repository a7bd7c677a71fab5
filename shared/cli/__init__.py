"""`quantum`: every command of the suite, one module each."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Annotated

import typer

from shared.cli.bench import bench
from shared.cli.calc import calc
from shared.cli.dead import dead
from shared.cli.demo import demo
from shared.cli.history import history
from shared.cli.inspect import check, init
from shared.cli.notify import notify
from shared.cli.operate import close, mode
from shared.cli.positions import positions
from shared.cli.repair import repair
from shared.cli.reset import reset
from shared.cli.schemas import schemas
from shared.cli.tail import tail
from shared.cli.top import top
from shared.cli.up import up
from shared.cli.venue import venue
from shared.cli.why import why
from shared.streams import PROGRAMS

app = typer.Typer(
    name="quantum",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A position in profit is always harvested, once, and is never without a stop.",
)
app.add_typer(calc, name="calc")
app.command("demo")(demo)
app.command("up")(up)
app.command("top")(top)
app.command("positions")(positions)
app.command("why")(why)
app.command("tail")(tail)
app.command("history")(history)
app.add_typer(dead, name="dead")
app.command("mode")(mode)
app.command("close")(close)
app.command("check")(check)
app.command("init")(init)
app.command("repair")(repair)
app.command("reset")(reset)
app.command("notify")(notify)
app.command("schemas")(schemas)
app.command("bench")(bench)
app.command("venue")(venue)


@app.command()
def run(
    daemon: Annotated[str, typer.Argument(help=", ".join(PROGRAMS))],
    config: Annotated[Path | None, typer.Option(help="The settings file.")] = None,
) -> None:
    """Run one daemon in this process, as systemd does."""
    if daemon not in PROGRAMS:
        raise typer.BadParameter(f"{daemon} is no daemon; there are {', '.join(PROGRAMS)}")
    if config is not None:
        os.environ["QUANTUM_CONFIG"] = str(config)
    importlib.import_module(f"services.{daemon}.__main__").main()
