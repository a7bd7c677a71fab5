"""Asking `quantum why` as a script would, and what tests of the operator's commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from typer.testing import CliRunner, Result

from shared.cli import app

from .small_ring import SYMBOL, SmallRing

Open = Callable[..., SmallRing]

#: harvest_brain shows what it saw once a second; a test does not wait for that.
SHOWN_AT_ONCE = {"harvest_brain": {"show_every_s": 0}}


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["why", *words])


def asked(*words: str) -> dict[str, Any]:
    """What `quantum why --json` says; its exit status agrees with it."""
    ended = run(*words, "--json")
    assert ended.stderr == "", ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    assert ended.exit_code == (0 if told["ok"] else 1)
    return told


def reason(*words: str) -> tuple[str, str, str]:
    """Code, verdict and text of the first finding."""
    first = asked(*(words or (SYMBOL,)))["reason"]
    return first["code"], first["verdict"], first["text"]


def strike(step: str) -> None:
    """The end of a process that has just been handed something."""
    if step == "after_read":
        raise KeyboardInterrupt


def states(told: dict[str, Any]) -> dict[str, str]:
    return {rung["name"]: rung["state"] for rung in told["rungs"]}
