"""Weekly hours in words: “09:00-12:00, 13:00-17:00” for a day, and back. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import time

from accesscontrol.doors.hours import Stretch
from accounts.refusals import Refusal

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_STRETCH = re.compile(r"(\d{1,2})(?::(\d{2}))?\s*(?:-|–|to)\s*(\d{1,2})(?::(\d{2}))?", re.ASCII)


class BadHours(Refusal):
    code = "invalid"
    text = "Write times such as 09:00-17:00, several of them with commas between."


def stretches_of(weekday: int, words: str) -> list[Stretch]:
    """The stretches that start on this day; refuses what is no time. 24:00 is midnight."""
    stretches = []
    for part in filter(None, (part.strip() for part in re.split(r"[,;]", words))):
        found = _STRETCH.fullmatch(part)
        if found is None:
            raise BadHours
        start_hour, start_minute, end_hour, end_minute = (int(number or 0) for number in found.groups())
        stretches.append(Stretch(weekday, _time(start_hour, start_minute), _time(end_hour, end_minute, may_be_24=True)))
    return stretches


def _time(hour: int, minute: int, *, may_be_24: bool = False) -> time:
    if may_be_24 and (hour, minute) == (24, 0):
        return time(0)
    try:
        return time(hour, minute)
    except ValueError as error:
        raise BadHours from error


def in_words(stretches: Iterable[Stretch]) -> dict[int, str]:
    """By weekday, as `stretches_of` reads it; days without hours are left out."""
    days: dict[int, list[tuple[time, time]]] = {}
    for stretch in stretches:
        days.setdefault(stretch.weekday, []).append((stretch.start_time, stretch.end_time))
    return {weekday: day_in_words(days[weekday]) for weekday in sorted(days)}


def day_in_words(times: Iterable[tuple[time, time]]) -> str:
    """The hours of one day: “09:00-12:00, 13:00-17:00”."""
    return ", ".join(f"{start:%H:%M}-{end:%H:%M}" for start, end in sorted(times))


def week_in_words(days: Mapping[int, str]) -> str:
    """Days with the same hours together: “Monday to Friday 09:00-17:00; Saturday 10:00-14:00”."""
    runs: list[tuple[int, int, str]] = []
    for weekday in sorted(days):
        if runs and runs[-1][1] == weekday - 1 and runs[-1][2] == days[weekday]:
            runs[-1] = (runs[-1][0], weekday, days[weekday])
        else:
            runs.append((weekday, weekday, days[weekday]))
    return "; ".join(
        f"{DAYS[first]} {words}" if first == last else f"{DAYS[first]} to {DAYS[last]} {words}"
        for first, last, words in runs
    )
