"""A list of visitors that came as a file, read as the lines that somebody would have pasted."""

from typing import Any

from accesscontrol.people import sheets
from accesscontrol.people.sheets import UnreadableFile
from accesscontrol.visits.gatherings import MOST
from accounts.refusals import Refusal

MOST_BYTES = 1_000_000
# What a spreadsheet unpacks to: a small archive can hold a very large one.
_LIMITS = sheets.Limits(MOST_BYTES, MOST, most_unpacked=20_000_000)
_COLUMNS = 6
__all__ = ["MOST", "MOST_BYTES", "TooLarge", "UnreadableFile", "lines_of"]


class TooLarge(Refusal):
    code = "file_too_large"
    field = "file"
    text = "This file is too large: 1 MB and 1,000 visitors at most."


def lines_of(file: Any) -> str:
    """One visitor a line, cells apart by tabs; refuses what is too large or no list."""
    if (file.size or 0) > MOST_BYTES:
        raise TooLarge
    try:
        rows = sheets.read(file.read(), _LIMITS)
    except sheets.FileTooLarge as refusal:
        raise TooLarge from refusal
    cells = ([" ".join(cell.split()) for cell in row[:_COLUMNS]] for _, row in rows)
    return "\n".join("\t".join(row).rstrip("\t") for row in cells)
