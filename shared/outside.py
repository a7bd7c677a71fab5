"""The world behind a daemon, as the runner knows it: requests go out, facts come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable

from shared.at_once import Place
from shared.contracts import Message


class NotYet(Exception):
    """The world outside cannot be seen, and nothing may be decided before it was; says why."""


class Waits:
    """No fact: a look waits for its answers, and what else has come may be decided meanwhile."""


class Outside(Protocol):
    """The world behind a daemon: a venue. Every call returns the facts that it brought about."""

    def restore(self, documents: Mapping[str, bytes]) -> None:
        """Take back what `documents` once returned; called once, before anything else."""
        ...

    def documents(self) -> dict[str, bytes]:
        """What changed and has to be durable together with the facts told so far."""
        ...

    def observe(self, message: Message, received_at: datetime, /) -> Iterable[object]:
        """Learn of a message before the decider does; `received_at` is the clock here."""
        ...

    def perform(self, request: object) -> Iterable[object]:
        """Do what the decider asked for."""
        ...

    def urgent(self) -> bool:
        """Whether something waits that should not wait for the next cycle."""
        ...

    def cycle(self) -> Iterable[object]:
        """Look at the world as a whole; called at the start and then once a second.

        Raises:
            NotYet: it was not seen since the start; no message is read until it was.
        """
        ...

    def close(self) -> None:
        """Let go of connections; called once, at the end."""
        ...


@runtime_checkable
class Concurrent(Outside, Protocol):
    """An outside whose answers take their time, so that it does several requests at once.

    `perform` is then called in threads of its own and may change nothing that others see; its
    answers are taken by `heard`, which like all the rest is called in the runner's own thread.
    `at_once` requests are performed at a time, `kept` of them only of the first rank.
    """

    at_once: int
    kept: int

    def asked(self, request: object) -> Place | None:
        """Where a request stands in line; it is durable, and under way from now on.

        None: it is performed here and now, in the runner's own thread.
        """
        ...

    def heard(self, request: object, answers: Iterable[object]) -> Iterable[object]:
        """The facts in what `perform` brought; the request is under way no more."""
        ...
