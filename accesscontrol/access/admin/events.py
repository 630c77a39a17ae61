from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from accesscontrol.access.models import Event, Reason
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Channel
from accounts.admin.moments import read_at
from accounts.admin.records import TenantAdmin, visible_rows
from accounts.rights import Right


class PeriodFilter(admin.SimpleListFilter):
    title = "period"
    parameter_name = "period"
    periods = {"1": "Last 24 hours", "7": "Last 7 days", "31": "Last 31 days"}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(self.periods.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        if (value := self.value()) not in self.periods:
            return queryset
        return queryset.filter(occurred_at__gt=timezone.now() - timedelta(days=int(value or 0)))


class AdmittedFilter(admin.SimpleListFilter):
    title = "decision"
    parameter_name = "decision"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in", "Let in"), ("not", "Not let in")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(admitted=self.value() == "in") if self.value() in ("in", "not") else queryset


class ReasonFilter(admin.SimpleListFilter):
    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(reason.value, str(reason.label)) for reason in Reason if reason is not Reason.NONE]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(reason=self.value()) if self.value() else queryset


class DoorFilter(admin.SimpleListFilter):
    title = "door"
    parameter_name = "door"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        doors = visible_rows(request, Channel)
        return [(str(pk), name) for pk, name in doors.order_by("name").values_list("pk", "name")[:200]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        value = self.value() or ""
        return queryset.filter(channel_id=int(value)) if value.isdecimal() and len(value) <= 18 else queryset


@admin.register(Event)
class EventAdmin(TenantAdmin):
    """What happened at the doors. Only read."""

    rights = {"view": Right.EVENTS_READ}
    list_display = ("when", "door", "who", "decision", "why", "with_what")
    list_select_related = ("channel__site", "person")
    list_filter = (PeriodFilter, AdmittedFilter, ReasonFilter, DoorFilter)
    opened_by = ("person__id__exact",)
    ordering = ("-occurred_at", "-id")
    fields = ("when", "door", "who", "decision", "why", "with_what")
    readonly_fields = fields
    empty_words = "Nobody has tried a door yet."

    def at_sites(self, rows: QuerySet[Event], site_ids: frozenset[int]) -> QuerySet[Event]:
        return rows.filter(channel__site_id__in=site_ids)

    @display(description="When")
    def when(self, event: Event) -> str:
        return read_at(event.occurred_at, event.channel.site.zone, seconds=True)

    @display(description="Door")
    def door(self, event: Event) -> str:
        return event.channel.name

    @display(description="Who")
    def who(self, event: Event) -> str:
        if event.person is None:
            return "-"
        return event.person.listed_name if event.person.deleted_at is None else "Deleted person"

    @display(description="Decision", label={"Let in": "success", "Not let in": "danger"})
    def decision(self, event: Event) -> str:
        return "Let in" if event.admitted else "Not let in"

    @display(description="Why not")
    def why(self, event: Event) -> str:
        return "-" if event.admitted else str(Reason(event.reason).label)

    @display(description="With")
    def with_what(self, event: Event) -> str:
        if event.credential_type is None:
            return "Opened by command"
        return str(CredentialType(event.credential_type).label)
