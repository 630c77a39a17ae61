"""Where local days and hours begin; a day has 23 or 25 hours where clocks are changed. Pure."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_HOUR = timedelta(hours=1)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When this day begins there; where clocks skip midnight, when they do."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def days(now: datetime, zone: ZoneInfo, number: int) -> list[datetime]:
    """The beginnings of the last so many days, today the last of them, and of tomorrow."""
    today = now.astimezone(zone).date()
    return [midnight(today + timedelta(days=ago), zone) for ago in range(1 - number, 2)]


def hours_of_today(now: datetime, zone: ZoneInfo) -> list[datetime]:
    """The beginnings of all hours of today, and of tomorrow."""
    begin, end = days(now, zone, 1)
    hours = [begin]
    while hours[-1] < end:
        hours.append(min(hours[-1] + _HOUR, end))
    return hours


def last_hours(now: datetime, zone: ZoneInfo, number: int) -> list[datetime]:
    """The beginnings of the last so many hours, this one the last of them, and of the next."""
    this = now.astimezone(zone).replace(minute=0, second=0, microsecond=0).astimezone(UTC)
    return [this + ago * _HOUR for ago in range(1 - number, 2)]
