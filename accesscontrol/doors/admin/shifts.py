from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from accesscontrol.doors import granting
from accesscontrol.doors.admin import previews
from accesscontrol.doors.hours import Stretch
from accesscontrol.doors.models import Shift, ShiftTime
from accesscontrol.doors.periods import OPEN
from accesscontrol.doors.weeks import DAYS, BadHours, in_words, stretches_of, week_in_words
from accounts.admin.records import RecordForm, TenantAdmin, visible_rows
from accounts.admin_site import staff
from accounts.models import Site
from accounts.rights import Right


class ShiftForm(RecordForm):
    called = {"times": "day_0"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial.update({f"day_{day}": words for day, words in days_of(self.instance).items()})

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        stretches: list[Stretch] = []
        for day in range(7):
            try:
                stretches += stretches_of(day, values.get(f"day_{day}") or "")
            except BadHours as refusal:
                self.add_error(f"day_{day}", refusal.sentence)
        values["stretches"] = stretches
        return values


for _day, _name in enumerate(DAYS):
    _field = forms.CharField(label=_name, required=False, max_length=200, widget=UnfoldAdminTextInputWidget)
    ShiftForm.base_fields[f"day_{_day}"] = ShiftForm.declared_fields[f"day_{_day}"] = _field


def days_of(shift: Shift) -> dict[int, str]:
    rows = ShiftTime.objects.filter(OPEN, shift=shift)
    return in_words(row.stretch for row in rows)


@admin.register(Shift)
class ShiftAdmin(TenantAdmin):
    """Weekly hours, painted on a week or written day by day."""

    class Media:
        js = ("admin_site/week.js",)

    form = ShiftForm
    rights = {"view": Right.ACCESS_READ, "add": Right.ACCESS_WRITE, "change": Right.ACCESS_WRITE}
    list_display = ("name", "week")
    ordering = ("name", "id")
    empty_words = "Weekly hours say when an access level opens its doors, such as Monday to Friday 07:00-19:00."

    fieldsets = (
        (None, {"fields": ("name",)}),
        (
            "Hours of each day",
            {
                "fields": tuple(f"day_{day}" for day in range(7)),
                "description": "Drag over the week to open or close hours, or write times such as 09:00-17:00, or "
                "09:00-12:00, 13:00-17:00. An end before the start is on the next day: 22:00-06:00. They are read in "
                "the time zone of the site.",
            },
        ),
        (
            "Holidays",
            {
                "fields": ("on_holiday",),
                "description": "Holidays are added for each site. A night that begins on the day before goes on to its "
                "end.",
            },
        ),
        (None, {"fields": ("notes",)}),
    )
    readonly_fields = ("opens",)

    def visible(self, request: HttpRequest) -> QuerySet[Shift]:
        # The hours of one recurring visit are that visit's.
        return super().visible(request).filter(is_private=False)

    def is_open(self, request: HttpRequest, obj: Shift) -> bool:
        # Other sites use the same hours.
        return staff(request).site_ids is None

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Shift | None:
        shift: Shift | None = super().get_object(request, object_id, from_field)
        if shift is not None:
            shift.visible_sites = visible_rows(request, Site)  # type: ignore[attr-defined]
        return shift

    def get_fieldsets(self, request: HttpRequest, obj: Shift | None = None) -> Any:
        opens = ("When they are open", {"fields": ("opens",)})
        if obj is not None and not self.has_change_permission(request, obj):
            return ((None, {"fields": ("name", "week", "on_holiday", "notes")}), opens)
        return (*self.fieldsets, opens) if obj is not None else self.fieldsets

    def get_queryset(self, request: HttpRequest) -> QuerySet[Shift]:
        times = Prefetch("times", ShiftTime.objects.filter(OPEN), to_attr="current_times")
        return super().get_queryset(request).prefetch_related(times)

    def save(self, request: HttpRequest, obj: Shift, form: Any, *, change: bool, now: datetime) -> Shift:
        obj.save()
        plain = [name for name in form.changed_data if not name.startswith("day_")]
        self.audit(request, obj, "change" if change else "create", plain, now)
        if len(plain) < len(form.changed_data):
            granting.set_times(obj, form.cleaned_data["stretches"], by=staff(request).actor, now=now)
        elif change and "on_holiday" in plain:
            granting.set_on_holiday(obj, obj.on_holiday, by=staff(request).actor, now=now)
        return obj

    @display(description="At each site")
    def opens(self, shift: Shift) -> str:
        return previews.of_shift(shift, shift.visible_sites, timezone.now())  # type: ignore[attr-defined]

    @display(description="Hours")
    def week(self, shift: Shift) -> str:
        times = shift.current_times  # type: ignore[attr-defined]
        return week_in_words(in_words(time.stretch for time in times)) or "Never"
