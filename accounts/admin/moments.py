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
