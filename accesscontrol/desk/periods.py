"""The periods that one click chooses, in the time of the site. Pure."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.utils.translation import gettext_lazy as _

PERIODS = [
    ("closing", _("Until closing")),
    ("hour", _("1 hour")),
    ("today", _("Today")),
    ("three_days", _("3 days")),
    ("week", _("1 week")),
    ("other", _("Other times")),
]
DAYS = {"three_days": 3, "week": 7}


def period_of(
    name: str, now: datetime, zone: ZoneInfo, closing: Callable[[datetime], datetime | None]
) -> tuple[datetime, datetime]:
    """`[start, end)` of a choice made at `now`.

    `closing` says when the place closes next; where it does not, or has closed for today, the day ends at midnight.
    """
    if name == "hour":
        return now, now + timedelta(hours=1)
    today = now.astimezone(zone).date()
    last = today + timedelta(days=DAYS.get(name, 1) - 1)
    midnight = at(last + timedelta(days=1), time(), zone)
    if name == "today":
        return now, midnight
    closes = closing(now if last == today else at(last, time(), zone))
    if closes is None or closes > midnight or closes <= now + timedelta(minutes=5):
        return now, midnight
    return now, closes


def at(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """The instant of a time on the wall."""
    return datetime.combine(day, clock, zone)
