from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from accesscontrol.doors import holidays, opening
from accesscontrol.doors.models import ShiftTime, SiteHours
from accesscontrol.doors.outlook import outlook
from accesscontrol.doors.periods import OPEN
from accesscontrol.doors.weeks import in_words, week_in_words
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.rights import Right


class OpeningHoursForm(RecordForm):
    class Meta:
        labels = {"shift": "Weekly hours"}
        help_texts = {
            "shift": "Until the site closes is what the front desk offers for a visit of today. On a holiday the site "
            "is open at the holiday's hours, whatever these weekly hours do elsewhere.",
        }


@admin.register(SiteHours)
class OpeningHoursAdmin(TenantAdmin):
    """When each site is open for visitors."""

    form = OpeningHoursForm
    rights = {"view": Right.ACCESS_READ, "add": Right.ACCESS_WRITE, "change": Right.ACCESS_WRITE}
    site_lookup = "site_id"
    fields = ("site", "shift")
    list_display = ("site", "weekly_hours", "hours")
    list_select_related = ("site", "shift")
    ordering = ("site__name", "id")
    empty_words = "No site has opening hours: visits until closing time end at midnight."
    steps = (
        Step(
            "remove",
            "Without closing time",
            Right.ACCESS_WRITE,
            "remove",
            "“{0}” no longer apply to visitors: the site has no closing time then. Visits that exist stay as they are.",
            icon="all_inclusive",
        ),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: SiteHours | None = None) -> Any:
        return ("site", "week", "exceptions", "standing") if obj is not None else ()

    def get_fields(self, request: HttpRequest, obj: SiteHours | None = None) -> Any:
        return ("site", "shift", "week", "exceptions", "standing") if obj is not None else self.fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[SiteHours]:
        times = Prefetch("shift__times", ShiftTime.objects.filter(OPEN), to_attr="current_times")
        return super().get_queryset(request).prefetch_related(times)

    def save(self, request: HttpRequest, obj: SiteHours, form: Any, *, change: bool, now: datetime) -> SiteHours:
        opening.set_hours(obj.site, obj.shift, by=staff(request).actor, now=now)
        return SiteHours.objects.get(site=obj.site)

    def remove(self, request: HttpRequest, obj: SiteHours, values: dict[str, Any], now: datetime) -> str:
        opening.set_hours(obj.site, None, by=staff(request).actor, now=now)
        return "The site has no closing time any more."

    @display(description="Open for visitors")
    def hours(self, row: SiteHours) -> str:
        times = row.shift.current_times  # type: ignore[attr-defined]
        return week_in_words(in_words(time.stretch for time in times)) or "Never"

    @display(description="Weekly hours", ordering="shift__name")
    def weekly_hours(self, row: SiteHours) -> str:
        return row.shift.name

    @display(description="Open for visitors")
    def week(self, row: SiteHours) -> str:
        return self._outlook(row).week

    @display(description="Holidays to come")
    def exceptions(self, row: SiteHours) -> str:
        return "; ".join(self._outlook(row).exceptions) or "None is known."

    @display(description="Now")
    def standing(self, row: SiteHours) -> str:
        return self._outlook(row).standing

    def _outlook(self, row: SiteHours) -> Any:
        if not hasattr(row, "_found"):
            row._found = outlook(  # type: ignore[attr-defined]
                opening.stretches_of(row.site), row.site.zone, holidays.of_site(row.site_id), timezone.now()
            )
        return row._found  # type: ignore[attr-defined]
