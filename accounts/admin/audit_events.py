from typing import Any

from django.contrib import admin
from django.db.models import Case, CharField, F, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, NullIf
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from accounts.admin.exporting import Exported
from accounts.admin.moments import read_at
from accounts.admin.narrowing import Choice
from accounts.admin.periods import PeriodFilter
from accounts.admin.records import TenantAdmin
from accounts.models import ApiKey, AuditEvent, Membership
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


# What screens call a subject, where it is more than its own word in capitals.
_SUBJECTS = {
    "channel": "Door",
    "channel_command": "Command to a door",
    "reservation": "Visit",
    "group_reservation": "Group visit",
    "role": "Access level",
    "shift": "Weekly hours",
    "credential": "PIN or card",
    "delivery": "Message",
    "membership": "Member of staff",
    "second_factor": "Second step",
    "batch": "Bulk step",
    "api_key": "API key",
    "oauth_application": "Application",
    "oauth_consent": "Connection",
    "tenant": "Settings",
}
_TYPES = {words.lower(): subject for subject, words in _SUBJECTS.items()}
# Whose name a record's number stands for: the record itself holds none.
_STAFF = Membership.objects, Coalesce(NullIf(F("user__name"), Value("")), F("user__email"), output_field=CharField())
_KEYS = ApiKey.objects, F("name")
_NAMED: dict[str, tuple[Any, Any]] = {"staff": _STAFF, **dict.fromkeys(("api", "reader", "generator", "signin"), _KEYS)}


def deed_in_words(verb: str) -> str:
    """Such as “Set PIN” for set_pin."""
    return verb.replace("_", " ").capitalize().replace(" pin", " PIN")


def subject_in_words(subject: str) -> str:
    """What screens call it, such as “Door” for channel."""
    return _SUBJECTS.get(subject) or subject.replace("_", " ").capitalize()


def actor_in_words(event: AuditEvent) -> str:
    """Such as “API key 7”: the record holds no names."""
    kind = _KINDS.get(event.actor_kind, event.actor_kind)
    return f"{kind} {event.actor_id}" if event.actor_id is not None else kind


@admin.register(AuditEvent)
class AuditEventAdmin(TenantAdmin):
    """Who did what to what. Only read."""

    rights = {"view": Right.AUDIT_READ}
    of_whole_tenant = True
    list_display = ("when", "done", "what", "actor", "changed_fields")
    list_filter_submit = True
    search_fields = ("subject_id",)
    counted_as = "audit events"
    search_help_text = "What, and its number, such as “person 7”"
    opened_by = ("subject_type", "subject_id")
    ordering = ("-occurred_at", "-id")
    exported_along = "occurred_at"
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
    fields = ("when", "done", "what", "actor", "changed_fields")
    readonly_fields = fields
    empty_words = "Nothing was changed or read yet."

    def get_list_filter(self, request: HttpRequest) -> Any:
        return (PeriodFilter, VerbFilter, SubjectFilter)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        named = [
            When(actor_kind=kind, then=Subquery(rows.filter(pk=OuterRef("actor_id")).values(words=name)[:1]))
            for kind, (rows, name) in _NAMED.items()
            if self.admin_site._registry[rows.model].has_view_permission(request)
        ]
        open_pages = [kind for kind, page in self._pages().items() if page.has_view_permission(request)]
        return (
            super()
            .get_queryset(request)
            .annotate(
                actor_name=Case(*named, default=None, output_field=CharField()),
                has_page=Case(When(subject_type__in=open_pages, then=Value(True)), default=Value(False)),
            )
        )

    def _pages(self) -> dict[str, TenantAdmin]:
        """The pages of each kind of subject that has some."""
        kinds = (*_SUBJECTS, *SubjectFilter.subjects)
        pages = {model._meta.model_name: page for model, page in self.admin_site._registry.items()}
        return {kind: pages[name] for kind in kinds if (name := kind.replace("_", "")) in pages}

    def search(self, rows: QuerySet[AuditEvent], term: str) -> QuerySet[AuditEvent]:
        words, _, number = term.lower().rpartition(" ")
        subject = _TYPES.get(words) or words.replace(" ", "_")
        return rows.filter(subject_type=subject, subject_id=number) if subject else rows.none()

    @display(description="When")
    def when(self, event: AuditEvent) -> str:
        return read_at(event.occurred_at, seconds=True)

    @display(description="Done")
    def done(self, event: AuditEvent) -> str:
        return deed_in_words(event.verb)

    @display(description="To")
    def what(self, event: AuditEvent) -> str:
        words = f"{subject_in_words(event.subject_type)} {event.subject_id}"
        if not getattr(event, "has_page", False) or not event.subject_id.isdecimal():
            return words
        opts = self._pages()[event.subject_type].opts
        link = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[event.subject_id])
        return format_html('<a class="underline" href="{}">{}</a>', link, words)

    @display(description="Who")
    def actor(self, event: AuditEvent) -> str:
        return getattr(event, "actor_name", None) or actor_in_words(event)

    @display(description="Fields")
    def changed_fields(self, event: AuditEvent) -> str:
        return ", ".join(event.fields).replace("_", " ") or "-"


class VerbFilter(Choice):
    """What may have been done, as screens say it."""

    title = "what was done"
    parameter_name = "verb"
    verbs = (
        "create", "change", "delete", "erase", "export", "upload", "check", "apply", "discard", "start", "stop",
        "issue", "reveal", "deliver", "rotate", "expire", "revoke", "enable", "disable", "refuse",
        "reserve", "reschedule", "cancel", "end", "send", "resend", "fail", "tell",
        "let_in", "lift", "acknowledge", "mint", "renew_secret", "consent", "disconnect", "test", "pause", "replay",
        "sign_in", "invite", "accept", "withdraw", "join", "leave", "enrol", "reset", "set_pin", "change_pin",
        "reset_pin", "remove_pin", "mistake", "lock", "found", "suspend", "resume",
    )  # fmt: skip

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return sorted((verb, deed_in_words(verb)) for verb in self.verbs)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(verb=self.value()) if self.value() else queryset


class SubjectFilter(Choice):
    title = "subject"
    parameter_name = "subject_type"
    subjects = (
        "person", "credential", "reservation", "channel", "role", "shift", "group", "site", "delivery",
        "alarm", "import", "batch", "event", "holiday", "membership", "invitation", "second_factor", "password",
        "api_key", "oauth_application", "oauth_consent", "webhook", "alarm_recipient", "subscriber", "tenant",
    )  # fmt: skip

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(subject, subject_in_words(subject)) for subject in self.subjects]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(subject_type=self.value()) if self.value() else queryset
