"""Candle files in the layout of Binance's public klines, checked whole before one bar is used.

Reads `.csv`, `.csv.gz` and `.zip` files (one csv inside); writes nothing.

One bar a line, twelve columns, with or without a header line. Times are milliseconds (13 digits)
or microseconds (16 digits) since 1970 UTC. Numbers are plain ASCII decimals: the public files use
no sign, exponent or padding, so one that does is damaged.

`load` passes once over every file and holds one bar at a time; `CandleFile.candles` then streams
the bars under the same checks. A missing bar is only counted (`CandleFiles.warnings`), as history
has holes; everything else that is odd is `MalformedCandles`: corrupt prices are worse than none.
"""

from __future__ import annotations

import gzip
import io
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from pathlib import Path
from typing import cast

from shared.symbols import is_symbol

_USED = ("open_time", "open", "high", "low", "close", "volume", "close_time")
COLUMNS = (*_USED, "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore")
# Whole parts of an hour only, so that a bar's place on the clock follows from its interval.
INTERVALS = {timedelta(minutes=n): f"{n}m" for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)}
INTERVALS[timedelta(hours=1)] = "1h"
MAX_LINE_BYTES = 1_000  # a real line has about 100; a damaged archive must not fill the memory

_TIME = r"[1-9][0-9]{12}(?:[0-9]{3})?"
# As a message may carry it: see shared.contracts.fields; here without a sign.
_NUMBER = r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?"
_BAR = re.compile(
    rf"({_TIME})" + rf",({_NUMBER})" * 5 + rf",({_TIME})" + rf",{_NUMBER}" * 5 + r"(?:\r?\n)?"
)
_FILE_NAME = re.compile(r"([^/=]+?)-([0-9]+[A-Za-z]+)(?:-[^/]*)?\.(?:csv|csv\.gz|zip)")
_EXPLICIT = re.compile(r"([^/=]+)=(.+)", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND, _MICROSECOND = timedelta(milliseconds=1), timedelta(microseconds=1)
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What reading raises on a damaged file; the second row comes of a zip with a damaged directory.
_BROKEN = (
    *(EOFError, OSError, zlib.error),
    *(zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError),
)


class MalformedCandles(Exception):
    """A candle file that cannot be trusted; `line` counts from 1, None for the file as a whole."""

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        self.path, self.line, self.reason = path, line, reason
        super().__init__(f"{path}: {reason}" if line is None else f"{path}:{line}: {reason}")


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

    def candles(self, after: datetime | None = None) -> Iterator[Candle]:
        """Stream the bars whose close_time is later than `after` (aware), in time order.

        Raises MalformedCandles if the file is no longer the one that was checked.
        """
        if after is not None and self.end - _MILLISECOND <= after:
            return
        if _state(self.path) != self.state:
            raise MalformedCandles(self.path, None, "has changed since it was checked; start again")
        yield from _bars(self.path, self.symbol, None, after)


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
        """One sentence for each symbol that has bars missing, within a file or between files."""
        sentences = []
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
    state = _state(path)
    first = last = None
    bars = gaps = 0
    for candle in _bars(path, symbol, stated):
        gaps += last is not None and candle.open_time - last.close_time > _MILLISECOND
        first = first or candle
        last = candle
        bars += 1
    if first is None or last is None:
        raise MalformedCandles(path, None, "holds no bar; fetch the file again or leave it out")
    begin, end = first.open_time, last.close_time + _MILLISECOND
    interval = first.close_time + _MILLISECOND - begin
    return CandleFile(path, symbol, interval, begin, end, bars, gaps, state)


def _named(source: str) -> tuple[Path, str, str | None]:
    """A source's path, its symbol and, where the file's name states one, its interval."""
    if (explicit := _EXPLICIT.fullmatch(source)) and is_symbol(explicit[1]):
        return Path(explicit[2]), explicit[1], None
    path = Path(source)
    if (name := _FILE_NAME.fullmatch(path.name)) and is_symbol(name[1]):
        return path, name[1], name[2]
    reason = "the name is not like BTCUSDT-1m-2025-06.csv, .csv.gz or .zip"
    raise MalformedCandles(path, None, f"{reason}; rename it, or give SYMBOL=path")


def _state(path: Path) -> tuple[int, int]:
    """What tells a file from its later versions: size in bytes, time of change in ns."""
    try:
        found = path.stat()
    except OSError as error:
        raise MalformedCandles(path, None, f"cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise MalformedCandles(path, None, "is not a file; name every file by itself")
    return found.st_size, found.st_mtime_ns


def _bars(
    path: Path, symbol: str, stated: str | None, after: datetime | None = None
) -> Iterator[Candle]:
    """Every bar that closes later than `after`, checked by itself and against the one before."""
    digits = span = previous = 0  # span and times are in the file's own unit
    for line, text in _lines(path):
        match = _BAR.fullmatch(text)
        if match is None:
            if line == 1 and _is_header(text):
                continue
            raise MalformedCandles(path, line, _why_not_a_bar(text))
        opens, closes = int(match[1]), int(match[7])
        digits = digits or len(match[1])
        if len(match[1]) != digits or len(match[7]) != digits:
            raise MalformedCandles(path, line, "milliseconds and microseconds are mixed")
        if not span:
            span = closes - opens + 1
            unit = _MILLISECOND if digits == 13 else _MICROSECOND
            interval = span * unit
            name = INTERVALS.get(interval, "")
            if not name or stated not in (None, name):
                wanted = stated if stated in INTERVALS.values() else ", ".join(INTERVALS.values())
                reason = f"the bar's times are {interval.total_seconds():g} s apart, not {wanted}"
                raise MalformedCandles(path, line, reason)
        problem = None
        if closes - opens + 1 != span:
            problem = f"close_time {closes} is not {opens + span - 1}, as of a {name} bar"
        elif opens % span:
            problem = f"open_time {opens} is not on the {name} grid"
        elif opens <= previous:
            problem = f"open_time {opens} is not later than {previous} in the bar before"
        if problem:
            raise MalformedCandles(path, line, problem)
        previous = opens
        open_time = _EPOCH + opens * unit
        close_time = open_time + interval - _MILLISECOND
        if after is not None and close_time <= after:
            continue
        candle = Candle(symbol, open_time, close_time, *map(Decimal, match.group(2, 3, 4, 5, 6)))
        if problem := _price_problem(candle):
            raise MalformedCandles(path, line, problem)
        yield candle


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
    for name, cell in zip(COLUMNS, cells, strict=True):
        if name.endswith("_time"):
            if not re.fullmatch(_TIME, cell):
                return f"{name} {cell[:40]!r} is not 13 digits (ms) or 16 digits (us)"
        elif re.fullmatch(f"-{_NUMBER}", cell):
            return f"{name} {cell[:40]} is negative"
        elif not re.fullmatch(_NUMBER, cell):
            return f"{name} {cell[:40]!r} is not a plain decimal such as 107187.4"
    return "does not end with a plain line feed"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, numbered from 1; a file that breaks off is MalformedCandles there."""
    line = 0
    try:
        with _opened(path) as stream:
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                line += 1
                if len(raw) > MAX_LINE_BYTES:
                    raise MalformedCandles(path, line, f"is longer than {MAX_LINE_BYTES} bytes")
                try:
                    text = raw.decode("ascii")
                except UnicodeDecodeError as error:
                    reason = f"byte {error.start + 1} is not ASCII"
                    raise MalformedCandles(path, line, reason) from error
                yield line, text
    except _BROKEN as error:
        reason = f"the file is cut short or damaged here: {error}; fetch it again"
        raise MalformedCandles(path, line + 1, reason) from error


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            names, first = archive.namelist(), next(iter(archive.infolist()), None)
            if first is None or len(names) != 1 or not names[0].endswith(".csv"):
                reason = f"holds {', '.join(names)[:200] or 'nothing'}; it must hold one .csv"
                raise MalformedCandles(path, None, reason)
            if first.flag_bits & 1 or first.compress_type not in _PACKINGS:
                reason = "is encrypted or packed by a rare method; unpack it and give the .csv"
                raise MalformedCandles(path, None, reason)
            # A zip member reads line by line in Python; the buffer around it does so in C.
            with io.BufferedReader(cast("zipfile.ZipExtFile", archive.open(first))) as stream:
                yield stream
        return
    with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as plain:
        yield plain
