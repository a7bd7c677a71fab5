"""The lines of candle files, packed or not, and the refusal of a file that cannot be trusted.

Reads `.csv`, `.csv.gz` and `.zip` files (one csv inside), one line at a time; writes nothing.
"""

from __future__ import annotations

import gzip
import io
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

MAX_LINE_BYTES = 1_000  # a real line has about 100; a damaged archive must not fill the memory
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What reading raises on a damaged file; the second row comes of a zip with a damaged directory.
_BROKEN = (
    *(EOFError, OSError, zlib.error),
    *(zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError),
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class MalformedCandles(Exception):
    """A candle file that cannot be trusted; `line` counts from 1, None for the file as a whole."""

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        self.path, self.line, self.reason = path, line, reason
        super().__init__(f"{path}: {reason}" if line is None else f"{path}:{line}: {reason}")


def state_of(path: Path) -> tuple[int, int]:
    """What tells a file from its later versions: size in bytes, time of change in ns."""
    try:
        found = path.stat()
    except OSError as error:
        raise MalformedCandles(path, None, f"cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise MalformedCandles(path, None, "is not a file; name every file by itself")
    return found.st_size, found.st_mtime_ns


def lines(path: Path, odd: Counter[str]) -> Iterator[tuple[int, str]]:
    """The lines of a file, numbered from 1; a file that breaks off is MalformedCandles there."""
    line = 0
    try:
        with _opened(path) as stream:
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                line += 1
                if len(raw) > MAX_LINE_BYTES:
                    raise MalformedCandles(path, line, f"is longer than {MAX_LINE_BYTES} bytes")
                if line == 1 and raw.startswith(_BYTE_ORDER_MARK):
                    odd["mark"] += 1
                    raw = raw.removeprefix(_BYTE_ORDER_MARK)
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
