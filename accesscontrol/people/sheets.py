"""The rows of a CSV file or an Excel workbook as text, whatever program and country wrote it. Pure.

Rows are numbered as a spreadsheet numbers them; blank ones are left out. Nothing is unpacked, read or padded past
its limit: a small file can claim to hold a very large table.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice
from typing import Any, Final
from zipfile import ZipFile

from openpyxl import load_workbook

from accounts.refusals import Refusal

LONGEST_CELL: Final = 10_000
MOST_COLUMNS: Final = 100
MOST_UNPACKED: Final = 200_000_000
# What a worksheet may hold at most; a row that claims a higher number would be waited for forever.
_MOST_NUMBERED = 1_048_576
_LOOKED_AT = 50
_SEPARATORS = ",;\t|"
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_MOST_OF_PACKED = 1000

Row = tuple[int, list[str]]


class UnreadableFile(Refusal):
    code = "unreadable_file"
    field = "file"
    text = "This file cannot be read. Save it as CSV (UTF-8) or as Excel workbook (.xlsx)."


class OldWorkbook(UnreadableFile):
    code = "unreadable_file"
    text = "This is an old or protected Excel file. Save it as Excel workbook (.xlsx), or as CSV."


class QuotationMarkMissing(UnreadableFile):
    code = "unreadable_file"
    text = "This file cannot be read: a quotation mark may be missing in it."


class FileTooLarge(Refusal):
    code = "file_too_large"
    field = "file"
    text = "This file is too large."


@dataclass(frozen=True)
class Limits:
    """How much of a file is taken, in bytes as it comes and as it unpacks, and in rows that are not blank."""

    most_bytes: int
    most_rows: int
    # A row of a workbook takes ten times as long to read as a line of text (0.2 ms of processor time).
    most_rows_of_workbook: int | None = None
    most_unpacked: int = MOST_UNPACKED


def read(content: bytes, limits: Limits) -> list[Row]:
    """Its rows that are not blank, each with its number from 1; refuses what is too large or no table."""
    if len(content) > limits.most_bytes:
        raise FileTooLarge(f"This file is too large: {_size(limits.most_bytes)} at most.")
    if content.startswith(_OLD_EXCEL):
        raise OldWorkbook
    is_workbook = content.startswith(b"PK")
    rows = _of_workbook(content, limits) if is_workbook else _of_text(content)
    fewer = limits.most_rows_of_workbook
    most = fewer if is_workbook and fewer is not None else limits.most_rows
    found = list(islice(rows, most + 1))
    if len(found) > most and most < limits.most_rows:
        raise FileTooLarge(f"This workbook has too many rows: {most:,} at most. Save it as CSV: {limits.most_rows:,}.")
    if len(found) > most:
        raise FileTooLarge(f"This file has too many rows: {limits.most_rows:,} at most.")
    return found


def _size(number: int) -> str:
    return f"{number // 1_000_000} MB" if number >= 1_000_000 else f"{number:,} bytes"


def _kept(rows: Iterable[Iterable[str]]) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            continue
        if len(cells) > MOST_COLUMNS:
            raise FileTooLarge(f"Row {number} has too many columns: {MOST_COLUMNS} at most.")
        if any(len(cell) > LONGEST_CELL for cell in cells):
            raise QuotationMarkMissing
        yield number, [_unquoted(cell) for cell in cells]


def _unquoted(cell: str) -> str:
    """Without the apostrophe that keeps a program from taking the cell for a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in ("=", "+", "-", "@") else cell


def _of_workbook(content: bytes, limits: Limits) -> Iterator[Row]:
    try:
        _require_modest(ZipFile(io.BytesIO(content)), limits)
        workbook = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
        # What a sheet says of its own size is not believed.
        sheets[0].reset_dimensions()
        written = sheets[0].iter_rows(max_row=_MOST_NUMBERED, max_col=MOST_COLUMNS + 1, values_only=True)
        # A sheet may leave out a million rows before its last one.
        yield from _kept([] if row.count(None) == len(row) else map(_shown, row) for row in written)
    except Refusal:
        raise
    except Exception as error:
        # A broken archive raises whatever its parts happen to lead to.
        raise UnreadableFile from error


def _require_modest(archive: ZipFile, limits: Limits) -> None:
    # Python unpacks no entry past the size that it states here.
    entries = archive.infolist()
    if len(entries) > _MOST_OF_PACKED or sum(entry.file_size for entry in entries) > limits.most_unpacked:
        raise FileTooLarge("This workbook unpacks to far more than its size. Save the one sheet as CSV.")


def _shown(value: Any) -> str:
    """A cell as its text: dates in ISO form, whole numbers without a point."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}" if value.time() == time() else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def _of_text(content: bytes) -> Iterator[Row]:
    text = _decoded(content)
    if any(sign < " " and sign not in "\t\r\n\f\x0b" for sign in set(text)):
        raise UnreadableFile
    first, _, rest = text.partition("\n")
    # Excel's own way to say it.
    if first.strip().lower()[:4] == "sep=" and len(first.strip()) <= 5:
        # The line counts as a row of the file.
        named = first.rstrip("\r\n")[4:5] or "\t"
        yield from ((number + 1, cells) for number, cells in _cut(rest, named))
    else:
        yield from _cut(text, _separator(text))


def _cut(text: str, separator: str) -> Iterator[Row]:
    try:
        yield from _kept(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise QuotationMarkMissing from error


def _decoded(content: bytes) -> str:
    """Unicode in any of its forms, otherwise what Windows writes in Western countries."""
    encodings = ["utf-8-sig", "cp1252", "latin-1"]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif b"\x00" in content[:1000]:
        encodings = ["utf-16-le" if content[1:2] == b"\x00" else "utf-16-be"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnreadableFile


def _separator(text: str) -> str:
    """The sign that cuts the first rows into the most columns, and into as many in each."""
    start = text[:100_000]

    def evenness(separator: str) -> tuple[float, int]:
        try:
            rows = list(islice(csv.reader(io.StringIO(start, newline=""), delimiter=separator), _LOOKED_AT))
        except csv.Error:
            return 0, 0
        widths = Counter(len(row) for row in rows if any(row))
        if not widths:
            return 0, 0
        width, times = max(widths.items(), key=lambda found: (found[1], found[0]))
        return (times / widths.total() if width > 1 else 0, width)

    return max(_SEPARATORS, key=evenness)
