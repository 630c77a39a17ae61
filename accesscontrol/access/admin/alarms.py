from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from accesscontrol.access import alarms
from accesscontrol.access.models import Alarm
from accounts.admin.moments import read_at
from accounts.admin.narrowing import SiteFilter
from accounts.admin.records import TenantAdmin
from accounts.admin.steps import Step, StepForm
from accounts.admin_site import staff
from accounts.rights import Right


class AcknowledgeForm(StepForm):
    reason = forms.CharField(
        max_length=250,
        widget=UnfoldAdminTextInputWidget,
        help_text="What it was, or what was done about it. Name nobody: it is kept for good.",
    )


class OpenFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("acknowledged", "Acknowledged")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> QuerySet[Alarm]:
        if self.value() in ("open", "acknowledged"):
            return queryset.filter(acknowledged_at__isnull=self.value() == "open")
        return queryset


@admin.register(Alarm)
class AlarmAdmin(TenantAdmin):
    """What somebody must look at; acknowledged with a reason."""

    rights = {"view": Right.EVENTS_READ}
    site_lookup = "site_id"
    list_display = ("raised", "kind", "door", "site", "who", "state", "acknowledged_reason")
    list_select_related = ("site", "channel", "person")
    list_filter = (OpenFilter, "kind", SiteFilter)
    opened_by = ("channel__id__exact", "person__id__exact")
    ordering = ("-raised_at", "-id")
    fields = ("kind", "door", "site", "who", "raised", "state", "acknowledged", "acknowledged_reason")
    readonly_fields = fields
    empty_words = "All quiet: no alarm was raised."
    steps = (
        Step(
            "acknowledge",
            "Acknowledge",
            Right.ALARMS_WRITE,
            "acknowledge",
            "Say what it was, so that the next shift need not ask.",
            form=AcknowledgeForm,
            icon="done_all",
            is_possible=lambda alarm, _now: alarm.acknowledged_at is None,
        ),
    )

    def acknowledge(self, request: HttpRequest, obj: Alarm, values: dict[str, Any], now: datetime) -> str:
        alarms.acknowledge(obj, values["reason"], by=staff(request).actor, now=now)
        return "The alarm was acknowledged."

    @display(description="Who")
    def who(self, alarm: Alarm) -> str:
        return alarm.person.listed_name if alarm.person else "-"

    @display(description="Raised", ordering="-raised_at")
    def raised(self, alarm: Alarm) -> str:
        return read_at(alarm.raised_at, alarm.site.zone)

    @display(description="Door")
    def door(self, alarm: Alarm) -> str:
        return alarm.channel.name if alarm.channel else "-"

    @display(description="Acknowledged")
    def acknowledged(self, alarm: Alarm) -> str:
        return read_at(alarm.acknowledged_at, alarm.site.zone)

    @display(description="State", label={"Open": "danger", "Acknowledged": "success"})
    def state(self, alarm: Alarm) -> str:
        return "Open" if alarm.acknowledged_at is None else "Acknowledged"
