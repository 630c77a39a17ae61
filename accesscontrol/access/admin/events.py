from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from accesscontrol.access.models import Event, Reason
from accesscontrol.credentials.models import CredentialType
from accesscontrol.doors.models import Channel
from accesscontrol.people import whose
from accesscontrol.people.models import Person
from accounts.admin.exporting import Exported
from accounts.admin.moments import read_at
from accounts.admin.narrowing import Choice, SiteChoice, sites_of
from accounts.admin.periods import PeriodFilter
from accounts.admin.records import TenantAdmin, visible_rows
from accounts.rights import Right

_MOST_DOORS = 500


class AdmittedFilter(Choice):
    title = "decision"
    parameter_name = "decision"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in", "Let in"), ("not", "Not let in")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(admitted=self.value() == "in") if self.value() in ("in", "not") else queryset


class ReasonFilter(Choice):
    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(reason.value, str(reason.label)) for reason in Reason if reason is not Reason.NONE]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        # A reason is one of not letting in: said, so that the index of these is used.
        return queryset.filter(reason=self.value(), admitted=False) if self.value() else queryset


class DoorFilter(Choice):
    title = "door"
    parameter_name = "door"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        names = {site.pk: site.name for site in sites_of(request)}
        doors = visible_rows(request, Channel).order_by("name", "id")
        return [
            (str(pk), f"{name} ({names[site_id]})" if len(names) > 1 and site_id in names else name)
            for pk, name, site_id in doors.values_list("pk", "name", "site_id")[:_MOST_DOORS]
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        value = self.value() or ""
        return queryset.filter(channel_id=int(value)) if value.isdecimal() and len(value) <= 18 else queryset


class PersonFilter(AutocompleteSelectFilter):  # type: ignore[misc]
    """Found while typing; shows the name of nobody whom the caller may not know of."""

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        for choice in super().choices(changelist):
            choice["form"].fields[self.lookup_kwarg].queryset = visible_rows(self.request, Person)
            yield choice


class Told(NamedTuple):
    """An event as a row of a file."""

    pk: int
    occurred_at: datetime
    door: str
    site: str
    who: str
    person_id: int | None
    decision: str
    why: str
    with_what: str


def _told(rows: QuerySet[Event]) -> Iterator[Told]:
    """These events, with what they name looked up once for all: an object of each would take ten times as long."""
    columns = ("pk", "occurred_at", "channel_id", "person_id", "admitted", "reason", "credential_type")
    found = list(rows.select_related(None).values_list(*columns))
    doors = Channel.objects.select_related("site").in_bulk({door_id for _, _, door_id, *_ in found})
    named = Person.objects.only("kind", "first_name", "last_name", "deleted_at", "erased_at")
    people = named.in_bulk({person_id for _, _, _, person_id, *_ in found if person_id})
    names = {None: "", **{person_id: _name_of(person) for person_id, person in people.items()}}
    why = {reason: _why(reason) for *_, reason, _ in found}
    with_what = {type_: _with(type_) for *_, type_ in found}
    for pk, occurred_at, door_id, person_id, admitted, reason, type_ in found:
        door = doors[door_id]
        yield Told(
            pk,
            occurred_at,
            door.name,
            door.site.name,
            names[person_id],
            person_id,
            _decision(admitted),
            "" if admitted else why[reason],
            with_what[type_],
        )


def _name_of(person: Person | None) -> str:
    if person is None:
        return ""
    return person.listed_name if person.deleted_at is None else "Deleted person"


def _decision(admitted: bool) -> str:
    return "Let in" if admitted else "Not let in"


def _why(reason: str) -> str:
    return str(Reason(reason).label)


def _with(credential_type: int | None) -> str:
    return "Opened by command" if credential_type is None else str(CredentialType(credential_type).label)


@admin.register(Event)
class EventAdmin(TenantAdmin):
    """What happened at the doors. Only read."""

    rights = {"view": Right.EVENTS_READ}
    list_display = ("when", "where", "who", "decision", "why", "with_what")
    list_select_related = ("channel__site", "person")
    list_filter = (PeriodFilter, SiteChoice, DoorFilter, ("person", PersonFilter), AdmittedFilter, ReasonFilter)
    list_filter_submit = True
    search_fields = ("person__last_name",)
    search_help_text = whose.WORDS
    opened_by = ("person__id__exact", "credential__id__exact")
    ordering = ("-occurred_at", "-id")
    exported_along = "occurred_at"
    exported = (
        Exported("Id", lambda event: event.pk),
        Exported("When", lambda event: event.occurred_at, is_instant=True),
        Exported("When", lambda event: event.occurred_at, is_utc=True),
        Exported("Door", lambda event: event.door),
        Exported("Site", lambda event: event.site),
        Exported("Who", lambda event: event.who),
        Exported("Person", lambda event: event.person_id),
        Exported("Decision", lambda event: event.decision),
        Exported("Why not", lambda event: event.why),
        Exported("With", lambda event: event.with_what),
    )
    fields = ("when", "door", "who", "decision", "why", "with_what")
    readonly_fields = fields
    empty_words = "Nobody has tried a door yet."

    def at_sites(self, rows: QuerySet[Event], site_ids: frozenset[int]) -> QuerySet[Event]:
        # Their numbers, not a join: only so does PostgreSQL know how many events that is.
        doors = list(Channel.objects.filter(site_id__in=site_ids).values_list("pk", flat=True))
        return rows.filter(channel_id__in=doors)

    def exported_rows(self, request: HttpRequest, rows: QuerySet[Event]) -> Iterator[Told]:
        return _told(rows)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        term = search_term.strip()
        return (whose.whose(request, queryset, term) if term else queryset), False

    @display(description="When")
    def when(self, event: Event) -> str:
        return read_at(event.occurred_at, event.channel.site.zone, seconds=True)

    @display(description="Door")
    def door(self, event: Event) -> str:
        return f"{event.channel.name}, {event.channel.site.name}"

    @display(description="Door", header=True)
    def where(self, event: Event) -> list[str]:
        return [event.channel.name, event.channel.site.name]

    @display(description="Who")
    def who(self, event: Event) -> str:
        return _name_of(event.person) or "-"

    @display(description="Decision", label={"Let in": "success", "Not let in": "danger"})
    def decision(self, event: Event) -> str:
        return _decision(event.admitted)

    @display(description="Why not")
    def why(self, event: Event) -> str:
        return "-" if event.admitted else _why(event.reason)

    @display(description="With")
    def with_what(self, event: Event) -> str:
        return _with(event.credential_type)
