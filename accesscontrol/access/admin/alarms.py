from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from accesscontrol.access import alarms, patterns
from accesscontrol.access.models import Alarm
from accesscontrol.access.patterns import PATTERNS, wording
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


class AboutFilter(admin.SimpleListFilter):
    """What happened at once, or what only looks suspicious from further away."""

    title = "about"
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("patterns", "Suspicious patterns"), ("alarms", "Other alarms")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alarm]) -> QuerySet[Alarm]:
        if self.value() == "patterns":
            return queryset.filter(kind__in=PATTERNS)
        return queryset.exclude(kind__in=PATTERNS) if self.value() == "alarms" else queryset


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
    list_display = ("raised", "kind", "door", "site", "who", "seen", "state", "explained")
    list_select_related = ("site", "channel", "person")
    list_filter = (OpenFilter, AboutFilter, "kind", SiteFilter)
    opened_by = ("channel__id__exact", "person__id__exact")
    ordering = ("-raised_at", "-id")
    fields = ("kind", "door", "site", "who", "raised", "state", "acknowledged", "explained")
    readonly_fields = (*fields, "rule", "seen", "latest", "events")
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

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        inbox = {}
        if request.GET.get(AboutFilter.parameter_name) == "patterns":
            inbox = {"heading": "Suspicious patterns", "nothing_matches": "All quiet: nothing suspicious."}
        answer: HttpResponse = super().changelist_view(request, {**inbox, **(extra_context or {})})
        return answer

    def get_fields(self, request: HttpRequest, obj: Alarm | None = None) -> Any:
        if obj is None or not obj.subject:
            return self.fields
        return ("kind", "rule", "door", "site", "who", "raised", "seen", "latest", "events", *self.fields[5:])

    def acknowledge(self, request: HttpRequest, obj: Alarm, values: dict[str, Any], now: datetime) -> str:
        alarms.acknowledge(obj, values["reason"], by=staff(request).actor, now=now)
        return "The alarm was acknowledged."

    @display(description="The rule")
    def rule(self, alarm: Alarm) -> str:
        return wording.sentence(Alarm.Kind(alarm.kind), patterns.rules())

    @display(description="Seen")
    def seen(self, alarm: Alarm) -> str:
        if not alarm.subject:
            return "-"
        return "once" if alarm.count == 1 else f"{alarm.count} times"

    @display(description="Last seen")
    def latest(self, alarm: Alarm) -> str:
        return read_at(alarm.last_at, alarm.site.zone)

    @display(description="What happened")
    def events(self, alarm: Alarm) -> str:
        about = f"person__id__exact={alarm.person_id}" if alarm.person_id else f"door={alarm.channel_id}"
        link = f"{reverse('admin:access_event_changelist')}?{about}"
        return format_html('<a class="underline" href="{}">Look at the events</a>', link)

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

    @display(description="What it was")
    def explained(self, alarm: Alarm) -> str:
        return alarm.acknowledged_reason or "-"

    @display(description="State", label={"Open": "danger", "Acknowledged": "success"})
    def state(self, alarm: Alarm) -> str:
        return "Open" if alarm.acknowledged_at is None else "Acknowledged"
