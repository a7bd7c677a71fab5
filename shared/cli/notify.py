"""`quantum notify`: who is told what happens, and whether a notice gets there.

Reads the settings and the file of addresses; with `--test`, sends one notice to each receiver.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import Annotated, Any

import typer

from shared.cli.complaints import complain
from shared.cli.inspect import ConfigOption, JsonOption
from shared.daemon import EXIT_SETTINGS
from shared.settings import SettingsError, load

_SAID = {
    "arrived": "it arrived",
    "refused": "it was not taken: is the address right, and is there a way to the internet?",
    "timed_out": "no answer in time",
}


def notify(
    *,
    test: Annotated[bool, typer.Option("--test", help="Send each receiver a notice.")] = False,
    receivers: Annotated[
        str | None, typer.Option(help="The file of addresses; else the one of the settings.")
    ] = None,
    config: ConfigOption = None,
    json_: JsonOption = False,
) -> None:
    """Say who is told what happens; with --test, tell each something and say whether it got there.

    A receiver is named by its line in the file and the scheme of its address: the rest may be a
    token. Exits with 1 if a notice did not arrive, with 78 if there is nobody to tell.
    """
    edge: Any = importlib.import_module("services.notifier.outside.receivers")
    own: Any = importlib.import_module("services.notifier.settings").NotifierSettings
    try:
        settings = load(config, os.environ).section("notifier", own)
        told = edge.tried(
            receivers or settings.receivers_file,
            os.environ.get("CREDENTIALS_DIRECTORY"),
            timeout_s=settings.timeout_s,
            send=test,
        )
    except SettingsError as error:
        complain(error)
        raise typer.Exit(EXIT_SETTINGS) from None
    if json_:
        typer.echo(json.dumps([{"receiver": name, "test": how} for name, how in told.items()]))
    else:
        for name, how in told.items():
            line, _, scheme = name.partition(" ")
            typer.echo(f"line {line}, {scheme}: {_SAID.get(how, 'will be told')}")
    raise typer.Exit(0 if set(told.values()) <= {"arrived", None} else 1)
