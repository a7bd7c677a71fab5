"""How a candle file says of which symbol it is: `SYMBOL=path`, or by the beginning of its name.

Pure; no file is looked at.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import NamedTuple

from shared.symbols import is_symbol

#: `BTCUSDT-1m-2025-06.csv.gz`; no symbol has small ASCII letters, so its end is where they begin.
_FILE_NAME = re.compile(r"([^/=]+?)-([0-9]+[a-z]+)(?:-[^/]*)?\.(?:csv|csv\.gz|zip)")


class Named(NamedTuple):
    """A source: its path, its symbol ("" if nothing says it) and the interval that is stated."""

    path: str
    symbol: str
    interval: str | None = None


def named(source: str) -> Named:
    """What a source says of itself."""
    symbol, given, path = source.partition("=")
    if given and path and is_symbol(symbol):
        return Named(path, symbol)
    told = _FILE_NAME.fullmatch(PurePath(source).name)
    if told and is_symbol(told[1]):
        return Named(source, told[1], told[2])
    return Named(source, "")
