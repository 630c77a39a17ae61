"""Doors, each with its whole story: who may open it and when, who comes today, what happened."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from accesscontrol.access.admin import checks
from accesscontrol.access.admin.channels import DoorAdmin
from accesscontrol.access.models import Alarm, Event
from accesscontrol.doors.models import Channel, Role
from accesscontrol.overview import holdings
from accesscontrol.overview.admin import stories
from accesscontrol.overview.admin.stories import Line, Section
from accesscontrol.overview.navigation import may_view
from accesscontrol.people.models import Group, Person
from accesscontrol.reservations.models import Reservation, ReservationChannel
from accounts.admin.records import visible_rows
from accounts.admin_site import staff
from accounts.models import AuditEvent


@admin.register(Channel)
class DoorPage(DoorAdmin):
    """A door as the facility manager asks: who may open it, and who did."""

    change_form_outer_before_template = "admin/story.html"

    def story(self, request: HttpRequest, obj: Channel, now: datetime) -> dict[str, Any]:
        sections = []
        if may_view(request, Role):
            sections.append(_opened_by(request, obj, now))
        if may_view(request, Reservation):
            here = ReservationChannel.objects.filter(channel=obj, ended_at=None).values("reservation_id")
            rows = visible_rows(request, Reservation).filter(Q(cancelled_at=None), end_time__gt=now, pk__in=here)
            link = stories.list_link("All of its visits", Reservation, door=obj.pk)
            title = "Visits, now and to come"
            sections.append(
                stories.visits(request, rows.order_by("end_time", "id"), now, [link], title=title, with_person=True)
            )
        if may_view(request, Event):
            rows = visible_rows(request, Event).filter(channel=obj)
            link = stories.list_link("All events", Event, door=obj.pk)
            sections.append(stories.events(request, rows, link, at_door=True))
        if may_view(request, Alarm):
            raised = visible_rows(request, Alarm).filter(channel=obj)
            sections.append(
                stories.alarms(request, raised, stories.list_link("All alarms", Alarm, channel__id__exact=obj.pk))
            )
        if may_view(request, AuditEvent):
            sections.append(stories.audit(request, "channel", obj))
        return {
            **super().story(request, obj, now),
            "sections": sections,
            "check": {"door": obj.pk} if checks.may_check(request) else None,
        }


def _opened_by(request: HttpRequest, door: Channel, now: datetime) -> Section:
    lines = []
    shows_groups = may_view(request, Group)
    for opening in holdings.of_door(door, now=now):
        parts = [(f"Group {group.name}", stories.link_to(request, group)) for group in opening.groups if shows_groups]
        held = "people of their own" if opening.has_own_holders else ""
        lines.append(
            Line(
                opening.role.name,
                about=" · ".join(filter(None, (opening.hours or "At any time", held))),
                link=stories.link_to(request, opening.role),
                parts=parts[: stories.MOST],
            )
        )
    links = []
    if may_view(request, Person) and staff(request).site_ids is None:
        links.append(stories.list_link("Everybody who may open it", Person, opens=door.pk))
    return Section("Opened by", lines, "No access level opens this door: visits alone do.", links)
