"""Years and dates: what people remember anyway.

Years run from 1900 to 2029; two-digit years are all 100, since a birthday may lie in either century.
29 February counts in every year, because a PIN does not say which year it means.
A date may be told day first, month first or year first; at 7 digits with its leading zero dropped.
"""

from collections.abc import Iterator
from datetime import date
from itertools import product

YEARS = range(1900, 2030)
_MONTH_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS = tuple((month, day) for month in range(1, 13) for day in range(1, _MONTH_LENGTHS[month - 1] + 1))


def years(length: int) -> Iterator[str]:
    """A year at 4 digits, a year and one more digit at 5, a year and a month at 6, two years at 8."""
    if length == 4:
        yield from map(str, YEARS)
    elif length == 5:
        yield from (f"{year}{digit}" for year, digit in product(YEARS, range(10)))
    elif length == 6:
        yield from (f"{year}{month:02d}" for year, month in product(YEARS, range(1, 13)))
    elif length == 8:
        yield from (f"{first}{second}" for first, second in product(YEARS, repeat=2))


def dates(length: int) -> Iterator[str]:
    """MMDD and DDMM at 4 digits; DDMMYY, MMDDYY, YYMMDD at 6; the same with four-digit years at 8."""
    if length == 4:
        for month, day in _DAYS:
            yield f"{month:02d}{day:02d}"
            yield f"{day:02d}{month:02d}"
    elif length in (6, 8):
        spelled = [f"{year:02d}" for year in range(100)] if length == 6 else list(map(str, YEARS))
        for (month, day), year in product(_DAYS, spelled):
            yield f"{day:02d}{month:02d}{year}"
            yield f"{month:02d}{day:02d}{year}"
            yield f"{year}{month:02d}{day:02d}"
    elif length == 7:
        for (month, day), number in product(_DAYS, YEARS):
            if day < 10:
                yield f"{day}{month:02d}{number}"
            if month < 10:
                yield f"{month}{day:02d}{number}"


def spellings(day: date) -> set[str]:
    """Every usual way to write one date in four digits or more, with or without leading zeros and century."""
    days, months = {f"{day.day:02d}", f"{day.day}"}, {f"{day.month:02d}", f"{day.month}"}
    full, short = f"{day.year:04d}", f"{day.year % 100:02d}"
    written = {full}
    for d, m in product(days, months):
        written |= {d + m, m + d}
        for y in (full, short):
            written |= {d + m + y, m + d + y, y + m + d, y + d + m, m + y, y + m, d + y, y + d}
    return {text for text in written if len(text) >= 4}
