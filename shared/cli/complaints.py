"""What a command says on stderr: a clear line, and never a secret."""

from __future__ import annotations

import typer

from shared.redaction import redact


def complain(text: object) -> None:
    """Say what is wrong, on stderr."""
    typer.echo(redact(str(text)), err=True)
