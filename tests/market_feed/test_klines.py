"""Candle files that are sound: every form gives the same candles, and holes are counted."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from services.market_feed.klines import Candle, CandleFiles, load

from .bars import CAMEL_HEADER, HEADER, RISING, START, at, line, lines, write


def candles(files: CandleFiles, symbol: str = "BTCUSDT") -> list[Candle]:
    return [candle for file in files.by_symbol[symbol] for candle in file.candles()]


@pytest.mark.parametrize("packing", ["csv", "csv.gz", "zip"])
@pytest.mark.parametrize("header", [[], [HEADER], [CAMEL_HEADER]], ids=["none", "snake", "camel"])
@pytest.mark.parametrize("per_ms", [1, 1_000], ids=["ms", "us"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_every_form_of_a_file_gives_the_same_candles(
    tmp_path: Path, packing: str, header: list[str], per_ms: int, end: str
) -> None:
    plain = write(tmp_path / "BTCUSDT-1m-plain.csv", lines(5))
    text_lines = header + lines(5, per_ms=per_ms)
    other = write(tmp_path / f"BTCUSDT-1m-2025-06.{packing}", text_lines, end=end)
    assert candles(load([other])) == candles(load([plain]))


def test_a_candle_has_utc_times_to_the_last_millisecond_and_exact_prices(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv", [line(3, RISING, per_ms=1_000)])
    prices = [Decimal(text) for text in RISING]
    assert candles(load([path])) == [Candle("BTCUSDT", at(3), at(3, 59.999), *prices)]


def test_the_last_line_needs_no_line_feed(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_text("\n".join(lines(3)))
    assert load([path]).bars == 3


def test_a_symbol_can_be_given_for_a_file_of_any_name(tmp_path: Path) -> None:
    path = write(tmp_path / "my=prices.csv", lines(2))
    files = load([f"ETHUSDT={path}"])
    assert [candle.symbol for candle in candles(files, "ETHUSDT")] == ["ETHUSDT", "ETHUSDT"]


def test_an_equals_sign_in_a_folder_is_not_a_symbol(tmp_path: Path) -> None:
    (tmp_path / "year=2025").mkdir()
    path = write(tmp_path / "year=2025" / "BTCUSDT-1m-2025-06.csv", lines(2))
    assert list(load([str(path)]).by_symbol) == ["BTCUSDT"]


@pytest.mark.parametrize(("minutes", "name"), [(1, "1m"), (5, "5m"), (15, "15m"), (60, "1h")])
def test_intervals_from_a_minute_to_an_hour_are_read(
    tmp_path: Path, minutes: int, name: str
) -> None:
    path = write(tmp_path / f"BTCUSDT-{name}-x.csv", lines(3, minutes=minutes))
    (file,) = load([path]).by_symbol["BTCUSDT"]
    assert file.interval == timedelta(minutes=minutes)
    assert (file.first, file.end, file.bars) == (START, at(3 * minutes), 3)
    assert candles(load([path]))[0].close_time == at(minutes) - timedelta(milliseconds=1)


def test_files_of_one_symbol_are_chained_in_time_whatever_their_order(tmp_path: Path) -> None:
    july = write(tmp_path / "BTCUSDT-1m-2025-07.csv.gz", lines(3, first=3))
    june = write(tmp_path / "BTCUSDT-1m-2025-06.csv", lines(3))
    files = load([july, june])
    assert [candle.open_time for candle in candles(files)] == [at(i) for i in range(6)]
    assert files.warnings == ()


def test_missing_bars_are_counted_within_a_file_and_between_files(tmp_path: Path) -> None:
    june = write(tmp_path / "BTCUSDT-1m-2025-06.csv", [line(0), line(1), line(5)])
    july = write(tmp_path / "BTCUSDT-1m-2025-07.csv", [line(8)])
    one_gap = write(tmp_path / "ETHUSDT-5m.csv", [line(0, minutes=5), line(15, minutes=5)])
    assert load([june, july, one_gap]).warnings == (
        "BTCUSDT: 5 of 9 1m bars are missing, in 2 gaps",
        "ETHUSDT: 2 of 4 5m bars are missing, in 1 gap",
    )


@pytest.mark.parametrize("second", [0, 59.998, 59.999, 60])
def test_candles_that_close_at_or_before_a_time_are_left_out(tmp_path: Path, second: float) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv", lines(5))
    (file,) = load([path]).by_symbol["BTCUSDT"]
    late = [candle for candle in file.candles() if candle.close_time > at(2, second)]
    assert list(file.candles(at(2, second))) == late


def test_a_file_that_ends_before_the_time_is_not_even_opened(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv", lines(5))
    (file,) = load([path]).by_symbol["BTCUSDT"]
    path.unlink()
    assert list(file.candles(at(4, 59.999))) == []


def test_no_file_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no candle file was given"):
        load([])
