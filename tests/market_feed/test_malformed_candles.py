"""Candle files that cannot be trusted: each is refused with file, line and reason, before use."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from services.market_feed.klines import MAX_LINE_BYTES, MalformedCandles, load

from .bars import FALLING, HEADER, line, lines, write

OPENS = 1_748_736_000_000  # ms, of the bar of minute 0


def refusal(*sources: str | Path) -> MalformedCandles:
    with pytest.raises(MalformedCandles) as caught:
        load(sources)
    return caught.value


def changed(column: int, cell: str) -> str:
    """The bar of minute 1 with one cell replaced."""
    cells = line(1).split(",")
    cells[column] = cell
    return ",".join(cells)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (changed(2, "100"), "high 100 is below open 100.5"),
        (changed(2, "101"), "high 101 is below close 102"),
        (changed(3, "101"), "low 101 is above open 100.5"),
        (line(1, ("5", "6", "4.5", "4", "1")), "low 4.5 is above close 4"),
        (line(1, ("5", "6", "0", "4", "1")), "low 0 is not a positive price"),
        (line(1, ("0", "0", "0.0", "0", "1")), "low 0.0 is not a positive price"),
        (changed(1, "-100.5"), "open -100.5 is negative"),
        (changed(5, "-1"), "volume -1 is negative"),
        (
            changed(6, f"{OPENS + 119_998}"),
            f"close_time {OPENS + 119_998} is not {OPENS + 119_999}",
        ),
        (
            changed(6, f"{OPENS + 120_000}"),
            f"close_time {OPENS + 120_000} is not {OPENS + 119_999}",
        ),
        (line(0, FALLING), f"open_time {OPENS} is not later than {OPENS} in the bar before; take"),
        (line(-1), f"open_time {OPENS - 60_000} is not later than {OPENS} in the bar before"),
        (line(1).replace("60000,", "60001,").replace("19999,", "20000,"), "is not on the 1m grid"),
        (line(1, per_ms=1_000), "milliseconds and microseconds are mixed"),
        (changed(6, f"{OPENS + 119_999}000"), "milliseconds and microseconds are mixed"),
        (line(1, minutes=5), "as of a 1m bar"),
        (line(1) + ",0", "has 13 columns, not the 12 of open_time,open,"),
        (line(1)[:40], "columns, not the 12 of open_time,open,"),
        ("", "is blank"),
        (HEADER, "open_time 'open_time' is not 13 digits (ms) or 16 digits (us)"),
        (changed(0, "174873606000"), "open_time '174873606000' is not 13 digits"),
        (changed(0, "0748736060000"), "open_time '0748736060000' is not 13 digits"),
        ("9" * (MAX_LINE_BYTES + 1), f"is longer than {MAX_LINE_BYTES} bytes"),
        (changed(4, "\uff11\uff10\uff12"), "is not ASCII"),
        (changed(4, "\u0661"), "is not ASCII"),
        (line(1) + "\r\r", "does not end with a plain line feed"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_the_reason(
    tmp_path: Path, bad: str, reason: str
) -> None:
    path = write(tmp_path / "BTCUSDT-1m-2025-06.csv.gz", [HEADER, line(0), bad, line(2)])
    refused = refusal(path)
    assert (refused.path, refused.line) == (path, 3)
    assert reason in refused.reason
    assert str(refused) == f"{path}:3: {refused.reason}"


@pytest.mark.parametrize(
    "cell",
    [
        *("NaN", "inf", "Infinity", "1e2", "1E+2", "1_02", " 102", "102 ", "+102", "0102", "102."),
        *(".5", "", "0x66", "1 02", '"102"', "1" * 19, "1." + "1" * 19),
    ],
)
@pytest.mark.parametrize("column", [1, 2, 3, 4, 5, 7, 11])
def test_a_cell_that_is_not_a_plain_decimal_is_refused(
    tmp_path: Path, column: int, cell: str
) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv", [line(0), changed(column, cell)])
    assert refusal(path).line == 2


def test_the_reason_names_the_column_and_shows_the_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv", [changed(3, "nan")])
    reason = "low 'nan' is not a plain decimal such as 107187.4"
    assert str(refusal(path)) == f"{path}:1: {reason}"


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_bytes(line(0).encode() + b"\n" + b"17\xff\xfe\n")
    assert (refusal(path).line, refusal(path).reason) == (2, "byte 3 is not ASCII")


def test_a_byte_order_mark_is_refused_anywhere_but_at_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_bytes(line(0).encode() + b"\n\xef\xbb\xbf" + line(1).encode())
    assert (refusal(path).line, refusal(path).reason) == (2, "byte 1 is not ASCII")


@pytest.mark.parametrize("packing", ["csv", "csv.gz", "zip"])
@pytest.mark.parametrize("text_lines", [[], [HEADER]], ids=["empty", "only a header"])
def test_a_file_without_a_bar_is_refused(
    tmp_path: Path, packing: str, text_lines: list[str]
) -> None:
    path = write(tmp_path / f"BTCUSDT-1m.{packing}", text_lines)
    assert str(refusal(path)).startswith(f"{path}: holds no bar")


def test_a_gzip_file_that_breaks_off_is_refused_at_every_length(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv.gz", lines(20))
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        refused = refusal(path)
        assert (refused.line or 0) >= 1
        assert "cut short or damaged here" in refused.reason


def test_a_long_gzip_file_that_breaks_off_is_refused_near_the_break(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv.gz", lines(5_000))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 9 // 10])
    assert 4_000 < (refusal(path).line or 0) < 5_000


def test_a_gzip_file_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv.gz", lines(20))
    data = bytearray(path.read_bytes())
    data[-8] ^= 1
    path.write_bytes(data)
    assert "CRC check failed" in refusal(path).reason


def test_a_gzip_file_with_other_bytes_behind_it_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv.gz", lines(2))
    path.write_bytes(path.read_bytes() + b"more")
    assert "cut short or damaged here" in refusal(path).reason


def test_a_zip_that_breaks_off_is_refused_at_every_length(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.zip", lines(20))
    whole = path.read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        assert "cut short or damaged here" in refusal(path).reason


@pytest.mark.parametrize("packing", ["csv.gz", "zip"])
def test_a_damaged_byte_is_refused_or_changes_no_candle(tmp_path: Path, packing: str) -> None:
    path = write(tmp_path / f"BTCUSDT-1m.{packing}", lines(4))
    whole = path.read_bytes()
    (file,) = load([path]).by_symbol["BTCUSDT"]
    sound = list(file.candles())
    refused = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x80
        path.write_bytes(damaged)
        try:
            (file,) = load([path]).by_symbol["BTCUSDT"]
        except MalformedCandles:
            refused += 1
        else:
            assert list(file.candles()) == sound
    assert refused > len(whole) // 2


@pytest.mark.parametrize(
    "damage",
    [
        {42: 0xB0},  # the member's place: so near the end that no member fits
        {6: 0xFF},  # the version of the format that is needed
        {9: 0x08, 46: 0xFF},  # the name is UTF-8, and its first byte is not
    ],
    ids=["place", "version", "name"],
)
def test_a_zip_with_a_damaged_directory_is_refused(tmp_path: Path, damage: dict[int, int]) -> None:
    path = tmp_path / "BTCUSDT-1m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bars.csv", line(0))
    data = bytearray(path.read_bytes())
    assert 0xB0 < len(data) < 0xB0 + 30
    entry = data.index(b"PK\x01\x02")
    for place, byte in damage.items():
        data[entry + place] = byte
    path.write_bytes(data)
    assert refusal(path).line == 1
    assert "cut short or damaged here" in refusal(path).reason


def test_a_zip_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("bars.csv", "\n".join(lines(3)))
    path.write_bytes(path.read_bytes().replace(b"1000.5", b"1000.6"))
    assert "Bad CRC-32" in refusal(path).reason


@pytest.mark.parametrize(
    ("members", "held"),
    [
        (["a.csv", "b.csv"], "holds a.csv, b.csv; it must hold one .csv"),
        (["a.csv", "a.csv.CHECKSUM"], "holds a.csv, a.csv.CHECKSUM; it must hold one .csv"),
        (["a.txt"], "holds a.txt; it must hold one .csv"),
        ([], "holds nothing; it must hold one .csv"),
    ],
)
def test_a_zip_must_hold_exactly_one_csv(tmp_path: Path, members: list[str], held: str) -> None:
    path = tmp_path / "BTCUSDT-1m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            archive.writestr(name, line(0))
    assert str(refusal(path)) == f"{path}: {held}"


def test_a_zip_that_is_encrypted_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m.zip", lines(3))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory entry
    path.write_bytes(data)
    assert "is encrypted or packed by a rare method" in refusal(path).reason


def test_a_csv_that_is_really_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_bytes(gzip.compress(line(0).encode()))
    assert refusal(path).reason == "byte 2 is not ASCII"


@pytest.mark.parametrize("minutes", [7, 45, 120, 1440])
def test_an_interval_that_does_not_divide_the_hour_is_refused(tmp_path: Path, minutes: int) -> None:
    path = write(tmp_path / "bars.csv", [line(0, minutes=minutes)])
    refused = refusal(f"BTCUSDT={path}")
    seconds = f"the bar's times are {minutes * 60} s apart, not 1m, 2m,"
    assert (refused.line, refused.reason[: len(seconds)]) == (1, seconds)


def test_bars_must_be_as_long_as_the_name_of_the_file_says(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-5m-2025-06.csv", [HEADER, line(0)])
    assert str(refusal(path)) == f"{path}:2: the bar's times are 60 s apart, not 5m"


@pytest.mark.parametrize(
    "name", ["prices.csv", "btcusdt-1m.csv", "BTCUSDT.csv", "BTCUSDT-1m.txt", "BTCUSDT-1m.csv.bz2"]
)
def test_a_name_that_tells_no_symbol_is_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, lines(2))
    assert "rename it, or give SYMBOL=path" in refusal(path).reason


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    assert str(refusal(path)) == f"{path}: cannot be read: No such file or directory"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(f"BTCUSDT={tmp_path}").reason == "is not a file; name every file by itself"


def test_files_of_one_symbol_that_overlap_are_refused(tmp_path: Path) -> None:
    june = write(tmp_path / "BTCUSDT-1m-2025-06.csv", lines(3))
    july = write(tmp_path / "BTCUSDT-1m-2025-07.csv", lines(3, first=2))
    other = write(tmp_path / "ETHUSDT-1m-2025-06.csv", lines(3))
    reason = f"overlaps {june}, which is BTCUSDT too; leave one of them out"
    assert str(refusal(july, other, june)) == f"{july}: {reason}"


def test_the_same_file_given_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT-1m-2025-06.csv", lines(3))
    assert "overlaps" in refusal(path, path).reason


def test_files_of_one_symbol_must_have_one_interval(tmp_path: Path) -> None:
    june = write(tmp_path / "BTCUSDT-1m-2025-06.csv", lines(3))
    july = write(tmp_path / "BTCUSDT-5m-2025-07.csv", lines(3, first=60, minutes=5))
    assert str(refusal(june, july)) == f"{july}: has 5m bars where {june} has 1m bars"


def test_the_last_line_of_the_last_file_is_checked_before_anything_is_given(
    tmp_path: Path,
) -> None:
    good = write(tmp_path / "BTCUSDT-1m.csv", lines(50))
    bad = write(tmp_path / "ETHUSDT-1m.csv", [*lines(50), line(50, ("5", "4", "3", "4", "1"))])
    assert str(refusal(good, bad)) == f"{bad}:51: high 4 is below open 5"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: write(path, lines(4)), "has changed since it was checked"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
    ids=["rewritten", "removed"],
)
def test_a_file_that_changed_after_it_was_checked_is_refused(
    tmp_path: Path, change: Callable[[Path], object], reason: str
) -> None:
    path = write(tmp_path / "BTCUSDT-1m.csv", lines(5))
    (file,) = load([path]).by_symbol["BTCUSDT"]
    change(path)
    with pytest.raises(MalformedCandles, match=reason):
        next(file.candles())
