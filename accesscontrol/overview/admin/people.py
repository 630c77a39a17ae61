"""People, with who is inside, who opens a door, and the whole story of each."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accesscontrol.access import roll_call
from accesscontrol.access.admin import checks
from accesscontrol.access.models import Event
from accesscontrol.doors.models import Channel
from accesscontrol.overview import holdings
from accesscontrol.overview.admin import stories
from accesscontrol.overview.admin.stories import Line, Section
from accesscontrol.overview.navigation import may_view
from accesscontrol.people.models import Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accesscontrol.visits.admin.people import PersonAdmin
from accounts.admin.moments import read_at
from accounts.admin.narrowing import Among, chosen_site, sites_of
from accounts.admin.records import visible_rows
from accounts.admin_site import staff
from accounts.models import AuditEvent
from accounts.rights import Right
from pins.deliveries.models import Delivery


class InsideFilter(admin.SimpleListFilter):
    """Let in within a day at the chosen site, or at any of the caller's, and not seen to leave."""

    title = "presence"
    parameter_name = "inside"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Possibly inside")] if staff(request).may(Right.EVENTS_READ) else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Person]) -> QuerySet[Person]:
        if self.value() != "yes":
            return queryset
        site = chosen_site(request)
        site_ids = [site.pk] if site else [one.pk for one in sites_of(request)]
        return queryset.filter(Among("pk", roll_call.inside(site_ids, as_of=timezone.now())))


class OpensFilter(admin.SimpleListFilter):
    """Opened by links only: whoever has a right at this door, now or coming."""

    title = "opens"
    parameter_name = "opens"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        door = self._door(request)
        return [(str(door.pk), door.name)] if door else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Person]) -> QuerySet[Person]:
        door = self._door(request)
        return queryset if door is None else queryset.filter(holdings.who_opens(door.pk, now=timezone.now()))

    def _door(self, request: HttpRequest) -> Channel | None:
        number = self.used_parameters.get(self.parameter_name) or ""
        if not (number.isascii() and number.isdecimal() and len(number) <= 18):
            return None
        door: Channel | None = visible_rows(request, Channel).filter(pk=number).first()
        return door


@admin.register(Person)
class PersonPage(PersonAdmin):
    """A person as the facility manager asks: what may they open, why, and what did they do."""

    list_filter = (*PersonAdmin.list_filter, InsideFilter, OpensFilter)

    def story(self, request: HttpRequest, obj: Person, now: datetime) -> dict[str, Any]:
        sections = []
        if may_view(request, Channel):
            sections.append(_rights(request, obj, now))
        if may_view(request, Reservation):
            sections.append(_visits(request, obj, now))
        if may_view(request, Event):
            rows = visible_rows(request, Event).filter(person=obj)
            sections.append(
                stories.events(request, rows, stories.list_link("All events", Event, person__id__exact=obj.pk))
            )
        if may_view(request, Delivery):
            sections.append(stories.sent(request, "person", obj))
        if may_view(request, AuditEvent):
            sections.append(stories.audit(request, "person", obj))
        return {
            **super().story(request, obj, now),
            "sections": sections,
            "check": {"person": obj.pk, "doors": doors_to_check(request)} if checks.may_check(request) else None,
        }


def doors_to_check(request: HttpRequest) -> list[Channel]:
    """The doors that a check can be asked for."""
    return list(visible_rows(request, Channel).select_related("site").order_by("site__name", "name", "id"))


def rights_lines(request: HttpRequest, person: Person, now: datetime) -> list[Line]:
    """Each access level of a person, where it comes from, and which doors it opens when."""
    lines = []
    for holding in holdings.of_person(person, visible_rows(request, Channel), now=now):
        sources = ["own access level"] if holding.is_own else []
        sources += [f"through group {group.name}" for group in holding.groups]
        parts = []
        for hours, doors in holding.doors.items():
            when = hours or "At any time"
            parts += [(f"{door.name}, {door.site.name}: {when}", stories.page_of(door)) for door in doors]
        lines.append(
            Line(
                holding.role.name,
                about=", ".join(sources) + ("" if parts else " · opens no door"),
                link=stories.link_to(request, holding.role),
                parts=parts[: stories.MOST],
                label=f"and {len(parts) - stories.MOST} more doors" if len(parts) > stories.MOST else "",
            )
        )
    return [*lines, *_by_visits(request, person, now)] if may_view(request, Reservation) else lines


def _by_visits(request: HttpRequest, person: Person, now: datetime) -> list[Line]:
    """What visits open, now or coming, at doors that the caller may know of."""
    rows = visible_rows(request, Reservation).filter(person=person, cancelled_at=None, end_time__gt=now)
    doors = ReservationChannel.objects.filter(ended_at=None, channel__in=visible_rows(request, Channel))
    named = doors.select_related("channel__site").order_by("channel__name")
    found = list(
        rows.order_by("start_time", "id").prefetch_related(
            Prefetch("reservationchannels", named, to_attr="open_channels")
        )[: stories.MOST]
    )
    hours = holdings.in_words({visit.shift_id for visit in found if visit.shift_id is not None}, now)
    lines = []
    for visit in found:
        opened = [row.channel for row in visit.open_channels]
        period = f"{read_at(visit.start_time)} to {read_at(visit.end_time)}"
        lines.append(
            Line(
                "Visit",
                about=" · ".join(filter(None, (period, hours.get(visit.shift_id or 0, "")))),
                link=stories.page_of(visit),
                parts=[(f"{door.name}, {door.site.name}", stories.page_of(door)) for door in opened[: stories.MOST]],
            )
        )
    return lines


def _rights(request: HttpRequest, person: Person, now: datetime) -> Section:
    lines = rights_lines(request, person, now)
    return Section("May open", lines, "Nothing: no access level, neither their own nor through a group, and no visit.")


def _visits(request: HttpRequest, person: Person, now: datetime) -> Section:
    rows = visible_rows(request, Reservation).filter(person=person).order_by("-end_time", "-id")
    links = [stories.list_link("All visits", Reservation, person__id__exact=person.pk)]
    if staff(request).may(Right.VISITS_WRITE):
        links.insert(0, ("Reserve a visit", reverse("admin:reservations_reservation_add") + f"?person={person.pk}"))
    return stories.visits(request, rows, now, links, title="Visits")
