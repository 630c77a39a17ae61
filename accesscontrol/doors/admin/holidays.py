from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from accesscontrol.doors import holidays
from accesscontrol.doors.admin.choosing import offer
from accesscontrol.doors.models import Holiday
from accesscontrol.doors.outlook import days_in_words
from accesscontrol.doors.weeks import BadHours, day_in_words, stretches_of
from accounts.admin.narrowing import SiteFilter
from accounts.admin.records import RecordForm, TenantAdmin
from accounts.admin.steps import Step
from accounts.admin_site import staff
from accounts.models import Site
from accounts.rights import Right


class SitesField(forms.ModelMultipleChoiceField[Site]):
    widget = UnfoldAdminCheckboxSelectMultipleWidget


class HolidayForm(RecordForm):
    has_own_refusals = True
    called = {"hours": "open_hours"}

    sites = SitesField(None, help_text="The same holiday is added at each of them.")
    open_hours = forms.CharField(
        label="Open",
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget({"placeholder": "Closed all day"}),
        help_text="Empty: closed all day. Otherwise the times of each of these days, such as 09:00-12:00, 13:00-15:00.",
    )

    class Meta:
        labels = {"is_yearly": "Every year again"}
        help_texts = {
            "name": "Such as Christmas, or Annual stocktaking.",
            "last_day": "The same day for a single day. Days begin and end at midnight at the site.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, "sites", Site)
        if self.instance.pk:
            # A holiday stays at its site.
            self.fields.pop("sites", None)
            self.initial["open_hours"] = day_in_words(holidays.clocks(self.instance.hours))
        elif "sites" in self.fields:
            self.initial["sites"] = list(self.fields["sites"].queryset)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        try:
            times = [(one.start_time, one.end_time) for one in stretches_of(0, values.get("open_hours") or "")]
        except BadHours as refusal:
            self.add_error("open_hours", refusal.sentence)
        else:
            values["times"] = tuple(sorted(times))
        return values


@admin.register(Holiday)
class HolidayAdmin(TenantAdmin):
    """Days on which a site does not keep its week."""

    form = HolidayForm
    rights = {"view": Right.ACCESS_READ, "add": Right.ACCESS_WRITE, "change": Right.ACCESS_WRITE}
    site_lookup = "site_id"
    list_display = ("name", "days", "open_hours", "site")
    list_select_related = ("site",)
    list_filter = (SiteFilter, "is_yearly")
    ordering = ("first_day", "site__name", "id")
    empty_words = (
        "Add the days on which a site is closed or opens at other hours. Weekly hours say what they do on these days."
    )
    steps = (
        Step(
            "remove",
            "Take away",
            Right.ACCESS_WRITE,
            "remove",
            "From now on “{0}” is a day like every other. What happened until now stays as it was.",
            icon="event_busy",
            danger=True,
        ),
    )

    def visible(self, request: HttpRequest) -> QuerySet[Holiday]:
        return super().visible(request).filter(ended_at=None)

    def get_fields(self, request: HttpRequest, obj: Holiday | None = None) -> Any:
        days: tuple[Any, ...] = ("name", ("first_day", "last_day"), "is_yearly")
        if obj is None:
            return (*days, "open_hours", "sites")
        if not self.has_change_permission(request, obj):
            return ("name", "days", "open_words", "site")
        return (*days, "open_hours", "site")

    def get_readonly_fields(self, request: HttpRequest, obj: Holiday | None = None) -> Any:
        return ("site", "days", "open_words") if obj is not None else ()

    def save(self, request: HttpRequest, obj: Holiday, form: Any, *, change: bool, now: datetime) -> Holiday:
        by, values = staff(request).actor, form.cleaned_data
        days = holidays.Days(
            values["name"], values["first_day"], values["last_day"], values["is_yearly"], values["times"]
        )
        if change:
            return holidays.change(obj, days, by=by, now=now)
        return holidays.add(values["sites"], days, by=by, now=now)[0]

    def remove(self, request: HttpRequest, obj: Holiday, values: dict[str, Any], now: datetime) -> str:
        holidays.remove(obj, by=staff(request).actor, now=now)
        return "The holiday was taken away."

    @display(description="Days", ordering="first_day")
    def days(self, holiday: Holiday) -> str:
        if not holiday.is_yearly:
            return days_in_words(holiday.first_day, holiday.last_day)
        # Without the year: it is every one.
        return f"{days_in_words(holiday.first_day, holiday.last_day, holiday.last_day)}, every year"

    @display(description="Open")
    def open_hours(self, holiday: Holiday) -> str:
        return day_in_words(holidays.clocks(holiday.hours)) or "Closed"

    @display(description="Open")
    def open_words(self, holiday: Holiday) -> str:
        return self.open_hours(holiday)
