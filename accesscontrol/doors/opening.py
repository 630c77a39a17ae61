"""When a site is open for visitors. A site without opening hours has no closing time; holidays have their own hours."""

from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction

from accesscontrol.doors import holidays
from accesscontrol.doors.hours import OnHoliday, Stretch, occurrence, of_day
from accesscontrol.doors.models import Shift, ShiftTime, SiteHours
from accesscontrol.doors.periods import OPEN
from accounts import audit
from accounts.models import Site


@transaction.atomic
def set_hours(site: Site, shift: Shift | None, *, by: audit.Actor, now: datetime) -> None:
    """Say in which weekly hours a site is open for visitors, or (None) that it never closes."""
    Site.objects.select_for_update(of=("self",)).get(pk=site.pk)
    before = hours_of(site)
    if (before.pk if before else None) == (shift.pk if shift else None):
        return
    if shift is None:
        SiteHours.objects.filter(site=site).delete()
    else:
        SiteHours.objects.update_or_create(site=site, defaults={"shift": shift})
    audit.record("change", "site", site.pk, by=by, now=now, fields=["opening_hours"])


def hours_of(site: Site) -> Shift | None:
    """The weekly hours in which the site is open."""
    row = SiteHours.objects.filter(site=site).select_related("shift").first()
    return row.shift if row else None


def stretches_of(site: Site) -> list[Stretch]:
    """The opening hours; whatever the weekly hours do elsewhere, a site keeps the hours of its holidays."""
    rows = ShiftTime.objects.filter(OPEN, shift__in=SiteHours.objects.filter(site=site).values("shift_id"))
    return [replace(row.stretch, on_holiday=OnHoliday.HOLIDAY_HOURS) for row in rows]


def closing(site: Site, moment: datetime) -> datetime | None:
    """When the site closes next, at or after this instant; None where it has no hours."""
    stretches, exceptions = stretches_of(site), holidays.of_site(site.pk)
    today = moment.astimezone(site.zone).date()
    days = [today + timedelta(days=number) for number in range(-1, 8)]
    ends = [occurrence(stretch, day, site.zone)[1] for day in days for stretch in of_day(day, stretches, exceptions)]
    return min((end for end in ends if end > moment), default=None)
