"""Whether weekly hours are open at an instant, in the time zone of the place. Pure.

A stretch belongs to the day it starts on; an end at or before its start falls on the next day. On a night when
the clocks change, a start that does not exist is the instant of the change, and of a time that exists twice a
stretch starts at the first and ends at the second: nobody is locked out in the repeated hour. A holiday is a day of
the place: what begins on the day before it goes on to its end.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from accesscontrol.doors.spans import Span, common, union

UTC = ZoneInfo("UTC")


class OnHoliday(StrEnum):
    """What weekly hours do on a holiday of the site where they are used."""

    CLOSED = "closed"
    AS_USUAL = "as_usual"
    HOLIDAY_HOURS = "holiday_hours"


@dataclass(frozen=True)
class Stretch:
    """One part of a week: `weekday` 0 is Monday; times are local."""

    weekday: int
    start_time: time
    end_time: time
    on_holiday: OnHoliday = OnHoliday.CLOSED


@dataclass(frozen=True)
class Holiday:
    """Days of a site that are not as the week says, every year again or once; `hours` empty is closed all day."""

    first_day: date
    last_day: date
    is_yearly: bool = False
    hours: tuple[tuple[time, time], ...] = ()
    name: str = ""

    def covers(self, day: date) -> bool:
        """Whether it is on this day; a yearly one is so from its first year on."""
        if not self.is_yearly:
            return self.first_day <= day <= self.last_day
        first, last = (self.first_day.month, self.first_day.day), (self.last_day.month, self.last_day.day)
        today = (day.month, day.day)
        # From Christmas to Epiphany lies around the turn of the year.
        is_here = first <= today <= last if first <= last else today >= first or today <= last
        return is_here and day >= self.first_day


def holiday_on(day: date, holidays: Iterable[Holiday]) -> Holiday | None:
    """What holds on this day: once goes before every year, few days before many, the later before the earlier."""
    return min((holiday for holiday in holidays if holiday.covers(day)), key=_rank, default=None)


def _rank(holiday: Holiday) -> tuple[bool, timedelta, timedelta]:
    return holiday.is_yearly, holiday.last_day - holiday.first_day, date.max - holiday.first_day


def of_day(day: date, stretches: Collection[Stretch], holidays: Iterable[Holiday]) -> Iterator[Stretch]:
    """The stretches that start on this day."""
    holiday = holiday_on(day, holidays)
    for stretch in stretches:
        if stretch.weekday == day.weekday() and (holiday is None or stretch.on_holiday is OnHoliday.AS_USUAL):
            yield stretch
    if holiday is not None and any(stretch.on_holiday is OnHoliday.HOLIDAY_HOURS for stretch in stretches):
        for start_time, end_time in holiday.hours:
            yield Stretch(day.weekday(), start_time, end_time, OnHoliday.HOLIDAY_HOURS)


def is_open(stretches: Collection[Stretch], now: datetime, zone: ZoneInfo, holidays: Collection[Holiday] = ()) -> bool:
    """Whether `now` lies in one of the stretches."""
    return any(start <= now < end for start, end in around(stretches, now, zone, holidays))


def opened_at(
    stretches: Collection[Stretch],
    now: datetime,
    zone: ZoneInfo,
    holidays: Collection[Holiday] = (),
    *,
    early: timedelta,
) -> datetime | None:
    """The start of the occurrence that `now` lies in, each reckoned as opening `early`; None where it lies in none."""
    # One that starts after midnight opens the day before.
    coming = (*around(stretches, now, zone, holidays), *around(stretches, now + early, zone, holidays))
    return max((start for start, end in coming if start - early <= now < end), default=None)


def around(
    stretches: Collection[Stretch], now: datetime, zone: ZoneInfo, holidays: Collection[Holiday] = ()
) -> Iterator[tuple[datetime, datetime]]:
    """The occurrences `[start, end)` that may contain `now`: those that start today or yesterday, local time."""
    today = now.astimezone(zone).date()
    for day in (today, today - timedelta(days=1)):
        for stretch in of_day(day, stretches, holidays):
            yield occurrence(stretch, day, zone)


def spans(
    stretches: Collection[Stretch],
    zone: ZoneInfo,
    holidays: Collection[Holiday],
    begin: datetime,
    end: datetime,
    *,
    early: timedelta = timedelta(0),
) -> list[Span]:
    """When they are open in `[begin, end)`, each occurrence reckoned as opening `early`."""
    day, last = begin.astimezone(zone).date() - timedelta(days=1), (end + early).astimezone(zone).date()
    found = []
    while day <= last:
        found += [occurrence(stretch, day, zone) for stretch in of_day(day, stretches, holidays)]
        day += timedelta(days=1)
    return common(union((opens - early, closes) for opens, closes in found), [(begin, end)])


def occurrence(stretch: Stretch, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants `[start, end)` of a stretch that starts on this day."""
    last = day + timedelta(days=1) if stretch.end_time <= stretch.start_time else day
    return (
        instant(datetime.combine(day, stretch.start_time), zone, second=False),
        instant(datetime.combine(last, stretch.end_time), zone, second=True),
    )


def instant(local: datetime, zone: ZoneInfo, *, second: bool) -> datetime:
    """The instant of a wall-clock time; `second` chooses of two, and a skipped time is the change of clocks."""
    moment = local.replace(tzinfo=zone, fold=int(second)).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local:
        return moment
    # The time was skipped: read with the offset before the change it lies after it, and the other way round.
    before, after = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    assert before is not None
    assert after is not None
    return _change_between(local.replace(tzinfo=UTC) - after, local.replace(tzinfo=UTC) - before, zone)


def _change_between(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first instant with the later offset, to the second."""
    later = high.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() == later else (middle, high)
    return high.replace(microsecond=0)
