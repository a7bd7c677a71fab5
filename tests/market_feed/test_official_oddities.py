"""What official candle files have of themselves: they are replayed, with one warning a kind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.market_feed.klines import Candle, MalformedCandles, load
from services.market_feed.replay import instants
from tests.symbols.odd import CHINESE, LISTED, QUARTERLY

from .bars import FALLING, HEADER, RISING, START, at, line, lines, write

OPENS = round(START.timestamp() * 1000)


def bar(opens_ms: int, closes_ms: int, prices: Sequence[str] = RISING) -> str:
    """A bar from and to moments in milliseconds after START."""
    return f"{OPENS + opens_ms},{','.join(prices)},{OPENS + closes_ms},1000.5,7,6.25,500.1,0"


def read(path: Path) -> tuple[list[Candle], tuple[str, ...]]:
    files = load([path])
    symbol = next(iter(files.by_symbol))
    return [c for f in files.by_symbol[symbol] for c in f.candles()], files.warnings


def minutes(candles: list[Candle]) -> list[float]:
    return [(candle.open_time - START).total_seconds() / 60 for candle in candles]


def test_a_bar_that_stands_there_twice_is_used_once(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv", [line(0), line(0), line(0), line(1), line(2)])
    candles, warnings = read(path)
    assert minutes(candles) == [0, 1, 2]
    assert warnings == ("BTCUSDT-1m.csv: 2 bars stand there twice, identically; each is used once",)


def test_a_bar_that_stands_there_twice_with_other_prices_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv", [line(0), line(0, FALLING)])
    with pytest.raises(MalformedCandles, match="take one of the two out"):
        load([path])


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    for packing in ("csv", "csv.gz", "zip"):
        path = write(tmp_path / f"BTCUSDT-1m.{packing}", ["\ufeff" + HEADER, *lines(3)])
        candles, (warning,) = read(path)
        assert len(candles) == 3
        assert warning.endswith("begins with a byte order mark, which is left out")


def test_a_bar_cut_short_by_a_halt_counts_as_whole(tmp_path: Path) -> None:
    cut = bar(60_000, 60_000 + 17_345)
    path = write(tmp_path / "BTCUSDT-1m.csv", [line(0), cut, line(9), line(10)])
    candles, warnings = read(path)
    assert minutes(candles) == [0, 1, 9, 10]
    assert candles[1].close_time == at(1, 59.999)
    assert warnings[0] == ("BTCUSDT-1m.csv: 1 bar is cut short by a halt, and counts as whole")
    assert "7 of 11 1m bars are missing" in warnings[1]


def test_the_first_and_the_last_bar_of_a_file_may_be_cut_short(tmp_path: Path) -> None:
    first, last = bar(12_345, 59_999), bar(120_000, 120_000 + 5_000)
    path = write(tmp_path / "BTCUSDT-1m.csv", [first, line(1), last])
    assert minutes(read(path)[0]) == [0, 1, 2]


def test_a_bar_that_begins_late_after_a_halt_counts_as_of_its_minute(tmp_path: Path) -> None:
    late = bar(9 * 60_000 + 14_789, 10 * 60_000 - 1)
    path = write(tmp_path / "BTCUSDT-1m.csv", [line(0), late, line(10)])
    candles, warnings = read(path)
    assert minutes(candles) == [0, 9, 10]
    assert "1 bar is off the minute after a halt, and counts as of the minute" in warnings[0]


def test_bars_that_stay_off_the_minute_after_a_halt_count_as_of_their_minutes(
    tmp_path: Path,
) -> None:
    off = [bar(n * 60_000 + 27_462, (n + 1) * 60_000 + 27_461) for n in (5, 6, 7)]
    path = write(tmp_path / "BTCUSDT-1m.csv", [line(0), *off, line(8)])
    candles, warnings = read(path)
    assert minutes(candles) == [0, 5, 6, 7, 8]
    assert "3 bars are off the minute after a halt, and count as of the minute" in warnings[0]


@pytest.mark.parametrize(
    "rows",
    [
        [line(0), bar(60_000, 90_000), line(2)],
        [line(0), bar(60_001, 120_000), line(2)],
        [line(0), bar(300_000, 420_000), line(9)],
        [line(0), bar(300_000, 299_000), line(9)],
        [line(0), bar(300_500, 360_499), bar(330_000, 389_999), line(9)],
    ],
    ids=[
        "short without a halt",
        "off without a halt",
        "long",
        "ends before it begins",
        "two in a minute",
    ],
)
def test_what_no_halt_explains_is_refused(tmp_path: Path, rows: list[str]) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv", rows)
    with pytest.raises(MalformedCandles) as refused:
        load([path])
    assert refused.value.line in (2, 3)


@pytest.mark.parametrize("symbol", LISTED)
def test_a_file_of_any_symbol_is_read_by_its_name_or_with_it(tmp_path: Path, symbol: str) -> None:
    path = write(tmp_path / f"{symbol}-1m-2025-06.csv", lines(2))
    assert list(load([path]).by_symbol) == [symbol]
    plain = write(tmp_path / "bars.csv", lines(2))
    assert list(load([f"{symbol}={plain}"]).by_symbol) == [symbol]


def test_odd_symbols_are_replayed_beside_plain_ones(tmp_path: Path) -> None:
    names = ("BTCUSDT", CHINESE, QUARTERLY)
    files = load([write(tmp_path / f"{name}-1m.csv", lines(2)) for name in names])
    _, ticks = next(instants(files))
    assert {tick.symbol for tick in ticks} == set(names)


GOOD = "".join(f"{text}\n" for text in [HEADER, *lines(6), line(20), line(21)]).encode()
PLACES = st.integers(0, len(GOOD) - 1)


@given(st.lists(st.tuples(PLACES, st.binary(max_size=3)), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_mutated_file_is_read_or_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]]
) -> None:
    data = bytearray(GOOD)
    for place, put in changes:
        data[place : place + len(put)] = put
    check(tmp_path_factory.mktemp("candles") / "BTCUSDT-1m.csv", bytes(data))


def test_a_file_with_lines_doubled_moved_or_cut_is_read_or_refused(tmp_path: Path) -> None:
    chance, rows = random.Random(9), GOOD.decode().splitlines(keepends=True)
    for _ in range(400):
        text = list(rows)
        for _ in range(chance.randint(1, 3)):
            at_ = chance.randrange(len(text))
            match chance.randrange(4):
                case 0:
                    text.insert(chance.randrange(len(text)), text[at_])
                case 1:
                    text.pop(at_)
                case 2:
                    text[at_] = text[at_][: chance.randrange(len(text[at_]))]
                case 3:
                    text[at_] = text[at_].replace(chance.choice("0123456789,"), "7", 1)
            text = text or ["\n"]
        check(tmp_path / "BTCUSDT-1m.csv", "".join(text).encode())


def check(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        candles, warnings = read(path)
    except MalformedCandles as malformed:
        refused = malformed
    else:
        assert minutes(candles) == sorted(set(minutes(candles)))
        assert len(warnings) == len(set(warnings))
        return
    assert refused.path == path
    assert refused.reason
