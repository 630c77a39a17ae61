"""A list of visitors that came as a file, read as the lines that somebody would have pasted."""

import csv
import io
from typing import Any
from zipfile import ZipFile

from openpyxl import load_workbook

from accesscontrol.visits.gatherings import MOST
from accounts.refusals import Refusal

MOST_BYTES = 1_000_000
# What a spreadsheet unpacks to: a small archive can hold a very large one.
MOST_UNPACKED = 20_000_000


class UnreadableFile(Refusal):
    code = "unreadable_file"
    field = "file"
    text = "This file cannot be read. Save it as CSV (UTF-8) or as Excel workbook (.xlsx)."


class TooLarge(Refusal):
    code = "file_too_large"
    field = "file"
    text = "This file is too large: 1 MB and 2,000 visitors at most."


def lines_of(file: Any) -> str:
    """One visitor a line, cells apart by tabs; refuses what is too large or no list."""
    if (file.size or 0) > MOST_BYTES:
        raise TooLarge
    content = file.read()
    rows = _of_workbook(content) if content[:2] == b"PK" else _of_text(content)
    if len(rows) > MOST:
        raise TooLarge
    cells = ([" ".join(cell.split()) for cell in row] for row in rows)
    return "\n".join("\t".join(row).rstrip("\t") for row in cells)


def _of_workbook(content: bytes) -> list[list[str]]:
    try:
        if sum(entry.file_size for entry in ZipFile(io.BytesIO(content)).infolist()) > MOST_UNPACKED:
            raise TooLarge  # noqa: TRY301  # as broken ones, found out by reading
        sheet = load_workbook(io.BytesIO(content), read_only=True, data_only=True).worksheets[0]
        rows = sheet.iter_rows(max_row=MOST + 1, max_col=6, values_only=True)
        return [["" if cell is None else str(cell) for cell in row] for row in rows if any(row)]
    except Refusal:
        raise
    except Exception as error:
        # A broken archive raises whatever its parts happen to lead to.
        raise UnreadableFile from error


def _of_text(content: bytes) -> list[list[str]]:
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise UnreadableFile
    if "\x00" in text:
        raise UnreadableFile
    first = text.splitlines()[0] if text else ""
    separator = max(";\t,", key=first.count)
    # Lines end in whatever way the writer's system ends them.
    rows = csv.reader(text.splitlines(keepends=True), delimiter=separator)
    try:
        return [row for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UnreadableFile from error
