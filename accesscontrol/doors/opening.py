"""When a site is open for visitors. A site without opening hours has no closing time."""

from datetime import datetime, timedelta

from accesscontrol.doors.hours import Stretch, occurrence
from accesscontrol.doors.models import Shift, ShiftTime, SiteHours
from accesscontrol.doors.periods import OPEN
from accounts.models import Site


def hours_of(site: Site) -> Shift | None:
    """The weekly hours in which the site is open."""
    row = SiteHours.objects.filter(site=site).select_related("shift").first()
    return row.shift if row else None


def closing(site: Site, moment: datetime) -> datetime | None:
    """When the site closes next, at or after this instant; None where it has no hours."""
    stretches = [
        Stretch(row.weekday, row.start_time, row.end_time)
        for row in ShiftTime.objects.filter(OPEN, shift__in=SiteHours.objects.filter(site=site).values("shift_id"))
    ]
    today = moment.astimezone(site.zone).date()
    days = [today + timedelta(days=number) for number in range(-1, 8)]
    ends = [
        occurrence(stretch, day, site.zone)[1]
        for stretch in stretches
        for day in days
        if day.weekday() == stretch.weekday
    ]
    return min((end for end in ends if end > moment), default=None)
