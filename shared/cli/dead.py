"""`quantum dead`: look at dead letters, put one back on its stream, or drop it.

Reads `<stream>.dead`. `requeue` writes the message to its stream anew and removes the letter, both
or neither; `drop` removes the letter.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Annotated, Any

import typer
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shared.bus.client import call
from shared.cli.desk import a_desk
from shared.cli.inspect import ConfigOption, JsonOption
from shared.contracts import BadMessage, decode
from shared.reading import Reading
from shared.records import pairs
from shared.streams import BY_NAME, STREAMS, Stream, producer_stream
from shared.why.picture import Letter
from shared.why.read import letter_of, read_letters, server_time
from shared.why.words import clock, safe

dead = typer.Typer(no_args_is_help=True, help="Messages that were put aside, and why.")

#: How often a letter is looked for again where others changed the dead letters meanwhile.
_TRIES = 20
#: How the streams of producers outside are named in a letter.
_PRODUCERS = "producer:"
_ID = re.compile(r"[0-9]+-[0-9]+", re.ASCII)

StreamArgument = Annotated[str, typer.Argument(help=", ".join(stream.name for stream in STREAMS))]
IdArgument = Annotated[str, typer.Argument(help="The letter's own id, as `list` shows it.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@dead.command("list")
def list_letters(*, config: ConfigOption = None, json_: JsonOption = False) -> None:
    """Every dead letter, the newest of each stream last."""
    with a_desk(config) as desk:
        letters = list(read_letters(desk.client))
        now = server_time(desk.client)
    if json_:
        typer.echo(json.dumps([_as_json(letter) for letter in letters]))
        return
    if not letters:
        typer.echo("There are no dead letters.")
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("stream", "letter", "at", "by", "code", "detail", "message"):
        table.add_column(heading, overflow="fold")
    for letter in letters:
        cells = (letter.stream, letter.letter_id, clock(letter.at, now), letter.group, letter.code)
        words = (*cells, letter.detail, _named(letter))
        table.add_row(*(escape(safe(word)) for word in words))
    Console().print(table)


@dead.command("show")
def show_letter(
    *,
    stream: StreamArgument,
    letter: IdArgument,
    config: ConfigOption = None,
    json_: JsonOption = False,
) -> None:
    """One dead letter whole: why, from where, and each field of the message in it."""
    with a_desk(config) as desk:
        flat = _find(desk.client, _stream(stream), letter)
    found = letter_of(letter, flat)
    if json_:
        typer.echo(json.dumps(_as_json(found)))
        return
    for name, value in pairs(flat):
        # What is not plain text is shown by its bytes: it may be the reason.
        shown = value.decode() if value.isascii() and value.decode().isprintable() else repr(value)
        typer.echo(f"{safe(name.decode('utf-8', 'backslashreplace'))}: {shown}")


@dead.command()
def requeue(
    *,
    stream: StreamArgument,
    letter: IdArgument,
    yes: YesOption = False,
    config: ConfigOption = None,
) -> None:
    """Put a message back on its stream, as new, and remove its letter.

    Every daemon that reads the stream gets it again; what was decided before is known by its id
    and decided no second time. A message that still cannot be read is not put back. An entry that
    was made more than half a minute ago will be refused as stale.
    """
    where = _stream(stream)
    with a_desk(config) as desk:
        flat = _find(desk.client, where, letter)
        # What a producer wrote to its own stream goes there, and is checked once more.
        where, words = _stream(letter_of(letter, flat).stream), original_of(flat)
        if not words:
            _end("The letter holds no message: the entry was removed before it was read.")
        try:
            decode(where.contract, pairs(words))
        except BadMessage as bad:
            _end(f"It still cannot be read: {bad.code}, {bad.detail}")
        if not yes and not typer.confirm(f"Put it back on {where.name}?"):
            raise typer.Exit(1)
        id_ = put_back(desk.client, where, letter)
    if id_ is None:
        _end("The letter is gone: somebody else put it back or dropped it.")
    typer.echo(f"It is {id_} on {where.name} now.")


@dead.command()
def drop(
    *,
    stream: StreamArgument,
    letter: IdArgument,
    yes: YesOption = False,
    config: ConfigOption = None,
) -> None:
    """Remove one dead letter for good."""
    where = _stream(stream)
    with a_desk(config) as desk:
        _find(desk.client, where, letter)
        if not yes and not typer.confirm("Drop it for good?"):
            raise typer.Exit(1)
        gone = call(desk.client, "XDEL", where.dead_key, letter)
    typer.echo("It is gone." if gone else "Somebody else removed it meanwhile.")


def _stream(name: str) -> Stream:
    if name.startswith(_PRODUCERS):
        return producer_stream(name.removeprefix(_PRODUCERS))
    if name not in BY_NAME:
        raise typer.BadParameter(f"{name} is no stream; there are {', '.join(BY_NAME)}")
    return BY_NAME[name]


def _find(client: Redis, stream: Stream, letter: str) -> list[bytes]:
    """A letter's fields, or a clear line and exit status 1."""
    if not _ID.fullmatch(letter):
        raise typer.BadParameter(f"{letter} is no id of a letter, such as 1764003723000-0")
    found = Reading(client).ask("XRANGE", stream.dead_key, letter, letter)
    if not found:
        _end(f"There is no letter {letter} of {stream.name}.")
    fields: list[bytes] = found[0][1]
    return fields


def _end(sentence: str) -> Any:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def original_of(flat: list[bytes]) -> list[bytes]:
    """The message in a letter, name by name and value by value, its bytes as they were."""
    words: list[bytes] = []
    for name, value in pairs(flat):
        if name == b"original":
            return _netstrings(value)
        if name.startswith(b"original:"):
            words += (name.removeprefix(b"original:"), value)
    return words


def _netstrings(packed: bytes) -> list[bytes]:
    """`4:name,5:value,` and so on, as a letter has a message with very many fields."""
    words = []
    while packed:
        length, _, rest = packed.partition(b":")
        size = int(length)
        words.append(rest[:size])
        packed = rest[size + 1 :]
    return words


def put_back(client: Redis, stream: Stream, letter: str) -> str | None:
    """Write the message anew and remove its letter, both or neither; None if it is gone."""
    with client.pipeline() as transaction:
        for _ in range(_TRIES):
            transaction.watch(stream.dead_key)  # type: ignore[no-untyped-call]
            found = _now(transaction, "XRANGE", stream.dead_key, letter, letter)
            if not found:
                return None
            transaction.multi()
            _now(transaction, "XADD", stream.key, "*", *original_of(found[0][1]))
            _now(transaction, "XDEL", stream.dead_key, letter)
            try:
                id_, _ = transaction.execute()
            except WatchError:
                continue
            return str(id_, "ascii")
    return _end("The dead letters change all the time; try again.")  # type: ignore[no-any-return]


def _now(transaction: Pipeline, *words: Any) -> Any:
    return transaction.execute_command(*words)  # type: ignore[no-untyped-call]


def _named(letter: Letter) -> str:
    """By what a person may know the message in a letter."""
    names = ("symbol", "intent_id", "plan_id", "result_id", "tick_id")
    return " ".join(letter.fields[name] for name in names if name in letter.fields)


def _as_json(letter: Letter) -> dict[str, Any]:
    return asdict(letter) | {"at": letter.at.isoformat()}
