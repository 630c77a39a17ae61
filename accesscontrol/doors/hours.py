"""Whether weekly hours are open at an instant, in the time zone of the place. Pure.

A stretch belongs to the day it starts on; an end at or before its start falls on the next day. On a night when
the clocks change, a start that does not exist is the instant of the change, and of a time that exists twice a
stretch starts at the first and ends at the second: nobody is locked out in the repeated hour.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class Stretch:
    """One part of a week: `weekday` 0 is Monday; times are local."""

    weekday: int
    start_time: time
    end_time: time


def is_open(stretches: Iterable[Stretch], now: datetime, zone: ZoneInfo) -> bool:
    """Whether `now` lies in one of the stretches."""
    return any(start <= now < end for start, end in around(stretches, now, zone))


def opened_at(stretches: Iterable[Stretch], now: datetime, zone: ZoneInfo, *, early: timedelta) -> datetime | None:
    """The start of the occurrence that `now` lies in, each reckoned as opening `early`; None where it lies in none."""
    stretches = list(stretches)
    # One that starts after midnight opens the day before.
    coming = (*around(stretches, now, zone), *around(stretches, now + early, zone))
    return max((start for start, end in coming if start - early <= now < end), default=None)


def around(stretches: Iterable[Stretch], now: datetime, zone: ZoneInfo) -> Iterable[tuple[datetime, datetime]]:
    """The occurrences `[start, end)` that may contain `now`: those that start today or yesterday, local time."""
    today = now.astimezone(zone).date()
    for stretch in stretches:
        for day in (today, today - timedelta(days=1)):
            if day.weekday() == stretch.weekday:
                yield occurrence(stretch, day, zone)


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
