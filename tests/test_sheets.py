"""Tables as people send them: any separator, any encoding, workbooks, and files that are made to do harm."""

import io
import time
import zipfile
from datetime import date, datetime

import pytest
from openpyxl import Workbook

from accesscontrol.people import sheets
from accesscontrol.people.sheets import FileTooLarge, Limits, UnreadableFile

LIMITS = Limits(most_bytes=1_000_000, most_rows=100)
WANTED = [(1, ["Name", "E-mail"]), (2, ["Zoë Müller", "z@example.com"])]


def workbook(*rows, sheets_before=0):
    book, content = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(content)
    return content.getvalue()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_separator_encoding_and_line_end(separator, encoding, end):
    text = f"Name{separator}E-mail{end}Zoë Müller{separator}z@example.com{end}"
    assert sheets.read(text.encode(encoding), LIMITS) == WANTED


def test_rows_keep_the_numbers_that_a_spreadsheet_shows():
    text = 'Name,Notes\n\n,\nAnn,"two\nlines"\nBob,\n'
    assert sheets.read(text.encode(), LIMITS) == [(1, ["Name", "Notes"]), (4, ["Ann", "two\nlines"]), (5, ["Bob"])]
    assert sheets.read(b"sep=;\nName;Mail\nAnn, B.;x\n", LIMITS) == [(2, ["Name", "Mail"]), (3, ["Ann, B.", "x"])]
    assert sheets.read(b"", LIMITS) == []


def test_commas_inside_do_not_separate():
    text = "Name;Groups\nArcher, Ann;Staff, Cleaning\nBuilder, Bob;Staff\n"
    assert sheets.read(text.encode(), LIMITS)[1] == (2, ["Archer, Ann", "Staff, Cleaning"])


def test_cells_of_a_workbook_are_what_they_show():
    rows = sheets.read(
        workbook(
            ["Card", "Since", "At", "Active", "Text"],
            [],
            [4711.0, date(2026, 7, 1), datetime(2026, 7, 1, 9, 30), True, "00042"],
        ),
        LIMITS,
    )
    assert rows[1] == (3, ["4711", "2026-07-01", "2026-07-01 09:30", "yes", "00042"])


def test_an_apostrophe_against_formulas_is_none_of_the_cell():
    assert sheets.read(b"A,B\n'=1+1,'n Sync\n", LIMITS)[1] == (2, ["=1+1", "'n Sync"])


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 no archive",
        b"\xd0\xcf\x11\xe0 old excel",
        b"%PDF-1.7\x00\x01\x02",
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b'a,b\n"' + b"x" * 200_000,
        b'a,b\n"' + b"x" * 20_000,
    ],
)
def test_what_is_no_table_is_refused(content):
    with pytest.raises(UnreadableFile):
        sheets.read(content, LIMITS)


def packed(**entries):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    return content.getvalue()


def replaced(content, path, change):
    """The same workbook with one of its parts changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            text = before.read(name)
            after.writestr(name, change(text) if name == path else text)
    return made.getvalue()


SHEET = "xl/worksheets/sheet1.xml"
BOMB = (
    b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaaaaaaaaaaaa">%s]><worksheet>&k;</worksheet>"""
    % b"".join(b'<!ENTITY %c "%s">' % (98 + step, b"&%c;" % (97 + step) * 20) for step in range(10))
)


def test_what_unpacks_to_too_much_is_refused():
    with pytest.raises(FileTooLarge):
        sheets.read(packed(**{"xl/a": b"\x00" * 3_000_000}), Limits(1_000_000, 100, most_unpacked=2_000_000))
    with pytest.raises(FileTooLarge):
        sheets.read(packed(**{f"a{number}": b"" for number in range(1001)}), LIMITS)


def test_a_workbook_that_lies_about_its_size_takes_no_longer():
    good = workbook(["Name"], ["Ann"])
    far = replaced(good, SHEET, lambda text: text.replace(b'r="2"', b'r="99999999999"').replace(b'"A2"', b'"A9999"'))
    began = time.process_time()
    assert sheets.read(far, LIMITS) == [(1, ["Name"])]
    # About one second; twenty if each of the million rows that it leaves out were looked at cell by cell.
    assert time.process_time() - began < 10
    wide = replaced(good, SHEET, lambda text: text.replace(b"A1:A2", b"A1:XFD1048576"))
    assert sheets.read(wide, LIMITS) == [(1, ["Name"]), (2, ["Ann"])]
    with pytest.raises(UnreadableFile):
        sheets.read(replaced(good, SHEET, lambda text: BOMB), LIMITS)


def test_a_workbook_may_hold_fewer_rows_than_a_text():
    fewer = Limits(most_bytes=1_000_000, most_rows=100, most_rows_of_workbook=3)
    rows = [["Name"], ["Ann"], ["Bob"]]
    assert len(sheets.read(workbook(*rows), fewer)) == 3
    with pytest.raises(FileTooLarge, match=r"This workbook has too many rows: 3 at most\. Save it as CSV: 100\."):
        sheets.read(workbook(*rows, ["Cleo"]), fewer)
    assert len(sheets.read(b"Name\nAnn\nBob\nCleo\n", fewer)) == 4


def test_limits_are_told_in_words():
    with pytest.raises(FileTooLarge, match="1 MB"):
        sheets.read(b"x" * 1_000_001, LIMITS)
    with pytest.raises(FileTooLarge, match="100"):
        sheets.read(b"Ann\n" * 101, LIMITS)
    with pytest.raises(FileTooLarge, match="Row 1 has too many columns"):
        sheets.read(b"a," * 100 + b"a", LIMITS)
    with pytest.raises(FileTooLarge, match="Row 1 has too many columns"):
        sheets.read(workbook(["a"] * 101), LIMITS)
