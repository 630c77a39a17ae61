from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from accounts.admin.exporting import Exported
from accounts.admin.moments import read_at
from accounts.admin.records import TenantAdmin
from accounts.models import AuditEvent
from accounts.rights import Right

_KINDS = {
    "staff": "Staff",
    "api": "API key",
    "reader": "Reader",
    "generator": "PIN generator",
    "signin": "PIN sign-in",
    "token": "Application",
    "invitation": "Invitation",
    "platform": "Platform owner",
    "system": "Gatehouse",
    "command": "Command line",
}


def actor_in_words(event: AuditEvent) -> str:
    """Such as “API key 7”: the record holds no names."""
    kind = _KINDS.get(event.actor_kind, event.actor_kind)
    return f"{kind} {event.actor_id}" if event.actor_id is not None else kind


@admin.register(AuditEvent)
class AuditEventAdmin(TenantAdmin):
    """Who did what to what. Only read."""

    rights = {"view": Right.AUDIT_READ}
    of_whole_tenant = True
    list_display = ("when", "verb", "what", "actor", "changed_fields")
    list_filter = ("verb", "subject_type")
    search_fields = ("subject_id",)
    search_help_text = "Subject and id, such as “person 7”"
    opened_by = ("subject_type", "subject_id")
    ordering = ("-occurred_at", "-id")
    exported = (
        Exported("When", lambda event: event.occurred_at, is_instant=True),
        Exported("When", lambda event: event.occurred_at, is_utc=True),
        Exported("Done", lambda event: event.verb),
        Exported("To", lambda event: event.subject_type),
        Exported("Id", lambda event: event.subject_id),
        Exported("Who", lambda event: _KINDS.get(event.actor_kind, event.actor_kind)),
        Exported("Number of who", lambda event: event.actor_id),
        Exported("Fields", lambda event: ", ".join(event.fields)),
    )
    fields = ("when", "verb", "what", "actor", "changed_fields")
    readonly_fields = fields
    empty_words = "Nothing was changed or read yet."

    def get_list_filter(self, request: HttpRequest) -> Any:
        return (VerbFilter, SubjectFilter)

    def search(self, rows: QuerySet[AuditEvent], term: str) -> QuerySet[AuditEvent]:
        subject, _, number = term.lower().rpartition(" ")
        return rows.filter(subject_type=subject.replace(" ", "_"), subject_id=number) if subject else rows.none()

    @display(description="When")
    def when(self, event: AuditEvent) -> str:
        return read_at(event.occurred_at, seconds=True)

    @display(description="What")
    def what(self, event: AuditEvent) -> str:
        return f"{event.subject_type.replace('_', ' ')} {event.subject_id}"

    @display(description="Who")
    def actor(self, event: AuditEvent) -> str:
        return actor_in_words(event)

    @display(description="Fields")
    def changed_fields(self, event: AuditEvent) -> str:
        return ", ".join(event.fields) or "-"


class VerbFilter(admin.SimpleListFilter):
    title = "done"
    parameter_name = "verb"
    verbs = (
        "create", "change", "delete", "issue", "reveal", "enable", "disable", "revoke", "expire", "erase",
        "reserve", "reschedule", "cancel", "deliver", "resend", "lift", "acknowledge", "mint", "join", "leave",
        "export", "upload", "apply",
        "sign_in", "invite", "accept", "withdraw", "enrol", "reset", "set_pin", "change_pin", "remove_pin", "lock",
        "export", "found", "suspend", "resume",
    )  # fmt: skip

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(verb, verb) for verb in self.verbs]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(verb=self.value()) if self.value() else queryset


class SubjectFilter(admin.SimpleListFilter):
    title = "to"
    parameter_name = "subject_type"
    subjects = (
        "person", "credential", "reservation", "channel", "role", "shift", "group", "site", "delivery",
        "alarm", "membership", "invitation", "second_factor", "password", "api_key", "tenant",
    )  # fmt: skip

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(subject, subject.replace("_", " ")) for subject in self.subjects]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(subject_type=self.value()) if self.value() else queryset
