"""What the operator's commands share: settings, the server, and one clear line on failure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from redis import Redis
from redis.exceptions import RedisError

from shared.bus.client import without_password
from shared.cli.story import reader
from shared.daemon import EXIT_SETTINGS
from shared.records import Unreadable
from shared.settings import Settings, SettingsError, load
from shared.why.words import safe


@dataclass(frozen=True)
class Desk:
    """The settings at hand and an open server."""

    settings: Settings
    client: Redis


def tell_unreadable(unreadable: Iterable[Unreadable]) -> None:
    """Name what could not be read, on stderr: what was asked for is told all the same."""
    for each in unreadable:
        typer.echo(f"cannot be read: {safe(str(each))}", err=True)


@contextmanager
def a_desk(config: Path | None) -> Iterator[Desk]:
    """Open the server of the settings for one command.

    Settings that cannot be used end the command with 78, a server that cannot be asked with 1.
    """
    try:
        settings = load(config, os.environ)
        url = settings.redis.url
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_SETTINGS) from None
    client = reader(url)
    try:
        client.ping()
        yield Desk(settings, client)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_SETTINGS) from None
    except RedisError as error:
        shown = without_password(url)
        typer.echo(f"the server at {shown} cannot be asked: {error}", err=True)
        raise typer.Exit(1) from None
    finally:
        client.close()
