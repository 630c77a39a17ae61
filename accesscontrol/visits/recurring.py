"""Visits that come back every week: weekdays and hours that belong to one visit, kept as a shift of its own."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from accesscontrol.doors import granting, weeks
from accesscontrol.doors.hours import Stretch, occurrence
from accesscontrol.doors.models import Shift, ShiftTime
from accesscontrol.doors.periods import OPEN
from accounts import audit
from accounts.refusals import Refusal


class NoWeekdays(Refusal):
    code = "required"
    field = "weekdays"
    text = "Choose at least one day of the week."


class NeverOpens(Refusal):
    code = "invalid_period"
    field = "end_time"
    text = "None of these days of the week lies between the first and the last day."


@dataclass(frozen=True)
class Weekly:
    """The same hours on some days of the week, local time; 0 is Monday. An end at or before the start is next day."""

    weekdays: frozenset[int]
    start: time
    end: time

    def stretches(self) -> list[Stretch]:
        return [Stretch(weekday, self.start, self.end) for weekday in sorted(self.weekdays)]

    def in_words(self) -> str:
        return weeks.week_in_words(weeks.in_words(self.stretches()))


def make_shift(
    weekly: Weekly, *, start_time: datetime, end_time: datetime, zone: ZoneInfo, by: audit.Actor, now: datetime
) -> Shift:
    """A shift for one visit alone, not listed among the weekly hours; refuses one that never opens in the period."""
    if not weekly.weekdays:
        raise NoWeekdays
    first = start_time.astimezone(zone).date() - timedelta(days=1)
    days = [first + timedelta(days=number) for number in range(9)]
    if not any(
        start < end_time and end > start_time
        for stretch in weekly.stretches()
        for start, end in (occurrence(stretch, day, zone) for day in days if day.weekday() == stretch.weekday)
    ):
        raise NeverOpens
    shift = Shift.objects.create(name=weekly.in_words()[:120], is_private=True, created_at=now)
    granting.set_times(shift, weekly.stretches(), by=by, now=now)
    return shift


def in_words(shift: Shift | None) -> str:
    """The hours of a visit, such as “Tuesday 18:00-20:30; Thursday 18:00-20:30”; empty where it has none."""
    if shift is None:
        return ""
    rows = ShiftTime.objects.filter(OPEN, shift=shift)
    stretches = [Stretch(row.weekday, row.start_time, row.end_time) for row in rows]
    return weeks.week_in_words(weeks.in_words(stretches)) or "Never"
