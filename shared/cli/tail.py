"""`quantum tail`: what is said on the streams, decoded, the last of it and then as it comes.

Reads streams; writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from shared.cli.desk import a_desk
from shared.cli.inspect import ConfigOption, JsonOption
from shared.contracts import BadMessage, decode
from shared.reading import Reading
from shared.records import moment_of, pairs, place
from shared.streams import BY_NAME, MARKET_TICK, STREAMS, Stream
from shared.symbols import as_typed, padded
from shared.why.lines import line_of
from shared.why.read import Flat

_PAGE = 500
#: Entries of a stream that are searched for the last ones of a symbol.
_SEARCHED = 20_000


@dataclass(frozen=True, slots=True)
class Line:
    """One entry, decoded or not."""

    stream: Stream
    id: str
    message: Any
    bad: BadMessage | None = None

    def of(self, symbol: str | None) -> bool:
        """Whether it tells of a symbol; what cannot be read tells of none."""
        return symbol is None or (self.message is not None and self.message.symbol == symbol)


def tail(
    *,
    stream: Annotated[
        str | None,
        typer.Argument(help=f"{', '.join(BY_NAME)}; else all of them but {MARKET_TICK.name}."),
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Only of one symbol.")] = None,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="So many to begin with.")] = 10,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on as more comes; Ctrl-C ends it.")
    ] = True,
    config: ConfigOption = None,
    json_: JsonOption = False,
) -> None:
    """Show the messages of the streams, the last ones first and then each as it comes.

    The time is the server's, when the message came. With --json each is one line of JSON.
    """
    if stream is not None and stream not in BY_NAME:
        raise typer.BadParameter(f"{stream} is no stream; there are {', '.join(BY_NAME)}")
    wanted = as_typed(symbol) if symbol else None
    streams = tuple(s for s in STREAMS if s.name == stream or (not stream and s != MARKET_TICK))
    with a_desk(config) as desk:
        reading = Reading(desk.client)
        after = {s: newest(reading, s) for s in streams}
        before = [line for s in streams for line in last_of(reading, s, after[s], wanted, last)]
        before.sort(key=lambda line: place(line.id))
        for line in before[max(len(before) - last, 0) :]:
            _print(line, as_json=json_)
        try:
            for line in news(reading, after) if follow else ():
                if line.of(wanted):
                    _print(line, as_json=json_)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


def newest(reading: Reading, stream: Stream) -> str:
    """The id of a stream's newest entry."""
    found = reading.ask("XREVRANGE", stream.key, "+", "-", "COUNT", 1)
    return found[0][0].decode() if found else "0-0"


def last_of(
    reading: Reading, stream: Stream, end: str, symbol: str | None, count: int
) -> list[Line]:
    """The last entries of a stream up to `end`, at most `count`, newest first."""
    found: list[Line] = []
    searched = 0
    while len(found) < count and searched < _SEARCHED:
        page = reading.ask("XREVRANGE", stream.key, end, "-", "COUNT", _PAGE)
        lines = (_line(stream, id_.decode(), flat) for id_, flat in page)
        found += (line for line in lines if line.of(symbol))
        if len(page) < _PAGE:
            break
        searched += len(page)
        end = f"({page[-1][0].decode()}"
    return found[:count]


def news(reading: Reading, after: dict[Stream, str]) -> Iterator[Line]:
    """Every entry as it comes, without end; `after` is where each stream was read to."""
    after = dict(after)
    by_key = {stream.key: stream for stream in after}
    while True:
        cursors = {stream.key: id_ for stream, id_ in after.items()}
        lines = []
        for key, entries in reading.news(cursors, block_ms=1000).items():
            after[by_key[key]] = entries[-1][0]
            lines += [_line(by_key[key], id_, flat) for id_, flat in entries]
        yield from sorted(lines, key=lambda line: place(line.id))
        if not lines:
            # A stream whose last id was lowered, or that is another one now, is read from its end.
            last = {stream: newest(reading, stream) for stream in after}
            after = {s: min(id_, last[s], key=place) for s, id_ in after.items()}


def _line(stream: Stream, id_: str, flat: Flat) -> Line:
    try:
        return Line(stream, id_, decode(stream.contract, pairs(flat)))
    except BadMessage as bad:
        return Line(stream, id_, None, bad)


def _print(line: Line, *, as_json: bool) -> None:
    if as_json:
        head = {"stream": line.stream.name, "id": line.id}
        if line.bad is not None:
            told = head | {"code": line.bad.code, "detail": line.bad.detail}
        else:
            told = head | line.message.model_dump(mode="json", exclude_none=True)
        typer.echo(json.dumps(told))
        return
    when = f"{moment_of(line.id):%d %b %H:%M:%S}"
    if line.bad is not None:
        typer.echo(
            f"{when}  {line.stream.name:<12}  unreadable: {line.bad.code}, {line.bad.detail}"
        )
        return
    message = line.message
    name = getattr(message, "plan_id", None) or getattr(message, "intent_id", None) or ""
    symbol = padded(message.symbol, 10)
    typer.echo(f"{when}  {line.stream.name:<12}  {symbol}  {line_of(message)}  {name}".rstrip())
