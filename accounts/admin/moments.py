"""Instants as a person reads them on the wall of the place, with the name of the zone."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone


def read_at(moment: datetime | None, zone: ZoneInfo | None = None, *, seconds: bool = False) -> str:
    """Such as “1 Jul 2026, 09:00 CEST”, in this zone or the one that is active; a dash for None."""
    if moment is None:
        return "-"
    local = timezone.localtime(moment, zone)
    clock = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    return f"{local.day} {local:%b %Y}, {clock} {local.tzname()}"


def read_period(begins: datetime, ends: datetime, zone: ZoneInfo | None = None) -> str:
    """Such as “1 Jul 2026, 09:00 to 17:00 CEST”: what is the same at both ends is said once."""
    first, last = timezone.localtime(begins, zone), timezone.localtime(ends, zone)
    if first.tzname() != last.tzname():
        return f"{read_at(begins, zone)} to {read_at(ends, zone)}"
    until = f"{last:%H:%M} {last.tzname()}" if first.date() == last.date() else read_at(ends, zone)
    return f"{first.day} {first:%b %Y}, {first:%H:%M} to {until}"
