"""Candle files in the layout of Binance's public klines, checked whole before one bar is used.

Reads the lines of `.csv`, `.csv.gz` and `.zip` files (candle_lines); writes nothing.

One bar a line, twelve columns, with or without a header line. Times are milliseconds (13 digits)
or microseconds (16 digits) since 1970 UTC. Numbers are plain ASCII decimals: the public files use
no sign, exponent or padding, so one that does is damaged.

`load` passes once over every file and holds two bars at a time; `CandleFile.candles` then streams
the bars under the same checks. What official files have is only counted (`CandleFiles.warnings`):
a byte order mark, a bar that is missing or stands there twice, and around a halt one that is short
or off the minute, which counts as the bar of its minute. Everything else that is odd is
`MalformedCandles`: corrupt prices are worse than none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain, groupby, pairwise
from pathlib import Path

from services.market_feed.candle_lines import (
    MAX_LINE_BYTES,
    MalformedCandles,
    lines,
    state_of,
)
from shared.candle_names import named

__all__ = [
    "COLUMNS", "INTERVALS", "MAX_LINE_BYTES", "Candle", "CandleFile", "CandleFiles",
    "MalformedCandles", "load",
]  # fmt: skip

_USED = ("open_time", "open", "high", "low", "close", "volume", "close_time")
COLUMNS = (*_USED, "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore")
# Whole parts of an hour only, so that a bar's place on the clock follows from its interval.
INTERVALS = {timedelta(minutes=n): f"{n}m" for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)}
INTERVALS[timedelta(hours=1)] = "1h"
_LENGTHS = {name: length for length, name in INTERVALS.items()}

_TIME = r"[1-9][0-9]{12}(?:[0-9]{3})?"
# As a message may carry it: see shared.contracts.fields; here without a sign.
_NUMBER = r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?"
_BAR = re.compile(
    rf"({_TIME})" + rf",({_NUMBER})" * 5 + rf",({_TIME})" + rf",{_NUMBER}" * 5 + r"(?:\r?\n)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)


#: What is odd about a file and does not matter, as its warning says it.
_ODD = {
    "mark": "begins with a byte order mark, which is left out",
    "doubled": "{n} bar{s} stand{v} there twice, identically; each is used once",
    "short": "{n} bar{s} {is_} cut short by a halt, and count{v} as whole",
    "off": "{n} bar{s} {is_} off the minute after a halt, and count{v} as of the minute",
}


@dataclass(frozen=True, slots=True)
class Candle:
    """One bar. Prices are in the quote currency, `volume` in the base currency, times are UTC.

    `close_time` is the last millisecond of the bar, whatever unit its file is written in.
    """

    symbol: str
    open_time: datetime
    close_time: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class CandleFile:
    """One file that passed every check; its bars run from `first` up to, not into, `end`."""

    path: Path
    symbol: str
    interval: timedelta
    first: datetime
    end: datetime
    bars: int
    gaps: int
    state: tuple[int, int]
    odd: Mapping[str, int]

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each kind of oddity."""
        return tuple(
            f"{self.path.name}: {_said(sentence, self.odd[kind])}"
            for kind, sentence in _ODD.items()
            if self.odd.get(kind)
        )

    def candles(self, after: datetime | None = None) -> Iterator[Candle]:
        """Stream the bars whose close_time is later than `after` (aware), in time order.

        Raises MalformedCandles if the file is no longer the one that was checked.
        """
        if after is not None and self.end - _MILLISECOND <= after:
            return
        if state_of(self.path) != self.state:
            raise MalformedCandles(self.path, None, "has changed since it was checked; start again")
        yield from _bars(self.path, self.symbol, INTERVALS[self.interval], after=after)


@dataclass(frozen=True, slots=True)
class CandleFiles:
    """All files of a replay, checked: by symbol, each symbol's files in time order."""

    by_symbol: Mapping[str, tuple[CandleFile, ...]]

    @property
    def bars(self) -> int:
        """How many bars the files hold together."""
        return sum(file.bars for files in self.by_symbol.values() for file in files)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about each file, then for each symbol how many bars are missing."""
        every = chain.from_iterable(self.by_symbol.values())
        sentences = [sentence for file in every for sentence in file.warnings]
        for symbol, files in self.by_symbol.items():
            expected = (files[-1].end - files[0].first) // files[0].interval
            missing = expected - sum(file.bars for file in files)
            seams = sum(a.end != b.first for a, b in pairwise(files))
            gaps = seams + sum(file.gaps for file in files)
            if gaps:
                of = f"{missing} of {expected} {INTERVALS[files[0].interval]} bars"
                sentences.append(f"{symbol}: {of} are missing, in {gaps} gap{'s' * (gaps > 1)}")
        return tuple(sentences)


def load(sources: Iterable[str | Path]) -> CandleFiles:
    """Check every file from its first to its last line, and return what they hold.

    A source is a path named like `BTCUSDT-1m-2025-06.csv.gz`, or `SYMBOL=path` for any other name.
    Raises MalformedCandles at the first thing that is wrong, ValueError if there is no source.
    """
    files = sorted(map(_checked, map(str, sources)), key=lambda file: (file.symbol, file.first))
    if not files:
        raise ValueError("no candle file was given")
    for earlier, later in pairwise(files):
        if earlier.symbol == later.symbol and earlier.interval != later.interval:
            reason = f"has {INTERVALS[later.interval]} bars where {earlier.path} has"
            raise MalformedCandles(later.path, None, f"{reason} {INTERVALS[earlier.interval]} bars")
        if earlier.symbol == later.symbol and later.first < earlier.end:
            reason = f"overlaps {earlier.path}, which is {later.symbol} too; leave one of them out"
            raise MalformedCandles(later.path, None, reason)
    grouped = groupby(files, key=lambda file: file.symbol)
    return CandleFiles({symbol: tuple(chained) for symbol, chained in grouped})


def _checked(source: str) -> CandleFile:
    path, symbol, stated = _named(source)
    state = state_of(path)
    first = last = None
    bars = gaps = 0
    odd: Counter[str] = Counter()
    for candle in _bars(path, symbol, stated, odd=odd):
        gaps += last is not None and candle.open_time - last.close_time > _MILLISECOND
        first = first or candle
        last = candle
        bars += 1
    if first is None or last is None:
        raise MalformedCandles(path, None, "holds no bar; fetch the file again or leave it out")
    begin, end = first.open_time, last.close_time + _MILLISECOND
    interval = first.close_time + _MILLISECOND - begin
    return CandleFile(path, symbol, interval, begin, end, bars, gaps, state, odd)


def _named(source: str) -> tuple[Path, str, str | None]:
    """A source's path, its symbol and, where the file's name states one, its interval."""
    path, symbol, interval = named(source)
    if symbol:
        return Path(path), symbol, interval
    reason = "the name is not like BTCUSDT-1m-2025-06.csv, .csv.gz or .zip"
    raise MalformedCandles(Path(path), None, f"{reason}; rename it, or give SYMBOL=path")


@dataclass(frozen=True, slots=True)
class _Row:
    """A line that has the form of a bar; times are in the file's own unit."""

    line: int
    text: str
    opens: int
    closes: int
    prices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Grid:
    """The interval of a file: `span` is its length in the file's unit."""

    span: int
    unit: timedelta
    name: str

    def start(self, row: _Row) -> int:
        """When the interval began in which a bar opens."""
        return row.opens - row.opens % self.span


def _bars(
    path: Path,
    symbol: str,
    stated: str | None,
    *,
    after: datetime | None = None,
    odd: Counter[str] | None = None,
) -> Iterator[Candle]:
    """Every bar that closes later than `after`, checked by itself and against its neighbours.

    What is odd and does not matter is counted in `odd`.
    """
    counted: Counter[str] = Counter() if odd is None else odd
    grid, before = None, None
    for row, following in pairwise(chain(_rows(path, counted), (None,))):
        assert row is not None
        grid = grid or _grid_of(path, row, stated)
        kind, problem = _place(grid, before, row, following)
        if problem:
            raise MalformedCandles(path, row.line, problem)
        counted.update(kind)
        before = row
        open_time = _EPOCH + grid.start(row) * grid.unit
        close_time = open_time + grid.span * grid.unit - _MILLISECOND
        if after is not None and close_time <= after:
            continue
        candle = Candle(symbol, open_time, close_time, *map(Decimal, row.prices))
        if problem := _price_problem(candle):
            raise MalformedCandles(path, row.line, problem)
        yield candle


def _rows(path: Path, odd: Counter[str]) -> Iterator[_Row]:
    """The lines that are bars, without their identical doubles."""
    digits, before = 0, ""
    for line, text in lines(path, odd):
        match = _BAR.fullmatch(text)
        if match is None:
            if line == 1 and _is_header(text):
                continue
            raise MalformedCandles(path, line, _why_not_a_bar(text))
        digits = digits or len(match[1])
        if len(match[1]) != digits or len(match[7]) != digits:
            reason = "milliseconds and microseconds are mixed; make a file of each"
            raise MalformedCandles(path, line, reason)
        same, before = text.rstrip("\r\n") == before, text.rstrip("\r\n")
        if same:
            odd["doubled"] += 1
            continue
        yield _Row(line, before, int(match[1]), int(match[7]), match.group(2, 3, 4, 5, 6))


def _grid_of(path: Path, row: _Row, stated: str | None) -> _Grid:
    """The interval that the name of the file states, or that its first bar has."""
    unit = _MILLISECOND if len(str(row.opens)) == 13 else _MICROSECOND
    length = (row.closes - row.opens + 1) * unit
    name = INTERVALS.get(length, "")
    known = stated if stated in _LENGTHS else None
    if not name and known and timedelta(0) < length < _LENGTHS[known]:
        name = known  # Cut short, if its neighbours say so too.
    if not name or stated not in (None, name):
        wanted = known or ", ".join(_LENGTHS)
        reason = f"the bar's times are {length.total_seconds():g} s apart, not {wanted}"
        raise MalformedCandles(path, row.line, reason)
    return _Grid(_LENGTHS[name] // unit, unit, name)


def _place(
    grid: _Grid, before: _Row | None, row: _Row, following: _Row | None
) -> tuple[tuple[str, ...], str | None]:
    """What is odd about the times of a bar, or why they cannot be.

    Next to a halt, which is a missing bar or the end of the file, a bar may be short, and after one
    it may be off the minute, as those behind it are.
    """
    start, end = grid.start(row), grid.start(row) + grid.span
    length, off = row.closes - row.opens + 1, row.opens != start
    if before is not None and row.opens <= before.opens:
        out = "take one of the two out" if row.opens == before.opens else "sort the lines"
        reason = f"open_time {row.opens} is not later than {before.opens} in the bar before; {out}"
        return (), reason
    began = before is None or start > grid.start(before) + grid.span
    ended = following is None or grid.start(following) > end
    late = off and row.closes == end - 1 and began
    short = 0 < length < grid.span and row.closes < end and (late or ended)
    if length != grid.span and not short:
        expected = row.opens + grid.span - 1
        return (), f"close_time {row.closes} is not {expected}, as of a {grid.name} bar"
    drifting = before is not None and before.opens != grid.start(before)
    if off and not (began or drifting):
        return (), f"open_time {row.opens} is not on the {grid.name} grid"
    if before is not None and start <= grid.start(before):
        which = f"open_time {row.opens} is in the {grid.name} bar of {before.opens} before"
        return (), f"{which}; take one of the two out"
    return (("off",) if off else ()) + (("short",) if short and not late else ()), None


def _said(sentence: str, count: int) -> str:
    one = count == 1
    return sentence.format(
        n=count, s="" if one else "s", v="s" if one else "", is_="is" if one else "are"
    )


def _price_problem(candle: Candle) -> str | None:
    high, low = candle.high, candle.low
    for name, price in (("open", candle.open), ("close", candle.close), ("low", low)):
        if price > high:
            return f"high {high} is below {name} {price}"
        if price < low:
            return f"low {low} is above {name} {price}"
    return None if low > 0 else f"low {low} is not a positive price"


def _is_header(text: str) -> bool:
    """Whether a line names the columns; `openTime` and `open_time` are both seen."""
    names = [name.lower().replace("_", "") for name in text.rstrip("\r\n").split(",")]
    return len(names) == len(COLUMNS) and names[:7] == [name.replace("_", "") for name in _USED]


def _why_not_a_bar(text: str) -> str:
    """The reason for a line that the pattern of a bar does not match."""
    cells = text.rstrip("\r\n").split(",")
    if cells == [""]:
        return "is blank; take the line out"
    if len(cells) != len(COLUMNS):
        return f"has {len(cells)} columns, not the {len(COLUMNS)} of {','.join(COLUMNS)}"
    if _is_header(text):
        return "open_time 'open_time' is not 13 digits (ms) or 16 digits (us); take the header out"
    for name, cell in zip(COLUMNS, cells, strict=True):
        if name.endswith("_time"):
            if not re.fullmatch(_TIME, cell):
                return f"{name} {cell[:40]!r} is not 13 digits (ms) or 16 digits (us)"
        elif re.fullmatch(f"-{_NUMBER}", cell):
            return f"{name} {cell[:40]} is negative"
        elif not re.fullmatch(_NUMBER, cell):
            return f"{name} {cell[:40]!r} is not a plain decimal such as 107187.4"
    return "does not end with a plain line feed"
